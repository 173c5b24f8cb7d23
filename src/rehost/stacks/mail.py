"""Mail to records of the stack's zones, beside those that are there already. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from rehost.stacks.model import Mail, MailDomain, Record, Stack

_OTHERS = {"neutral": "?all", "softfail": "~all", "fail": "-all"}
_SCHEMES = {"starttls": "smtp", "implicit": "smtps", "none": "smtp"}
RELAY = ("url", "host", "port", "user", "password", "tls")
"""What may be asked of the relay: `${mail.host}`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A record that mail needs, and where in the stack that is said."""

    zone: str
    name: str
    type: str
    values: tuple[str, ...]
    domain: str
    key: str


def records(stack: Stack) -> Iterator[Wanted]:
    """The records of all domains that are in a zone of the stack."""
    for domain, about in (stack.mail.domains if stack.mail else {}).items():
        zone = stack.zone_of(domain)
        if zone is not None:
            yield from _of_domain(zone, domain, about)


def _of_domain(zone: str, domain: str, about: MailDomain) -> Iterator[Wanted]:
    own = "@" if domain == zone else domain.removesuffix("." + zone)

    def below(name: str) -> str:
        return name if own == "@" else f"{name}.{own}"

    if about.spf:
        yield Wanted(zone, own, "TXT", (spf(about),), domain, "spf")
    for key in about.dkim:
        name = below(f"{key.selector}._domainkey")
        if key.cname is not None:
            yield Wanted(zone, name, "CNAME", (key.cname,), domain, "dkim")
            continue
        given = key.key or public_half(key.public_key or "")[1]
        kind = "rsa" if key.key else public_half(key.public_key or "")[0]
        yield Wanted(zone, name, "TXT", (f"v=DKIM1; k={kind}; p={given}",), domain, "dkim")
    if about.dmarc is not None:
        yield Wanted(zone, below("_dmarc"), "TXT", (dmarc(about),), domain, "dmarc")
    if about.mx:
        yield Wanted(zone, own, "MX", about.mx, domain, "mx")


def spf(about: MailDomain) -> str:
    """The SPF record."""
    return " ".join(("v=spf1", *about.spf, _OTHERS[about.others]))


def dmarc(about: MailDomain) -> str:
    """The DMARC record."""
    assert about.dmarc is not None
    given = about.dmarc
    tags = ["v=DMARC1", f"p={given.policy}"]
    tags += [f"sp={given.subdomains}"] if given.subdomains else []
    tags += [f"pct={given.percent}"] if given.percent != 100 else []
    tags += ["adkim=s", "aspf=s"] if given.strict else []
    for name, addresses in (("rua", given.reports), ("ruf", given.failures)):
        tags += [f"{name}={','.join(f'mailto:{address}' for address in addresses)}"] if addresses else []
    return "; ".join(tags)


def public_half(text: str) -> tuple[str, str]:
    """Kind and base64 of a public key that was given as base64 or as PEM: 32 bytes are Ed25519's."""
    lines = [line for line in text.split() if not line.startswith("-") and line not in ("PUBLIC", "KEY-----")]
    body = "".join(lines)
    return ("ed25519" if len(body) == 44 else "rsa"), body


def zones(stack: Stack) -> dict[str, tuple[Record, ...]]:
    """The zones with what mail needs: a text of a name that has others joins them."""
    made: dict[str, list[Record]] = {zone: list(given) for zone, given in stack.dns.items()}
    for wanted in records(stack):
        known = made[wanted.zone]
        at = next((n for n, r in enumerate(known) if (r.name, r.type) == (wanted.name, wanted.type)), None)
        if at is None:
            key = wanted.type.lower()
            values: Any = wanted.values[0] if wanted.type == "CNAME" else wanted.values
            known.append(Record.model_validate({"name": wanted.name, key: values}))
        elif wanted.type == "TXT":
            known[at] = known[at].model_copy(update={"txt": (*(known[at].txt or ()), *wanted.values)})
    return {zone: tuple(given) for zone, given in made.items()}


def texts(mail: Mail | None) -> Mapping[str, str]:
    """What references to the relay stand for."""
    relay = mail.relay if mail else None
    if relay is None:
        return {}
    password = relay.password or ""
    door = f"{quote(relay.user, safe='')}:{quoted(password)}@" if password else ""
    return {
        "mail.url": f"{_SCHEMES[relay.tls]}://{door}{relay.host}:{relay.port}",
        "mail.host": relay.host,
        "mail.port": str(relay.port),
        "mail.user": relay.user.replace("$", "$$"),
        "mail.password": password,
        "mail.tls": relay.tls,
    }


def quoted(reference: str) -> str:
    """A reference to a secret (`${secrets.smtp}`), as it stands in a URL."""
    return reference.removesuffix("}").removesuffix(".value") + ".quoted}" if reference else ""
