"""What the mover of databases is built from: visibility, ranges, what many changes come to."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import pairwise

import psycopg
import pytest
from databases import Pair
from hypothesis import given
from hypothesis import strategies as st

from rehost.stacks.data.postgres.backlog import Backlog
from rehost.stacks.data.postgres.batch import Batch
from rehost.stacks.data.postgres.catalog import Column, Table, tables_of
from rehost.stacks.data.postgres.copying import Limit
from rehost.stacks.data.postgres.lsn import NOTHING_SEEN, Snapshot, lsn_text, parse_lsn
from rehost.stacks.data.postgres.session import Server
from rehost.stacks.data.postgres.stream import UNCHANGED, Begin, Change, Row, decoded
from rehost.stacks.data.postgres.units import Unit, find

T = Table(
    1, "public", "t",
    (Column("id", "bigint", "int8", True), Column("note", "text", "text", True)),
    ("id",), "d", True, False, True, True, 0, 0,
)  # fmt: skip


@given(st.integers(0, 2**40), st.integers(0, 10), st.sets(st.integers(0, 9)))
def test_a_snapshot_sees_what_postgresql_says(xmin: int, width: int, running: set[int]) -> None:
    xmin = max(xmin, 3)
    snapshot = Snapshot(xmin, xmin + width, frozenset(xmin + n for n in running if n < width))
    assert Snapshot.parse(str(snapshot)) == snapshot
    for full in range(max(3, xmin - 5), xmin + width + 5):
        # pg_visible_in_snapshot() of the same numbers; the log has the lower 32 bits only.
        assert snapshot.sees(full % 2**32) == (full < snapshot.xmax and full not in snapshot.running)
    assert not NOTHING_SEEN.sees(xmin % 2**32)


@given(st.integers(0, 2**64 - 1))
def test_positions_are_read_as_they_are_written(number: int) -> None:
    assert parse_lsn(lsn_text(number)) == number


@given(st.lists(st.integers(-1000, 1000), unique=True, max_size=8), st.integers(-1100, 1100))
def test_every_key_belongs_to_one_range(bounds: list[int], value: int) -> None:
    edges = [None, *sorted(bounds), None]
    units = [Unit(T, low, high) for low, high in pairwise(edges)]
    assert [unit for unit in units if unit.holds(str(value))] == [find(units, str(value))]


def test_a_backlog_of_many_goes_through_a_file_in_order() -> None:
    backlog = Backlog()
    for number in range(45_000):
        backlog.add((number, UNCHANGED))
    assert backlog.count == 45_000
    got = [change for chunk in backlog.chunks() for change in chunk]
    assert [number for number, _ in got] == list(range(45_000))
    assert all(mark is UNCHANGED for _, mark in got)
    assert pickle.loads(pickle.dumps(UNCHANGED)) is UNCHANGED


def test_messages_of_the_log() -> None:
    text = b"t\0\0\0\x011" + b"n" + b"u"
    update = b"U\0\0\0\x07" + b"K\0\x03t\0\0\0\x010nn" + b"N\0\x03" + text
    assert decoded(b"..." + update, 3) == Change("U", 7, ("0", None, None), ("1", None, UNCHANGED))
    begin = b"B" + (5).to_bytes(8, "big") + bytes(8) + (9).to_bytes(4, "big")
    assert decoded(begin, 0) == Begin(9, 5)
    assert decoded(b"Y" + bytes(12), 0) is None


KEY = st.integers(0, 5).map(str)
NOTE = st.one_of(st.none(), st.sampled_from(["", "a\tb\\n\n", "\\N", "ü\r"]))
STEPS = st.lists(
    st.tuples(st.sampled_from(["insert", "update", "delete", "move"]), KEY, KEY, NOTE, st.booleans()), max_size=30
)


@pytest.fixture
def link(pair: Pair) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    pair.tell("new", "CREATE TABLE t (id bigint PRIMARY KEY, note text UNIQUE)", "postgres")
    made = Server(pair.destination, "destination").connect(autocommit=False)
    yield made
    made.close()


def test_many_changes_come_to_what_one_after_the_other_would(
    pair: Pair, link: psycopg.Connection[tuple[object, ...]]
) -> None:
    (table,) = tables_of(link)

    @given(STEPS, st.integers(1, 10))
    def run(steps: list[tuple[str, str, str, str | None, bool]], flush_every: int) -> None:
        link.execute("DELETE FROM public.t")
        model: dict[str, str | None] = {}
        batch = Batch(Server(pair.destination, "destination"), link, lambda *_: None, lambda: "")
        for number, (kind, key, other, note, toast) in enumerate(steps):
            # Notes are unique: values that go from row to row have to get through.
            if note is not None and note in model.values() and kind != "delete":
                continue
            if kind == "insert" and key not in model:
                model[key] = note
                batch.change(table, None, (key, note), (), (key,))
            elif kind == "update" and key in model:
                new: Row = (key, UNCHANGED if toast else note)
                model[key] = model[key] if toast else note
                batch.change(table, None, new, (), (key,))
            elif kind == "delete" and key in model:
                del model[key]
                batch.change(table, (key, None), None, (key,), ())
            elif kind == "move" and key in model and other not in model:
                moved = model.pop(key)
                model[other] = moved if toast else note
                batch.change(table, (key, None), (other, UNCHANGED if toast else note), (key,), (other,))
            if number % flush_every == 0:
                batch.flush()
        batch.flush()
        found = dict(link.execute("SELECT id::text, note FROM public.t").fetchall())
        assert found == model

    run()


def test_rows_without_a_key_are_changed_one_by_one(pair: Pair) -> None:
    pair.tell("new", "CREATE TABLE bare (a text, b json)", "postgres")
    server = Server(pair.destination, "destination")
    link = server.connect(autocommit=False)
    try:
        (table,) = tables_of(link)
        batch = Batch(server, link, lambda *_: None, lambda: "")
        for row in (("x", "{}"), ("x", "{}"), ("y", None), ("x", "{}")):
            batch.change(table, None, row, (), ())
        batch.change(table, ("x", "{}"), None, (), ())
        batch.change(table, ("y", None), ("z", UNCHANGED), (), ())
        batch.flush()
        rows = link.execute("SELECT a, b::text FROM public.bare ORDER BY 1").fetchall()
        assert rows == [("x", "{}"), ("x", "{}"), ("z", None)]
    finally:
        link.close()


def test_a_limit_of_bytes_holds_over_all_threads() -> None:
    waits: list[float] = []
    limit = Limit(1000)
    for _ in range(10):
        limit(500, waits.append)
    # Nobody really waits here, so that each wait ends when all before it are paid for.
    assert max(waits) == pytest.approx(5.0, abs=0.5)
    Limit(0)(10**9, waits.append)
    assert len(waits) == 10
