"""Certificates: uploaded ones are read as they are; managed ones are issued after a while by a stand-in authority,
for names in the project's own zones."""

from __future__ import annotations

import re
from typing import Any

from rehost.providers.sandbox.hcloud_api import labels, pem
from rehost.providers.sandbox.hcloud_api.errors import Record, invalid, refused
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind
from rehost.providers.sandbox.hcloud_api.store import Project, effect, public
from rehost.providers.sandbox.hcloud_api.zones import delegation, enclosing

_AUTHORITY = "letsencrypt.org"
_DOMAIN = re.compile(r"^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
_MOST_DOMAINS = 100
_MESSAGES = {
    "dns_zone_not_found": "DNS zone not found",
    "dns_zone_is_secondary_zone": "DNS zone is a secondary zone",
    "could_not_verify_domain_delegated_to_zone": "Could not verify domain delegated to zone",
    "caa_record_does_not_allow_ca": "CAA record does not allow certificate authority",
}


def _users(project: Project, id: int) -> list[Record]:
    return [
        {"id": balancer["id"], "type": "load_balancer"}
        for balancer in project.all("load_balancers").values()
        if any(id in (row.get("http") or {}).get("certificates", ()) for row in balancer["services"])
    ]


def _view(project: Project, record: Record) -> Record:
    return {**public(record), "used_by": _users(project, record["id"])}


CERTIFICATES = Kind("certificates", "certificate", _view, filters={"type": ("uploaded", "managed")})


def _add(call: Call) -> Answer:
    return _managed(call) if call.body.get("type") == "managed" else _uploaded(call)


def _uploaded(call: Call) -> Answer:
    body = call.body
    if body.get("domain_names"):
        raise invalid("domain_names", "is only for managed certificates")
    for name in ("certificate", "private_key"):
        if not body.get(name):
            raise invalid(name, "is needed for uploaded certificates")
    facts = pem.read(body["certificate"], body["private_key"])
    record: Record = {
        "name": body["name"],
        "type": "uploaded",
        "labels": labels.checked(body.get("labels")),
        "certificate": body["certificate"],
        "_private_key": body["private_key"],
        "status": None,
        **facts,
    }
    made = call.project.add("certificates", record)
    return 201, {"certificate": _view(call.project, made), "action": None}


def _managed(call: Call) -> Answer:
    project, body = call.project, call.body
    domains = list(dict.fromkeys(body.get("domain_names") or []))
    if not domains:
        raise invalid("domain_names", "is needed for managed certificates")
    if len(domains) > _MOST_DOMAINS:
        raise invalid("domain_names", f"must be at most {_MOST_DOMAINS}")
    for domain in domains:
        if not _DOMAIN.match(domain):
            raise invalid("domain_names", f"'{domain}' is not a valid domain name")
    if body.get("certificate") or body.get("private_key"):
        raise invalid("certificate", "is only for uploaded certificates")
    record: Record = {
        "name": body["name"],
        "type": "managed",
        "labels": labels.checked(body.get("labels")),
        "certificate": None,
        "domain_names": domains,
        "fingerprint": None,
        "not_valid_before": None,
        "not_valid_after": None,
        "status": {"issuance": "pending", "renewal": "unavailable", "error": None},
    }
    made = project.add("certificates", record)
    return 201, {"certificate": _view(project, made), "action": _issue(call, "create_certificate", made["id"])}


def _issue(call: Call, command: str, id: int) -> Record:
    project = call.project
    arguments = {"id": id, "action": project.next_id}
    effects, failed = [("issue", arguments)], [("issuance_failed", arguments)]
    action = project.act(command, [("certificate", id)], effects, failed=failed, locks=[("certificates", id)])
    return project.shown(action)


def _obstacle(project: Project, domain: str) -> str | None:
    name = domain.removeprefix("*.")
    zone = enclosing(project, name)
    if zone is None:
        return "dns_zone_not_found"
    if zone["mode"] == "secondary":
        return "dns_zone_is_secondary_zone"
    if delegation(project, zone["name"]) not in ("unknown", "valid"):
        return "could_not_verify_domain_delegated_to_zone"
    owner = name.removesuffix(zone["name"]).rstrip(".") or "@"
    while True:
        found = zone["_sets"].get(f"{owner}/CAA")
        if found is not None:
            return None if _allows(found, wild=domain.startswith("*.")) else "caa_record_does_not_allow_ca"
        if owner == "@":
            return None
        owner = owner.partition(".")[2] or "@"


def _allows(rrset: Record, wild: bool) -> bool:
    rules: dict[str, list[str]] = {"issue": [], "issuewild": []}
    for record in rrset["records"]:
        _, tag, value = record["value"].split(" ", 2)
        rules.setdefault(tag.lower(), []).append(value.strip('"').split(";")[0].strip())
    asked = rules["issuewild"] if wild and rules["issuewild"] else rules["issue"]
    return not asked or _AUTHORITY in asked


@effect
def issue(project: Project, id: int, action: int) -> None:
    """A managed certificate is issued, or not, as the zones of the project allow."""
    record = project.find("certificates", id)
    if record is None:
        return
    code = next((code for domain in record["domain_names"] if (code := _obstacle(project, domain))), None)
    if code is None:
        text, facts = pem.issue(record["domain_names"], project.clock())
        record.update(
            certificate=text, status={"issuance": "completed", "renewal": "scheduled", "error": None}, **facts
        )
        return
    project.fail(project.actions[action], code, _MESSAGES[code])
    issuance_failed(project, id, action)


@effect
def issuance_failed(project: Project, id: int, action: int) -> None:
    """A managed certificate was not issued, for the reason that its action has."""
    record = project.find("certificates", id)
    if record is not None:
        error = project.actions[action]["error"]
        record["status"] = {"issuance": "failed", "renewal": "unavailable", "error": error}


def _retry(call: Call, id: int) -> Answer:
    record: dict[str, Any] = call.project.get("certificates", id)
    call.project.free("certificates", id)
    status = record["status"] or {}
    if record["type"] != "managed" or "failed" not in (status.get("issuance"), status.get("renewal")):
        raise refused("unsupported_error", "only managed certificates whose issuance failed can be retried")
    record["status"] = {"issuance": "pending", "renewal": "unavailable", "error": None}
    return 201, {"action": _issue(call, "issue_certificate", id)}


def _delete(call: Call, id: int) -> Answer:
    call.project.get("certificates", id)
    call.project.free("certificates", id)
    if _users(call.project, id):
        raise refused("resource_in_use", "certificate is still used by a load balancer")
    call.project.remove("certificates", id)
    return 204, {}


ROUTES = (
    *CERTIFICATES.reads(),
    ("POST", "/certificates", _add),
    ("PUT", "/certificates/<int:id>", CERTIFICATES.change),
    ("DELETE", "/certificates/<int:id>", _delete),
    ("POST", "/certificates/<int:id>/actions/retry", _retry),
)
