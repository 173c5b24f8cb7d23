"""The bucket mover between two stores in memory."""

from __future__ import annotations

import itertools
import json
import os

import pytest
from movers import HTML, Bench

from rehost.stacks.data.buckets import Allowed, copy_pass, verify_pass
from rehost.stacks.data.report import Report
from rehost.stacks.errors import Interrupted, ProviderError, Reason, Refused, RehostError
from rehost.stacks.ports import ObjectMeta

KEYS = ["a", "a/", "a/b", "/lead", "//", "dir/", "../up", "ü+%20 &?", "tab\there", "\x01", "empty", "😀", "\uffee"]


def copy(bench: Bench, *, part: int = 1000, move: str = "", allow_foreign: bool = False) -> Report:
    with bench.tools(part=part, move=move) as tools:
        copy_pass(tools, allowed=Allowed(allow_foreign))
        return tools.report


def verify(bench: Bench, *, move: str = "", trust: bool = False, part: int = 1000) -> Report:
    with bench.tools(move=move, part=part) as tools:
        verify_pass(tools, trust=trust)
        return tools.report


def content() -> dict[str, bytes]:
    """Objects of every kind of name, and some in parts."""
    small = {key: b"" if key == "empty" else key.encode() * 3 for key in KEYS}
    return small | {"buffered": os.urandom(400), "streamed": os.urandom(900), "parts": os.urandom(4321)}


def test_everything_arrives_whatever_its_name_and_both_digests_agree(bench: Bench) -> None:
    bench.source.fill(content())
    report = copy(bench)
    assert bench.destination.data() == bench.source.data()
    assert all(fields["meta"] == HTML for _, fields in bench.destination.content.values())
    assert (report.copied, report.read_back, report.objects) == (len(content()),) * 3
    report = verify(bench)
    assert not report.problems
    assert report.source_digest == report.destination_digest
    assert report.read_back == len(content())
    assert (report.destination_objects, report.destination_bytes) == (
        len(content()),
        sum(map(len, content().values())),
    )


def test_a_second_pass_carries_only_changes_and_removals(bench: Bench) -> None:
    bench.source.fill(content())
    copy(bench)
    bench.source.fill({"new": b"1", "a/b": b"changed"})
    bench.source.delete(["parts", "/lead"])
    bench.destination.calls.clear()
    report = copy(bench)
    assert sorted(key for operation, key in bench.destination.calls if operation == "put") == ["a/b", "new"]
    assert (report.copied, report.removed, report.skipped) == (2, 2, len(content()) - 3)
    assert bench.destination.data() == bench.source.data()


def test_metadata_alone_is_a_change(bench: Bench) -> None:
    bench.source.fill({"page": b"x"})
    copy(bench)
    bench.source.fill({"page": b"x"}, ObjectMeta({"Content-Type": "text/plain"}))
    assert copy(bench).copied == 1
    assert bench.destination.content["page"][1]["meta"].headers == {"Content-Type": "text/plain"}


def test_what_was_there_before_is_named_and_left_alone(bench: Bench) -> None:
    bench.source.fill({"same": b"same", "other": b"mine", "size": b"12345"})
    bench.destination.fill({"same": b"same", "other": b"ours", "size": b"1", "stranger": b"?"})
    report = copy(bench)
    assert report.adopted == 1
    assert sorted(text.split(":")[0] for text in report.foreign.first) == ["other", "size", "stranger"]
    assert bench.destination.data()["other"] == b"ours"
    report = copy(bench, allow_foreign=True)
    assert not report.foreign
    assert bench.destination.data() == {**bench.source.data(), "stranger": b"?"}


def corrupt(bench: Bench, key: str, data: bytes) -> None:
    """Other content under the same size, time and, as far as a listing tells, the same marker."""
    _, fields = bench.destination.content[key]
    bench.destination.content[key] = (data, fields)


@pytest.mark.parametrize("key", ["streamed", "parts"])
def test_a_corrupted_object_is_found_by_reading_and_repaired_by_the_next_move(bench: Bench, key: str) -> None:
    bench.source.fill(content())
    copy(bench)
    whole = bench.destination.data()[key]
    corrupt(bench, key, bytes([whole[0] ^ 1]) + whole[1:])
    bench.destination._info = lambda k: bench.source._info(k)  # type: ignore[method-assign]
    report = verify(bench, move="second")
    assert report.differences.first == [f"{key}: the content differs"]
    assert report.source_digest != report.destination_digest
    assert copy(bench, move="second").copied == 0, "the move that found it does not hide it"
    assert copy(bench).copied == 1
    assert not verify(bench).problems
    assert bench.destination.data() == bench.source.data()


def test_an_object_that_vanished_at_the_destination_is_a_difference(bench: Bench) -> None:
    bench.source.fill(content())
    copy(bench)
    bench.destination.delete(["streamed", "parts"])
    report = copy(bench)
    assert sorted(report.differences.first) == [
        "parts: missing at the destination",
        "streamed: missing at the destination",
    ]
    assert copy(bench).copied == 2


def test_changed_metadata_at_the_destination_is_found(bench: Bench) -> None:
    bench.source.fill({"page": b"x"})
    copy(bench)
    bench.destination.fill({"page": b"x"}, ObjectMeta({"Content-Type": "image/png"}, HTML.user, HTML.tags))
    assert verify(bench).differences.first == ["page: type or metadata differ"]


def test_what_a_move_has_read_back_is_not_read_twice_by_it(bench: Bench) -> None:
    bench.source.fill(content())
    copy(bench, move="one")
    bench.destination.calls.clear()
    assert not verify(bench, move="one", trust=True).problems
    assert bench.destination.count("open") == 0
    assert not verify(bench, move="two", trust=True).problems
    assert bench.destination.count("open") >= len(content())


def test_tags_that_the_destination_does_not_keep_are_named(bench: Bench) -> None:
    bench.source.fill({"page": b"x", "large": b"y" * 3000})
    put, begin = bench.destination.put, bench.destination.begin
    bench.destination.put = (  # type: ignore[method-assign]
        lambda key, meta, *rest, **how: put(key, ObjectMeta(meta.headers, meta.user), *rest, **how)
    )
    bench.destination.begin = (  # type: ignore[method-assign]
        lambda key, meta: begin(key, ObjectMeta(meta.headers, meta.user))
    )
    report = copy(bench)
    assert dict(report.lost) == {"tags": 2}
    assert not verify(bench).problems, "a known loss is no difference"


def failing(count: int, operation: str, error: ProviderError, key: str = "") -> object:
    """Raises `error` for the first `count` calls."""
    numbers = itertools.count()

    def on(name: str, of: str) -> None:
        if name == operation and key in ("", of) and next(numbers) < count:
            raise error

    return on


def test_a_store_that_asks_for_patience_gets_it(bench: Bench) -> None:
    bench.source.fill(content())
    slow = ProviderError("slow down", reason=Reason.THROTTLED, code="SlowDown", retry_after=7.0)
    bench.destination.on = failing(3, "put", slow)  # type: ignore[assignment]
    bench.source.on = failing(2, "open", ProviderError("500", reason=Reason.UNAVAILABLE))  # type: ignore[assignment]
    assert not copy(bench).problems
    assert sum(seconds >= 7.0 for seconds in bench.clock.waits) == 3
    assert bench.destination.data() == bench.source.data()


def test_one_object_that_fails_is_named_and_the_others_arrive(bench: Bench) -> None:
    bench.source.fill(content())
    bench.source.on = failing(99, "open", ProviderError("archived", reason=Reason.DENIED), "streamed")  # type: ignore[assignment]
    report = copy(bench)
    assert report.failures.first == ["streamed: archived"]
    assert bench.destination.data().keys() == bench.source.data().keys() - {"streamed"}
    bench.source.on = lambda operation, key: None
    assert copy(bench).copied == 1


def test_an_upload_goes_on_where_a_killed_run_left_it(bench: Bench) -> None:
    bench.source.fill({"parts": os.urandom(10_000)})
    numbers = itertools.count()

    def on(operation: str, key: str) -> None:
        if operation == "put_part" and next(numbers) >= 6:
            raise KeyboardInterrupt

    bench.destination.on = on
    with pytest.raises(KeyboardInterrupt):
        copy(bench)
    kept = sum(
        '"part"' in line for line in (bench.folder / "evidence.jsonl").read_text().splitlines() if '"etag"' in line
    )
    bench.destination.on = lambda operation, key: None
    bench.destination.calls.clear()
    report = copy(bench)
    assert kept >= 3
    assert report.resumed_parts == kept
    assert bench.destination.count("put_part") == 10 - kept
    assert bench.destination.data() == bench.source.data()
    assert not bench.destination.unfinished("parts")


def test_an_upload_of_content_that_changed_meanwhile_starts_anew(bench: Bench) -> None:
    bench.source.fill({"parts": os.urandom(5_000)})
    bench.destination.on = failing(99, "finish", ProviderError("no", reason=Reason.FAILED))  # type: ignore[assignment]
    with bench.tools() as tools:
        bench.destination.abort = lambda key, upload: None  # type: ignore[method-assign]
        copy_pass(tools)
        assert tools.report.failures
    del bench.destination.abort  # type: ignore[method-assign]
    bench.destination.on = lambda operation, key: None
    bench.source.fill({"parts": os.urandom(5_000)})
    report = copy(bench)
    assert (report.resumed_parts, report.copied) == (0, 1)
    assert bench.destination.data() == bench.source.data()
    assert not bench.destination.unfinished("parts")


def test_a_lost_answer_to_the_end_of_an_upload_does_no_harm(bench: Bench) -> None:
    bench.source.fill({"parts": os.urandom(5_000)})
    finish, numbers = bench.destination.finish, itertools.count()

    def lost(key: str, upload: str, parts: list[str]) -> object:
        made = finish(key, upload, parts)
        if next(numbers) == 0:
            raise ProviderError("no answer", reason=Reason.UNCERTAIN)
        return made

    bench.destination.finish = lost  # type: ignore[method-assign, assignment]
    report = copy(bench)
    assert (report.copied, report.problems) == (1, [])


def test_an_object_that_changes_while_it_is_read_is_left_to_the_next_pass(bench: Bench) -> None:
    bench.source.fill({"parts": os.urandom(5_000), "gone": b"x"})
    numbers = itertools.count()

    def on(operation: str, key: str) -> None:
        if operation == "open" and key == "parts" and next(numbers) == 2:
            bench.source.on = lambda operation, key: None
            bench.source.fill({"parts": os.urandom(6_000)})
        if operation == "open" and key == "gone":
            bench.source.delete(["gone"])

    bench.source.on = on
    with bench.tools(parallel=1) as tools:
        copy_pass(tools)
        assert tools.report.moved == 2
        assert not tools.report.failures
        copy_pass(tools)
        assert tools.report.moved == 0
    assert bench.destination.data() == bench.source.data()
    assert not bench.destination.unfinished("parts")


def test_other_content_than_was_sent_is_written_again_and_then_given_up(bench: Bench) -> None:
    bench.source.fill({"page": b"x" * 100})
    numbers = itertools.count()

    def on(operation: str, key: str) -> None:
        if operation == "open" and next(numbers) == 0:
            corrupt(bench, key, b"y" * 100)

    bench.destination.on = on
    report = copy(bench)
    assert (report.copied, report.problems) == (1, [])

    def always(operation: str, key: str) -> None:
        if operation == "open":
            corrupt(bench, key, b"y" * 100)

    bench.source.fill({"page": b"z" * 100})
    bench.destination.on = always
    assert copy(bench).failures.first == ["page: the destination returns other content than was sent"]


def test_a_stopped_run_says_so_and_the_next_one_goes_on(bench: Bench) -> None:
    bench.source.fill({f"{n:03}": b"x" for n in range(200)})
    numbers = itertools.count()

    def on(operation: str, key: str) -> None:
        if next(numbers) == 50:
            bench.stop.set()

    bench.source.on = on
    with pytest.raises(Interrupted):
        copy(bench)
    done = len(bench.destination.content)
    assert 0 < done < 200
    bench.stop.clear()
    bench.source.on = lambda operation, key: None
    report = copy(bench)
    assert report.copied + report.skipped == 200
    assert report.skipped >= done - 5
    assert not report.problems


def test_a_torn_manifest_and_a_lost_index_cost_comparing_only(bench: Bench) -> None:
    bench.source.fill(content())
    copy(bench)
    path = bench.folder / "evidence.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    # The last three events of a disk that lost power: two whole lines less, one torn.
    path.write_bytes(b"".join(lines[:-3]) + lines[-3][:10])
    report = copy(bench)
    assert not report.problems
    assert 1 <= report.copied + report.adopted <= 3
    for name in bench.folder.glob("*.index*"):
        name.unlink()
    assert copy(bench).skipped == len(content())
    (bench.folder / "evidence.index").write_bytes(b"no database at all" * 100)
    assert copy(bench).skipped == len(content())


def test_evidence_of_another_pair_is_put_aside(bench: Bench) -> None:
    from rehost.stacks.data.evidence import Evidence

    bench.source.fill({"a": b"1"})
    copy(bench)
    other = Evidence(bench.folder / "evidence.jsonl", {"source": "elsewhere"})
    assert list(other.rows()) == []
    other.close()
    assert (bench.folder / "evidence.jsonl.old").exists()


def test_evidence_says_what_was_sent_and_what_came_back(bench: Bench) -> None:
    bench.source.fill(content())
    copy(bench)
    rows = [json.loads(line) for line in (bench.folder / "evidence.jsonl").read_text().splitlines()]
    assert rows[0]["hash"] == "sha256"
    copied = {row["key"]: row for row in rows if row.get("state") == "copied"}
    assert copied.keys() == content().keys()
    assert all(row["sha256"] == row["read"] for row in copied.values())
    assert copied["parts"]["part"] == 1000
    assert copied["a"]["meta"] == {
        "headers": {"Content-Type": "text/html"},
        "user": {"number": "1"},
        "tags": {"kind": "page"},
    }
    assert (bench.folder / "evidence.jsonl").stat().st_mode & 0o77 == 0


def test_a_listing_out_of_order_is_refused(bench: Bench) -> None:
    bench.source.fill({"a": b"1", "b": b"2"})
    infos = list(bench.source.list())
    bench.source.list = lambda prefix="": iter(reversed(infos))  # type: ignore[method-assign]
    with pytest.raises(RehostError, match="order of their keys"):
        copy(bench)


def test_a_source_that_is_empty_all_at_once_empties_nothing_unless_told_so(bench: Bench) -> None:
    bench.source.fill(content())
    copy(bench)
    bench.source.purge()
    with pytest.raises(Refused, match="is empty"):
        copy(bench)
    assert bench.destination.data().keys() == content().keys()
    with bench.tools() as tools:
        copy_pass(tools, allowed=Allowed(empty=True))
    assert not bench.destination.data()
