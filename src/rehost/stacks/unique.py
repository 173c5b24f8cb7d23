"""Values that only one resource may have: a subnet's addresses, a key's public half, a record's name.

When such a value goes from one resource to another in one plan, the one that has it lets go first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from rehost.stacks.graph import Value, is_unknown, reveal
from rehost.stacks.ports import KindRules

Holder = tuple[str, str, Mapping[str, Value]]
"""A resource by URN (or the key of remains), type and inputs."""

_Range = IPv4Network | IPv6Network
_Claim = tuple[tuple[str, ...], tuple[_Range, ...]]


def taken_from(
    takers: Iterable[Holder], holders: Sequence[Holder], rules: Callable[[str], KindRules]
) -> dict[str, tuple[str, ...]]:
    """For every taker whose inputs claim what holders have: which holders. Unknown values claim nothing."""
    held: dict[tuple[str, ...], list[tuple[str, tuple[_Range, ...]]]] = {}
    for name, token, inputs in holders:
        for key, ranges in _claims(token, inputs, rules(token)):
            held.setdefault(key, []).append((name, ranges))
    claimed: dict[tuple[str, ...], list[tuple[str, bool]]] = {}
    for name, token, inputs in holders:
        for key, alone in _alone(token, inputs, rules(token)):
            claimed.setdefault(key, []).append((name, alone))
    found: dict[str, tuple[str, ...]] = {}
    for name, token, inputs in takers if held else ():
        mine = [
            other
            for key, ranges in _claims(token, inputs, rules(token))
            for other, theirs in held.get(key, ())
            if all(one.overlaps(two) for one, two in zip(ranges, theirs, strict=True))
        ]
        mine += [
            other
            for key, alone in _alone(token, inputs, rules(token))
            for other, theirs in claimed.get(key, ())
            if other != name and alone != theirs
        ]
        if mine:
            found[name] = tuple(dict.fromkeys(mine))
    return found


def _claims(token: str, inputs: Mapping[str, Value], rules: KindRules) -> Iterator[_Claim]:
    for number, names in enumerate(rules.unique):
        values = [inputs.get(name) for name in names]
        if any(value is None or is_unknown(value) for value in values):
            continue
        texts, ranges = [token, str(number)], []
        for name, value in zip(names, values, strict=True):
            # Ids are compared as text: some states hold them as numbers.
            if name in rules.apart:
                ranges.append(ip_network(str(reveal(value)), strict=False))
            else:
                texts.append(str(reveal(value)))
        # Ranges of the two versions of IP never overlap.
        yield (*texts, *(str(range_.version) for range_ in ranges)), tuple(ranges)


def _alone(token: str, inputs: Mapping[str, Value], rules: KindRules) -> Iterator[tuple[tuple[str, ...], bool]]:
    """What a resource shares with others of its type, and whether it is one that shares it with none."""
    if rules.alone is None:
        return
    name, value = rules.alone
    shared = [inputs.get(other) for other in rules.unique[0] if other != name]
    if not any(item is None or is_unknown(item) for item in shared):
        yield (token, *(str(reveal(item)) for item in shared)), inputs.get(name) == value
