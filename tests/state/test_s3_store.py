"""States in an S3 bucket, on a stand-in that knows conditional writes."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from rehost.providers.s3state import S3Blobs, open_blobs
from rehost.providers.stores import open_store
from rehost.stacks.errors import InvalidInput, ProviderError, Refused
from rehost.stacks.state import Passphrase, Store
from rehost.stacks.state.blobs import Conflict


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def environment() -> Iterator[Mapping[str, str]]:
    # One request at a time: moto looks and writes without a lock of its own.
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=False, request_handler=_Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    found = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    client = boto3.client(
        "s3",
        endpoint_url=found["AWS_ENDPOINT_URL"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="states")
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    return f"s3://states/{request.node.name[:40]}?region=us-east-1"


def opened(url: str, environment: Mapping[str, str], folder: Path = Path("/nowhere")) -> Store:
    return open_store(url, folder, Passphrase(None), environment)


def test_writes_are_conditional(url: str, environment: Mapping[str, str]) -> None:
    blobs = open_blobs(url, environment)
    assert blobs.get("a/b") is None
    tag = blobs.put("a/b", b"1", absent=True)
    for condition in ({"absent": True}, {"match": '"0123"'}):
        with pytest.raises(Conflict):
            blobs.put("a/b", b"2", **condition)  # type: ignore[arg-type]
    with pytest.raises(Conflict):
        blobs.put("none", b"2", match=tag)
    second = blobs.put("a/b", b"22", match=tag)
    found = blobs.get("a/b")
    assert found is not None
    assert (found.data, found.tag) == (b"22", second)
    assert blobs.list("a/") == [("a/b", 2)]
    blobs.delete("a/b")
    blobs.delete("a/b")
    assert blobs.list("a/") == []


def test_a_deployment_is_kept_and_found(url: str, environment: Mapping[str, str]) -> None:
    entry = {"kind": "deployment", "id": "d", "endpoint": "there", "account": "me"}
    with opened(url, environment).open("plaza", "here", command="deploy") as session:
        session.append(entry)
        assert opened(url, environment).read("plaza", "here").deployment == "d"
    store = opened(url, environment)
    assert (store.read("plaza", "here").deployment, store.targets("plaza")) == ("d", ["here"])
    assert store.url == url


def test_a_sandbox_has_states_of_its_own(url: str, environment: Mapping[str, str]) -> None:
    with opened(url, environment).open("plaza", "here", command="deploy") as session:
        session.append({"kind": "facts", "facts": {"a": {"value": 1}}})
    assert open_store(url, Path("/nowhere"), Passphrase(None), environment, sandbox=True).targets("plaza") == []


def _rival(url: str, environment: Mapping[str, str], go: Any, said: Any) -> None:
    store = opened(url, environment)
    go.wait()
    try:
        with store.open("plaza", "here", command="deploy") as session:
            session.append({"kind": "facts", "facts": {"winner": {"value": 1}}})
            said.put("won")
            # The one who has it keeps it until all others have asked.
            go.wait()
    except Refused as error:
        said.put(error.summary)
        go.wait()


def test_of_processes_that_want_the_lock_at_once_one_gets_it(url: str, environment: Mapping[str, str]) -> None:
    fork = multiprocessing.get_context("spawn")
    count = 3
    go, said = fork.Barrier(count), fork.Queue()
    rivals = [fork.Process(target=_rival, args=(url, dict(environment), go, said)) for _ in range(count)]
    for rival in rivals:
        rival.start()
    answers = sorted(said.get(timeout=120) for _ in rivals)
    for rival in rivals:
        rival.join()
    assert answers.count("won") == 1
    assert all("is locked by" in answer for answer in answers if answer != "won")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("s3://", "a bucket is missing"),
        ("s3://b/p?regoin=x", "the option regoin is not known"),
        ("s3://key:word@b/p", "keys don't belong into it"),
    ],
)
def test_a_wrong_url_is_said(wrong: str, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        opened(wrong, {})
    assert told in caught.value.why
    assert "word" not in str(caught.value)
    with pytest.raises(InvalidInput, match="can't be kept at gs://"):
        opened("gs://b", {})


def test_a_bucket_that_is_missing_and_keys_that_are_not_set_are_said(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProviderError) as caught:
        opened("s3://nobody/x", environment).read("plaza", "here")
    assert "make the bucket" in caught.value.fix
    with pytest.raises(InvalidInput, match="no keys for the states"):
        opened("s3://states/x?keys=OTHER", environment).read("plaza", "here")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(InvalidInput, match="no keys for the states"):
        opened("s3://states/x", {"AWS_ENDPOINT_URL": environment["AWS_ENDPOINT_URL"]}).read("plaza", "here")
    other = {**environment, "OTHER_ACCESS_KEY": "a", "OTHER_SECRET_KEY": "b"}
    assert opened("s3://states/x?keys=OTHER", other).targets("plaza") == []


def test_a_storage_that_takes_no_notice_of_conditions_is_refused(
    url: str, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = S3Blobs._put
    monkeypatch.setattr(S3Blobs, "_put", lambda self, key, data, condition: plain(self, key, data, {}))
    with (
        pytest.raises(Refused, match="states can't be kept"),
        opened(url, environment).open("plaza", "here", command="deploy"),
    ):
        pass


def _append_until_killed(url: str, environment: Mapping[str, str], said: Any) -> None:
    with opened(url, environment).open("plaza", "here", command="deploy") as session:
        for number in range(10_000):
            session.append({"kind": "facts", "facts": {f"f{number}": {"value": 1}}})
            said.send(f"f{number}")


@pytest.mark.parametrize("after", [1, 7])
def test_a_killed_writer_is_followed_at_once_and_has_lost_nothing(
    url: str, environment: Mapping[str, str], after: int
) -> None:
    spawn = multiprocessing.get_context("spawn")
    out, into = spawn.Pipe(duplex=False)
    child = spawn.Process(target=_append_until_killed, args=(url, dict(environment), into))
    child.start()
    into.close()
    acknowledged = {out.recv() for _ in range(after)}
    child.kill()
    try:
        while True:
            acknowledged.add(out.recv())
    except EOFError:
        child.join()
    with opened(url, environment).open("plaza", "here", command="destroy") as session:
        assert (session.taken_over, session.recovered) == ("deploy", True)
        assert acknowledged <= set(session.state.facts)
        session.append({"kind": "facts", "facts": {"next": {"value": 1}}})
    assert acknowledged | {"next"} <= set(opened(url, environment).read("plaza", "here").facts)
