"""Certificates through the command line, with an authority that looks at the DNS of both stand-ins' zones."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.resolver
import pytest
from cryptography import x509
from hcloud import Client
from plaza import PROVIDERS, Sandbox, sandbox, until

DOMAINS = ["plaza.example", "*.plaza.example", "www.plaza.example"]
STACK = """\
stack: plaza
targets:
  aws: {provider: aws, region: eu-central-1}
  hetzner: {provider: hetzner, region: fsn1}
acme: {terms_agreed: true, email: ops@plaza.example}
certificates:
  site: {domains: [plaza.example, "*.plaza.example", www.plaza.example], issuer: acme, key: p256}
dns:
  plaza.example:
    - {name: mail, a: 203.0.113.7}
    - {name: _acme-challenge, txt: somebody else's}
"""
PASSPHRASE = {"PULUMI_CONFIG_PASSPHRASE": "of the tests"}


class World:
    """A sandbox that is as new: nobody has anything there."""

    def __init__(self, here: Sandbox, path: Path) -> None:
        self.sandbox, self.path = here, path
        self.write(STACK)

    def write(self, stack: str) -> None:
        (self.path / "stack.yaml").write_text(stack)

    def run(self, *arguments: str, expect: int | None = 0) -> str:
        done = self.sandbox.run(*arguments, cwd=self.path, **PASSPHRASE)
        said = done.stdout + done.stderr
        assert expect is None or done.returncode == expect, said
        return said

    def deploy(self, on: str, *more: str, expect: int = 0) -> str:
        return self.run("deploy", "--on", on, "--sandbox", "--yes", *more, expect=expect)

    def plan(self, on: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("plan", "--on", on, "--sandbox", "--format", "json"))
        return found

    def changing(self, on: str) -> list[tuple[str, str]]:
        steps = self.plan(on)["steps"]
        return [(step["action"], step["type"]) for step in steps if step["action"] != "same"]

    def internet(self, path: str, **body: Any) -> Any:
        address = self.sandbox.record["parts"]["internet"]["address"]
        data = json.dumps(body).encode() if body else None
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(f"http://{address}/_sandbox/{path}", data), timeout=10) as answer:
            return json.load(answer)

    def orders(self) -> int:
        return int(self.internet("authority")["orders"])

    def delegate(self, to: str) -> None:
        self.internet("registry", domain="plaza.example", provider=to)

    def resolver(self) -> dns.resolver.Resolver:
        made = dns.resolver.Resolver(configure=False)
        made.nameservers, made.port = [self.sandbox.variables["REHOST_DNS"].partition(":")[0]], 0
        made.port = int(self.sandbox.variables["REHOST_DNS"].partition(":")[2])
        return made

    def texts(self) -> set[str]:
        """What is at the name of the proofs."""
        try:
            rows = self.resolver().resolve("_acme-challenge.plaza.example", "TXT")
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return set()
        return {b"".join(row.strings).decode() for row in rows}

    def served(self, on: str) -> x509.Certificate:
        """The certificate that a load balancer would be given, as the provider has it."""
        if on == "aws":
            acm = self.sandbox.client("acm")
            (row,) = acm.list_certificates(Includes={"keyTypes": ["EC_prime256v1"]})["CertificateSummaryList"]
            pem = acm.get_certificate(CertificateArn=row["CertificateArn"])["Certificate"]
            assert pem.count("BEGIN") == 1, "the chain is given apart"
        else:
            variables = self.sandbox.variables
            client = Client(variables["HCLOUD_TOKEN"], api_endpoint=variables["HCLOUD_ENDPOINT"])
            (found,) = client.certificates.get_all()
            pem = found.certificate
            assert pem.count("BEGIN") == 2, "the chain comes along"
        return x509.load_pem_x509_certificate(pem.encode())

    def state(self, on: str) -> str:
        return "".join(path.read_text() for path in (self.path / ".rehost").rglob("*") if path.is_file() and on)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sandbox(tmp_path_factory.mktemp("acme")) as made:
        yield made


@pytest.fixture
def world(here: Sandbox, tmp_path: Path) -> Iterator[World]:
    made = World(here, tmp_path)
    usual = {"age_days": 0, "rate_limits": 0, "retry_after": 0, "renew_now": False, "slow": {}, "external": {}}
    made.internet("authority", **usual)
    try:
        yield made
    finally:
        made.internet("authority", **usual)
        made.write(STACK)
        for on in PROVIDERS:
            if list((tmp_path / ".rehost").rglob(f"*{on}*")) if (tmp_path / ".rehost").exists() else []:
                made.run("destroy", "--on", on, "--sandbox", "--yes")


def names(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(found.get_values_for_type(x509.DNSName))


@pytest.mark.parametrize("on", PROVIDERS)
def test_issued_uploaded_and_renewed_when_a_third_of_the_lifetime_is_left(world: World, on: str) -> None:
    world.delegate(on)
    before = world.orders()
    world.internet("authority", age_days=70)
    world.deploy(on)
    first = world.served(on)
    assert names(first) == sorted(DOMAINS)
    assert world.texts() == {"somebody else's"}, "proofs are gone, and what was there is still"
    assert world.orders() == before + 1
    assert "PRIVATE KEY" not in world.state(on)

    plan = world.run("plan", "--on", on, "--sandbox")
    assert "due since" in plan and "a third of its lifetime or less is left, it ends on" in plan
    assert "Interrupts  nothing" in plan or on == "hetzner"
    world.internet("authority", age_days=0)
    world.deploy(on)
    second = world.served(on)
    assert second.serial_number != first.serial_number
    assert second.public_key() == first.public_key(), "the key is the stack's"
    assert world.orders() == before + 2
    assert world.changing(on) == []
    assert world.texts() == {"somebody else's"}

    world.internet("authority", renew_now=True)
    assert "the authority asks for it" in world.run("plan", "--on", on, "--sandbox")


def test_the_proof_goes_where_the_world_is_sent_now_and_keys_move_along(world: World) -> None:
    world.delegate("hetzner")
    world.deploy("hetzner")
    world.deploy("aws")
    assert names(world.served("aws")) == sorted(DOMAINS)
    assert world.texts() == {"somebody else's"}
    world.delegate("aws")
    world.run("deploy", "--on", "hetzner", "--sandbox", "--yes", "--replace", "certificates.site")
    assert world.texts() == {"somebody else's"}


def test_where_nobody_of_ours_has_the_zone_a_person_is_told_the_record(world: World) -> None:
    world.delegate("elsewhere")
    before = world.orders()
    told = world.deploy("hetzner", expect=6)
    assert "waits for records: _acme-challenge.plaza.example. TXT " in told.replace("\n", " ")
    again = world.run("deploy", "--on", "hetzner", "--sandbox", "--yes", "--format", "json", expect=6)
    failed = [event for event in map(json.loads, again.splitlines()[:-1]) if event.get("waiting")]
    records = [part.split(' TXT "') for part in failed[0]["summary"].partition(": ")[2].split("; ")]
    wanted: dict[str, list[str]] = {}
    for name, text in records:
        wanted.setdefault(name, []).append(text.rstrip('"'))
    assert {name: len(texts) for name, texts in wanted.items()} == {
        "_acme-challenge.plaza.example.": 2,
        "_acme-challenge.www.plaza.example.": 1,
    }
    for name, texts in wanted.items():
        world.internet("records", name=name, type="TXT", values=[f'"{text}"' for text in texts])
    try:
        world.deploy("hetzner")
    finally:
        for name in wanted:
            world.internet("records", name=name, type="TXT", values=[])
    assert names(world.served("hetzner")) == sorted(DOMAINS)
    assert world.orders() == before + 1, "the same order went on"


def test_a_record_that_forbids_it_is_named_before_anything_is_ordered(world: World) -> None:
    world.delegate("hetzner")
    before = world.orders()
    world.write(
        STACK + '    - {name: "@", caa: ["0 issue \\"ca.sandbox\\"", "0 issuewild \\"other.example\\""]}\n'
    )
    world.run("deploy", "--on", "hetzner", "--sandbox", "--yes", "--target", "dns.plaza.example")
    told = world.deploy("hetzner", expect=1)
    assert 'plaza.example CAA 0 issuewild "other.example" forbids it' in told
    assert 'CAA 0 issuewild "ca.sandbox"' in told
    assert world.orders() == before
    world.write(STACK)
    world.deploy("hetzner")


def test_limits_and_bad_nonces(world: World) -> None:
    world.delegate("hetzner")
    world.internet("authority", rate_limits=1, retry_after=200_000)
    told = world.deploy("hetzner", expect=1)
    assert "rate limit is reached" in told and "it may be asked again in 2 days" in told
    world.internet("authority", rate_limits=1, retry_after=1, bad_nonces=5)
    world.deploy("hetzner")
    assert names(world.served("hetzner")) == sorted(DOMAINS)


def test_an_account_of_a_customer(world: World) -> None:
    world.delegate("hetzner")
    key = "c2VjcmV0IG9mIHRoZSBhdXRob3JpdHk"
    world.internet("authority", external={"kid-1": key})
    assert "acme.external_account" in world.deploy("hetzner", expect=1)
    external = "external_account: {key_id: kid-1, hmac_key: '${secrets.eab}'}"
    changed = STACK.replace("email: ops@plaza.example", f"email: ops@plaza.example, {external}")
    world.write(changed + "secrets: {eab: {from_env: EAB_KEY}}\n")
    done = world.sandbox.run(
        "deploy", "--on", "hetzner", "--sandbox", "--yes", cwd=world.path, EAB_KEY=key, **PASSPHRASE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert key not in done.stdout + done.stderr + world.state("hetzner")


@pytest.mark.parametrize("kind", ["new-order", "challenge", "finalize", "certificate"])
def test_a_kill_leaves_no_second_order_and_no_proof(world: World, kind: str) -> None:
    world.delegate("hetzner")
    before = world.internet("authority")
    world.internet("authority", slow={kind: 20})
    arguments = ("deploy", "--on", "hetzner", "--sandbox", "--yes")
    os.environ |= PASSPHRASE
    try:
        with world.sandbox.started(*arguments, cwd=world.path) as process:
            seen = before["calls"].get(kind, 0)
            assert until(lambda: world.internet("authority")["calls"].get(kind, 0) > seen)
            process.send_signal(signal.SIGKILL)
            process.wait()
    finally:
        for name in PASSPHRASE:
            del os.environ[name]
    world.internet("authority", slow={})
    world.deploy("hetzner")
    assert world.orders() == before["orders"] + 1
    assert names(world.served("hetzner")) == sorted(DOMAINS)
    assert world.texts() == {"somebody else's"}
    assert world.changing("hetzner") == []


def test_a_kill_and_then_a_destroy_leave_nothing(world: World) -> None:
    world.delegate("hetzner")
    seen = world.internet("authority")["calls"].get("challenge", 0)
    world.internet("authority", slow={"challenge": 20})
    os.environ |= PASSPHRASE
    try:
        with world.sandbox.started("deploy", "--on", "hetzner", "--sandbox", "--yes", cwd=world.path) as process:
            assert until(lambda: world.internet("authority")["calls"].get("challenge", 0) > seen)
            assert len(world.texts()) == 3
            process.kill()
            process.wait()
    finally:
        for name in PASSPHRASE:
            del os.environ[name]
    world.internet("authority", slow={})
    world.write(STACK.replace("certificates:", "x-certificates:").replace("acme:", "x-acme:"))
    world.deploy("hetzner")
    assert world.texts() == {"somebody else's"}
    states = world.internet("authority")["order_states"]
    assert not states.keys() & {"pending", "ready", "processing"}
