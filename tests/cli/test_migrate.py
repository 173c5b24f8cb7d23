"""The main job on the sandbox: what runs on one provider, its bucket's content included, goes to the other."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

EXAMPLE = Path(__file__).parent / "servers" / "stack.yaml"
KEYS = ["index.html", "a b/ü+%.css", "/lead", "dir/", "empty", *(f"posts/{n}.html" for n in range(120))]


def rehost(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1", "REHOST_SANDBOX_DIR": str(cwd / "sandbox")}
    command = [sys.executable, "-m", "rehost", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    shutil.copy(EXAMPLE, tmp_path)
    assert rehost("sandbox", "up", cwd=tmp_path).returncode == 0
    assert rehost("deploy", "--on", "aws", "--sandbox", "--yes", cwd=tmp_path).returncode == 0
    client, name = bucket(tmp_path, "aws")
    for number, key in enumerate(KEYS):
        client.put_object(
            Bucket=name,
            Key=key,
            Body=b"" if key in ("empty", "dir/") else f"<p>{number}</p>".encode() * (number + 1),
            ContentType="text/html",
            CacheControl="max-age=60",
            Metadata={"number": str(number)},
        )
    client.put_object(Bucket=name, Key="large.bin", Body=os.urandom(9 * 1024 * 1024))
    yield tmp_path
    rehost("sandbox", "down", cwd=tmp_path)


def bucket(folder: Path, target: str) -> tuple[Any, str]:
    env = json.loads((folder / "sandbox" / "sandbox.json").read_text())["environment"]
    state = json.loads((folder / ".rehost" / "sandbox" / "plaza" / f"{target}.json").read_text())
    rows = state["deployment"]["resources"]
    name = next(r["id"] for r in rows if r["type"].endswith((":Bucket", ":S3Bucket")))
    make: Any = boto3.client
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    if target == "hetzner":
        names = ("HETZNER_S3_ENDPOINT", "HETZNER_S3_ACCESS_KEY", "HETZNER_S3_SECRET_KEY")
    url, key, secret = (env[variable] for variable in names)
    client = make("s3", endpoint_url=url, region_name="fsn1", aws_access_key_id=key, aws_secret_access_key=secret)
    return client, name


MOVE = ("migrate", "--from", "aws", "--to", "hetzner", "--sandbox")


def test_everything_arrives_with_its_metadata_and_a_second_pass_copies_only_changes(folder: Path) -> None:
    dry = rehost(*MOVE, "--dry-run", cwd=folder)
    assert dry.returncode == 0, dry.stderr
    assert f"copy bucket site: {len(KEYS) + 1} objects" in dry.stdout
    run = rehost(*MOVE, cwd=folder)
    assert run.returncode == 0, run.stderr
    source, name = bucket(folder, "aws")
    destination, copy = bucket(folder, "hetzner")
    for key in (*KEYS, "large.bin"):
        was, now = source.get_object(Bucket=name, Key=key), destination.get_object(Bucket=copy, Key=key)
        assert was["Body"].read() == now["Body"].read()
        assert (was["ContentType"], was["Metadata"]) == (now["ContentType"], now["Metadata"])
        assert was.get("CacheControl") == now.get("CacheControl")
    source.put_object(Bucket=name, Key="new", Body=b"new")
    source.delete_object(Bucket=name, Key="empty")
    again = rehost(*MOVE, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert f"1 copied, {len(KEYS)} there already, 1 removed" in again.stdout
    record = json.loads((folder / ".rehost/sandbox/plaza/aws-hetzner/migration.json").read_text())
    assert [e["phase"] for e in record["phases"]] == [
        "preflight", "provision", "replicate", "verify", "cutover", "prove",
    ]  # fmt: skip
    assert record["move"] in (folder / ".rehost/sandbox/plaza/aws-hetzner/migration.html").read_text()
    report = record["phases"][3]["buckets"]["site"]
    assert report["source_digest"] == report["destination_digest"]


class Counting:
    """A proxy before an endpoint that remembers what was asked."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        asked: list[tuple[str, str, bytes]] = []
        self.asked = asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked.append((self.command, self.path, body))
                link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
                link.request(self.command, self.path, body, dict(self.headers))
                answer = link.getresponse()
                content = answer.read()
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
                self.send_header("Content-Length", length or "0")
                self.end_headers()
                self.wfile.write(content)
                link.close()

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

            def log_message(self, *rest: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def writes(self) -> list[str]:
        """Calls that are none of those that only read."""
        found = []
        for method, path, body in self.asked:
            action = re.search(rb"Action=(\w+)", body)
            name = action[1] if action else body.lstrip(b"<")
            reads = name.startswith((b"Describe", b"Get", b"List"))
            if method not in ("GET", "HEAD") and not reads:
                found.append(f"{method} {path} {body[:80]!r}")
        return found


SMALL = """\
stack: plaza
targets:
  aws: {provider: aws, region: eu-central-1}
  hetzner: {provider: hetzner, region: fsn1}
servers: {app: {size: {cpu: 2, memory: 4GiB}, image: ubuntu-24.04, public: true}}
network: {cidr: 10.20.0.0/16}
buckets: {site: {}}
dns: {plaza.example: [{name: "@", to: servers.app}]}
"""


def test_the_source_is_only_read_and_what_differs_at_the_destination_is_found_and_repaired(
    tmp_path: Path,
) -> None:
    (tmp_path / "stack.yaml").write_text(SMALL)
    assert rehost("sandbox", "up", cwd=tmp_path).returncode == 0
    try:
        assert rehost("deploy", "--on", "aws", "--sandbox", "--yes", cwd=tmp_path).returncode == 0
        source, name = bucket(tmp_path, "aws")
        for n in range(20):
            source.put_object(Bucket=name, Key=f"{n:02}", Body=b"page %d" % n)
        path = tmp_path / "sandbox" / "sandbox.json"
        record = json.loads(path.read_text())
        proxy = Counting(record["environment"]["AWS_ENDPOINT_URL"])
        record["environment"]["AWS_ENDPOINT_URL"] = proxy.url
        path.write_text(json.dumps(record))
        for arguments in (("--dry-run", "--format", "json"), (), ("--until", "replicate")):
            run = rehost(*MOVE, *arguments, cwd=tmp_path)
            assert run.returncode == 0, run.stderr
        assert len(proxy.asked) > 30
        assert proxy.writes() == []
        proxy.server.shutdown()
        proxy.server.server_close()
        record["environment"]["AWS_ENDPOINT_URL"] = source.meta.endpoint_url
        path.write_text(json.dumps(record))
        _differs(tmp_path)
    finally:
        rehost("sandbox", "down", cwd=tmp_path)


def _differs(folder: Path) -> None:
    assert rehost(*MOVE, cwd=folder).returncode == 0
    destination, copy = bucket(folder, "hetzner")
    destination.put_object(Bucket=copy, Key="07", Body=b"pagE 7")
    run = rehost(*MOVE, cwd=folder)
    assert run.returncode == 5
    assert "site/07: the content differs" in run.stderr
    status = rehost("migrate", "status", "--sandbox", "--format", "json", cwd=folder)
    (told,) = json.loads(status.stdout)["migrations"]
    assert (told["outcome"], told["differences"]) == ("unproven", ["site/07: the content differs"])
    assert told["error"]["exit_code"] == 5
    run = rehost(*MOVE, cwd=folder)
    assert run.returncode == 0, run.stderr
    assert "1 copied, 19 there already" in run.stdout
    destination.put_object(Bucket=copy, Key="stranger", Body=b"x")
    run = rehost(*MOVE, cwd=folder)
    assert run.returncode == 5
    assert "stranger" in run.stderr
    assert rehost(*MOVE, "--allow-foreign", cwd=folder).returncode == 0
    text = rehost("migrate", "status", "--sandbox", "--from", "aws", cwd=folder).stdout
    assert "aws -> hetzner: done" in text
    assert "delegation" in text
    markdown = rehost("migrate", "status", "--sandbox", "--format", "markdown", cwd=folder).stdout
    assert "| verify | done |" in markdown
    none = rehost("migrate", "status", "--sandbox", "--to", "elsewhere", cwd=folder)
    assert (none.returncode, none.stdout) == (0, "no migration has been run\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--from and --to"),
        (("--from", "aws"), "--from and --to"),
        (("--from", "aws", "--to", "aws"), "same target"),
        (("--from", "aws", "--to", "hetzne"), "hetzner"),
        (("--from", "aws", "--to", "hetzner", "--until", "freezing"), "freezing"),
    ],
)
def test_usage_errors_are_answered_with_3(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "stack.yaml").write_text(SMALL)
    run = rehost("migrate", *arguments, cwd=tmp_path)
    assert run.returncode == 3
    assert said in run.stderr
    assert "Traceback" not in run.stderr


def test_the_phases_on_the_command_line_are_those_of_the_state_machine() -> None:
    from rehost.cli.commands.migrate import PHASES
    from rehost.stacks.migrate.phases import NAMES

    assert PHASES == NAMES


def test_killed_in_the_middle_the_same_command_goes_on(folder: Path) -> None:
    environment = {**os.environ, "REHOST_SANDBOX_DIR": str(folder / "sandbox")}
    process = subprocess.Popen(
        [sys.executable, "-m", "rehost", *MOVE, "--format", "json"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for number, _ in enumerate(process.stdout):
        if number == 20:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    run = rehost(*MOVE, cwd=folder)
    assert run.returncode == 0, run.stderr
    assert rehost("plan", "--on", "hetzner", "--sandbox", "--detailed-exitcode", cwd=folder).returncode == 0
    environment = json.loads((folder / "sandbox" / "sandbox.json").read_text())["environment"]
    from hcloud import Client

    client = Client(token=environment["HCLOUD_TOKEN"], api_endpoint=environment["HCLOUD_ENDPOINT"])
    assert len(client.servers.get_all()) == 3
    assert len(client.volumes.get_all()) == 1
