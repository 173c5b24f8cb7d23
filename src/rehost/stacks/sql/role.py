"""A role of a database as a resource in graph and state: `rehost:sql/role:Role`.

Inputs: `name`; `databaseId` and `serverId`, what it lives in and ends with; `component`, `address`, `port`,
`database`, `user`, `adminPassword` and `via` (where that is, who makes roles there, which server reaches it);
`login`, `password`, `privileges`, `schemas`, `creators`, `connectionLimit`, `settings` and `tags`, which mean what
the fields of RoleSpec do. Rights and passwords that are otherwise show as a `drift` that nobody asked for. Rules
are in `data/kinds.json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rehost.stacks.errors import OperatorNeeded, ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live
from rehost.stacks.sql.grants import Level
from rehost.stacks.sql.port import OpenSql, Place, RoleSeen, RoleSpec, SqlAway, SqlSession

TOKEN = "rehost:sql/role:Role"
RULES = Path(__file__).parent / "data" / "kinds.json"
_PLACE = ("component", "databaseId", "address", "port", "database", "user", "adminPassword")
"""Inputs that are a Place's fields, in their order."""


class RoleKind:
    """Create, read, find, update and delete over the SQL port, as providers do it over their APIs."""

    def __init__(self, open_sql: OpenSql) -> None:
        self._open = open_sql

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        """Make the role."""
        spec = spec_of(inputs)
        with self._session(inputs) as session:
            seen = session.see(spec)
            if seen is not None and (seen.mark or not spec.mark) != spec.mark:
                raise ProviderError(
                    f"{inputs['component']} has a role {spec.name} that this deployment did not make",
                    reason=Reason.EXISTS,
                    fix="rename it in the stack, or drop it in the database if nobody needs it",
                )
            session.put(spec)
            call.made(_id(inputs))
            return _live(inputs, session.see(spec))

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        """The roles as they are, with one connection to each database. Where that can't be reached they are told
        as they were. Raises ValueError for one to be imported: an id does not tell who may make roles."""
        found: dict[int, Live | None] = {}
        places: dict[str, list[int]] = {}
        for number, item in enumerate(known):
            if not item.inputs:
                raise ValueError(f"{item.id}: a role can't be imported")
            places.setdefault(repr([item.inputs.get(key) for key in _PLACE]), []).append(number)
        for numbers in places.values():
            try:
                with self._open(place_of(known[numbers[0]].inputs)) as session:
                    for number in numbers:
                        item = known[number]
                        seen = session.see(spec_of(item.inputs))
                        ours = seen is not None and seen.mark == spec_of(item.inputs).mark
                        found[number] = _live(item.inputs, seen) if ours else None
            except SqlAway as error:
                for number in numbers:
                    item = known[number]
                    found[number] = Live(item.id, item.inputs, item.outputs, unseen=error.summary)
        return [found[number] for number in range(len(known))]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        """A role of this name that carries our mark."""
        spec = spec_of(inputs)
        with self._session(inputs) as session:
            seen = session.see(spec)
        return _live(inputs, seen) if seen is not None and seen.mark == spec.mark else None

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        """Put right what is not as it should be; with another password the old one lets nobody in any more."""
        del call, known
        spec = spec_of(inputs)
        with self._session(inputs) as session:
            session.put(spec)
            return _live(inputs, session.see(spec))

    def delete(self, call: Call, known: Known) -> None:
        """Drop the role; what it owns goes to the database's owner. Somebody else's of the same name stays."""
        del call
        spec = spec_of(known.inputs)
        with self._session(known.inputs) as session:
            seen = session.see(spec)
            if seen is not None and seen.mark == spec.mark:
                session.drop(spec.name)

    @contextmanager
    def _session(self, inputs: Mapping[str, Value]) -> Iterator[SqlSession]:
        place = place_of(inputs)
        try:
            with self._open(place) as session:
                yield session
        except SqlAway as error:
            raise OperatorNeeded(
                f"the role {inputs['name']} waits: {error.summary}", why=error.why, fix=error.fix
            ) from error


def spec_of(inputs: Mapping[str, Value]) -> RoleSpec:
    """The role that inputs describe."""
    level = inputs.get("privileges")
    return RoleSpec(
        name=str(inputs["name"]),
        login=bool(inputs.get("login", True)),
        password=str(inputs.get("password") or ""),
        privileges=Level(level) if level else None,
        schemas=tuple(inputs.get("schemas") or ()),
        creators=tuple(inputs.get("creators") or ()),
        connection_limit=int(inputs.get("connectionLimit", -1)),
        settings={key: str(value) for key, value in (inputs.get("settings") or {}).items()},
        mark=str((inputs.get("tags") or {}).get("rehost-id", "")),
    )


def place_of(inputs: Mapping[str, Value]) -> Place:
    """Where the database of inputs is."""
    component, holder, address, port, database, user, password = (str(inputs.get(key, "")) for key in _PLACE)
    return Place(component, holder, address, int(port), database, user, password, inputs.get("via"))


def _live(inputs: Mapping[str, Value], seen: RoleSeen | None) -> Live:
    asked = {key: value for key, value in inputs.items() if key != "drift"}
    assert seen is not None
    drift = [f"is missing {right}" for right in seen.missing] + [f"has {right} too" for right in seen.surplus]
    if seen.fits is False:
        drift.append("its password is another one")
    now: dict[str, Value] = {"login": seen.login, "connectionLimit": seen.connection_limit}
    defaults = {"login": True, "connectionLimit": -1}
    live = {**asked, **{key: value for key, value in now.items() if key in asked or value != defaults[key]}}
    if asked.get("settings") or seen.settings:
        live["settings"] = dict(seen.settings)
    if drift:
        live["drift"] = drift
    return Live(_id(inputs), live, {**asked, **now})


def _id(inputs: Mapping[str, Value]) -> str:
    return f"{inputs['databaseId']}/{inputs['name']}"
