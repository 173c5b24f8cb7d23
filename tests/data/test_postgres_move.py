"""A database that is written to goes from PostgreSQL 16 to 18, and what is there is what the source has."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest
from databases import SHOP, Pair, writers

from rehost.stacks.data.postgres.catalog import Table
from rehost.stacks.data.postgres.fence import Fence
from rehost.stacks.data.postgres.options import Allowed
from rehost.stacks.data.postgres.session import Server
from rehost.stacks.errors import OperatorNeeded, Refused, RehostError, Unproven

KEYS = (
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype IN ('p', 'u', 'f')"
    " AND connamespace = 'public'::regnamespace ORDER BY 1"
)
TABLES = ("buyers", "orders", '"odd Names"', "visits", "log", "empty")


def content(pair: Pair, side: str) -> dict[str, list[str]]:
    return {name: sorted(row[0] for row in pair.ask(side, f"SELECT t::text FROM {name} t")) for name in TABLES}


@pytest.fixture
def shop(pair: Pair) -> Pair:
    pair.tell("old", SHOP)
    return pair


def test_everything_arrives_while_it_is_written_to(shop: Pair) -> None:
    with writers(shop, 3) as done, shop.mover() as mover:
        mover.replicate()
        assert sum(done) > 10
        assert len(mover.units) > len(mover.applier.by_table), "nothing was cut into ranges"
        found = mover.verify()
        assert not found.differences
        before = sum(done)
        while sum(done) < before + 100:
            mover.check()
        assert not mover.verify().differences
        assert mover.applier.changes > 0
    with shop.mover() as mover:
        mover.replicate()
        proof = mover.freeze()
        mover.delta(proof)
        mover.thaw()
        mover.finish()
    assert content(shop, "old") == content(shop, "new")
    assert shop.slots() == []
    assert shop.ask("old", "SELECT count(*) FROM pg_publication") == [(0,)]
    (old,), (new,) = (shop.ask(side, "SELECT nextval('orders_id_seq')") for side in ("old", "new"))
    assert new[0] > old[0]
    for query in (
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
        "SELECT obj_description('orders_buyer_idx'::regclass)",
        "SELECT count(*) > 0 FROM names",
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
        "SELECT rolname FROM pg_roles WHERE rolname = 'plaza'",
        "SELECT tableowner FROM pg_tables WHERE tablename = 'orders'",
    ):
        assert shop.ask("old", query) == shop.ask("new", query)


def test_cutover_and_the_way_back_lose_nothing(shop: Pair) -> None:
    with writers(shop) as done, shop.mover() as mover:
        mover.replicate()
        assert not mover.verify().differences
        while sum(done) < 50:
            mover.check()
    with shop.mover() as mover:
        began = time.monotonic()
        proof = mover.freeze()
        found = mover.delta(proof)
        back = mover.cutover()
        assert time.monotonic() - began < 10
        assert found.rows < 1000, "more than what changed was compared in the freeze"
        with pytest.raises(psycopg.OperationalError, match=r"permission denied|not permitted"):
            shop.tell("old", "DELETE FROM orders")
        with back:
            with writers(shop, side="new") as done:
                while sum(done) < 50:
                    back.check()
            shop.tell("new", "INSERT INTO buyers (name) VALUES ('late')")
            mover.rollback(back)
            back.finish()
        mover.finish()
    assert content(shop, "old") == content(shop, "new")
    assert shop.ask("old", "SELECT count(*) FROM buyers WHERE name = 'late'") == [(1,)]
    shop.tell("old", "INSERT INTO buyers (name) VALUES ('again')")
    assert shop.slots("old") == shop.slots("new") == []


def test_a_changed_row_is_named_and_put_right_by_running_again(shop: Pair) -> None:
    with shop.mover() as mover:
        mover.replicate()
        shop.tell("new", "UPDATE orders SET total = 0 WHERE id = 1234;"
                         " DELETE FROM orders WHERE id = 3999", "postgres")  # fmt: skip
        found = mover.verify()
        told = "; ".join(map(str, found.differences))
        assert "public.orders [1234, 1234]" in told
        assert "public.orders [3999, 3999]" in told
        assert len(found.spoiled) == 2
    with shop.mover() as mover:
        mover.replicate()
        assert mover.report.copied == 2
        assert not mover.verify().differences
        mover.finish()
    assert content(shop, "old") == content(shop, "new")


def test_a_difference_among_the_changes_is_found_before_anything_is_frozen(shop: Pair) -> None:
    with shop.mover() as mover:
        mover.replicate()
        assert not mover.verify().differences
        shop.tell(
            "old", "UPDATE orders SET total = 1 WHERE id BETWEEN 100 AND 110; INSERT INTO log VALUES (now(), 'x')"
        )
        mover.catch_up()
        shop.tell("new", "UPDATE orders SET total = 2 WHERE id = 105", "postgres")
        with pytest.raises(Unproven, match=r"public\.orders.*105"):
            mover.freeze()
        shop.tell("old", "UPDATE orders SET total = 3 WHERE id = 104")
    with shop.mover() as mover:
        mover.replicate()
        mover.delta(mover.freeze())
        mover.thaw()
        mover.finish()


def test_a_run_that_ends_before_a_table_has_its_key_is_gone_on_with(shop: Pair) -> None:
    with writers(shop, 1):
        with shop.mover() as mover:
            made = []

            def fail(table: Table) -> None:
                made.append(table.label)
                if len(made) == 3:
                    raise RehostError("killed here")
                type(mover.schema).make_key(mover.schema, table)

            mover.schema.make_key = fail  # type: ignore[method-assign]
            with pytest.raises(RehostError, match="killed here"):
                mover.replicate()
        with shop.mover() as mover:
            mover.replicate()
            assert not mover.verify().differences
            mover.finish()
    assert shop.ask("old", KEYS) == shop.ask("new", KEYS)


def test_lost_connections_cost_little(shop: Pair) -> None:
    over = threading.Event()

    def cut() -> None:
        with shop.connect("old", "postgres") as old, shop.connect("new", "postgres") as new:
            for _ in range(6):
                for link in (old, new):
                    link.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rehost'"
                        " AND query !~ 'CREATE|DROP' AND backend_type IN ('client backend', 'walsender')"
                        " AND (query LIKE 'COPY%' OR query LIKE 'START%' OR query LIKE 'DELETE%')"
                    )
                if over.wait(0.2):
                    return

    with writers(shop), shop.mover() as mover:
        thread = threading.Thread(target=cut)
        thread.start()
        try:
            mover.replicate()
        finally:
            over.set()
            thread.join()
        assert not mover.verify().differences
        mover.finish()


def test_a_change_of_the_schema_stops_the_move_by_name_and_it_goes_on_after(shop: Pair) -> None:
    with shop.mover() as mover:
        mover.replicate()
        mover.applier.pause()
        shop.tell(
            "old", "UPDATE orders SET total = 5 WHERE id = 20; INSERT INTO orders (code) VALUES ('old form')"
        )
        shop.tell("old", "ALTER TABLE orders ADD COLUMN gift boolean DEFAULT false; UPDATE orders SET gift = true"
                         " WHERE id < 10; ALTER TABLE buyers RENAME COLUMN notes TO remarks")  # fmt: skip
        shop.tell("old", "CREATE TABLE gifts (id int PRIMARY KEY); INSERT INTO gifts VALUES (1)")
        mover.applier.resume()
        with pytest.raises(Refused, match=r"gift"):
            mover.catch_up()
    with shop.mover() as mover, pytest.raises(Refused, match=r"public\.orders.*gift"):
        mover.replicate()
    shop.tell("new", "SET ROLE plaza; ALTER TABLE orders ADD COLUMN gift boolean DEFAULT false;"
                     " ALTER TABLE buyers RENAME notes TO remarks;"
                     " CREATE TABLE gifts (id int PRIMARY KEY)", "postgres")  # fmt: skip
    with shop.mover() as mover:
        mover.replicate()
        assert not mover.verify().differences
        assert mover.complete() == []
        mover.finish()
    assert shop.ask("new", "SELECT count(*) FROM orders WHERE gift") == [(9,)]
    assert shop.ask("new", "SELECT * FROM gifts") == [(1,)]


def test_a_slot_that_holds_too_much_is_dropped_and_everything_compared_anew(shop: Pair) -> None:
    with shop.mover() as mover:
        mover.replicate()
    shop.tell(
        "old",
        "INSERT INTO buyers (name, notes) SELECT 'x', repeat(md5(n::text), 20) FROM generate_series(1, 3000) n",
    )
    with shop.mover(wal_budget=100_000) as mover, pytest.raises(Refused, match="dropped") as told:
        mover.applier.pause()
        while True:
            mover.check()
    assert "compared" in told.value.fix
    assert shop.slots() == []
    shop.tell("old", "DELETE FROM orders WHERE id = 7")
    with shop.mover() as mover:
        mover.replicate()
        assert 0 < mover.report.copied < len(mover.units)
        assert not mover.verify().differences
        mover.finish()
    assert content(shop, "old") == content(shop, "new")


def test_a_floor_of_free_disk_drops_the_slot(shop: Pair) -> None:
    with shop.mover() as mover:
        mover.replicate()
    with shop.mover(disk_floor=1000, free=lambda _: 999) as mover, pytest.raises(Refused, match="dropped") as told:
        mover.follow(lambda: False)
    assert "999 bytes are free" in told.value.why
    assert shop.slots() == []


def test_who_holds_up_a_slot_is_named_by_pid(shop: Pair) -> None:
    with shop.connect("old") as link, link.transaction():
        link.execute("INSERT INTO log VALUES (now(), 'open')")
        pid = f"pid {link.info.backend_pid} "
        with shop.mover(slot_patience_s=1) as mover, pytest.raises(Refused, match=pid):
            mover.replicate()
    assert any(pid in note for note in shop.notes)
    assert shop.slots() == []


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN READ WRITE", "BEGIN ISOLATION LEVEL SERIALIZABLE"])
def test_nobody_writes_behind_a_fence(shop: Pair, begin: str) -> None:
    fence = Fence(Server(shop.source, "source"))
    pooled = [shop.connect("old") for _ in range(3)]
    pooled[0].execute(begin.encode())
    pooled[0].execute("INSERT INTO log VALUES (now(), 'not committed')")
    proof = fence.freeze()
    assert proof.ended == 3
    for link in pooled:
        with pytest.raises(psycopg.Error):
            link.execute("COMMIT")
        with pytest.raises(psycopg.Error):
            link.execute("INSERT INTO log VALUES (now(), 'late')")
    with pytest.raises(psycopg.OperationalError):
        shop.connect("old")
    assert fence.up()
    fence.freeze()
    assert Fence(Server(shop.source, "source")).thaw()
    assert not fence.thaw()
    shop.tell("old", "INSERT INTO log VALUES (now(), 'thawed')")
    assert shop.ask("old", "SELECT count(*) FROM log WHERE what IN ('late', 'not committed')") == [(0,)]


def test_a_fence_that_can_not_be_proven_is_taken_down_again(shop: Pair) -> None:
    with shop.connect("old") as link:
        link.execute("BEGIN; INSERT INTO log VALUES (now(), 'x'); PREPARE TRANSACTION 'two'")
    with pytest.raises(Refused, match="two"):
        Fence(Server(shop.source, "source")).freeze()
    shop.tell("old", "SELECT 1")
    shop.tell("old", "ROLLBACK PREPARED 'two'")
    shop.tell("old", f"ALTER DATABASE {shop.database} OWNER TO postgres", "postgres")
    with pytest.raises((Unproven, Refused), match="may not close"):
        Fence(Server(shop.source, "source")).freeze()
    shop.tell("old", "SELECT 1")


@pytest.mark.parametrize(
    ("change", "said", "allowed"),
    [
        ("CREATE TABLE bare (n int)", "public.bare", Allowed(identity=True)),
        ("CREATE UNLOGGED TABLE fast (n int PRIMARY KEY)", "public.fast", Allowed(leave=frozenset({"unlogged"}))),
        ("SELECT lo_from_bytea(0, 'x')", "1 large object", Allowed(leave=frozenset({"large-objects"}))),
        ("ALTER TABLE buyers ENABLE ALWAYS TRIGGER touch", "buyers.touch", Allowed(leave=frozenset({"triggers"}))),
        (
            "ALTER TABLE log FORCE ROW LEVEL SECURITY; ALTER TABLE log ENABLE ROW LEVEL SECURITY",
            "public.log",
            None,
        ),
    ],
)
def test_what_can_not_be_followed_is_refused_by_name(
    shop: Pair, change: str, said: str, allowed: Allowed | None
) -> None:
    shop.tell("old", change)
    with shop.mover() as mover, pytest.raises(Refused, match=said):
        mover.replicate()
    assert shop.slots() == []
    assert shop.ask("new", "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    if allowed is not None:
        with shop.mover(allowed=allowed) as mover:
            mover.replicate()
            mover.finish()
    assert shop.ask("old", "SELECT count(*) FROM pg_class WHERE relname = 'bare' AND relreplident = 'f'") == [(0,)]


def test_rights_that_are_missing_are_named(shop: Pair) -> None:
    shop.tell("old", "CREATE TABLE public.theirs (n int PRIMARY KEY)", "postgres")
    with shop.mover() as mover:
        told = [finding.what for finding in mover.preflight() if finding.kind == "refused"]
    assert told == [
        "table public.theirs can't be read",
        "table public.theirs belongs to a role that mover is no member of",
    ]


def test_a_source_that_needs_a_restart_is_an_outage_to_be_asked_for(shop: Pair) -> None:
    shop.old.configure({"wal_level": "replica"})
    shop.old.restart()
    try:
        with shop.mover() as mover, pytest.raises(OperatorNeeded, match="wal_level is replica"):
            mover.replicate()
    finally:
        shop.old.configure({"wal_level": "logical", "max_prepared_transactions": 5})
        shop.old.restart()


def test_a_destination_with_tables_of_others_is_left_alone(shop: Pair) -> None:
    shop.tell("new", "CREATE TABLE mine (n int)", "postgres")
    with shop.mover() as mover, pytest.raises(Refused, match=r"public\.mine"):
        mover.replicate()
