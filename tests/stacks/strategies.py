"""Random stacks over the whole model, valid for the provider that they are for."""

from __future__ import annotations

import base64
from typing import Any

from clouds import REGIONS
from hypothesis import strategies as st

NAMES = ("a", "app", "app-1", "db", "web-2", "x" * 32)
"""Some of them look like members of a group, or are as long as a name may be."""
ZONES = {
    "aws": ("plaza.example", "b.plaza.example", "xn--bcher-kva.example"),
    "hetzner": ("plaza.example", "plaza.co.uk", "xn--bcher-kva.example"),
}
RECORD_NAMES = ("@", "www", "b", "a.b", "*", "_dmarc", "*.wild")
PORTS = ("22", "80", "443", "8000-8100", "1-65535", "5432")
CIDRS = ("198.51.100.0/24", "203.0.113.7/32", "203.0.113.9", "2001:db8::/32", "2001:0db8:0001::/48", "0.0.0.0/0")
SETUPS: list[dict[str, Any]] = [
    {},
    {"setup": "pip3 install --target lib -r requirements.txt"},
    {"setup": {"run": 'echo "$$HOME $$$$" && make', "timeout": 60}},
    {"setup": {"run": "true", "reads": ["serve.py"]}},
]
"""Of services with a source; the same as a mapping and as a text."""
LABELS = {"role": ("web", "a.b_c-d", ""), "team": ("x", "9" * 63)}


def public_key(number: int) -> str:
    """An ed25519 key in OpenSSH's format; nobody has its private half."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([number]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} key-{number}"


def _some(names: tuple[str, ...], most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), max_size=most, unique=True)


@st.composite
def random_stacks(draw: st.DrawFn, provider: str, groups: int = 3) -> dict[str, Any]:
    """The data of a stack file with one target, named `here`."""
    stack: dict[str, Any] = {
        "stack": "plaza",
        "targets": {"here": {"provider": provider, "region": REGIONS[provider]}},
    }
    if draw(st.booleans()):
        stack["network"] = draw(_networks())
    names = draw(_some(tuple(name for name in NAMES if name != "app-1"), groups))
    firewalls, keys = draw(_some(NAMES, 3)), draw(_some(NAMES, 2))
    secrets, buckets = draw(_some(NAMES, 2)), draw(_some(NAMES, 2))
    numbers = draw(st.lists(st.integers(0, 3), min_size=len(keys), max_size=len(keys), unique=True))
    stack["ssh_keys"] = {name: public_key(number) for name, number in zip(keys, numbers, strict=True)}
    stack["secrets"] = {name: {"generate": 16, "store": draw(st.booleans())} for name in secrets}
    stack["buckets"] = {
        name: {
            "versioning": draw(st.booleans()),
            "encrypted": draw(st.booleans()),
            "owner_enforced": draw(st.booleans()),
            "public_read": draw(st.booleans()),
            "cors": draw(st.sampled_from([[], [{"origins": ["https://plaza.example"], "headers": ["*"]}]])),
            "lifecycle": draw(st.sampled_from([[], [{"prefix": "tmp/", "expire_days": 7}]])),
        }
        for name in buckets
    }
    servers: dict[str, Any] = {}
    for name in names:
        servers[name] = draw(_servers(stack, servers, firewalls, keys))
    stack["servers"] = servers
    _way_out(draw, stack, servers)
    stack["firewalls"] = {name: draw(_firewalls(names)) for name in firewalls}
    members = [f"{name}-{n}" for name, s in servers.items() for n in range(1, s["count"] + 1)]
    stack["volumes"] = {
        name: {
            "size": draw(st.sampled_from(["1GiB", "10GiB", "11GiB", "20GB"])),
            "on": draw(st.sampled_from([*members, *(n for n, s in servers.items() if s["count"])])),
            "filesystem": draw(st.sampled_from(["ext4", "xfs"])),
        }
        for name in (draw(_some(NAMES, 2)) if members else [])
    }
    public = [name for name, s in servers.items() if s["count"] and s["public"]]
    single = [f"{name}-{n}" for name in public for n in range(1, servers[name]["count"] + 1)]
    public += [f"{name}-{servers[name]['count']}" for name in public]
    stack["static_addresses"] = {
        name: {"on": f"servers.{member}"} | ({"reverse": "mail.plaza.example"} if draw(st.booleans()) else {})
        for name, member in zip(("one", "two"), draw(st.permutations(single))[:2], strict=False)
        if draw(st.booleans())
    }
    if draw(st.booleans()):
        stack["static_addresses"]["spare"] = {"reverse": "spare.plaza.example"}
    stack["dns"] = {zone: draw(_records(zone, public, buckets)) for zone in draw(_some(ZONES[provider], 2))}
    stack |= draw(_edge(stack, servers))
    return {key: value for key, value in stack.items() if value}


@st.composite
def _edge(draw: st.DrawFn, stack: dict[str, Any], servers: dict[str, Any]) -> dict[str, Any]:
    """Certificates for names in the stack's zones, and load balancers before server groups."""
    zones = list(stack["dns"])
    certificates: dict[str, Any] = {}
    if zones and draw(st.booleans()):
        names = [zones[0], f"*.{zones[0]}", f"www.{zones[-1]}"]
        domains = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        certificates["site"] = {"domains": domains}
    layout = stack.get("network") or {}
    subnets = layout.get("subnets", {})
    spread = len({subnet["zone"] for subnet in subnets.values()}) if subnets else layout.get("zones", 1)
    groups = [name for name in servers if len(name) < 10]
    balancers: dict[str, Any] = {}
    for name in draw(_some(("edge", "in"), 2)) if groups else []:
        check = draw(
            st.sampled_from([{}, {"path": "/healthz", "status": "200,3??"}, {"port": 9000, "retries": 2}])
        )
        made: dict[str, Any] = {"to": f"servers.{draw(st.sampled_from(groups))}", "health_check": check}
        made["internal"] = draw(st.booleans())
        if spread < 2 or draw(st.booleans()):
            ports = draw(st.lists(st.sampled_from([25, 5432, 6379]), min_size=1, max_size=2, unique=True))
            made["listen"] = [{"port": port} for port in ports]
        else:
            made["listen"] = [{"port": 8080, "protocol": "http", "to_port": draw(st.sampled_from([80, 8080]))}]
            if certificates:
                https = {"port": 443, "protocol": "https", "certificate": "site", "to_port": 8080}
                made["listen"] += [https, *([{"port": 80, "redirect": "https"}] if draw(st.booleans()) else [])]
            made["sticky"] = draw(st.sampled_from([0, 600]))
            made["algorithm"] = draw(st.sampled_from(["round_robin", "least_connections"]))
        balancers[name] = made
    return {"certificates": certificates, "load_balancers": balancers}


@st.composite
def _networks(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        return {"cidr": draw(st.sampled_from(["10.0.0.0/16", "192.168.8.0/24"])), "zones": draw(st.integers(1, 3))}
    names = draw(st.lists(st.sampled_from(["front", "back", "a", "zone-1"]), min_size=1, max_size=3, unique=True))
    blocks = dict(zip(names, draw(st.permutations([0, 16, 32, 48])), strict=False))
    return {
        "cidr": "10.8.0.0/16",
        "subnets": {
            name: {"cidr": f"10.8.{blocks[name]}.0/24", "zone": draw(st.integers(1, 3))} for name in names
        },
    }


def _way_out(draw: st.DrawFn, stack: dict[str, Any], servers: dict[str, Any]) -> None:
    """A way out for private servers, in stacks with a network. Public ones don't share their subnets at Amazon."""
    public = [f"servers.{name}" for name, server in servers.items() if server["public"] and server["count"]]
    leads = any("user_data" in server and "${servers." in server["user_data"] for server in servers.values())
    choices = ["none", "shared", "zonal", *([] if leads else public)]
    if "network" not in stack:
        return
    stack["network"]["way_out"] = draw(st.sampled_from(choices))
    if stack["network"]["way_out"] != "none":
        for server in servers.values():
            server.pop("subnet", None)


@st.composite
def _servers(
    draw: st.DrawFn, stack: dict[str, Any], before: dict[str, Any], firewalls: list[str], keys: list[str]
) -> dict[str, Any]:
    architecture = draw(st.sampled_from(["x86_64", "x86_64", "arm64"]))
    texts = ["# plain\n", "# $${kept} ü €\n"]
    texts += [f"secret=${{secrets.{name}}}\n" for name in stack["secrets"]]
    texts += [f"bucket=${{buckets.{name}.{what}}}\n" for name in stack["buckets"] for what in ("name", "url")]
    for name, server in before.items():
        if server["count"]:
            texts += [f"peer=${{servers.{name}.private_ip}} ${{servers.{name}-1.private_ip}}\n"]
            texts += [f"peers=${{servers.{name}.private_ips}}\n"]
            texts += [f"public=${{servers.{name}.public_ips}}\n"] if server["public"] else []
    server: dict[str, Any] = {
        "count": draw(st.integers(0, 2 if before else 4)),
        "size": {
            "cpu": draw(st.sampled_from([1, 2, 4])),
            "memory": draw(st.sampled_from(["512MiB", "2GiB", "8GiB"])),
            "disk": draw(st.sampled_from(["10GiB", "30GiB"])),
        },
        "architecture": architecture,
        "image": draw(st.sampled_from(["debian-12", "ubuntu-24.04"])),
        "public": draw(st.booleans()),
        "ssh_keys": draw(st.lists(st.sampled_from(keys), max_size=2, unique=True)) if keys else [],
        "firewalls": draw(st.lists(st.sampled_from(firewalls), max_size=3, unique=True)) if firewalls else [],
        "labels": draw(
            st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in LABELS.items()})
        ),
        "placement": draw(st.sampled_from([None, None, "spread"])),
        "reverse": draw(st.sampled_from([None, None, "{server}.plaza.example"])),
        "user_data": "".join(draw(st.lists(st.sampled_from(texts), max_size=3))),
    }
    server = {key: value for key, value in server.items() if value is not None}
    if not server["public"]:
        server.pop("reverse", None)
    subnets = list((stack.get("network") or {}).get("subnets", {}))
    if subnets and draw(st.booleans()):
        server["subnet"] = draw(st.sampled_from(subnets))
    return server


@st.composite
def _firewalls(draw: st.DrawFn, groups: list[str]) -> dict[str, Any]:
    peers = ["anywhere", *CIDRS, *(f"servers.{name}" for name in groups)]

    @st.composite
    def rule(draw: st.DrawFn, key: str) -> dict[str, Any]:
        made: dict[str, Any] = {"protocol": draw(st.sampled_from(["tcp", "udp", "icmp", "any"]))}
        if made["protocol"] in ("tcp", "udp"):
            made["ports"] = draw(st.lists(st.sampled_from(PORTS), max_size=2, unique=True))
        chosen = draw(st.lists(st.sampled_from(peers), min_size=1, max_size=3, unique=True))
        if draw(st.booleans()):
            made[key] = chosen[0] if len(chosen) == 1 else chosen
        if draw(st.booleans()):
            made["description"] = "why it is open"
        return made

    return {
        "ingress": draw(st.lists(rule("from"), max_size=3)),
        "egress": draw(st.lists(rule("to"), max_size=2)),
    }


@st.composite
def _records(draw: st.DrawFn, zone: str, public: list[str], buckets: list[str]) -> list[dict[str, Any]]:
    values: dict[str, st.SearchStrategy[Any]] = {
        "a": st.sampled_from(["192.0.2.1", ["192.0.2.1", "192.0.2.2"]]),
        "aaaa": st.sampled_from(["2001:db8::1", "2001:0db8:0::2"]),
        "mx": st.sampled_from([["10 mail.plaza.example", "20 mx.plaza.example."]]),
        "txt": st.sampled_from(['v=1; say "hello"', "v=spf1 -all", "x" * 300, '"quoted already"', "back\\slash"]),
        "caa": st.sampled_from(['0 issue "letsencrypt.org"']),
        "srv": st.sampled_from(["10 60 5060 sip.plaza.example"]),
        "ns": st.sampled_from([["ns1.plaza.example.", "ns2.plaza.example."]]),
        "cname": st.sampled_from(["plaza.example", "other.example."]),
    }
    if buckets:
        values["txt"] |= st.sampled_from([f"bucket ${{buckets.{buckets[0]}.name}}"])
    records: list[dict[str, Any]] = []
    seen: dict[str, set[str]] = {}
    for name in draw(st.lists(st.sampled_from(RECORD_NAMES), max_size=5)):
        taken = seen.setdefault(name, set())
        kind = draw(st.sampled_from([*values, *(["to"] * 3 if public else [])]))
        type_ = "a" if kind == "to" else kind
        apex = (name == "@" and kind in ("cname", "ns")) or ("*" in name and kind == "ns")
        if type_ in taken or apex or (taken and "cname" in (*taken, type_)):
            continue
        taken.add(type_)
        value = f"servers.{draw(st.sampled_from(public))}" if kind == "to" else draw(values[kind])
        record = {"name": name, kind: value}
        if draw(st.booleans()):
            record["ttl"] = draw(st.sampled_from([60, 300, 86400]))
        records.append(record)
        if kind in ("a", "to") and draw(st.booleans()):
            records.append({**{k: v for k, v in record.items() if k != kind}, "a": "192.0.2.9"})
    return records


NATIVE: dict[str, dict[str, list[dict[str, Any]]]] = {
    "aws": {
        "network": [{"instanceTenancy": "dedicated"}, {"tags": {"cost": "7"}}],
        "firewalls": [{"tags": {"cost": "7"}}],
        "servers": [
            {"monitoring": True, "iamInstanceProfile": "reader"},
            {"rootBlockDevice": {"volumeType": "io2", "iops": 400}},
            {"sourceDestCheck": False, "metadataOptions": {"httpTokens": "optional"}},
        ],
        "volumes": [{"type": "io2", "iops": 200}, {"encrypted": False}],
        "buckets": [{"forceDestroy": True}, {"tags": {"cost": "7", "a.b/c": "d"}}],
        "load_balancers": [{"idleTimeout": 90}],
        "databases": [{"deletionProtection": True, "iops": 3000}],
        "caches": [{"snapshotRetentionLimit": 3}],
        "static_addresses": [{"tags": {"cost": "7"}}],
        "certificates": [{"tags": {"cost": "7"}}],
    },
    "hetzner": {
        "network": [{"labels": {"cost": "7"}}],
        "firewalls": [{"labels": {"cost": "7"}}],
        "servers": [{"name": "other"}, {"image": "rocky-9"}],
        "volumes": [{"labels": {"cost": "7"}}],
        "load_balancers": [{"labels": {"cost": "7"}}],
        "buckets": [{"forceDestroy": True}],
        "static_addresses": [{"autoDelete": True}],
        "certificates": [{"labels": {"cost": "7"}}],
    },
}
"""Native properties that a stack may lay over what rehost writes."""
_ROLES = {
    "maker": {"privileges": "owner", "schemas": ["public", "more"], "settings": {"statement_timeout": "30s"}},
    "group": {"login": False, "privileges": "write", "connection_limit": 3},
}
DATABASES: dict[str, list[str]] = {"postgres": ["16", "16.4", "17"], "mysql": ["8.0"]}


@st.composite
def full_stacks(draw: st.DrawFn, provider: str) -> dict[str, Any]:
    """Random stacks of every family with every option: for lowering, not for deploying."""
    stack = draw(random_stacks(provider))
    groups = {name: server for name, server in stack.get("servers", {}).items() if server["count"]}
    if draw(st.booleans()):
        two_zones = {"cidr": "10.9.0.0/16", "zones": 2}
        named = {server.get("subnet") for server in stack.get("servers", {}).values()} - {None}
        if not named:
            stack["network"] = stack.get("network") or two_zones
    named = {server.get("subnet") for server in stack.get("servers", {}).values()} - {None}
    if "network" in stack and not named and draw(st.booleans()):
        stack["network"]["way_out"] = draw(st.sampled_from(_ways_out(stack)))
    layout = stack.get("network") or {}
    zones = {subnet["zone"] for subnet in layout.get("subnets", {}).values()} or range(layout.get("zones", 1))
    if "network" in stack and (len(zones) > 1 or provider != "aws"):
        stack["databases"] = {name: draw(_databases(stack, provider)) for name in draw(_some(("main", "a"), 2))}
        stack["caches"] = {name: draw(_caches(stack)) for name in draw(_some(("hot",), 1))}
    if stack.get("certificates") and draw(st.booleans()):
        secrets = stack.setdefault("secrets", {})
        secrets |= {"chain": {"from_env": "CHAIN"}, "key": {"from_env": "KEY"}}
        stack["certificates"]["site"] |= {
            "issuer": "upload",
            "certificate": "${secrets.chain}",
            "private_key": "${secrets.key}",
        }
    _public_name(draw, stack)
    if groups:
        stack["services"] = draw(_services(stack, groups))
    for family, choices in NATIVE[provider].items():
        there = stack.get(family) or {}
        for component in [there] if family == "network" and there else there.values():
            if draw(st.integers(0, 3)) == 0 and not _named_twice(family, component):
                component["override"] = {draw(st.sampled_from([provider, "here"])): draw(st.sampled_from(choices))}
    return {key: value for key, value in stack.items() if value}


def _public_name(draw: st.DrawFn, stack: dict[str, Any]) -> None:
    """A name of the stack's own in front of a bucket, and whose certificate it has."""
    site = stack.get("certificates", {}).get("site")
    if site is not None and site.get("issuer") is None and draw(st.booleans()):
        site["issuer"] = "acme"
    buckets = [name for name in stack.get("buckets", {}) if len(name) < 25 and name != "app-1"]
    zones = list(stack.get("dns", {}))
    if buckets and zones and draw(st.booleans()):
        name = draw(st.sampled_from(buckets))
        stack["buckets"][name] |= {"public_read": True, "public_name": f"media.{draw(st.sampled_from(zones))}"}
    if "public_name" in str(stack.get("buckets")) or (site or {}).get("issuer") == "acme":
        key = {"key_id": "kid-1", "hmac_key": "${secrets.eab}"}
        stack["acme"] = {
            "terms_agreed": True,
            **draw(st.sampled_from([{}, {"email": "ops@plaza.example"}, {"external_account": key}])),
        }
        if "external_account" in stack["acme"]:
            stack.setdefault("secrets", {})["eab"] = {"from_env": "EAB"}


def _ways_out(stack: dict[str, Any]) -> list[str]:
    """What the way out of servers without public addresses may be."""
    public = [
        name
        for name, server in stack.get("servers", {}).items()
        # What it is told must not need those that need it.
        if server["public"] and server["count"] and "${servers" not in server["user_data"]
    ]
    there = [f"servers.{name}" for name in public if len(name) < 30]
    return ["shared", "zonal", *[f"{name}-1" for name in there], *there]


def _named_twice(family: str, component: dict[str, Any]) -> bool:
    """Whether the same native name would be given to several."""
    return family == "servers" and component["count"] != 1


@st.composite
def _databases(draw: st.DrawFn, stack: dict[str, Any], provider: str) -> dict[str, Any]:
    engine = draw(st.sampled_from(["postgres", "mysql"] if provider == "aws" else ["postgres"]))
    made: dict[str, Any] = {
        "engine": engine,
        "version": draw(st.sampled_from(DATABASES[engine])),
        "size": {"cpu": 1, "memory": draw(st.sampled_from(["1GiB", "2GiB"]))},
        "storage": draw(st.sampled_from(["20GiB", "70GiB"])),
        "database": draw(st.sampled_from(["app", "plaza"])),
        "owner": draw(st.sampled_from(["app", "plaza"])),
        "high_availability": draw(st.booleans()),
        "backups": draw(st.sampled_from([{}, {"keep_days": 0}, {"keep_days": 3, "at": "23:50"}])),
    }
    if engine == "postgres":
        made["parameters"] = draw(st.sampled_from([{}, {"work_mem": "65536", "log_connections": True}]))
    secrets = [name for name in stack.get("secrets", {}) if "_" not in name]
    if secrets and draw(st.booleans()):
        made["password"] = f"${{secrets.{secrets[0]}}}"
    made["reachable_from"] = draw(_reachable(stack))
    if engine == "postgres" and provider == "aws":
        made["roles"] = draw(st.sampled_from([{}, {"reader": {"privileges": "read"}}, _ROLES]))
    return made


@st.composite
def _reachable(draw: st.DrawFn, stack: dict[str, Any]) -> list[str]:
    names = tuple(stack.get("servers", {}))
    return [f"servers.{name}" for name in draw(_some(names, 2))] if names else []


@st.composite
def _caches(draw: st.DrawFn, stack: dict[str, Any]) -> dict[str, Any]:
    engine = draw(st.sampled_from(["valkey", "redis"]))
    return {
        "engine": engine,
        "version": "8.0" if engine == "valkey" else "7.1",
        "memory": draw(st.sampled_from(["256MiB", "1GiB"])),
        "high_availability": draw(st.booleans()),
        "reachable_from": draw(_reachable(stack)),
    }


@st.composite
def _services(draw: st.DrawFn, stack: dict[str, Any], groups: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    texts = ["plain", "a$$b $$$${c}", ""]
    texts += [f"${{secrets.{name}}}" for name in stack.get("secrets", {})]
    asked = ("name", "url", "direct_url")
    texts += [f"${{buckets.{name}.{what}}}" for name in stack.get("buckets", {}) for what in asked]
    texts += [
        f"${{certificates.{name}.{what}}}"
        for name, about in stack.get("certificates", {}).items()
        for what in ("chain", "key")
        if about.get("issuer")
    ]
    texts += [f"x=${{servers.{name}.private_ips}}" for name in groups]
    texts += [f"${{databases.{n}.{w}}}" for n in stack.get("databases", {}) for w in ("url", "host", "user")]
    texts += [f"at ${{caches.{name}.url}} and ${{stack}}" for name in stack.get("caches", {})]
    texts += [f"${{load_balancers.{name}.host}}" for name in stack.get("load_balancers", {})]
    for name in draw(_some(("web", "web-2", "jobs"), 3)):
        service: dict[str, Any] = {
            "on": draw(st.sampled_from(list(groups))),
            "image": draw(st.sampled_from(["registry.example/plaza:1.4", "plaza@sha256:" + "a" * 64])),
            "command": draw(st.sampled_from([[], ["serve", "--root=/a b"], ["sh", "-c", 'echo "$HOME"']])),
            "environment": {
                key: draw(st.sampled_from(texts)) for key in draw(_some(("MODE", "DATABASE_URL", "AWS_REGION"), 2))
            },
            "volumes": draw(st.sampled_from([[], ["data:/var/lib/app", "/srv/app:/srv:ro"]])),
            "user": draw(st.sampled_from(["", "app"])),
            "restart": draw(st.sampled_from(["always", "on-failure", "unless-stopped"])),
            "stop_grace_period": draw(st.sampled_from([10, 90])),
            "mem_limit": draw(st.sampled_from(["512MiB", "1GB"])),
            "cpus": draw(st.sampled_from([0.5, 2])),
            "pids_limit": 200,
            "buckets": {
                bucket: draw(st.sampled_from(["read", "write", "read-write"]))
                for bucket in (draw(_some(tuple(stack["buckets"]), 2)) if stack.get("buckets") else ())
            },
            "depends_on": draw(st.lists(st.sampled_from(list(made)), max_size=2, unique=True)) if made else [],
        }
        shape = draw(st.sampled_from(["web", "worker", "schedule", "singleton"]))
        if shape == "web":
            service["ports"] = [f"{81 + len(made)}:8080"] if draw(st.booleans()) else [f"{8080 + len(made)}"]
            service["healthcheck"] = draw(st.sampled_from([{"path": "/healthz"}, {"test": "true", "retries": 2}]))
            service["deploy"] = {"update_config": {"order": draw(st.sampled_from(["start-first", "stop-first"]))}}
        if draw(st.booleans()):
            del service["image"]
            service |= {"source": "app", "command": service["command"] or ["python3", "serve.py"]}
            service |= draw(st.sampled_from(SETUPS))
        if shape == "schedule":
            service |= {"schedule": "30 3 * * *", "timezone": draw(st.sampled_from(["UTC", "Europe/Berlin"]))}
            del service["restart"]
        elif shape == "singleton":
            service["singleton"] = True
        made[name] = service
    return made
