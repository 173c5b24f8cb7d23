"""Record sets: what a zone can't hold together, values of no use to their type, deletes of what is not there.

Sources: Route 53 developer guide, "DNS record types"; API reference, ChangeResourceRecordSets.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from xml.etree import ElementTree

from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request, before

_NS = "{https://route53.amazonaws.com/doc/2013-04-01/}"
_HOST = re.compile(r"(?=.{1,255}$)([\w*-]{1,63}\.)*[\w-]{1,63}\.?")
_STRINGS = re.compile(r'"(?:[^"\\]|\\.){0,255}"(?:\s+"(?:[^"\\]|\\.){0,255}")*')

Key = tuple[str, str, str]
"""Name, type and set identifier."""


def _name(text: str) -> str:
    # Route 53 writes a leading asterisk as an escape.
    return text.lower().rstrip(".").replace("\\052", "*") + "."


def _address(value: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(value).version == version
    except ValueError:
        return False


def _fits(type_: str, value: str) -> bool:
    words = value.split()
    match type_:
        case "A" | "AAAA":
            return _address(value, 4 if type_ == "A" else 6)
        case "CNAME" | "NS" | "PTR":
            return bool(_HOST.fullmatch(value))
        case "MX" | "SRV" if words and words[-1] == ".":
            return all(word.isdigit() for word in words[:-1])
        case "MX":
            return (
                len(words) == 2
                and words[0].isdigit()
                and int(words[0]) < 65536
                and bool(_HOST.fullmatch(words[1]))
            )
        case "SRV":
            return len(words) == 4 and all(w.isdigit() for w in words[:3]) and bool(_HOST.fullmatch(words[3]))
        case "TXT" | "SPF":
            return bool(_STRINGS.fullmatch(value)) and len(value) <= 4000
        case "CAA":
            return bool(re.fullmatch(r'\d{1,3} [a-zA-Z0-9]+ "[^"]*"', value))
    return True


def _text(element: ElementTree.Element, name: str) -> str:
    found = element.find(f"{_NS}{name}")
    return (found.text or "") if found is not None else ""


def _zone(request: Request) -> Any:
    match = re.search(r"/hostedzone/([^/?]+)", request.environ.get("PATH_INFO", ""))
    return request.backend().zones.get(match[1]) if match else None


@before("route53:ChangeResourceRecordSets")
def _change(request: Request) -> None:
    zone = _zone(request)
    if zone is None:
        return
    try:
        root = ElementTree.fromstring(request.body)
    except ElementTree.ParseError as error:
        raise Refusal("MalformedXML", str(error)) from error
    now: dict[Key, list[str] | None] = {
        (_name(r.name), r.type, r.set_identifier or ""): None if r.alias_target else list(r.records or [])
        for r in zone.rrsets
    }
    problems: list[str] = []
    for change in root.iter(f"{_NS}Change"):
        row = change.find(f"{_NS}ResourceRecordSet")
        if row is not None:
            _apply(now, _text(change, "Action"), row, _name(zone.name), problems)
    problems += _astray(root, now, zone)
    for name in {name for name, type_, _ in now if type_ == "CNAME"}:
        if any(other == name and type_ != "CNAME" for other, type_, _ in now):
            problems.append(
                f"RRSet of type CNAME with DNS name {name} is not permitted as it conflicts with other records "
                f"with the same DNS name in zone {_name(zone.name)}"
            )
    if problems:
        raise Refusal("InvalidChangeBatch", f"[{', '.join(problems)}]")


def _astray(root: ElementTree.Element, now: dict[Key, list[str] | None], zone: Any) -> list[str]:
    """What is wrong with aliases to records of the same zone that are not there."""
    found = []
    there = {(name, type_) for name, type_, _ in now}
    for change in root.iter(f"{_NS}Change"):
        row, target = change.find(f"{_NS}ResourceRecordSet"), change.find(f".//{_NS}AliasTarget")
        if row is None or target is None or _text(change, "Action") == "DELETE":
            continue
        to, type_ = _name(_text(target, "DNSName")), _text(row, "Type")
        if _text(target, "HostedZoneId") == zone.id.rpartition("/")[2] and (to, type_) not in there:
            found.append(
                f"Tried to create an alias that targets {to}, type {type_} in zone {zone.id}, but that target was "
                "not found"
            )
    return found


def _apply(
    now: dict[Key, list[str] | None], action: str, row: ElementTree.Element, zone: str, problems: list[str]
) -> None:
    """Carry out one change on the table of what is there."""
    name, type_, one = _name(_text(row, "Name")), _text(row, "Type"), _text(row, "SetIdentifier")
    key, shown = (name, type_, one), f"[name='{name}', type='{type_}']"
    alias = row.find(f"{_NS}AliasTarget") is not None
    values = [value.text or "" for value in row.iter(f"{_NS}Value")]
    if name != zone and not name.endswith(f".{zone}"):
        problems.append(f"RRSet with DNS name {name} is not permitted in zone {zone}")
    elif action == "DELETE":
        if key not in now:
            problems.append(f"Tried to delete resource record set {shown} but it was not found")
        elif not alias and sorted(now[key] or []) != sorted(values):
            problems.append(
                f"Tried to delete resource record set {shown} but the values provided do not match "
                "the current values"
            )
        elif name == zone and type_ in ("NS", "SOA"):
            problems.append(f"A HostedZone must contain at least one {type_} record for the zone itself.")
        else:
            del now[key]
    else:
        if action == "CREATE" and key in now:
            problems.append(f"Tried to create resource record set {shown} but it already exists")
        if not alias:
            _values(type_, values, _text(row, "TTL"), shown, problems)
        if type_ == "CNAME" and name == zone:
            problems.append(f"RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {zone}")
        now[key] = None if alias else values


def _values(type_: str, values: list[str], ttl: str, shown: str, problems: list[str]) -> None:
    if not values or not ttl.isdigit() or int(ttl) > 2147483647:
        problems.append(f"Expected TTL and values for {shown}")
    if type_ == "CNAME" and len(values) > 1:
        problems.append(f"Invalid Resource Record: {shown} a CNAME takes one value")
    if len(values) != len(set(values)):
        problems.append(f"Duplicate Resource Record: {shown}")
    problems += [
        f"Invalid Resource Record: {value!r} is no {type_} value" for value in values if not _fits(type_, value)
    ]


@before("route53:CreateHostedZone")
def _create(request: Request) -> None:
    root = ElementTree.fromstring(request.body)
    name = _text(root, "Name").rstrip(".")
    if len(name) > 255 or any(not 1 <= len(label) <= 63 for label in name.split(".")):
        raise Refusal("InvalidDomainName", f"{name} is not a valid domain name")
    reference = _text(root, "CallerReference")
    if any(zone.caller_reference == reference for zone in request.backend().zones.values()):
        raise Refusal(
            "HostedZoneAlreadyExists",
            f"A hosted zone has already been created with the reference {reference}",
            409,
        )
