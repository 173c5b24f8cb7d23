"""Files laid over each other, by the rules of the Compose Specification's chapter on merging.

Mappings are merged key by key. Lists are appended, but what has a key of its own replaces the item with the same
key: a record its name and type, a check its address, a rule, a firewall's or an SSH key's name itself. Everything
else is replaced. `!reset` takes a value out, `!override` replaces a mapping or a list as a whole. An empty value
(`servers:` and nothing after it) over a mapping or a list says nothing.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from rehost.stacks.diagnostics import PathKey
from rehost.stacks.load.tree import Placed

_ADDRESSES = {"to": "a"}


def settled(tree: Placed) -> Placed:
    """A tree without tags; what is to be reset is gone."""
    value = tree.value
    if isinstance(value, dict):
        value = {key: settled(item) for key, item in value.items() if item.tag != "reset"}
    elif isinstance(value, list):
        value = [settled(item) for item in value if item.tag != "reset"]
    return replace(tree, value=value, tag="")


def merge(under: Placed, over: Placed, path: PathKey = ()) -> Placed:
    """One tree laid over another one that is settled."""
    if over.tag == "override":
        return settled(over)
    if isinstance(under.value, dict) and isinstance(over.value, dict):
        made = dict(under.value)
        for key, item in over.value.items():
            if item.tag == "reset":
                made.pop(key, None)
            elif key in made:
                made[key] = merge(made[key], item, (*path, key))
            else:
                made[key] = settled(item)
        return replace(over, value=made)
    if isinstance(under.value, list) and isinstance(over.value, list):
        return replace(over, value=_appended(under.value, settled(over).value, path))
    if over.value is None and isinstance(under.value, dict | list):
        return under
    return settled(over)


def _appended(under: list[Placed], over: list[Placed], path: PathKey) -> list[Placed]:
    made = list(under)
    for item in over:
        own = identity(item, path)
        same = [n for n, before in enumerate(under) if own is not None and identity(before, path) == own]
        if same:
            made[same[0]] = item
        else:
            made.append(item)
    return made


def identity(item: Placed, path: PathKey) -> Hashable:
    """What makes an item of a list unique in it; None where items may repeat."""
    value = item.value
    match path:
        case ("dns", _) if isinstance(value, dict):
            kinds = [key for key in value if key not in ("name", "ttl")]
            name = value["name"].plain() if "name" in value else "@"
            return str(name), _ADDRESSES.get(kinds[0], kinds[0]) if kinds else ""
        case ("checks",) if isinstance(value, dict):
            return repr(sorted(item.plain().items(), key=str))
        case ("firewalls", _, "ingress" | "egress"):
            return repr(item.plain())
        case ("servers", _, "firewalls" | "ssh_keys"):
            return repr(value)
    return None
