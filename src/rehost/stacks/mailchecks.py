"""Mail: what its form can't tell. Sources: RFC 7208 (SPF), 6376 and 8301 (DKIM), 7489 (DMARC)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from ipaddress import ip_network

from rehost.stacks.diagnostics import Diagnostic, PathKey, Severity
from rehost.stacks.load import Loaded
from rehost.stacks.mail import public_half, records, spf
from rehost.stacks.model import Dkim, MailDomain, Stack
from rehost.stacks.records import check_value

LOOKUPS = 10
"""Look-ups that a receiver makes for one SPF record, at most, those of what it includes among them."""
_DOMAIN = r"[A-Za-z0-9_%{}.+-]+\.[A-Za-z0-9-]+"
_TERM = re.compile(
    rf"^[+?~-]?(include:{_DOMAIN}|exists:{_DOMAIN}|(a|mx)(:{_DOMAIN})?(/\d{{1,2}})?(//\d{{1,3}})?|ptr(:{_DOMAIN})?"
    rf"|ip[46]:\S+)$|^(redirect|exp)={_DOMAIN}$"
)
_ASKS = re.compile(r"^[+?~-]?(include:|exists:|a\b|mx\b|ptr\b)|^redirect=")


def check_mail(stack: Stack, loaded: Loaded) -> Iterator[Diagnostic]:
    """Every finding, with paths into the partial stack."""
    for domain, about in (stack.mail.domains if stack.mail else {}).items():
        path: PathKey = ("mail", "domains", domain)
        if stack.zone_of(domain) is None:
            if not any(domain == zone or domain.endswith("." + zone) for zone in loaded.declared("dns")):
                why, fix = "what mail needs is said in its zone", f"add `{domain}: []` under `dns:`"
                yield Diagnostic("reference", f"no zone of the stack holds {domain}", why, fix, path)
            continue
        yield from _spf(about, path)
        for number, key in enumerate(about.dkim):
            yield from _dkim(key, (*path, "dkim", number))
            if key.key and key.key.removesuffix(".public_key}").removeprefix("${secrets.") in stack.secrets:
                name = key.key.removesuffix(".public_key}").removeprefix("${secrets.")
                if stack.secrets[name].generate is not None:
                    why, fix = "it is random text, and has no public half", f"write secrets.{name}.key: rsa-2048"
                    yield Diagnostic(
                        "mail", f"the secret {name} is no key", why, fix, (*path, "dkim", number, "key")
                    )
        selectors = [key.selector for key in about.dkim]
        for number, selector in enumerate(selectors):
            if selector in selectors[:number]:
                why = "a signature says by it which key is meant"
                at: PathKey = (*path, "dkim", number, "selector")
                yield Diagnostic("repeated", f"two keys have the selector {selector}", why, "rename one", at)
        for number, value in enumerate(about.mx):
            yield from check_value("MX", value, domain, (*path, "mx", number))
    yield from _beside(stack)
    yield from _written(stack)


def _spf(about: MailDomain, path: PathKey) -> Iterator[Diagnostic]:
    for number, term in enumerate(about.spf):
        at: PathKey = (*path, "spf", number)
        if re.match(r"^[+?~-]?all$|^v=", term):
            why = "the record's beginning and its end are written by themselves"
            yield Diagnostic("mail", f"{term} is not for the list", why, "remove it; `others` says the rest", at)
        elif not _TERM.match(term) or not _addresses(term):
            why = "SPF knows include:, a, mx, ip4:, ip6:, exists: and redirect="
            yield Diagnostic("mail", f"{term!r} is no term of SPF", why, "write for example include:spf.host", at)
        elif re.match(r"^[+?~-]?ptr", term):
            why = "receivers are told not to use it: it is slow, and names can be made up"
            yield Diagnostic(
                "mail", "ptr should not be used", why, "name the addresses", at, severity=Severity.WARNING
            )
    if about.spf:
        yield from _lookups(spf(about), (*path, "spf"))


def _addresses(term: str) -> bool:
    family, colon, text = term.lstrip("+?~-").partition(":")
    if not colon or family not in ("ip4", "ip6"):
        return True
    try:
        return ip_network(text, strict=False).version == int(family[2])
    except ValueError:
        return False


def _lookups(record: str, path: PathKey) -> Iterator[Diagnostic]:
    asked = sum(1 for term in record.split() if _ASKS.match(term))
    if asked > LOOKUPS:
        why = f"receivers make {LOOKUPS} look-ups at most, and then take the record for broken"
        fix = "name addresses (ip4:, ip6:) instead of names, or send from domains of their own"
        yield Diagnostic("mail", f"this SPF record takes {asked} look-ups at least", why, fix, path)


def _dkim(key: Dkim, path: PathKey) -> Iterator[Diagnostic]:
    if key.public_key is None:
        return
    at: PathKey = (*path, "public_key")
    kind, text = public_half(key.public_key)
    fix = "write what its owner shows after p=, or the PEM of the public key"
    try:
        body = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        yield Diagnostic("mail", "this is no public key", "a key is base64 of its DER form", fix, at)
        return
    if kind == "ed25519":
        return
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        made = load_der_public_key(body)
    except (TypeError, ValueError):
        yield Diagnostic("mail", "this is no public key", "a key is base64 of its DER form", fix, at)
        return
    bits = made.key_size if isinstance(made, RSAPublicKey) else 0
    if not bits:
        yield Diagnostic("mail", "this key is not RSA's", "DKIM knows RSA and Ed25519", "take one of them", at)
    elif bits < 2048:
        why = "receivers trust no signature of fewer than 1024 bits, and 2048 are advised"
        severity = Severity.ERROR if bits < 1024 else Severity.WARNING
        yield Diagnostic("mail", f"this key has {bits} bits", why, "make a new one", at, severity=severity)


def _beside(stack: Stack) -> Iterator[Diagnostic]:
    """Findings about records of a zone that stand where mail's own go."""
    for wanted in records(stack):
        path: PathKey = ("mail", "domains", wanted.domain, wanted.key)
        for record in stack.dns[wanted.zone]:
            if record.name != wanted.name:
                continue
            texts = record.txt or ()
            tag = {"spf": "v=spf1", "dkim": "v=DKIM1", "dmarc": "v=DMARC1"}.get(wanted.key)
            if wanted.type == record.type == "MX" or (wanted.type == "TXT" and any(_is(t, tag) for t in texts)):
                full = record.full(wanted.zone)
                why = f"dns has one for {full} too, and a name has one"
                yield Diagnostic(
                    "duplicate-record", f"{full} would have two of {wanted.key}", why, "remove one", path
                )
            elif "CNAME" in (wanted.type, record.type):
                why = f"dns has a record of type {record.type} for it, and a CNAME stands alone"
                summary = f"{record.full(wanted.zone)} can't be a CNAME and have other records"
                yield Diagnostic("cname-beside", summary, why, "remove one of them", path)


def _is(text: str, tag: str | None) -> bool:
    return tag is not None and text.strip('"').lower().startswith(tag.lower())


def _written(stack: Stack) -> Iterator[Diagnostic]:
    """Findings about SPF and DMARC that stand among the records as texts."""
    for zone, given in stack.dns.items():
        for number, record in enumerate(given):
            path: PathKey = ("dns", zone, number, "txt")
            senders = [text for text in record.txt or () if _is(text, "v=spf1")]
            if len(senders) > 1:
                why = "receivers take two for none"
                yield Diagnostic("mail", "a name has two SPF records", why, "put them into one", path)
            for text in senders:
                yield from _lookups(text.strip('"'), path)
            for text in record.txt or ():
                if _is(text, "v=DMARC1") and not re.match(r'^"?v=DMARC1\s*;\s*p=(none|quarantine|reject)\b', text):
                    why = "p= comes right after the version: none, quarantine or reject"
                    yield Diagnostic("mail", "this is no DMARC record", why, "write v=DMARC1; p=none; ...", path)
