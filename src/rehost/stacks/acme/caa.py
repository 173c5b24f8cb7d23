"""Who may issue certificates for a name, as its CAA records say it (RFC 8659, parameters of RFC 8657). Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

METHOD = "dns-01"
_ISSUER_CRITICAL = 128
_KNOWN = frozenset({"issue", "issuewild", "issuemail", "iodef", "contactemail", "contactphone", "issuevmc"})
"""Tags in the registry of CAA properties: what is critical and none of these forbids."""
_VALUE = re.compile(r"^\s*(?P<issuer>[A-Za-z0-9.-]*)\s*(?:;(?P<parameters>.*))?$", re.DOTALL)
_PARAMETER = re.compile(r"^\s*(?P<tag>[A-Za-z0-9]+)\s*=\s*(?P<value>[\x21-\x3a\x3c-\x7e]*)\s*$")


@dataclass(frozen=True)
class Caa:
    """One record, with the name that it was found at."""

    owner: str
    flags: int
    tag: str
    value: str

    def __str__(self) -> str:
        return f'{self.owner} CAA {self.flags} {self.tag} "{self.value}"'


@dataclass(frozen=True)
class Verdict:
    """Whether an authority may issue; `record` and `why` name what forbids it."""

    allowed: bool
    record: Caa | None = None
    why: str = ""


ALLOWED = Verdict(True)


def judge(
    domain: str, records: Iterable[Caa], identities: Collection[str], account: str | None, method: str = METHOD
) -> Verdict:
    """Whether the authority known by one of `identities` may issue for `domain`, given the record set that is the
    nearest when climbing from the name. An authority that tells no identities is not judged by its name.

    `account` is the URL of the account, None where there is none yet: then no record that asks for one fits.
    """
    found = list(records)
    for record in found:
        if record.flags & _ISSUER_CRITICAL and record.tag.lower() not in _KNOWN:
            return Verdict(False, record, f"the property {record.tag!r} is critical, and not understood")
    wild = [record for record in found if record.tag.lower() == "issuewild"] if domain.startswith("*.") else []
    asked = wild or [record for record in found if record.tag.lower() == "issue"]
    if not asked:
        return ALLOWED
    reasons = [(record, _against(record.value, identities, account, method)) for record in asked]
    if any(not reason for _, reason in reasons):
        return ALLOWED
    # A record that names this authority says more of what is wrong than those of others.
    record, reason = next(((r, why) for r, why in reasons if _names(r.value, identities)), reasons[0])
    return Verdict(False, record, reason)


def _names(value: str, identities: Collection[str]) -> bool:
    match = _VALUE.match(value)
    return match is not None and match["issuer"].lower().rstrip(".") in identities


def _against(value: str, identities: Collection[str], account: str | None, method: str) -> str:
    """Why a record does not allow it; empty if it does."""
    match = _VALUE.match(value)
    if match is None or (parameters := _parameters(match["parameters"] or "")) is None:
        return "its value is not well-formed, which allows nobody"
    issuer = match["issuer"].lower().rstrip(".")
    if not issuer:
        return "it allows nobody"
    if identities and issuer not in identities:
        return f"it allows {issuer}, and this authority is {' or '.join(sorted(identities))}"
    accounts = [text for tag, text in parameters if tag == "accounturi"]
    if len(accounts) > 1:
        return "it names two accounts, which allows none"
    if accounts and accounts[0] != account:
        return f"it allows the account {accounts[0]}, and this one is {account or 'not made yet'}"
    for tag, text in parameters:
        if tag == "validationmethods" and method not in [part.strip().lower() for part in text.split(",")]:
            return f"it allows proofs by {text}, and this one is by {method}"
    return ""


def _parameters(text: str) -> list[tuple[str, str]] | None:
    """Tags with values, None where they are not well-formed."""
    found = []
    for part in text.split(";"):
        if not part.strip():
            continue
        match = _PARAMETER.match(part)
        if match is None:
            return None
        found.append((match["tag"].lower(), match["value"]))
    return found
