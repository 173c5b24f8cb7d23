"""The worker: looks at new pictures, one worker at any time."""

from __future__ import annotations

import hashlib
import signal
import sys
import threading
import uuid

import psycopg

from plaza.config import Config
from plaza.media import Media, MediaUnavailable, dimensions
from plaza.store import WORKER_LOCK, Connection, connect, prepare

REST_S = 1.0


def work(config: Config) -> None:
    """Work until SIGTERM. Waits while another worker holds the lock, and whenever something is away."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    me, media = uuid.uuid4(), Media(config)
    while not stop.is_set():
        try:
            prepare(config)
            with connect(config) as connection:
                _shift(connection, media, me, stop)
        except (psycopg.Error, MediaUnavailable) as error:
            sys.stderr.write(f"worker: {type(error).__name__}, once more in {REST_S:g} s\n")
            stop.wait(REST_S)


def _shift(connection: Connection, media: Media, me: uuid.UUID, stop: threading.Event) -> None:
    while not stop.is_set():
        row = connection.execute("select pg_try_advisory_lock(%s) as mine", (WORKER_LOCK,)).fetchone()
        if row and row["mine"]:
            break
        stop.wait(REST_S)
    while not stop.is_set():
        done = sum(1 for _ in _looked_at(connection, media))
        connection.execute("insert into shifts (worker, done) values (%s, %s)", (me, done))
        stop.wait(REST_S)


def _looked_at(connection: Connection, media: Media) -> list[int]:
    """Pictures that were new; width and height are noted, and bytes that are not those that were uploaded."""
    rows = connection.execute(
        "select id, key, sha256 from pictures where width is null order by id limit 20"
    ).fetchall()
    for row in rows:
        content = media.get(row["key"])
        if hashlib.sha256(content).hexdigest() != row["sha256"]:
            sys.stderr.write(f"worker: picture {row['id']} is not what was uploaded\n")
        width, height = dimensions(content) or (0, 0)
        connection.execute("update pictures set width = %s, height = %s where id = %s", (width, height, row["id"]))
    return [row["id"] for row in rows]
