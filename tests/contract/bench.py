"""What the contract suite stands on: cases as data, and one provider at a time with its stand-in.

A case file names for each kind, and under `*` for all of the provider's:

    inputs     what to create; `${x.id}` is an output of the resource x, `${fact}` something the stand-in knows,
               `${name}` a name, `${n}` a number and `${four}` four digits that nothing else has
    uses, own  the resources that the inputs speak of, by the kind whose case makes them: `uses` are shared by all
               resources of a test, `own` are made anew for each; {kind: ..., with: {...}} changes their inputs,
               which may speak of shared ones
    then       further resources, made where `change` speaks of them
    change     by name of the check, properties that change in place, with their new values
    replace    by name of a property, new values with which it forces a replacement
    before     by name of a property, the inputs to start its replacement from
    same       by name of a property, why what is read under the predecessor's id is its successor
    also       further sets of inputs, laid over the first, that have to be created, read and imported as well
    replaces   changes that a condition decides on: {from, to, replaces}
    import     the id that an import takes, where it is not the id itself
    from       by name of the check, the inputs to start a change from
    fixed      properties that no check changes or replaces, with the reason
    either     inputs that say the same in two ways: an import uses one
    untold     inputs that the stand-in does not tell, with the reason
    absent     outputs of the official provider that are not there, with the reason
    reads      why reads grow with the number of resources, where the API can't list
    unmade     why an update makes another id
    always     why there is one before it is made
    remains    why a deleted one can still be read
    refused    inputs that the provider refuses, to look at the error; otherwise those of something that is there
    twice      why repeating the create makes a second one, so that only `find` tells
    secrets    inputs laid over the first so that there are secrets
    skip       checks that are not made, with the reason
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from rehost.providers import registry
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Secret, reveal
from rehost.stacks.ports import Adapter, Connection, Known, Live

CASES = Path(__file__).parent / "cases"
_HOLE = re.compile(r"\$\{([^}]+)\}")


@cache
def cases(provider: str) -> Mapping[str, Mapping[str, Any]]:
    """The cases of a provider, by type token."""
    found: dict[str, Any] = {}
    for path in sorted((CASES / provider).glob("*.yaml")):
        found |= YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    common = found.pop("*", {})
    return {token: {**common, **case} for token, case in found.items()}


def all_kinds() -> list[tuple[str, str]]:
    """Every provider with every kind that it has a case for."""
    return [(provider, token) for provider in registry.names() for token in cases(provider)]


class Lost(Exception):
    """The process died here."""


@dataclass
class Turned:
    """A ports.Call whose clock turns by itself: waiting takes no time and ends after an hour."""

    client_token: str
    clock: list[float]
    crash: bool = False
    ids: list[str] = field(default_factory=list)
    began: float = -1.0

    def now(self) -> float:
        return self.clock[0]

    def pause(self, seconds: float) -> None:
        if self.began < 0:
            self.began = self.clock[0]
        self.clock[0] += max(seconds, 0.1)
        if self.clock[0] - self.began > 3600:
            raise ProviderError("took too long", reason=Reason.FAILED, code="timeout")

    def made(self, id_: str) -> None:
        self.ids.append(id_)
        if self.crash:
            raise Lost

    def poll(self, done: Callable[[], bool], what: str) -> None:
        while not done():
            self.pause(5.0)


@dataclass
class Made:
    """A resource that the bench made."""

    token: str
    inputs: Mapping[str, Any]
    live: Live

    @property
    def known(self) -> Known:
        return Known(f"urn:{self.token}", self.live.id, self.inputs, self.live.outputs)


@dataclass
class Bench:
    """One provider with an empty stand-in. `calls` counts the calls that reached it."""

    provider: str
    adapter: Adapter
    connection: Connection
    calls: Callable[[], int]
    clock: list[float]
    facts: Mapping[str, Any] = field(default_factory=dict)
    _shared: dict[str, Made] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def call(self, token: str = "", crash: bool = False) -> Turned:
        """The call of one step."""
        return Turned(token or f"{next(self._numbers):032x}", self.clock, crash)

    def case(self, token: str) -> Mapping[str, Any]:
        """The case of a kind."""
        return cases(self.provider)[token]

    def inputs(self, token: str, over: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Checked inputs of a new resource of the kind, after making what they need. Secrets are revealed."""
        case, rules = self.case(token), self.adapter.rules(token)
        number = next(self._numbers)
        scope: dict[str, Any] = {
            **self.facts,
            **self._shared,
            "name": f"c{number}",
            "n": number,
            "four": f"{number:04}",
        }
        for name, wanted in case.get("uses", {}).items():
            if name not in self._shared:
                self._shared[name] = self._need(wanted)
            scope[name] = self._shared[name]
        for name, wanted in case.get("own", {}).items():
            scope[name] = self._need(wanted)
        raw = {key: value for key, value in {**case["inputs"], **(over or {})}.items() if value is not None}
        if rules.tags:
            raw.setdefault(rules.tags, {"rehost-id": f"mark-{number}", "kept": "a", "old": "b"})
        return dict(reveal(self.adapter.check(token, filled(raw, scope))))

    def sketch(self, token: str) -> dict[str, Any]:
        """Checked inputs like those of a new resource, without making anything: what they refer to is made up."""
        rules, scope = self.adapter.rules(token), {"name": "sketch", "n": 1, "four": "0001", "sketched": True}
        raw = {
            **filled(self.case(token)["inputs"], scope),
            **({rules.tags: {"rehost-id": "a"}} if rules.tags else {}),
        }
        return dict(reveal(self.adapter.check(token, raw)))

    def _need(self, wanted: Any) -> Made:
        if isinstance(wanted, str):
            return self.make(wanted)
        return self.make(wanted["kind"], wanted.get("with"))

    def make(self, token: str, over: Mapping[str, Any] | None = None) -> Made:
        """A resource of the kind."""
        inputs = self.inputs(token, over)
        return Made(token, inputs, self.connection.create(self.call(), token, inputs))

    def changed(self, made: Made, values: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs of a resource with other values."""
        scope = {**self.facts, "name": "c0", "n": next(self._numbers), **self._shared}
        for name, wanted in self.case(made.token).get("then", {}).items():
            if f"${{{name}." in str(values):
                scope[name] = self._need(wanted)
        raw = {**made.inputs, **filled(values, scope)}
        checked = reveal(self.adapter.check(made.token, {k: v for k, v in raw.items() if v is not None}))
        return dict(checked)

    def successor(self, made: Made, values: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs of what takes the place of a resource: with other values, and with a name of its own where it
        is made first and names are unique."""
        rules = self.adapter.rules(made.token)
        renamed = not rules.delete_before_replace and rules.identity == "name"
        return self.changed(made, {**values, **({"name": f"{made.inputs['name']}-2"} if renamed else {})})

    def scope(self, made: Made) -> dict[str, Any]:
        """What an import id may speak of."""
        return {**self._shared, "self": made}

    def read(self, *known: Known) -> list[Live | None]:
        """Resources of one kind as they are."""
        return list(self.connection.read(known[0].urn.removeprefix("urn:"), known))

    def differences(self, token: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
        """What an update from old to new inputs would change, for people."""
        diff = self.adapter.diff(token, old, {}, new)
        return [f"{change.path}: {change.old!r} -> {change.new!r}" for change in diff.effective]


def filled(value: Any, scope: Mapping[str, Any]) -> Any:
    """Values of a case with their holes filled."""
    if isinstance(value, Mapping):
        return {key: filled(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, scope) for item in value]
    if not isinstance(value, str):
        return value
    whole = _HOLE.fullmatch(value)
    if whole:
        return looked_up(whole[1], scope)
    return _HOLE.sub(lambda match: str(looked_up(match[1], scope)), value)


def looked_up(path: str, scope: Mapping[str, Any]) -> Any:
    """What stands for a hole. Numbers can be bent into a range: `n%200`."""
    name, _, rest = path.partition(".")
    if "%" in name:
        base, _, limit = name.partition("%")
        return scope[base] % int(limit)
    found = scope[name] if name in scope or not scope.get("sketched") else f"of-{name}"
    if callable(found):
        return found()
    if not isinstance(found, Made):
        return found
    if rest == "id":
        return found.live.id
    value: Any = found.live.outputs if rest.split(".")[0] in found.live.outputs else found.inputs
    for part in rest.split("."):
        value = value[int(part)] if part.isdigit() else value[part]
    return value.value if isinstance(value, Secret) else value
