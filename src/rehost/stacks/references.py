"""`${...}` in texts: what may be referred to where, and what would wait for itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rehost.stacks.diagnostics import Diagnostic, PathKey, did_you_mean
from rehost.stacks.load import Loaded
from rehost.stacks.load.environment import ENV
from rehost.stacks.load.tree import Placed
from rehost.stacks.lower import REFERENCE
from rehost.stacks.mail import RELAY
from rehost.stacks.model import Stack
from rehost.stacks.rolechecks import check_role

ATTRIBUTES = {
    "servers": ("private_ip", "public_ip", "private_ips", "public_ips"),
    "load_balancers": ("host",),
    "static_addresses": ("ip",),
    "buckets": ("name", "url", "endpoint", "direct_url"),
    "certificates": ("chain", "key"),
    "databases": ("url", "host", "port", "name", "user", "password"),
    "caches": ("url", "host", "port", "password"),
    "volumes": ("device",),
    "secrets": ("", "value", "quoted", "public_key"),
    "dns": ("name_servers",),
}
"""What `${...}` may ask of each family of components."""

WORDS = ("stack", "target", "target.name", "target.region", "network.cidr")
_OPEN = re.compile(r"\$\$|\$\{[^{}]*\}|(\$\{)")
_VALUES = ("a", "aaaa", "cname", "mx", "txt", "caa", "srv", "ns")


def references(text: str) -> list[str]:
    """The addresses that a text refers to."""
    return [match[1].strip() for match in REFERENCE.finditer(text) if match[0] != "$$"]


def accepts(path: PathKey) -> bool:
    """Whether a text at this path of a stack may refer to components."""
    match path:
        case ("checks", int(), "http") | ("mail", "relay", "password"):
            return True
        case ("mail", "domains", _, "dkim", *_, "key"):
            return True
        case ("servers", _, "user_data"):
            return True
        case ("dns", _, int(), str(key), *_):
            return key in _VALUES
        case ("databases", _, "password") | ("databases", _, "roles", _, "password"):
            return True
        case ("acme", "external_account", "hmac_key"):
            return True
        case ("certificates", _, "certificate" | "private_key") | ("services", _, "environment", _):
            return True
    return False


def _native(path: PathKey) -> bool:
    """Native properties go to the provider as they are."""
    return "override" in path or path[:1] == ("targets",) or any(str(step).startswith("x-") for step in path)


def check_texts(stack: Stack, loaded: Loaded) -> Iterator[Diagnostic]:
    """Findings about the references in all texts of the files, those of invalid components included.

    Their paths lead into the files, not into the partial stack.
    """
    if loaded.tree is not None:
        for path, text in _texts(loaded.tree, ()):
            for address in references(text) if "$" in text else ():
                if ENV.fullmatch(f"${{{address}}}"):
                    continue
                if not accepts(path):
                    fix = "write the value itself; ${env.NAME} works everywhere"
                    why = "references work in user_data, in variables of services, in values of records and checks"
                    summary = f"${{{address}}}: {path[-1] if path else ''} can't refer to components"
                    yield Diagnostic("reference", summary, why, fix, path)
                else:
                    yield from _reference(stack, loaded, address, path)
            if any(match[1] for match in _OPEN.finditer(text)):
                why, fix = "${ opens a reference", "close it with }, or write $$ for a dollar sign"
                yield Diagnostic("reference", "a reference is not closed: ${ without }", why, fix, path)


def _texts(tree: Placed, path: PathKey) -> Iterator[tuple[PathKey, str]]:
    if _native(path):
        return
    if isinstance(tree.value, dict):
        for key, item in tree.value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(tree.value, list):
        for number, item in enumerate(tree.value):
            yield from _texts(item, (*path, number))
    elif isinstance(tree.value, str):
        yield path, tree.value


def _reference(stack: Stack, loaded: Loaded, address: str, path: PathKey) -> Iterator[Diagnostic]:
    if address in WORDS:
        if address == "network.cidr" and "network" not in (loaded.tree.value if loaded.tree else {}):
            fix = "add `network:` to the stack"
            yield Diagnostic("reference", "the stack names no network", "${network.cidr} is its range", fix, path)
        return
    family, _, rest = address.partition(".")
    if family == "env":
        why, fix = "names of variables have letters, digits and _", "write ${env.NAME} or ${env.NAME:-default}"
        yield Diagnostic("reference", f"${{{address}}} names no environment variable", why, fix, path)
        return
    if family == "mail":
        yield from _relay(stack, loaded, rest, path)
        return
    if family not in ATTRIBUTES:
        fix = did_you_mean(address if "." not in address else family, [*ATTRIBUTES, "mail", *WORDS])
        why = "references start with a family of components: ${servers.app.private_ip}"
        yield Diagnostic("reference", f"${{{address}}} refers to nothing", why, fix, path)
        return
    split = rest.rpartition(".") if family == "dns" else rest.partition(".")
    name, attribute = split[0], split[2]
    present = loaded.declared(family)
    known = name in present or (family == "servers" and bool(stack.server_named(name)))
    attributes = ATTRIBUTES[family]
    if not known:
        why = f"the stack has {', '.join(present)}" if present else f"the stack has no {family} at all"
        summary = f"there is no {name!r} under {family}" if name else f"${{{address}}} names none of the {family}"
        fix = did_you_mean(name, present) or f"add it under `{family}:`, or take the reference out"
        yield Diagnostic("reference", summary, why, fix, path)
    elif family == "databases" and attribute.startswith("roles."):
        if ("databases", name, "roles") not in loaded.left_out:
            yield from check_role(stack, name, attribute.removeprefix("roles."), path)
    elif attribute in attributes:
        yield from _nothing_there(stack, loaded, family, name, attribute, path)
    else:
        said = (
            f"{family} have no {attribute!r}"
            if attribute
            else f"${{{address}}} doesn't say what of {name} is meant"
        )
        why = f"what can be referred to is {', '.join(a for a in attributes if a)}"
        yield Diagnostic("reference", said, why, did_you_mean(attribute, attributes), path)


def _relay(stack: Stack, loaded: Loaded, attribute: str, path: PathKey) -> Iterator[Diagnostic]:
    relay = stack.mail.relay if stack.mail else None
    if attribute not in RELAY:
        why = f"what can be referred to is {', '.join(RELAY)}"
        yield Diagnostic("reference", f"mail has no {attribute!r}", why, did_you_mean(attribute, RELAY), path)
    elif relay is None:
        if not any(left[:1] == ("mail",) for left in loaded.left_out):
            yield Diagnostic("reference", "mail has no relay", "it is the relay's", "add it under `mail:`", path)
    elif attribute in ("user", "password") and not relay.user:
        why = "services don't log in at the relay"
        yield Diagnostic("reference", f"the relay has no {attribute}", why, "add it under `mail.relay`", path)


def _nothing_there(
    stack: Stack, loaded: Loaded, family: str, name: str, attribute: str, path: PathKey
) -> Iterator[Diagnostic]:
    """Findings about what exists but has no such value: groups without servers, servers without addresses."""
    if family == "certificates":
        yield from _kept_away(stack, name, path)
    on = name
    if family == "volumes":
        on = stack.volumes[name].on if name in stack.volumes else ""
    group = on if on in stack.servers else on.rpartition("-")[0]
    server = stack.servers.get(group) if family in ("servers", "volumes") else None
    if server is None:
        return
    whole = f"${{{family}.{name}.{attribute}}}"
    if server.count == 0:
        fix = f"raise servers.{group}.count, or take the reference out"
        yield Diagnostic("reference", f"{whole} is nothing", f"servers.{group} has no servers", fix, path)
    elif (
        attribute.startswith("public")
        and not server.public
        and ("servers", group, "public") not in loaded.left_out
    ):
        why, fix = f"servers.{group} has no public addresses", f"set public: true in servers.{group}"
        yield Diagnostic("private", f"{whole} is nothing", why, fix, path)


def _kept_away(stack: Stack, name: str, path: PathKey) -> Iterator[Diagnostic]:
    """Findings about certificates whose key only their target has."""
    certificate = stack.certificates.get(name)
    if certificate is not None and certificate.issuer == "managed":
        why = "the target has it issued, and gives its key to nobody"
        fix = f"write issuer: acme, or upload, in certificates.{name}"
        yield Diagnostic("reference", f"{name} is a managed certificate", why, fix, path)


_MADE_FIRST = "user_data is used when a server is made, so what it refers to is made first"
_FIRST = {
    "servers": ("user_data", _MADE_FIRST),
    "volumes": ("on", _MADE_FIRST),
    "services": ("depends_on", "a service is started after those that it depends on"),
}
"""By family: the key that says what has to be there first, and why that is so."""


def check_cycles(stack: Stack) -> Iterator[Diagnostic]:
    """Findings about components that can't be made because each needs the other first; one for each ring."""
    needs = _needs(stack)
    told: set[str] = set()
    for name in needs:
        ring = _ring(needs, name)
        if ring and not told & set(ring):
            told |= set(ring)
            yield Diagnostic(
                "cycle",
                f"{name} needs itself: {' → '.join([*ring, ring[0]])}",
                _FIRST[name.split(".")[0]][1],
                "take one of the references out",
                (*name.split(".", 1), _FIRST[name.split(".")[0]][0]),
            )


def _needs(stack: Stack) -> dict[str, list[str]]:
    """For each component what has to be there before it."""
    needs: dict[str, list[str]] = {}
    gateway = (stack.way_out() or "").rpartition("-")[0]
    for name, server in stack.servers.items():
        needs[f"servers.{name}"] = [f"servers.{gateway}"] if gateway and not server.public else []
        for address in references(server.user_data):
            family, _, rest = address.partition(".")
            one = rest.partition(".")[0]
            if family == "servers":
                group = one if one in stack.servers else one.rpartition("-")[0]
                if group in stack.servers:
                    needs[f"servers.{name}"].append(f"servers.{group}")
            elif family == "volumes" and one in stack.volumes:
                needs[f"servers.{name}"].append(f"volumes.{one}")
    for name, service in stack.services.items():
        needs[f"services.{name}"] = [
            f"services.{o}" for o in service.depends_on if o in stack.services and o != name
        ]
    for name, volume in stack.volumes.items():
        group = volume.on if volume.on in stack.servers else volume.on.rpartition("-")[0]
        needs[f"volumes.{name}"] = [f"servers.{group}"] if group in stack.servers else []
    return needs


def _ring(needs: dict[str, list[str]], start: str) -> list[str]:
    """The shortest way from a component back to itself, empty if there is none."""
    before: dict[str, str] = {}
    pending = [start]
    while pending:
        here = pending.pop(0)
        for other in needs.get(here, ()):
            if other == start:
                ring = [here]
                while ring[-1] != start:
                    ring.append(before[ring[-1]])
                return ring[::-1]
            if other not in before:
                before[other] = here
                pending.append(other)
    return []
