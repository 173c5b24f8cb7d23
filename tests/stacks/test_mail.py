"""Mail: what it says in the zones of both clouds, and what services are told of the relay."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from clouds import Cloud, cloud
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_private_key

from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import MemoryCloud
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.errors import InvalidInput
from rehost.stacks.hosts.memory import MemoryHost
from rehost.stacks.mail import dmarc, spf
from rehost.stacks.model import MailDomain, Stack
from rehost.stacks.state import Passphrase, file_store

DOMAIN: dict[str, Any] = {
    "spf": ["include:spf.relay.example", "ip4:203.0.113.0/24"],
    "others": "fail",
    "dkim": [
        {"selector": "s1", "key": "${secrets.dkim.public_key}"},
        {"selector": "relay", "cname": "relay.domainkey.relay.example"},
    ],
    "dmarc": {"policy": "quarantine", "reports": "dmarc@shop.example"},
    "mx": ["10 mx.mail.example"],
}
SHOP: dict[str, Any] = {
    "stack": "shop",
    "targets": {
        "here": {"provider": "memory"},
        "aws": {"provider": "aws", "region": "eu-central-1"},
        "hetzner": {"provider": "hetzner", "region": "fsn1"},
    },
    "secrets": {"dkim": {"key": "rsa-2048"}},
    "mail": {"domains": {"shop.example": DOMAIN, "news.shop.example": {"spf": "mx", "dmarc": {"policy": "none"}}}},
    "dns": {"shop.example": [{"name": "@", "txt": ["other=1"], "ttl": 600}]},
}


def texts(records: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The texts of each name, put together from the strings that they are sent in."""
    found: dict[str, list[str]] = {}
    for record in records:
        strings = [re.findall(r'"((?:[^"\\]|\\.)*)"', value) for value in record["values"]]
        assert all(len(string) <= 255 for value in strings for string in value)
        if record["type"] == "TXT":
            found[record["name"]] = sorted("".join(value) for value in strings)
    return found


def served(here: Cloud) -> list[dict[str, Any]]:
    """What the stand-in itself says of its one zone."""
    if here.provider == "aws":
        client = here.client("route53")
        (zone,) = client.list_hosted_zones()["HostedZones"]
        rows = client.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
        return [
            {
                "name": row["Name"].removesuffix(".").removesuffix("shop.example").removesuffix(".") or "@",
                "type": row["Type"],
                "ttl": row["TTL"],
                "values": [item["Value"] for item in row["ResourceRecords"]],
            }
            for row in rows
        ]
    (found,) = here.inventory()["zones"]
    return [
        {**row, "name": row["name"].split()[0], "values": [item["value"] for item in row["records"]]}
        for row in found["sets"]
    ]


@pytest.mark.parametrize("provider", ["aws", "hetzner"])
def test_both_clouds_serve_the_same_beside_what_was_there(tmp_path: Path, provider: str) -> None:
    with cloud(provider) as here:
        made = here.deployment(tmp_path, SHOP)
        _, outcome = made.deploy()
        assert outcome.word == "done", outcome.failed
        rows = served(here)
        said = texts(rows)
        key = made.store.read("shop", provider).secrets["dkim"].value
        assert here.deployment(tmp_path, SHOP).plan().empty
    assert said["@"] == ["other=1", "v=spf1 include:spf.relay.example ip4:203.0.113.0/24 -all"]
    assert said["_dmarc"] == ["v=DMARC1; p=quarantine; rua=mailto:dmarc@shop.example"]
    assert said["news"] == ["v=spf1 mx ~all"] and said["_dmarc.news"] == ["v=DMARC1; p=none"]
    (signed,) = said["s1._domainkey"]
    public = load_der_public_key(base64.b64decode(signed.removeprefix("v=DKIM1; k=rsa; p=")))
    private = load_pem_private_key(key.encode(), None)
    assert isinstance(public, RSAPublicKey) and public.key_size == 2048
    assert public.public_numbers() == private.public_key().public_numbers()  # type: ignore[union-attr]
    others = {(row["name"], row["type"]): row for row in rows}
    assert others["relay._domainkey", "CNAME"]["values"][0].rstrip(".") == "relay.domainkey.relay.example"
    assert others["@", "MX"]["values"][0].rstrip(".") == "10 mx.mail.example"
    assert others["@", "TXT"]["ttl"] == 600, "the record that was there says how long it may be kept"


def test_services_are_told_of_the_relay_in_a_form_that_urls_take(tmp_path: Path) -> None:
    relay = {"host": "smtp.relay.example", "user": "shop@relay", "password": "${secrets.smtp}"}
    data = {
        **SHOP,
        "secrets": {"smtp": {"from_env": "SMTP"}, "dkim": {"key": "rsa-2048"}},
        "mail": {"relay": relay},
        "servers": {"app": {}},
        "services": {
            "web": {
                "image": "shop:1",
                "environment": {"URL": "${mail.url}", "PASSWORD": "${mail.password}", "PORT": "${mail.port}"},
            }
        },
    }
    fleet = MemoryCloud()
    stack, store = Stack.model_validate(data), file_store(tmp_path, Passphrase("horse"))
    where, adapter = stack.targets["here"], MemoryAdapter(cloud=fleet)
    made = Deployment(stack, where, adapter, store, {"SMTP": "p@ss/w:rd"}, clock=Clock(pace=200))
    plan, outcome = made.deploy()
    assert outcome.word == "done", outcome.failed
    assert "p@ss" not in repr([change.new for step in plan.changing for change in step.changes])
    host = fleet.host(next(r["id"] for r in fleet.inventory() if r["token"].endswith(":Server")), {})
    assert isinstance(host, MemoryHost)
    (text,) = [file.content for file in host.backend.contents.values() if file.path.endswith("service.json")]
    told = json.loads(text)["environment"]
    assert {name: told[name] for name in ("URL", "PASSWORD", "PORT")} == {
        "URL": "smtp://shop%40relay:p%40ss%2Fw%3Ard@smtp.relay.example:587",
        "PASSWORD": "p@ss/w:rd",
        "PORT": "587",
    }


def test_a_key_from_elsewhere_has_to_be_one(tmp_path: Path) -> None:
    stack = Stack.model_validate({**SHOP, "secrets": {"dkim": {"from_env": "KEY"}}})
    store, adapter = file_store(tmp_path, Passphrase("horse")), MemoryAdapter(cloud=MemoryCloud())
    made = Deployment(stack, stack.targets["here"], adapter, store, {"KEY": "hunter2"}, clock=Clock(pace=200))
    with pytest.raises(InvalidInput, match="no public half") as refused:
        made.deploy()
    assert "hunter2" not in repr((refused.value.summary, refused.value.why, refused.value.fix))


@pytest.mark.parametrize(
    ("given", "record"),
    [
        ({"policy": "reject", "subdomains": "none", "percent": 20}, "v=DMARC1; p=reject; sp=none; pct=20"),
        (
            {
                "policy": "none",
                "strict": True,
                "reports": ["a@b.example", "c@d.example"],
                "failures": "e@f.x",
            },
            "v=DMARC1; p=none; adkim=s; aspf=s; rua=mailto:a@b.example,mailto:c@d.example; ruf=mailto:e@f.x",
        ),
    ],
)
def test_a_policy_is_written_as_receivers_read_it(given: dict[str, Any], record: str) -> None:
    assert dmarc(MailDomain.model_validate({"dmarc": given})) == record


def test_who_else_may_send_is_said_last() -> None:
    assert spf(MailDomain(spf=("mx",), others="neutral")) == "v=spf1 mx ?all"
