"""A source (PostgreSQL 16, its mover no superuser) and a destination (18) with a fresh database each, and
writers."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from rehost.providers.sandbox.postgres import PostgresServer
from rehost.stacks.data.postgres.mover import Mover
from rehost.stacks.data.postgres.options import Allowed, Options
from rehost.stacks.data.postgres.session import Server

SECRET = "s3cr:et/ä"
ROLES = f"""
CREATE ROLE plaza LOGIN PASSWORD '{SECRET}';
CREATE ROLE mover LOGIN REPLICATION PASSWORD '{SECRET}';
GRANT plaza TO mover;
GRANT SET ON PARAMETER session_replication_role TO mover;
"""
SHOP = """
CREATE TYPE state AS ENUM ('new', 'paid', 'sent');
CREATE TABLE buyers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, notes text,
    seen timestamptz DEFAULT now(), score double precision, tags text[], shout text GENERATED ALWAYS AS
    (upper(name)) STORED);
CREATE TABLE orders (id serial PRIMARY KEY, buyer bigint REFERENCES buyers ON DELETE CASCADE, state state DEFAULT
'new',
    code text UNIQUE, total numeric(12, 2), data jsonb, raw bytea);
CREATE INDEX ON orders (buyer);
CREATE TABLE "odd Names" ("the key" text, "n""o" int, "select" date, PRIMARY KEY ("the key", "n""o"));
CREATE TABLE visits (at date NOT NULL, page text, n int, PRIMARY KEY (at, page)) PARTITION BY RANGE (at);
CREATE TABLE visits_old PARTITION OF visits FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
CREATE TABLE visits_new PARTITION OF visits FOR VALUES FROM ('2024-01-01') TO (MAXVALUE);
CREATE TABLE log (at timestamptz, what text);
ALTER TABLE log REPLICA IDENTITY FULL;
CREATE TABLE empty ();
ALTER TABLE empty REPLICA IDENTITY FULL;
CREATE VIEW paid AS SELECT * FROM orders WHERE state = 'paid';
CREATE MATERIALIZED VIEW names AS SELECT name FROM buyers;
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.notes := NEW.notes || '!'; RETURN NEW;
END $$;
CREATE TRIGGER touch BEFORE UPDATE ON buyers FOR EACH ROW EXECUTE FUNCTION touched();
COMMENT ON INDEX orders_buyer_idx IS 'by buyer';
INSERT INTO buyers (name, notes, score, tags) SELECT 'buyer ' || n, repeat(md5(n::text), 5), n / 3.0, ARRAY['a"',
NULL, E'b\\\\']
    FROM generate_series(1, 2000) n;
UPDATE buyers SET notes = (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 200)) WHERE id % 50
= 0;
INSERT INTO orders (buyer, code, total, data, raw) SELECT 1 + n % 2000, 'c' || n, n / 7.0,
jsonb_build_object('n', n),
    decode(md5(n::text), 'hex') FROM generate_series(1, 4000) n;
INSERT INTO "odd Names" SELECT E'k\\t\\n\\\\' || n, n, '0044-03-15 BC' FROM generate_series(1, 50) n;
INSERT INTO visits SELECT '2023-12-01'::date + n, 'p' || n, n FROM generate_series(1, 60) n;
INSERT INTO log SELECT now(), 'x' FROM generate_series(1, 20);
INSERT INTO empty SELECT FROM generate_series(1, 3);
REFRESH MATERIALIZED VIEW names;
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def started(folder: Path, version: int, **settings: str | int | bool) -> PostgresServer:
    server = PostgresServer(folder, version, address="127.0.0.1", port=free_port())
    server.create(SECRET, settings={"wal_level": "logical", "max_prepared_transactions": 5, **settings})
    server.start()
    with psycopg.connect(server.url("postgres", SECRET), autocommit=True) as link:
        link.execute(ROLES)
    return server


@dataclass
class Pair:
    """A database at each side. `ask` and `tell` speak to one as its superuser."""

    old: PostgresServer
    new: PostgresServer
    database: str
    folder: Path
    notes: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def source(self) -> str:
        return self.old.url("mover", SECRET, self.database).replace("postgresql", "postgres")

    @property
    def destination(self) -> str:
        return self.new.url("postgres", SECRET, self.database)

    def make(self) -> None:
        for server, owner in ((self.old, "mover"), (self.new, "postgres")):
            with psycopg.connect(server.url("postgres", SECRET), autocommit=True) as link:
                link.execute(f"CREATE DATABASE {self.database} OWNER {owner} TEMPLATE template0".encode())
        self.tell("old", "ALTER SCHEMA public OWNER TO plaza", user="postgres")

    def drop(self) -> None:
        self.stop.set()
        for server in (self.old, self.new):
            with psycopg.connect(server.url("postgres", SECRET), autocommit=True) as link:
                for name, pid in link.execute(
                    "SELECT slot_name, active_pid FROM pg_replication_slots WHERE database = %s", (self.database,)
                ).fetchall():
                    if pid:
                        link.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
                    link.execute("SELECT pg_drop_replication_slot(%s)", (name,))
                for (gid,) in link.execute("SELECT gid FROM pg_prepared_xacts").fetchall():
                    with self.connect("old" if server is self.old else "new", user="postgres") as there:
                        there.execute(f"ROLLBACK PREPARED '{gid}'".encode())
                link.execute(f"DROP DATABASE {self.database} WITH (FORCE)".encode())

    def connect(self, side: str, user: str = "plaza") -> psycopg.Connection[Any]:
        server = self.old if side == "old" else self.new
        return psycopg.connect(server.url(user, SECRET, self.database), autocommit=True, connect_timeout=5)

    def ask(self, side: str, query: str) -> list[tuple[Any, ...]]:
        with self.connect(side, "postgres") as link:
            return link.execute(query.encode()).fetchall()

    def tell(self, side: str, text: str, user: str = "plaza") -> None:
        with self.connect(side, user) as link:
            link.execute(text.encode())

    def slots(self, side: str = "old") -> list[str]:
        query = f"SELECT slot_name FROM pg_replication_slots WHERE database = '{self.database}'"
        return [row[0] for row in self.ask(side, query)]

    def mover(self, **options: Any) -> Mover:
        allowed = options.pop("allowed", Allowed())
        how = Options(
            **{"parallel": 3, "unit_bytes": 64 * 1024, "late_keys": (0, 10**9), "allowed": allowed, **options}
        )
        return Mover(
            Server(self.source, "source"), Server(self.destination, "destination"), self.folder, how, self.stop,
            note=self.notes.append,
        )  # fmt: skip


@contextmanager
def writers(pair: Pair, count: int = 2, side: str = "old") -> Iterator[list[int]]:
    """Shoppers who insert, update, delete, move keys and roll back, until the end of the block. Answers how many
    transactions each has committed so far."""
    over = threading.Event()
    done = [0] * count
    problems: list[Exception] = []

    def shop(number: int) -> None:
        draw = random.Random(number)
        with pair.connect(side) as link:
            while not over.is_set():
                try:
                    with link.transaction():
                        for _ in range(draw.randrange(1, 5)):
                            step(link, draw)
                        if draw.random() < 0.1:
                            raise psycopg.Rollback
                    done[number] += 1
                except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
                    continue
                except (psycopg.errors.ForeignKeyViolation, psycopg.errors.SerializationFailure):
                    continue
                except Exception as error:
                    problems.append(error)
                    return

    threads = [threading.Thread(target=shop, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not problems, problems


def step(link: psycopg.Connection[Any], draw: random.Random) -> None:
    """One change of the shop."""
    buyer, order = draw.randrange(1, 2200), draw.randrange(1, 4500)
    choice = draw.randrange(10)
    if choice <= 1:
        link.execute(
            "INSERT INTO buyers (name, notes) VALUES (%s, %s)", (f"n{draw.random()}", "x" * draw.randrange(6000))
        )
    elif choice == 2:
        link.execute("UPDATE buyers SET score = %s WHERE id = %s", (draw.random(), buyer // 50 * 50))
    elif choice == 3:
        link.execute("DELETE FROM buyers WHERE id = %s", (buyer,))
    elif choice == 4:
        link.execute(
            "INSERT INTO orders (buyer, code, total) SELECT id, %s, 1 FROM buyers LIMIT 1", (f"d{draw.random()}",)
        )
    elif choice == 5:
        link.execute("UPDATE orders SET id = id + 100000, state = 'paid' WHERE id = %s", (order,))
    elif choice == 6:
        # Unique values go from row to row.
        link.execute("UPDATE orders SET code = code || 'x' WHERE id = %s", (order,))
        link.execute("UPDATE orders SET code = %s WHERE id = %s", (f"c{order}", order + 1))
    elif choice == 7:
        link.execute("INSERT INTO log VALUES (now(), %s)", (str(draw.random()),))
        link.execute("DELETE FROM log WHERE ctid IN (SELECT ctid FROM log LIMIT 1)")
    elif choice == 8:
        link.execute(
            "INSERT INTO visits VALUES (%s::date + %s::int, %s, 1) ON CONFLICT (at, page) DO UPDATE SET n"
            " = visits.n + 1",
            ("2023-12-01", draw.randrange(60), f"p{draw.randrange(60)}"),
        )
    else:
        link.execute("UPDATE visits SET at = at + 1 WHERE page = %s", (f"p{draw.randrange(60)}",))
