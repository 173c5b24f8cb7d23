"""Services that use buckets, from the command line on served stand-ins: one program, let in at both providers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typed import CommandLine

STACK = """
stack: shop
targets:
  aws: {provider: aws, region: eu-central-1}
  hetzner: {provider: hetzner, region: fsn1}
network: {}
servers:
  app: {public: true}
buckets: {media: {}, logs: {}, other: {}}
services:
  web:
    source: app
    command: python3 serve.py
    ports: ["8080"]
    healthcheck: {path: /}
    buckets: {media: read-write, logs: write}
    environment: {media: "${buckets.media.name}", logs: "${buckets.logs.name}", other: "${buckets.other.name}"}
"""
SERVE = """
import http.server, json, os
import boto3
from botocore.exceptions import ClientError

def work(path):
    what, _, bucket = path.strip("/").partition("/")
    if not what:
        return sorted(os.environ)
    s3, place = boto3.client("s3"), {"Bucket": os.environ.get(bucket, "")}
    try:
        if what == "put":
            s3.put_object(Key="x", Body=b"here", **place)
        elif what == "copy":
            s3.copy_object(Key="y", CopySource={"Bucket": os.environ["logs"], "Key": "x"}, **place)
        elif what == "get":
            return s3.get_object(Key="x", **place)["Body"].read().decode()
        elif what == "list":
            return [row["Key"] for row in s3.list_objects_v2(**place).get("Contents", [])]
        elif what == "delete":
            s3.delete_object(Key="x", **place)
        elif what == "buckets":
            return len(s3.list_buckets()["Buckets"])
        elif what == "servers":
            boto3.client("ec2").describe_instances()
        elif what == "who":
            return boto3.client("sts").get_caller_identity()["Arn"]
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "done"

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(work(self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a):
        pass

http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""


class Place(CommandLine):
    """A folder with the stack, and a sandbox."""

    def rehost(self, *arguments: str, code: int = 0) -> str:
        run = self.run(*arguments, code=code)
        return run.stdout + run.stderr

    def write(self, text: str) -> None:
        (self.folder / "stack.yaml").write_text(text)

    def address(self, provider: str) -> str:
        (found,) = (self.folder / ".rehost-sandbox" / "machines" / provider).glob("*/machine.json")
        return str(json.loads(found.read_text())["address"])

    def ask(self, provider: str, path: str) -> Any:
        connection = http.client.HTTPConnection(self.address(provider), 8080, timeout=30)
        connection.request("GET", f"/{path}")
        return json.loads(connection.getresponse().read())

    def kept(self) -> str:
        """All that the states hold, as it lies on the disk."""
        files = (path for path in (self.folder / ".rehost").rglob("*") if path.is_file())
        return "".join(path.read_text(errors="replace") for path in files)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    made.write(STACK)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "serve.py").write_text(SERVE)
    made.rehost("sandbox", "up", "--realism", "eventual")
    yield made
    made.rehost("sandbox", "down")


def test_servers_of_amazon_may_do_what_their_services_need_and_nothing_else(place: Place) -> None:
    place.rehost("deploy", "--on", "aws", "--sandbox", "--yes")
    assert [place.ask("aws", f"{what}/media") for what in ("put", "get", "list")] == ["done", "here", ["x"]]
    assert [place.ask("aws", f"{what}/logs") for what in ("put", "get", "list")] == ["done", *["AccessDenied"] * 2]
    assert [place.ask("aws", f"{what}/other") for what in ("put", "get", "list", "delete")] == ["AccessDenied"] * 4
    assert place.ask("aws", "copy/media") == "AccessDenied", "what is copied has to be readable too"
    assert (place.ask("aws", "buckets"), place.ask("aws", "servers")) == ("AccessDenied", "AccessDenied")
    assert ":assumed-role/shop-app-" in place.ask("aws", "who")
    assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & set(place.ask("aws", ""))
    with pytest.raises((OSError, http.client.HTTPException)):
        outside = http.client.HTTPConnection(place.address("aws"), 1338, timeout=5)
        outside.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        outside.getresponse()
    place.write(STACK.replace("{media: read-write, logs: write}", "{other: read}"))
    place.rehost("deploy", "--on", "aws", "--sandbox", "--yes")
    assert [place.ask("aws", f"list/{name}") for name in ("media", "other")] == ["AccessDenied", []]
    place.write(STACK.replace("    buckets: {media: read-write, logs: write}\n", ""))
    place.rehost("deploy", "--on", "aws", "--sandbox", "--yes")
    assert "no changes" in place.rehost("plan", "--on", "aws", "--sandbox", "--detailed-exitcode")
    place.rehost("destroy", "--on", "aws", "--sandbox", "--yes", "--delete-data", "*")


def test_services_at_hetzner_get_the_projects_keys_and_wait_for_them(place: Place) -> None:
    told = json.loads(place.rehost("sandbox", "env", "--format", "json"))
    variables = {**told, "REHOST_SANDBOX_MACHINES": str(place.folder / ".rehost-sandbox" / "machines")}
    keys = {name: variables.pop(name) for name in ("HETZNER_S3_ACCESS_KEY", "HETZNER_S3_SECRET_KEY")}
    outside, place.variables = place.variables, {**place.variables, **variables}
    said = place.rehost("deploy", "--on", "hetzner", "--yes", code=6)
    assert "created servers.app-1 server" in said and "not done: create services.web-1 unit" in said
    assert "set HETZNER_S3_ACCESS_KEY and HETZNER_S3_SECRET_KEY" in said
    place.variables |= keys
    said = place.rehost("deploy", "--on", "hetzner", "--yes")
    assert [place.ask("hetzner", f"{what}/media") for what in ("put", "get", "list")] == ["done", "here", ["x"]]
    # Keys are those of the project: nothing is kept from them, as the portability diff says.
    assert place.ask("hetzner", "list/other") == []
    diff = place.rehost("diff", "--from", "aws", "--to", "hetzner")
    assert "a pair opens every bucket of its project" in " ".join(diff.split())
    plan = place.rehost("plan", "--on", "hetzner", "--format", "json", "--replace", "servers.app")
    secret = keys["HETZNER_S3_SECRET_KEY"]
    assert "no changes" in place.rehost("plan", "--on", "hetzner", "--detailed-exitcode")
    assert not any(secret in text for text in (said, diff, plan, place.kept()))
    own = {"HETZNER_S3_APP_ACCESS_KEY": "APP", "HETZNER_S3_APP_SECRET_KEY": "own-secret"}
    place.variables |= own
    place.rehost("deploy", "--on", "hetzner", "--yes")
    assert place.ask("hetzner", "list/media") == "InvalidAccessKeyId", "services have a pair of their own"
    place.variables = outside
