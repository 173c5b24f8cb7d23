"""Examples with services, from the command line on served stand-ins: they run, stay as they are, leave nothing."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import dns.resolver
import pytest
from plaza import until
from typed import CommandLine

from rehost.stacks.load import load
from rehost.stacks.publicnames import named

EXAMPLES = [
    path.parent
    for path in sorted((Path(__file__).parents[2] / "examples").glob("*/stack.yaml"))
    if "\nservices:" in path.read_text(encoding="utf-8")
]


class Sandbox(CommandLine):
    """Stand-ins of their own for one example."""

    def rehost(self, *arguments: str) -> str:
        return self.run(*arguments).stdout

    @property
    def environment(self) -> dict[str, str]:
        """What points tools at the stand-ins."""
        record = json.loads((self.folder / ".rehost-sandbox" / "sandbox.json").read_text())
        found: dict[str, str] = record["environment"]
        return found

    def resources(self, *on: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.rehost("state", "export", *on))["deployment"]["resources"]
        return rows

    def bucket(self, provider: str) -> Any:
        """A plain S3 client of a side."""
        names = {
            "aws": ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            "hetzner": ("HETZNER_S3_ENDPOINT", "HETZNER_S3_ACCESS_KEY", "HETZNER_S3_SECRET_KEY"),
        }
        url, key, secret = (self.environment[name] for name in names[provider])
        make: Any = boto3.client
        keys = {"aws_access_key_id": key, "aws_secret_access_key": secret}
        return make("s3", endpoint_url=url, region_name="eu-central-1", **keys)

    def address(self, name: str) -> str:
        """The address that a name has for everybody."""
        asked = dns.resolver.Resolver(configure=False)
        host, _, port = self.environment["REHOST_DNS"].rpartition(":")
        asked.nameservers, asked.port = [host], int(port)
        return str(asked.resolve(name, "A")[0])

    def read(self, name: str, path: str, method: str = "GET") -> tuple[int, Any, bytes]:
        """Status, headers and body of what is at a public name, over HTTPS with all that belongs to it."""
        trust = ssl.create_default_context(cafile=self.environment["REHOST_CA_FILE"])
        address = self.address(name)
        try:
            plain = socket.create_connection((address, 443), 10)
        except ConnectionRefusedError:
            # Where low ports can't be had.
            plain = socket.create_connection((address, 8443), 10)
        client = http.client.HTTPSConnection(name)
        client.sock = trust.wrap_socket(plain, server_hostname=name)
        client.request(method, path)
        answer = client.getresponse()
        body = answer.read()
        client.close()
        return answer.status, answer.headers, body


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    made = Sandbox(tmp_path)
    made.rehost("sandbox", "up")
    yield made
    made.rehost("sandbox", "down")


def ask(address: str, path: str, content: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, 8080, timeout=30)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET" if content is None else "POST", path, content, names)
    answer = connection.getresponse()
    return answer.status, answer.read()


def pictures_come_back(machines: Path) -> None:
    """A picture that one server took is in the bucket, and another server has it from there."""
    known = [json.loads(path.read_text()) for path in machines.glob("*/machine.json")]
    first, second = (machine["address"] for machine in known if "-app-" in machine["name"])
    picture = b"\x89PNG\r\n\x1a\n" + bytes(64)
    status, said = ask(first, "/api/pictures", picture, Content_Type="image/png", X_Account="ada")
    assert status == 201, said
    made = json.loads(said)
    assert made["sha256"] == hashlib.sha256(picture).hexdigest()
    assert ask(second, f"/api/pictures/{made['id']}") == (200, picture)
    assert ask(second, "/api/pictures/999999")[0] == 404


@pytest.mark.parametrize("provider", ["aws", "hetzner"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_stays_as_it_is_and_leaves_nothing(example: Path, provider: str, sandbox: Sandbox) -> None:
    shutil.copytree(example, sandbox.folder, dirs_exist_ok=True)
    on = ("--on", provider, "--sandbox")
    sandbox.rehost("deploy", *on, "--yes")
    assert "no changes" in sandbox.rehost("plan", *on, "--detailed-exitcode")
    rows = sandbox.resources(*on)
    units = [row["outputs"]["active"] for row in rows if row["type"] == "rehost:host/unit:Unit"]
    assert set(units) == {"running"}
    if example.name == "plaza":
        pictures_come_back(sandbox.folder / ".rehost-sandbox" / "machines" / provider)
    stack = load([sandbox.folder / "stack.yaml"], environment={}).stack
    assert stack is not None
    for bucket, name in named(stack).items():
        (real,) = (
            row["id"] for row in rows if row["urn"].endswith((f":Bucket::{bucket}", f":S3Bucket::{bucket}"))
        )
        pictures_are_read(sandbox, provider, real, name)
    sandbox.rehost("destroy", *on, "--yes", "--delete-data", "*")
    machines = sandbox.folder / ".rehost-sandbox" / "machines" / provider

    def left() -> list[str]:
        return [path.name for path in machines.iterdir() if path.is_dir() and any(path.iterdir())]

    # Processes of what is gone may still be ending.
    assert until(lambda: not left(), 10), left()


def pictures_are_read(sandbox: Sandbox, provider: str, bucket: str, name: str) -> None:
    """Put pictures into a bucket, and read them under its public name."""
    picture, client = b"\x89PNG" + bytes(range(256)), sandbox.bucket(provider)
    kept = {"CacheControl": "public, max-age=600", "ContentType": "image/png"}
    client.put_object(Bucket=bucket, Key="pictures/a b.png", Body=picture, **kept)
    status, headers, body = sandbox.read(name, "/pictures/a%20b.png")
    assert (status, headers["Content-Type"], body) == (200, "image/png", picture)
    client.delete_object(Bucket=bucket, Key="pictures/a b.png")
    assert sandbox.read(name, "/pictures/a%20b.png")[2] == picture, "it was to be kept"
    assert sandbox.read(name, "/nothing.png")[0] == 404
    assert sandbox.read(name, "/pictures/a%20b.png", "PUT")[0] == 405
