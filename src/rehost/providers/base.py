"""What all adapters share: rules read from data, check, diff and preview that follow them, dispatch by kind."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from rehost.stacks.acme import resource as issued
from rehost.stacks.errors import InvalidInput, OperatorNeeded
from rehost.stacks.graph import UNKNOWN, Number, Ref, Secret, Value, is_secret, is_unknown, reveal
from rehost.stacks.hosts import resource as unit
from rehost.stacks.ports import Call, Change, Diff, Disruption, KindRules, Known, Live
from rehost.stacks.sql import role
from rehost.stacks.sql.port import Place, SqlSession
from rehost.stacks.sql.reach import Reach

_SETS = (
    "inputs",
    "force_new",
    "unread",
    "frozen",
    "unordered",
    "sensitive",
    "volatile",
    "exclusive",
    "apart",
    "integers",
    "renewing",
)
_INDEX = re.compile(r"\[\d+\]")

Condition = Callable[[Change, Mapping[str, Value], Mapping[str, Value]], Change | None]
"""Decides on one change with the inputs at hand, old (with what the provider computed) and new: whether it
replaces, what it interrupts, or (None) that it is no difference. Pure."""


@dataclass(frozen=True)
class RuleBook:
    """The rules of a provider's kinds, from its `data/kinds.json`.

    Beside the fields of KindRules each entry may have `limits`: by property path, with `min`, `max`,
    `max_length`, `pattern`, `enum` and `max_items`.
    """

    path: Path

    @cached_property
    def _raw(self) -> dict[str, dict[str, Any]]:
        raw: dict[str, dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8"))
        return raw

    @cached_property
    def _made(self) -> dict[str, KindRules]:
        return {}

    @cached_property
    def _tokens(self) -> tuple[str, ...]:
        return tuple(self._raw)

    def tokens(self) -> Sequence[str]:
        """All type tokens with rules."""
        return self._tokens

    def rules(self, token: str) -> KindRules:
        """The rules of one kind. Raises KeyError for a token without any."""
        if token not in self._made:
            raw = {key: value for key, value in self._raw[token].items() if key != "limits"}
            for key in _SETS:
                raw[key] = frozenset(raw.get(key, ()))
            for key in ("shows", "addresses", "within"):
                raw[key] = tuple(raw.get(key, ()))
            raw["alone"] = tuple(raw["alone"]) if "alone" in raw else None
            raw["moves"] = {key: tuple(names) for key, names in raw.get("moves", {}).items()}
            raw["unique"] = tuple(tuple(names) for names in raw.get("unique", ()))
            raw["disruption"] = {
                path: Disruption[word.upper().replace(" ", "_")]
                for path, word in raw.get("disruption", {}).items()
            }
            self._made[token] = KindRules(token=token, **raw)
        return self._made[token]

    def limits(self, token: str) -> Mapping[str, Mapping[str, Any]]:
        """Limits of inputs by property path."""
        limits: Mapping[str, Mapping[str, Any]] = self._raw[token].get("limits", {})
        return limits


NO_DIFF = Diff()
OWN = (RuleBook(unit.RULES), RuleBook(role.RULES), RuleBook(issued.RULES))
"""The rules of what no official type describes: the same at every provider."""


@dataclass
class BaseAdapter:
    """The half of an adapter that follows from its rule book; providers add what is theirs."""

    book: RuleBook
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    native: frozenset[str] = frozenset()
    name_servers: str = ""

    def _book(self, token: str) -> RuleBook:
        return next((book for book in OWN if token in book.tokens()), self.book)

    def kinds(self) -> Sequence[str]:
        """Type tokens of all that this provider declares to carry out, hosts, units and roles of databases among
        them."""
        return (*self.book.tokens(), *(token for book in OWN for token in book.tokens()))

    def rules(self, token: str) -> KindRules:
        """The facts about a type. Raises KeyError for one that the provider does not know."""
        return self._book(token).rules(token)

    def check(self, token: str, inputs: Mapping[str, Value]) -> Mapping[str, Value]:
        """Inputs without None, sensitive ones wrapped. Raises InvalidInput where they break a limit."""
        try:
            rules = self._book(token).rules(token)
        except KeyError:
            raise InvalidInput(f"the provider has no resource type {token}") from None
        kept = {key: value for key, value in inputs.items() if value is not None}
        for key in sorted(kept.keys() - rules.inputs) if rules.inputs else ():
            near = difflib.get_close_matches(key, rules.inputs, n=1)
            raise InvalidInput(
                f"{rules.title}: there is no property {key} that could be set",
                why=f"rehost carries out these of {token}: {', '.join(sorted(rules.inputs))}",
                fix=f"did you mean {near[0]}?" if near else f"leave {key} out",
            )
        limits = self._book(token).limits(token)
        shown = reveal(kept) if limits else kept
        for path, limit in limits.items():
            for value in _all_at(shown, path.split(".")):
                problem = _breaks(value, limit)
                if problem:
                    raise InvalidInput(f"{rules.title}: {path} {problem}", why="the provider refuses such a value")
        for key in rules.sensitive & kept.keys():
            if not isinstance(kept[key], Secret) and kept[key] is not UNKNOWN:
                kept[key] = Secret(kept[key])
        return numbered(rules, kept)

    def diff(
        self,
        token: str,
        old_inputs: Mapping[str, Value],
        old_outputs: Mapping[str, Value],
        new_inputs: Mapping[str, Value],
    ) -> Diff:
        """What changes, with the consequences the kind's rules and conditions give."""
        rules = self._book(token).rules(token)
        condition = self.conditions.get(token)
        # A state from elsewhere may hold ids as text.
        old_inputs, new_inputs = numbered(rules, old_inputs), numbered(rules, new_inputs)
        if old_inputs == new_inputs:
            return NO_DIFF
        computed = {k: v for k, v in old_outputs.items() if k not in rules.inputs} if condition else {}
        before = {**computed, **old_inputs}
        changes: list[Change] = []
        for key in sorted(old_inputs.keys() | new_inputs.keys()):
            default = rules.defaults.get(key)
            _compare(key, old_inputs.get(key, default), new_inputs.get(key, default), rules, changes)
        judged = []
        for change in changes:
            path = _INDEX.sub("", change.path)
            change = replace(
                change,
                replaces=_covers(rules.force_new, path, change),
                disruption=next(
                    (rules.disruption[part] for part in _prefixes(path) if part in rules.disruption),
                    Disruption.NONE,
                ),
                frozen=any(part in rules.frozen for part in _prefixes(path)),
            )
            if condition:
                decided = condition(change, before, new_inputs)
                if decided is None:
                    continue
                change = decided
            if change.replaces and not change.frozen and not rules.paper:
                worst = Disruption.DATA_LOSS if rules.holds_data else Disruption.REPLACE
                change = replace(change, disruption=worst)
            judged.append(change)
        return Diff(tuple(judged))

    def preview(self, token: str, inputs: Mapping[str, Value]) -> Mapping[str, Value]:
        """What is known of the outputs before the create: the inputs. Everything else is unknown."""
        return dict(inputs)


def numbered(rules: KindRules, values: Mapping[str, Value]) -> dict[str, Value]:
    """Properties with ids as whole numbers where the kind has them so; an empty one is 0, as in Go."""
    made = dict(values)
    for path in rules.integers:
        head, *steps = path.split(".")
        if head in made:
            made[head] = _number(made[head], steps)
    return made


def _number(value: Value, steps: Sequence[str]) -> Value:
    if isinstance(value, list | tuple):
        return [_number(item, steps) for item in value]
    if steps:
        if isinstance(value, Mapping) and steps[0] in value:
            return {**value, steps[0]: _number(value[steps[0]], steps[1:])}
        return value
    if isinstance(value, Ref):
        return Number(value)
    if isinstance(value, str) and (not value or (value.isascii() and value.isdigit())):
        return int(value or 0)
    return value


def _prefixes(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:n]) for n in range(len(parts), 0, -1)]


def _covers(names: frozenset[str], path: str, change: Change) -> bool:
    if any(part in names for part in _prefixes(path)):
        return True
    whole = any(isinstance(reveal(side), list | dict) for side in (change.old, change.new))
    return whole and any(name.startswith(path + ".") for name in names)


def _compare(path: str, old: Value, new: Value, rules: KindRules, changes: list[Change]) -> None:
    if old == new:
        return
    secret = is_secret(old) or is_secret(new)
    old, new = reveal(old), reveal(new)
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict) and not secret:
        for key in sorted(old.keys() | new.keys()):
            _compare(f"{path}.{key}", old.get(key), new.get(key), rules, changes)
        return
    if isinstance(old, list) and isinstance(new, list) and not secret:
        if _INDEX.sub("", path) in rules.unordered:
            if not is_unknown(new) and _bag(old) == _bag(new):
                return
        elif len(old) == len(new):
            for index, (before, after) in enumerate(zip(old, new, strict=True)):
                _compare(f"{path}[{index}]", before, after, rules, changes)
            return
    if secret:
        old, new = Secret(old), new if new is UNKNOWN else Secret(new)
    changes.append(Change(path, old, new))


def _bag(items: Sequence[Value]) -> list[str]:
    return sorted(json.dumps(item, sort_keys=True) for item in items)


def _all_at(value: Value, steps: list[str]) -> list[Value]:
    if isinstance(value, list):
        return [found for item in value for found in _all_at(item, steps)] if steps else [value]
    if not steps:
        return [value]
    if isinstance(value, Mapping) and steps[0] in value:
        return _all_at(value[steps[0]], steps[1:])
    return []


def _breaks(value: Value, limit: Mapping[str, Any]) -> str:
    if isinstance(value, list) and "max_items" in limit and len(value) > limit["max_items"]:
        return f"has {len(value)} items, at most {limit['max_items']} are allowed"
    if isinstance(value, str):
        if "max_length" in limit and len(value.encode()) > limit["max_length"]:
            return f"is {len(value.encode())} bytes long, at most {limit['max_length']} are allowed"
        if "pattern" in limit and not re.search(limit["pattern"], value):
            return f"is {value!r}, which does not match {limit['pattern']}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if "min" in limit and value < limit["min"]:
            return f"is {value}, at least {limit['min']} is needed"
        if "max" in limit and value > limit["max"]:
            return f"is {value}, at most {limit['max']} is allowed"
    if "enum" in limit and isinstance(value, str | int) and value not in limit["enum"]:
        return f"is {value!r}, which is none of {', '.join(map(str, limit['enum']))}"
    return ""


def project(asked: Value, live: Value) -> Value:
    """A live value cut down to the properties that were asked for, so that what the provider adds by itself is
    no difference."""
    if isinstance(asked, Mapping) and isinstance(live, Mapping):
        return {key: project(value, live.get(key)) for key, value in asked.items()}
    if isinstance(asked, list) and isinstance(live, list) and asked and all(isinstance(i, Mapping) for i in asked):
        keys = {key: None for item in asked for key in item}
        return [{key: item[key] for key in keys if key in item} for item in live]
    return live


def described(rules: KindRules, asked: Mapping[str, Value], live: Mapping[str, Value]) -> dict[str, Value]:
    """The inputs that describe a resource as it is: what was asked for, with live values wherever the API gives
    them. Unreadable and frozen inputs stay as asked; a live list in another order keeps the asked one where
    order has no meaning. Where nothing was asked for (an import), all that says more than a default does."""
    if not asked:
        return {
            key: value
            for key, value in live.items()
            if (key in rules.inputs or not rules.inputs)
            and value not in (None, "", [], {})
            and value != rules.defaults.get(key)
        }
    inputs: dict[str, Value] = {}
    for key, value in asked.items():
        if key in rules.unread or key in rules.frozen or key not in live or value == live[key]:
            inputs[key] = value
            continue
        seen = project(value, live[key])
        if _same_json(value, seen):
            seen = value
        if (
            key in rules.unordered
            and isinstance(value, list)
            and isinstance(seen, list)
            and _bag(value) == _bag(seen)
        ):
            seen = value
        if seen is not None:
            inputs[key] = seen
    return inputs


def _same_json(one: Value, other: Value) -> bool:
    """Whether two texts are the same JSON object: the layout of a policy is no difference."""
    if not all(isinstance(side, str) and side.lstrip().startswith("{") for side in (one, other)):
        return False
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


class Kind(Protocol):
    """One resource type of a live provider; see ports.Connection for what each function means.

    `read` raises ValueError for an import id that it can't take apart.
    """

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live: ...

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]: ...

    def find(self, inputs: Mapping[str, Value]) -> Live | None: ...

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live: ...

    def delete(self, call: Call, known: Known) -> None: ...


class NoHosts:
    """Hosts and units where servers can't be entered: nothing is done, and that is said."""

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        """Raise OperatorNeeded."""
        del call
        raise _left_to_people(inputs, "start")

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        """None of them is known to be there."""
        return [None for _ in known]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        """Nothing was made."""
        del inputs
        return None

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        """Raise OperatorNeeded."""
        del call, known
        raise _left_to_people(inputs, "change")

    def delete(self, call: Call, known: Known) -> None:
        """Raise OperatorNeeded."""
        del call
        raise _left_to_people(known.inputs, "stop")


def _left_to_people(inputs: Mapping[str, Value], verb: str) -> OperatorNeeded:
    address = (inputs.get("connection") or {}).get("address", "")
    return OperatorNeeded(
        f"{inputs['name']} is left to you: rehost can't {verb} anything on this server",
        why="the endpoint is a stand-in on this machine, whose servers are entries in a table",
        fix=f"{verb} it by hand on {address or 'the server'}, or use `rehost sandbox up`, which has servers",
    )


@runtime_checkable
class Marking(Protocol):
    """What a kind offers whose predecessors live on beside their successors: all resources with one mark."""

    def marked(self, inputs: Mapping[str, Value]) -> Iterable[Live]: ...


@dataclass(frozen=True)
class Numbered:
    """A kind whose answers hold ids as whole numbers where its rules say so."""

    kind: Kind
    rules: KindRules

    def _live(self, live: Live) -> Live:
        return Live(live.id, numbered(self.rules, live.inputs), numbered(self.rules, live.outputs))

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        return self._live(self.kind.create(call, inputs))

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        return [None if live is None else self._live(live) for live in self.kind.read(known)]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        live = self.kind.find(inputs)
        return None if live is None else self._live(live)

    def marked(self, inputs: Mapping[str, Value]) -> Iterable[Live]:
        return [self._live(live) for live in self.kind.marked(inputs)] if isinstance(self.kind, Marking) else ()

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        return self._live(self.kind.update(call, known, inputs))

    def delete(self, call: Call, known: Known) -> None:
        self.kind.delete(call, known)


class KindDispatch:
    """The resource functions of a connection, handed to the kind of the token."""

    kinds: Mapping[str, Kind]
    environment: Mapping[str, str] = MappingProxyType({})

    def kind(self, token: str) -> Kind:
        """What carries out resources of a type."""
        return self.kinds[token]

    @contextmanager
    def sql(self, place: Place) -> Iterator[SqlSession]:
        """A session of a database, reached through a host where units are put on them."""
        with self._reach().open(place) as session:
            yield session

    def way(self, place: Place) -> AbstractContextManager[tuple[str, int]]:
        """Where a database is reached from here, through a host where units are put on them."""
        return self._reach().way(place)

    def _reach(self) -> Reach:
        units = self.kinds.get(unit.TOKEN)
        return Reach(self.environment, units.host_of if isinstance(units, unit.UnitKind) else None)

    def create(self, call: Call, token: str, inputs: Mapping[str, Value]) -> Live:
        """Make the resource and wait until it can be used."""
        return self.kind(token).create(call, inputs)

    def read(self, token: str, known: Sequence[Known]) -> Sequence[Live | None]:
        """The resources as they are, in the order asked for, None for what is gone. Raises InvalidInput for an
        import id of another form than the type's."""
        try:
            return self.kind(token).read(known)
        except ValueError as error:
            imported = [item.id for item in known if not item.inputs]
            if not imported:
                raise
            raise InvalidInput(
                f"{', '.join(map(repr, imported))} is not the id of a {token}",
                why="an import takes the id that the official provider documents for it",
            ) from error

    def find(self, token: str, inputs: Mapping[str, Value], besides: frozenset[str] = frozenset()) -> Live | None:
        """The resource that an earlier create with these inputs made, other than its predecessors."""
        kind = self.kind(token)
        found = kind.find(inputs)
        if found is None or found.id not in besides:
            return found
        others = kind.marked(inputs) if isinstance(kind, Marking) else ()
        return next((live for live in others if live.id not in besides), None)

    def update(self, call: Call, token: str, known: Known, inputs: Mapping[str, Value]) -> Live:
        """Change the resource in place; what is not asked for any more goes back to its default."""
        kind = self.kind(token)
        rules = getattr(kind, "rules", KindRules(token, token))
        back = {
            name: value
            for name, value in rules.defaults.items()
            if name in known.inputs and name not in inputs and name not in rules.unread
        }
        return kind.update(call, known, {**back, **inputs})

    def delete(self, call: Call, token: str, known: Known) -> None:
        """Remove the resource and wait until it is gone."""
        self.kind(token).delete(call, known)
