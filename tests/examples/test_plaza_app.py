"""The example platform under traffic, and a checker that finds what was lost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from moto.server import ThreadedMotoServer

from rehost.providers.sandbox.postgres import PostgresServer

PLAZA = Path(__file__).parents[2] / "examples" / "plaza"
URL = "http://plaza.example"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait_for(there: Callable[[], bool], seconds: float = 30.0) -> None:
    ends = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < ends
        time.sleep(0.05)


@dataclass
class Platform:
    """A running platform."""

    environment: dict[str, str]
    port: int
    folder: Path

    def ask(self, method: str, path: str, given: Any = None, **headers: str) -> tuple[int, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", None if given is None else json.dumps(given).encode(), headers
        )
        request.method = method
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def start(self, part: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "plaza", part],
            cwd=PLAZA / "app",
            env=self.environment,
            stderr=subprocess.DEVNULL,
        )

    def traffic(self, what: str, *more: str) -> subprocess.CompletedProcess[str]:
        log = self.folder / "traffic.jsonl"
        given = ["--url", URL, "--log", str(log), "--place", f"plaza.example=127.0.0.1:{self.port}"]
        return subprocess.run(
            [sys.executable, str(PLAZA / "traffic.py"), what, *given, *more],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def sql(self, query: str) -> list[Any]:
        with psycopg.connect(self.environment["DATABASE_URL"], autocommit=True) as connection:
            found = connection.execute(query)
            return found.fetchall() if found.description else []


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    database = PostgresServer(tmp_path / "pg", 16, port=free_port())
    database.create("secret")
    bucket = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    bucket.start()
    host, media = bucket.get_host_and_port()
    endpoint = f"http://{host}:{media}"
    environment = {
        **os.environ,
        "DATABASE_URL": f"postgresql://postgres:secret@127.0.0.1:{database.port}/postgres",
        "MEDIA_BUCKET": "media",
        "MEDIA_URL": f"{endpoint}/media",
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "SESSION_KEY": "k",
        "PORT": str(free_port()),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_bucket(Bucket="media", ACL="public-read")
    running = Platform(environment, int(environment["PORT"]), tmp_path)
    programs = []
    try:
        database.start()
        programs = [running.start("web"), running.start("worker")]
        wait_for(lambda: _answers(running))
        yield running
    finally:
        for program in programs:
            program.terminate()
        for program in programs:
            program.wait(20)
        bucket.stop()
        database.stop("immediate")


def _answers(running: Platform) -> bool:
    try:
        return running.ask("GET", "/healthz")[0] == 200
    except OSError:
        return False


def test_what_people_wrote_is_there_and_the_verdict_finds_what_is_not(platform: Platform) -> None:
    run = platform.traffic("run", "--seconds", "4", "--clients", "4", "--rate", "30")
    assert run.returncode == 0, run.stderr
    verdict = platform.traffic("verdict")
    told = json.loads(verdict.stdout)
    assert verdict.returncode == 0, told
    assert told["acknowledged"] > 50
    assert told["unknown"] == told["refused"] == 0
    wait_for(lambda: platform.sql("select count(*) from pictures where width is null")[0][0] == 0)
    assert len(platform.sql("select distinct worker from shifts")) == 1

    entries = [json.loads(line) for line in (platform.folder / "traffic.jsonl").read_text().splitlines()]
    gone = {entry["token"] for entry in entries if entry["op"] == "delete"}
    rows = platform.sql("select id, body from posts where picture is null order by id limit 2")
    platform.sql(f"delete from posts where id = {rows[0][0]}")
    platform.sql(
        f"update posts set body = 'something else ' || substring(body from '#.*') where id = {rows[1][0]}"
    )
    platform.sql(f"insert into posts (account, body) values (1, 'back #{min(gone)}')")
    platform.sql(
        "insert into posts (account, body) select account, body from posts where picture is not null limit 1"
    )
    platform.sql("update pictures set key = 'pictures/none.png' where id = (select max(picture) from posts)")
    verdict = platform.traffic("verdict")
    told = json.loads(verdict.stdout)
    assert verdict.returncode == 5
    assert told["acknowledged_and_missing"] == told["acknowledged_and_changed"] == told["twice"] == 1
    assert told["acknowledged_and_risen"] == 1
    assert told["acknowledged_and_picture"] >= 1


def test_a_request_sent_twice_happens_once(platform: Platform) -> None:
    post = {"account": "ann", "body": "hello"}
    first = platform.ask("POST", "/api/posts", post, **{"Idempotency-Key": "one"})
    assert first[0] == 201
    assert platform.ask("POST", "/api/posts", post, **{"Idempotency-Key": "one"}) == first
    assert len(platform.ask("GET", "/api/posts")[1]["posts"]) == 1
    id_ = first[1]["id"]
    assert platform.ask("PATCH", f"/api/posts/{id_}", {"body": "bye"}) == (200, {"id": id_, "version": 2})
    assert platform.ask("DELETE", f"/api/posts/{id_}")[0] == 200
    assert platform.ask("GET", f"/api/posts/{id_}")[0] == 404


def test_bad_requests_are_answered(platform: Platform) -> None:
    for path, given, status in (
        ("/api/posts", {"account": "ann", "body": "x" * 301}, 422),
        ("/api/posts", {"account": "ann"}, 422),
        ("/api/posts", [], 400),
        ("/api/posts", {"account": "ann", "body": "x", "picture": 99}, 422),
        ("/api/nothing", {}, 404),
    ):
        assert platform.ask("POST", path, given)[0] == status, given


def test_a_fenced_database_makes_writes_come_again_and_loses_nothing(platform: Platform) -> None:
    platform.sql("alter role postgres set default_transaction_read_only = on")
    platform.sql("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")
    wait_for(lambda: platform.ask("POST", "/api/posts", {"account": "ann", "body": "x"})[0] == 503)
    assert platform.ask("GET", "/api/posts")[0] == 200
    answer = platform.ask("POST", "/api/posts", {"account": "ann", "body": "x"})
    assert answer == (503, {"error": "the platform is read-only for a moment", "outcome": "nothing was done"})
