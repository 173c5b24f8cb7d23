"""The providers, each on an empty stand-in."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bench import Bench
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from machines import entered

from rehost.providers import registry, sandbox
from rehost.providers.hosts import host_kinds
from rehost.providers.sandbox.aws_api.zones import public_zones
from rehost.providers.sandbox.internet.app import Internet
from rehost.providers.sandbox.internet.registry import Source, asked, zones_of
from rehost.providers.sandbox.postgres import PostgresServer
from rehost.stacks.acme.connection import WithCertificates
from rehost.stacks.acme.resource import CERTIFICATE, ORDER
from rehost.stacks.model import Target
from rehost.stacks.ports import Connection
from rehost.stacks.sql.role import TOKEN as ROLE


@pytest.fixture(scope="session")
def objects() -> Iterator[str]:
    """The address of an object storage."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Switch:
    """A web application that is another one for each test."""

    def __init__(self) -> None:
        self.app: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


def served(switch: Switch) -> Iterator[str]:
    """The address that an application is served at."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Keeping(WSGIRequestHandler):
        """Keeps connections open, as real services do."""

        protocol_version = "HTTP/1.1"

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, switch, threaded=True, request_handler=Keeping)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()


@pytest.fixture(scope="session")
def cloud() -> Iterator[tuple[Switch, str]]:
    """A server for the Cloud API."""
    switch = Switch()
    for address in served(switch):
        yield switch, f"{address}/v1"


@pytest.fixture(scope="session")
def authority() -> Iterator[tuple[Switch, str]]:
    """A server for a certificate authority."""
    switch = Switch()
    for address in served(switch):
        yield switch, address


def issuing(request: pytest.FixtureRequest, connection: Any, provider: str, zones: Source) -> Iterator[Any]:
    """The connection, with an authority and a DNS of its own for tests of certificates."""
    if not any(token in request.node.callspec.params.values() for token in ISSUED):
        yield connection
        return
    switch, address = request.getfixturevalue("authority")
    switch.app = internet = Internet({provider: zones})
    environment = {"REHOST_DNS": internet.servers.address, "REHOST_ACME_DIRECTORY": f"{address}/directory"}
    yield WithCertificates(connection, environment, (), time.time)
    internet.close()


@pytest.fixture
def boto_calls(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many calls boto3 has made."""
    from botocore.client import BaseClient

    count, real = [0], BaseClient._make_api_call  # type: ignore[attr-defined]

    def counted(self: Any, name: str, arguments: Any) -> Any:
        count[0] += 1
        return real(self, name, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", counted)
    return lambda: count[0]


ISSUED = (ORDER, CERTIFICATE)
OWNER = "owner's pass"


@pytest.fixture(scope="session")
def sql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A real database server."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres") / "server", 18, port=free_port())
    server.create("admin", superuser="admin")
    server.start()
    yield server
    server.drop()


def database_for(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Variables that lead to a database of its own for tests of roles; the owner is no superuser."""
    if ROLE not in request.node.callspec.params.values():
        yield {}
        return
    server: PostgresServer = request.getfixturevalue("sql_server")

    def ask(query: str) -> list[Any]:
        with psycopg.connect(server.url("admin", "admin"), autocommit=True) as connection:
            answer = connection.execute(query.encode())
            return answer.fetchall() if answer.description else []

    ask(f"create role shop login createrole password '{OWNER.replace(chr(39), chr(39) * 2)}'")
    ask("create database shop owner shop")
    yield {"REHOST_SQL_CONTRACT": f"{server.address}:{server.port}"}
    ask("drop database shop with (force)")
    for (query,) in ask("select format('drop role %I', rolname) from pg_roles where rolname !~ '^(pg_|admin$)'"):
        ask(query)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def memory_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    from rehost.providers.memory.adapter import MemoryAdapter
    from rehost.providers.memory.cloud import MemoryCloud

    cloud = MemoryCloud()
    adapter = MemoryAdapter(cloud=cloud)
    connection = adapter.connect(Target(provider="memory"), {})
    yield Bench("memory", adapter, connection, lambda: sum(cloud.calls.values()), [0.0])


@pytest.fixture(scope="session")
def certificates() -> dict[str, str]:
    """Two certificates for one name that signed themselves, as PEM, with their keys; and one with its issuer."""
    made: dict[str, str] = {}
    now = datetime.now(UTC)
    signer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None = None
    for name in ("pem", "other", "issuer", "issued"):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name}.example")])
        private = ec.generate_private_key(ec.SECP256R1())
        issuer, key = signer or (subject, private)
        certificate = (
            x509.CertificateBuilder(issuer, subject, private.public_key(), x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=90))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("plaza.example")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        made[f"{name}_body"] = certificate.public_bytes(Encoding.PEM).decode().strip()
        made[f"{name}_key"] = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        if name == "issuer":
            signer = subject, private
    return made


@pytest.fixture(scope="session")
def aws() -> Iterator[tuple[Switch, Connection]]:
    """One connection: its clients take longer to make than all else that a test does."""
    switch = Switch()
    for address in served(switch):
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": address}
        yield switch, registry.adapter("aws").connect(Target(provider="aws", region="eu-central-1"), keys)


def aws_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    from rehost.providers.sandbox.aws_api.app import AwsApi

    switch, connection = request.getfixturevalue("aws")
    calls, clock = request.getfixturevalue("boto_calls"), [0.0]
    switch.app = AwsApi({"a": "b"}, clock=lambda: 1.8e9 + clock[0])
    from moto.ec2.models import amis
    from moto.moto_api._internal.models import moto_api_backend

    # The images that the product knows, instead of two thousand that no test needs.
    images = Path(sandbox.__file__).parent / "data" / "amis.json"
    monkeypatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setenv("MOTO_AMIS_PATH", str(images))
    monkeypatch.setattr(amis, "AMIS", json.loads(images.read_text())[:2])
    monkeypatch.setattr("moto.settings.ACM_VALIDATION_WAIT", 0)
    moto_api_backend.reset()
    facts = {
        "image": amis.AMIS[0]["ami_id"],
        "other_image": amis.AMIS[1]["ami_id"],
        "snapshot": lambda: snapshot(connection),
        **request.getfixturevalue("certificates"),
    }
    plain = connection.environment
    for more in database_for(request):
        connection.environment = {**plain, **more}
        connection.kinds |= host_kinds(entered(), connection._has_server)
        for made in issuing(request, connection, "aws", lambda: zones_of({"zones": public_zones({})})):
            yield Bench("aws", registry.adapter("aws"), made, calls, clock, facts)


def snapshot(connection: Any) -> str:
    """The id of a snapshot of some volume."""
    ec2 = connection.clients["ec2"]
    volume = ec2.create_volume(AvailabilityZone="eu-central-1a", Size=20)["VolumeId"]
    return str(ec2.create_snapshot(VolumeId=volume)["SnapshotId"])


def hetzner_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    from rehost.providers.sandbox.hcloud_api import HcloudApi

    switch, endpoint = request.getfixturevalue("cloud")
    boto, clock = request.getfixturevalue("boto_calls"), [0.0]
    switch.app = HcloudApi({"token": "contract"}, clock=lambda: 1.8e9 + clock[0], rate_limit=1_000_000)
    environment = {
        "HCLOUD_TOKEN": "token",
        "HCLOUD_ENDPOINT": endpoint,
        "HETZNER_S3_ACCESS_KEY": "a",
        "HETZNER_S3_SECRET_KEY": "b",
        "HETZNER_S3_ENDPOINT": request.getfixturevalue("objects"),
    }
    adapter = registry.adapter("hetzner")
    target = Target(provider="hetzner", region="fsn1")

    def calls() -> int:
        return sum(switch.app.calls.values()) + boto()

    # The object storage outlives the test, as names of buckets have to.
    facts = {"unique": uuid.uuid4().hex[:8], **request.getfixturevalue("certificates")}
    for more in database_for(request):
        connection = adapter.connect(target, {**environment, **more})
        connection.kinds |= host_kinds(entered(), lambda server: True)
        for made in issuing(request, connection, "hetzner", asked(endpoint.split("/")[2])):
            yield Bench("hetzner", adapter, made, calls, clock, facts)
        connection.close()


BENCHES: dict[str, Callable[[pytest.FixtureRequest], Iterator[Bench]]] = {
    "memory": memory_bench,
    "aws": aws_bench,
    "hetzner": hetzner_bench,
}


@pytest.fixture
def bench(request: pytest.FixtureRequest, provider: str) -> Iterator[Bench]:
    """The provider of the test. One from another package brings no stand-in of its own."""
    if provider not in BENCHES:
        pytest.skip(f"there is no stand-in for {provider}")
    yield from BENCHES[provider](request)
