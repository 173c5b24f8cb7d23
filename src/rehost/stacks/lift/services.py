"""Units back to services, and roles to those of databases: the inverse of `stacks/services.py` and
`stacks/roles.py`, the same for all providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from rehost.stacks.entry import text_of
from rehost.stacks.graph import Join, Value, is_secret, is_unknown
from rehost.stacks.hosts.resource import HOST, TOKEN
from rehost.stacks.hosts.units import Limits
from rehost.stacks.lift.draft import Draft, plain
from rehost.stacks.lift.items import Item, Items
from rehost.stacks.lift.texts import Texts, escaped
from rehost.stacks.model import Service, show_size
from rehost.stacks.reading import read_by
from rehost.stacks.services import unit_inputs
from rehost.stacks.sql.role import TOKEN as ROLE

NOTHING_GIVEN: Mapping[str, Value] = MappingProxyType({})


def services(
    items: Items,
    draft: Draft,
    member: Callable[[Item], str | None],
    texts: Texts,
    given: Mapping[str, Value] = NOTHING_GIVEN,
) -> None:
    """The services of all units. `member` answers the logical name of the server that a unit is on; `given` are
    the variables that services with buckets have without saying so."""
    for item in items.of(HOST):
        server = member(item)
        if server is None:
            draft.leave(item, "the server that it prepares is not part of this stack")
        else:
            # What is asked of it follows from services and volumes; what those are formatted with may be told here
            # only.
            draft.claim(HOST, server, item)
            for mount in item.inputs.get("mounts") or ():
                volume = draft.family("volumes").get(mount["name"])
                if volume is not None and mount["filesystem"] != "ext4":
                    volume["filesystem"] = mount["filesystem"]
    made: dict[str, list[tuple[str, Item]]] = {}
    for item in items.of(TOKEN):
        server = member(item)
        if server is None:
            draft.leave(item, "the server that it runs on is not part of this stack")
            continue
        name = str(item.inputs["name"])
        made.setdefault(name, []).append((server, item))
        draft.claim(TOKEN, f"{name}/{server}", item)
    by_key = {item.key: name for name, rows in made.items() for _, item in rows}
    for name, rows in made.items():
        server, item = rows[0]
        data = _service(item.inputs, texts, name, given)
        data["on"] = server.rpartition("-")[0]
        data["depends_on"] = list(dict.fromkeys(by_key[urn] for urn in item.after if urn in by_key))
        draft.family("services")[name] = plain(data)


def roles(items: Items, draft: Draft, database: Callable[[Item], str | None], texts: Texts) -> None:
    """The roles of databases. `database` answers the name of the one that a role is of."""
    for item in items.of(ROLE):
        name, of = str(item.inputs["name"]), database(item)
        if of is None:
            draft.leave(item, "its database is a server here, and a stack file has roles of databases only")
            continue
        get = item.inputs.get
        data: dict[str, Any] = {
            "privileges": get("privileges"),
            "schemas": list(get("schemas") or []),
            "connection_limit": get("connectionLimit"),
            "settings": dict(get("settings") or {}),
        }
        if not get("login"):
            data["login"] = False
        elif get("password") is not None:
            text, drawn = texts.text(get("password"), f"{of}-{name}"), f"databases_{of}_roles_{name}_password"
            # What nobody gives is drawn.
            if text == f"${{secrets.{drawn}}}":
                draft.family("secrets").pop(drawn, None)
            else:
                data["password"] = text
        draft.family("databases")[of].setdefault("roles", {})[name] = {
            key: value for key, value in data.items() if value not in (None, [], {})
        }
        draft.claim(ROLE, f"{of}/{name}", item)


def _service(inputs: Mapping[str, Value], texts: Texts, name: str, given: Mapping[str, Value]) -> dict[str, Any]:
    get = inputs.get
    variables = dict(get("environment") or {})
    if get("buckets"):
        variables = {key: value for key, value in variables.items() if not _same(given.get(key), value)}
    limits = Limits(**(get("limits") or {}))
    data: dict[str, Any] = {
        "image": get("image"),
        "command": [escaped(word) for word in get("command") or []],
        "files": dict(get("files") or {}),
        "setup": _setup(get("setup"), get("files") or {}),
        "environment": {key: texts.text(_unwrapped(value), f"{name}-{key}") for key, value in variables.items()},
        "ports": [_port(row) for row in get("ports") or []],
        "volumes": [_mount(row) for row in get("volumes") or []],
        "healthcheck": _health(get("health")),
        "buckets": dict(get("buckets") or {}),
        "user": get("user"),
        "mem_limit": show_size(limits.memory) if limits.memory else None,
        "cpus": limits.cpus,
        "pids_limit": limits.processes,
        "singleton": get("singleton") or None,
        "stop_grace_period": get("stopGrace"),
    }
    schedule = get("schedule")
    if schedule:
        data["schedule"] = schedule["cron"]
        data["timezone"] = schedule["timezone"]
    if get("restart") != ("no" if schedule else "always"):
        data["restart"] = get("restart")
    usual = unit_inputs(name, Service.model_validate(plain(data)))["order"]
    if usual != get("order"):
        data["deploy"] = {"update_config": {"order": get("order")}}
    return data


def _setup(setup: Mapping[str, Any] | None, files: Mapping[str, Any]) -> dict[str, Any] | None:
    """A setup, without what follows from its script."""
    if setup is None:
        return None
    reads = list(setup.get("reads") or ())
    follows = reads == read_by(setup["run"], files)
    return plain({**setup, "run": escaped(setup["run"]), "reads": [] if follows else reads})


def _same(given: Value, value: Value) -> bool:
    """Whether a variable is as it is given; a key whose value nobody knows here is."""
    if given is None:
        return False
    return text_of(given) == value or is_secret(given) or is_unknown(given)


def _unwrapped(value: Value) -> Value:
    """A variable's value without the wrapping that makes text of it."""
    return value.parts[0] if isinstance(value, Join) and len(value.parts) == 1 else value


def _port(row: Mapping[str, Any]) -> str:
    return f"{row['port']}:{row['target']}" if "target" in row else str(row["port"])


def _mount(row: Mapping[str, Any]) -> str:
    return f"{row['source']}:{row['target']}" + (":ro" if row.get("readOnly") else "")


def _health(health: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if health is None:
        return None
    names = {"startPeriod": "start_period", "command": "test"}
    data = {names.get(key, key): value for key, value in health.items()}
    if "test" in data:
        data["test"] = [escaped(word) for word in data["test"]]
    return data
