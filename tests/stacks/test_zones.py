"""Zones with records of every type: what both providers are given, and what can't stand together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clouds import Cloud, cloud, loaded
from hypothesis import given
from hypothesis import strategies as st
from test_random_stacks import cycle, deployed, told
from werkzeug.test import EnvironBuilder, run_wsgi_app

from rehost.providers import registry
from rehost.providers.aws.txt import quoted, unquoted
from rehost.stacks.load import load
from rehost.stacks.records import strings
from rehost.stacks.validate import validate

BOTH = pytest.mark.parametrize("provider", ["aws", "hetzner"])
TARGETS = {
    "aws": {"provider": "aws", "region": "eu-central-1"},
    "hetzner": {"provider": "hetzner", "region": "fsn1"},
}
LONG = "k=" + "ü" * 200 + "x" * 300
RECORDS: list[dict[str, Any]] = [
    {"name": "@", "a": "192.0.2.1"},
    {"name": "@", "a": ["192.0.2.2"]},
    {"name": "@", "aaaa": "2001:0DB8:0:0::1"},
    {"name": "@", "mx": ["10  Mail.Plaza.example", "20 mx.other.example."]},
    {"name": "@", "txt": "v=spf1 mx -all"},
    {"name": "@", "txt": ['say "hi" \\ there', LONG]},
    {"name": "@", "caa": ["0 issue letsencrypt.org", '0 issuewild ";"']},
    {"name": "mail", "a": "192.0.2.3"},
    {"name": "_sip._tcp", "srv": "10 60 5060 mail.plaza.example"},
    {"name": "sub", "ns": ["ns1.sub.plaza.example", "ns.other.example"]},
    {"name": "ns1.sub", "a": "192.0.2.4"},
    {"name": "www", "cname": "@"},
    {"name": "*.wild", "cname": "WWW.plaza.example"},
    {"name": "x" * 63, "txt": "long"},
]


def platform(provider: str, records: Any, **more: Any) -> dict[str, Any]:
    zone = {"plaza.example": records}
    return {"stack": "plaza", "targets": {"here": TARGETS[provider]}, "dns": zone, **more}


def served(here: Cloud) -> dict[tuple[str, str], list[str]]:
    """What the zone holds, with names as the stack has them and values without their last dots."""
    found: dict[tuple[str, str], list[str]] = {}
    if here.provider == "aws":
        route53 = here.client("route53")
        (zone,) = route53.list_hosted_zones()["HostedZones"]
        for row in route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]:
            name = row["Name"].replace("\\052", "*").removesuffix("plaza.example.").rstrip(".") or "@"
            values = [item["Value"] for item in row.get("ResourceRecords", [])]
            found[name, row["Type"]] = values or [row["AliasTarget"]["DNSName"]]
    else:
        environ = EnvironBuilder(
            path="/v1/zones/plaza.example/rrsets",
            query_string="per_page=50",
            headers={"Authorization": "Bearer token"},
        )
        chunks, _, _ = run_wsgi_app(here.api, environ.get_environ())
        for row in json.loads(b"".join(chunks))["rrsets"]:
            found[row["name"], row["type"]] = [record["value"] for record in row["records"]]
    return {key: sorted(value.rstrip(".") for value in values) for key, values in found.items()}


@BOTH
def test_records_of_every_type_are_served_as_they_are_meant(provider: str, tmp_path: Path) -> None:
    with cloud(provider) as here:
        stack = loaded(platform(provider, RECORDS), tmp_path)
        deployed(here, tmp_path, stack)
        assert here.deployment(tmp_path, stack).plan().empty
        zone = served(here)
        assert zone["@", "A"] == ["192.0.2.1", "192.0.2.2"]
        assert zone["@", "AAAA"] == ["2001:db8::1"]
        assert zone["@", "MX"] == ["10 mail.plaza.example", "20 mx.other.example"]
        assert zone["@", "CAA"] == ['0 issue "letsencrypt.org"', '0 issuewild ";"']
        assert zone["_sip._tcp", "SRV"] == ["10 60 5060 mail.plaza.example"]
        assert zone["sub", "NS"] == ["ns.other.example", "ns1.sub.plaza.example"]
        assert zone["ns1.sub", "A"] == ["192.0.2.4"]
        assert zone["www", "CNAME"] == ["plaza.example"]
        assert zone["*.wild", "CNAME"] == ["www.plaza.example"]
        assert zone["x" * 63, "TXT"] == ['"long"']
        texts = zone["@", "TXT"]
        assert '"v=spf1 mx -all"' in texts and '"say \\"hi\\" \\\\ there"' in texts
        (cut,) = [text for text in texts if text.startswith('"k=')]
        pieces = cut.split('" "')
        assert len(pieces) == 3
        assert unquoted(cut) == LONG
    with cloud(provider) as here:
        cycle(here, tmp_path / "again", platform(provider, RECORDS)) if (
            tmp_path / "again"
        ).mkdir() is None else None


@BOTH
def test_a_set_grows_and_shrinks_in_place(provider: str, tmp_path: Path) -> None:
    with cloud(provider) as here:
        deployed(here, tmp_path, loaded(platform(provider, RECORDS[:1]), tmp_path))
        plan = deployed(here, tmp_path, loaded(platform(provider, RECORDS[:2]), tmp_path))
        assert [step.action.value for step in plan.changing] == ["update"]
        assert served(here)["@", "A"] == ["192.0.2.1", "192.0.2.2"]
        deployed(here, tmp_path, loaded(platform(provider, RECORDS[1:2]), tmp_path))
        assert served(here)["@", "A"] == ["192.0.2.2"]


ENTERED = ("host", "unit")


@BOTH
def test_records_lead_to_every_component_with_an_address(provider: str, tmp_path: Path) -> None:
    records = [
        {"name": "@", "to": "load_balancers.edge"},
        {"name": "app", "to": "servers.app"},
        {"name": "app", "to": "static_addresses.spare"},
        {"name": "db", "to": "databases.main"},
        {"name": "hot", "to": "caches.hot"},
        {"name": "t", "txt": "${servers.app-1.public_ip} " + "x" * 250},
    ]
    more = {
        "network": {"zones": 2},
        "servers": {"app": {"public": True}},
        "static_addresses": {"spare": {}},
        "load_balancers": {"edge": {"to": "servers.app", "listen": [{"port": 80, "protocol": "http"}]}},
        "databases": {"main": {"engine": "postgres", "version": "16", "storage": "20GiB"}},
        "caches": {"hot": {"version": "8.0", "memory": "1GiB"}},
    }
    with cloud(provider) as here:
        stack = loaded(platform(provider, records, **more), tmp_path)
        _, outcome = here.deployment(tmp_path, stack).deploy()
        # Servers that can be entered are another story: everything else is done.
        assert all(step.title in ENTERED for step, _ in (*outcome.failed, *outcome.waiting))
        zone = served(here)
        assert len(zone["@", "A"]) == 1 and len(zone["app", "A"]) == 2
        (text,) = zone["t", "TXT"]
        assert all(len(piece.encode()) <= 255 for piece in text.strip('"').split('" "'))
        kind = "CNAME" if provider == "aws" else "A"
        assert zone["db", kind] and zone["hot", kind]
        if provider == "hetzner":
            assert zone["db", "A"][0].startswith("10.") and zone["hot", "A"] != zone["db", "A"]
        changing = [s for s in here.deployment(tmp_path, stack).plan().changing if s.title not in ENTERED]
        assert not changing, told(here.deployment(tmp_path, stack).plan())


def findings(tmp_path: Path, records: Any, **more: Any) -> list[tuple[str, str, str]]:
    text = json.dumps({"stack": "plaza", "targets": TARGETS, "dns": {"plaza.example": records}, **more})
    (tmp_path / "stack.yaml").write_text(text)
    found = validate(load([tmp_path / "stack.yaml"]), registry.adapter)
    return [(d.code, d.summary, d.fix) for d in found]


A = {"name": "x", "a": "192.0.2.1"}
APART: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "a CNAME beside another": ([A, {"name": "x", "cname": "y.example"}], "cname-beside", "remove one"),
    "two CNAMEs": ([{"name": "x", "cname": f"{n}.example"} for n in "ab"], "duplicate-record", "remove one"),
    "two TTLs": ([A, {"name": "x", "a": "192.0.2.2", "ttl": 60}], "duplicate-record", "write ttl: 300"),
    "twice the same": ([A, {"name": "x", "a": "192.0.2.1"}], "repeated", "remove one"),
    "twice the same otherwise written": (
        [{"name": "x", "aaaa": ["2001:db8::1", "2001:0db8::0001"]}],
        "repeated",
        "remove one",
    ),
    "a CNAME at the apex": ([{"name": "@", "cname": "x.example"}], "cname-apex", "use `to` or `a`"),
    "a name below a delegated one": (
        [{"name": "sub", "ns": "ns.other.example"}, {"name": "a.sub", "a": "192.0.2.1"}],
        "overshadowed",
        "put the record into their zone",
    ),
    "a mail server that is a CNAME": (
        [{"name": "@", "mx": "10 mail.plaza.example"}, {"name": "mail", "cname": "other.example"}],
        "record-value",
        "give mail.plaza.example an A record",
    ),
    "upper case": ([{"name": "WWW", "a": "192.0.2.1"}], "record-name", "write 'www'"),
    "other letters": ([{"name": "bücher", "a": "192.0.2.1"}], "record-name", "write 'xn--bcher-kva'"),
    "a host with other letters": (
        [{"name": "x", "cname": "bücher.example"}],
        "record-value",
        "write xn--bcher-kva.example",
    ),
    "a label too long": ([{"name": "x" * 64, "a": "192.0.2.1"}], "record-name", ""),
    "a name too long": ([{"name": ".".join(["x" * 60] * 4), "a": "192.0.2.1"}], "record-name", "shorten it"),
    "a wildcard inside": ([{"name": "a.*.b", "a": "192.0.2.1"}], "record-name", ""),
    "a TTL too short for one": ([{**A, "ttl": 30}], "ttl", "write 60"),
    "a text too long for one": ([{"name": "x", "txt": "ü" * 1500}], "record-value", "shorten it"),
    "too many in two": (
        [{"name": "x", "a": [f"192.0.2.{n}" for n in range(s, s + 30)]} for s in (0, 40)],
        "record-value",
        "use fewer",
    ),
}


@pytest.mark.parametrize("case", APART)
def test_what_can_not_stand_is_named_with_what_to_do(case: str, tmp_path: Path) -> None:
    records, code, fix = APART[case]
    found = findings(tmp_path, records)
    assert any(row[0] == code and fix in row[2] for row in found), found


def test_what_may_stand_is_left_alone(tmp_path: Path) -> None:
    assert findings(tmp_path, RECORDS) == []


def test_databases_have_a_name_of_their_own_at_amazon(tmp_path: Path) -> None:
    more = {
        "network": {"zones": 2},
        "servers": {"app": {}},
        "databases": {"main": {"engine": "postgres", "version": "16", "storage": "20GiB"}},
    }
    said = findings(tmp_path, [{"name": "@", "to": "databases.main"}], **more)
    assert ("cname-beside", "databases.main can't be there (target aws)", "give it a name of its own") in said
    said = findings(tmp_path, [{"name": "x", "to": "databases.nain"}], **more)
    assert any(row[0] == "reference" and "main" in row[2] for row in said)


def test_a_zone_with_other_letters_is_told_how_dns_has_it(tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text("stack: plaza\ndns: {bücher.example: []}\n")
    (found,) = [d for d in load([tmp_path / "stack.yaml"]).diagnostics if d.code == "name"]
    assert found.fix == "write xn--bcher-kva.example"


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=600))
def test_texts_are_cut_by_bytes_and_read_back(text: str) -> None:
    pieces = strings(text)
    assert "".join(pieces) == text
    assert all(len(piece.encode()) <= 255 for piece in pieces)
    assert unquoted(quoted(text, "TXT")) == text
    assert quoted(text, "TXT").isascii()
