"""Zones: names, record values, what stands beside what, zone files, protection."""

from __future__ import annotations

from typing import Any

import pytest

ZONE = {"name": "plaza.example", "mode": "primary"}
SETS = "/zones/plaza.example/rrsets"


@pytest.fixture
def zone(api: Any) -> Any:
    api.done("/zones", ZONE)
    return api


def body(name: str, type_: str, *values: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, "records": [{"value": value} for value in values], **fields}


@pytest.mark.parametrize(
    "name", ["Plaza.example", "plaza.example.", "example", "a.plaza.example", "-a.example", "a b.c"]
)
def test_names_that_no_zone_can_have(api: Any, name: str) -> None:
    assert api.fields("POST", "/zones", {**ZONE, "name": name}) == {"name"}


def test_a_zone_has_soa_and_nameservers_from_the_start(zone: Any) -> None:
    shown = zone.get("/zones/plaza.example")["zone"]
    sets = {row["id"]: row for row in zone.get(SETS)["rrsets"]}
    assert sets.keys() == {"@/SOA", "@/NS"}
    assert [row["value"] for row in sets["@/NS"]["records"]] == shown["authoritative_nameservers"]["assigned"]
    assert (shown["record_count"], shown["ttl"], shown["status"]) == (4, 3600, "ok")
    assert zone.refused("POST", "/zones", ZONE) == (409, "uniqueness_error")
    assert zone.done("/zones", {**ZONE, "name": "shop.co.uk"})["zone"]["name"] == "shop.co.uk"


def test_a_delegation_is_seen_when_it_is_there(zone: Any) -> None:
    def found() -> dict[str, Any]:
        return dict(zone.get("/zones/plaza.example")["zone"]["authoritative_nameservers"])

    assert (found()["delegation_status"], found()["delegated"]) == ("unknown", [])
    zone.app.behaviour.delegations["plaza.example"] = "valid"
    assert found()["delegated"] == found()["assigned"]
    zone.app.behaviour.delegations["plaza.example"] = "lame"
    assert (found()["delegation_status"], found()["delegated"]) == ("lame", [])


def test_every_change_raises_the_serial(zone: Any) -> None:
    def serial() -> int:
        return int(zone.get(f"{SETS}/@/SOA")["rrset"]["records"][0]["value"].split()[2])

    before = serial()
    zone.done(SETS, body("www", "A", "198.51.100.1"))
    zone.done(f"{SETS}/www/A/actions/set_records", {"records": [{"value": "198.51.100.2"}]})
    assert serial() == before + 2
    soa = zone.get(f"{SETS}/@/SOA")["rrset"]["records"][0]["value"].split()
    soa[2:4] = ["0", "3600"]
    zone.done(f"{SETS}/@/SOA/actions/set_records", {"records": [{"value": " ".join(soa)}]})
    assert serial() == before + 3
    assert zone.get(f"{SETS}/@/SOA")["rrset"]["records"][0]["value"].split()[3] == "3600"
    zone.clock.pass_by(86400)
    zone.done(f"{SETS}/www/A", None, "DELETE")
    assert serial() == before + 100


GOOD = [
    ("A", "198.51.100.1"),
    ("AAAA", "2001:db8::1"),
    ("CAA", '0 issue "letsencrypt.org"'),
    ("CNAME", "plaza.example."),
    ("DS", "12345 13 2 0123456789ABCDEF"),
    ("HINFO", '"cpu" "os"'),
    ("HTTPS", "1 . alpn=h2"),
    ("MX", "10 mail.plaza.example."),
    ("NS", "ns1.other.example."),
    ("PTR", "host.plaza.example."),
    ("RP", "admin.plaza.example. ."),
    ("SRV", "1 2 443 host.plaza.example."),
    ("SVCB", "0 other.example."),
    ("TLSA", "3 1 1 0123456789abcdef"),
    ("TXT", '"v=spf1 -all"'),
    ("TXT", '"one" "two; \\"three\\""'),
]
BAD = [
    ("A", "198.51.100"),
    ("A", "2001:db8::1"),
    ("AAAA", "198.51.100.1"),
    ("CAA", "0 issue letsencrypt.org"),
    ("CNAME", "other.example"),
    ("DS", "x 13 2 00"),
    ("HINFO", '"cpu"'),
    ("HTTPS", "."),
    ("MX", "mail.plaza.example."),
    ("MX", "10 mail.plaza.example"),
    ("MX", "99999 mail.plaza.example."),
    ("NS", "ns 1."),
    ("SRV", "1 2 70000 host.plaza.example."),
    ("TLSA", "3 1 1 xyz"),
    ("TXT", "v=spf1 -all"),
    ("TXT", '"' + "x" * 256 + '"'),
    ("TXT", '"open'),
]


@pytest.mark.parametrize(("type_", "value"), GOOD)
def test_values_that_are_taken(zone: Any, type_: str, value: str) -> None:
    zone.done(SETS, body("x", type_, value))
    assert zone.get(f"{SETS}/x/{type_}")["rrset"]["records"] == [{"value": value, "comment": ""}]


@pytest.mark.parametrize(("type_", "value"), BAD)
def test_values_that_are_refused(zone: Any, type_: str, value: str) -> None:
    assert zone.fields("POST", SETS, body("x", type_, value)) == {"records[0].value"}


@pytest.mark.parametrize("name", ["WWW", "www.", "www.plaza.example", "a..b", "a b", "", "*.*", "ä"])
def test_names_that_no_set_can_have(zone: Any, name: str) -> None:
    assert zone.fields("POST", SETS, body(name, "A", "198.51.100.1")) == {"name"}


@pytest.mark.parametrize("name", ["@", "*", "*.dev", "_dmarc", "a.b.c", "xn--4bi"])
def test_names_that_sets_can_have(zone: Any, name: str) -> None:
    zone.done(SETS, body(name, "TXT", '"x"'))


def test_a_cname_stands_alone(zone: Any) -> None:
    zone.done(SETS, body("www", "A", "198.51.100.1"))
    assert zone.refused("POST", SETS, body("www", "A", "198.51.100.2")) == (409, "uniqueness_error")
    assert zone.fields("POST", SETS, body("www", "CNAME", "plaza.example.")) == {"name"}
    assert zone.fields("POST", SETS, body("@", "CNAME", "other.example.")) == {"name"}
    assert zone.fields("POST", SETS, body("two", "CNAME", "a.example.", "b.example.")) == {"records"}
    zone.done(SETS, body("alias", "CNAME", "plaza.example."))
    assert zone.fields("POST", SETS, body("alias", "TXT", '"x"')) == {"name"}
    add = f"{SETS}/alias/TXT/actions/add_records"
    assert zone.fields("POST", add, {"records": [{"value": '"x"'}]}) == {"name"}


def test_records_are_added_and_removed_one_by_one(zone: Any) -> None:
    add, remove = f"{SETS}/www/A/actions/add_records", f"{SETS}/www/A/actions/remove_records"
    zone.done(add, {"records": [{"value": "198.51.100.1"}], "ttl": 300})
    zone.done(add, {"records": [{"value": "198.51.100.2"}], "ttl": 300})
    assert zone.fields("POST", add, {"records": [{"value": "198.51.100.3"}], "ttl": 600}) == {"ttl"}
    assert zone.fields("POST", add, {"records": [{"value": "198.51.100.1"}]}) == {"records"}
    assert zone.fields("POST", remove, {"records": [{"value": "198.51.100.9"}]}) == {"records"}
    zone.done(remove, {"records": [{"value": "198.51.100.1"}]})
    zone.done(remove, {"records": [{"value": "198.51.100.2"}]})
    assert zone.refused("GET", f"{SETS}/www/A") == (404, "not_found")


def test_limits_of_a_set(zone: Any) -> None:
    assert zone.fields("POST", SETS, body("www", "A")) == {"records"}
    assert zone.fields("POST", SETS, body("www", "A", "198.51.100.1", "198.51.100.1")) == {"records"}
    many = [f"198.51.100.{number}" for number in range(51)]
    assert zone.fields("POST", SETS, body("www", "A", *many)) == {"records"}
    assert zone.fields("POST", SETS, body("www", "A", "198.51.100.1", ttl=59)) == {"ttl"}
    assert zone.fields("POST", SETS, body("www", "SPF", '"x"')) == {"type"}
    assert zone.fields("DELETE", f"{SETS}/@/SOA", None) == {"type"}


def test_a_failed_change_is_undone(zone: Any) -> None:
    zone.done(SETS, body("www", "A", "198.51.100.1"))
    zone.app.behaviour.fail += [{"command": "set_rrset_records"}, {"command": "create_rrset"}]
    path = f"{SETS}/www/A"
    assert zone.failed(f"{path}/actions/set_records", {"records": [{"value": "198.51.100.2"}]}) == "action_failed"
    assert zone.get(path)["rrset"]["records"][0]["value"] == "198.51.100.1"
    assert zone.failed(SETS, body("new", "A", "198.51.100.1")) == "action_failed"
    assert zone.refused("GET", f"{SETS}/new/A") == (404, "not_found")


def test_protection_of_sets_and_zones(zone: Any) -> None:
    zone.done(SETS, body("www", "A", "198.51.100.1"))
    path = f"{SETS}/www/A"
    zone.done(f"{path}/actions/change_protection", {"change": True})
    change = {"records": [{"value": "198.51.100.2"}]}
    for action in ("set_records", "add_records", "remove_records"):
        assert zone.refused("POST", f"{path}/actions/{action}", change) == (423, "protected")
    assert zone.refused("POST", f"{path}/actions/change_ttl", {"ttl": 300}) == (423, "protected")
    text = zone.get("/zones/plaza.example/zonefile")["zonefile"]
    imported = zone.refused("POST", "/zones/plaza.example/actions/import_zonefile", {"zonefile": text})
    assert imported == (423, "protected")


def test_a_secondary_zone_has_no_sets_here(api: Any) -> None:
    order = {"name": "second.example", "mode": "secondary"}
    assert api.fields("POST", "/zones", order) == {"primary_nameservers"}
    key = {"address": "192.0.2.1", "tsig_key": "not base64", "tsig_algorithm": "hmac-sha256"}
    assert api.fields("POST", "/zones", {**order, "primary_nameservers": [key]}) == {
        "primary_nameservers[0].tsig_key"
    }
    api.done("/zones", {**order, "primary_nameservers": [{"address": "192.0.2.1"}]})
    path = "/zones/second.example"
    for method, where, sent in (
        ("GET", "/rrsets", None),
        ("POST", "/rrsets", body("www", "A", "198.51.100.1")),
        ("GET", "/zonefile", None),
        ("POST", "/actions/change_ttl", {"ttl": 300}),
    ):
        assert api.refused(method, f"{path}{where}", sent) == (422, "incorrect_zone_mode")
    api.done("/zones", ZONE)
    servers = {"primary_nameservers": [{"address": "192.0.2.1"}]}
    where = "/zones/plaza.example/actions/change_primary_nameservers"
    assert api.refused("POST", where, servers) == (422, "incorrect_zone_mode")


FILE = """$ORIGIN plaza.example.
$TTL 2h
@   IN SOA hydrogen.ns.hetzner.com. dns.hetzner.com. ( 2024010100 86400
        10800 3600000 3600 ) ; over two lines
@   IN 10800 NS hydrogen.ns.hetzner.com. ; first
    IN 10800 NS oxygen.ns.hetzner.com.
    10800 IN NS helium.ns.hetzner.de.
; a line of its own
www 300 A 198.51.100.1
WWW 300 A 198.51.100.2
mail.plaza.example. IN MX 10 mx
note TXT "a; b" "c"
"""


def test_zone_files_are_read_and_written(api: Any) -> None:
    made = api.done("/zones", {**ZONE, "zonefile": FILE})["zone"]
    assert made["ttl"] == 7200
    sets = {row["id"]: row for row in api.get(SETS)["rrsets"]}
    assert [row["value"] for row in sets["www/A"]["records"]] == ["198.51.100.1", "198.51.100.2"]
    assert (sets["www/A"]["ttl"], sets["note/TXT"]["ttl"]) == (300, None)
    assert sets["@/NS"]["records"][0]["comment"] == "first"
    assert sets["mail/MX"]["records"][0]["value"] == "10 mx.plaza.example."
    assert sets["note/TXT"]["records"][0]["value"] == '"a; b" "c"'
    text = api.get("/zones/plaza.example/zonefile")["zonefile"]
    api.done("/zones/plaza.example/rrsets/www/A", None, "DELETE")
    api.post("/zones/plaza.example/actions/import_zonefile", {"zonefile": text})
    assert api.refused("POST", SETS, body("x", "A", "198.51.100.1")) == (423, "locked")
    api.settle()
    after = {row["id"]: row["records"] for row in api.get(SETS)["rrsets"] if row["type"] != "SOA"}
    assert after == {key: row["records"] for key, row in sets.items() if row["type"] != "SOA"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("$ORIGIN plaza.example.", "$ORIGIN other.example."),
        ("$TTL 2h", "$INCLUDE other"),
        ("IN SOA", "CH SOA"),
        ("@   IN 10800 NS hydrogen.ns.hetzner.com. ; first\n", ""),
        ("www 300 A 198.51.100.1", "www 300 A nonsense"),
        ("WWW 300 A", "www 600 A"),
        (" 3600 ) ;", " 3600 ;"),
        ("www 300 A 198.51.100.1", "www 300 CNAME plaza.example."),
        ("mail.plaza.example. IN", "mail.other.example. IN"),
        ("note TXT", "note"),
    ],
)
def test_zone_files_that_are_refused(api: Any, old: str, new: str) -> None:
    assert old in FILE
    assert api.fields("POST", "/zones", {**ZONE, "zonefile": FILE.replace(old, new)}) == {"zonefile"}
    assert api.get("/zones")["zones"] == []
