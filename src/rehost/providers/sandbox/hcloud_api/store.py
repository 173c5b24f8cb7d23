"""Projects of the stand-in: records by kind, and actions that take their time. Everything here can be written
down as JSON, pending actions included: their effects are names with arguments."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rehost.providers.sandbox.hcloud_api.errors import ApiError, Record, invalid, limited, missing, taken

Effect = tuple[str, Record]
"""The name of a function registered with `effect`, and its arguments."""

_EFFECTS: dict[str, Callable[..., None]] = {}
_FIRST_ID = 4711


def effect(function: Callable[..., None]) -> Callable[..., None]:
    """Register what an action may do when its time is over; called with the project and JSON arguments."""
    _EFFECTS[function.__name__] = function
    return function


@dataclass
class Behaviour:
    """How the stand-in behaves; times are seconds."""

    action_seconds: float = 0.3
    stale_seconds: float = 0.0
    """For so long lists do not show what was made."""
    stale_single_seconds: float = 0.0
    """For so long a read by id does not find what was made."""
    rate_limit: int = 3600
    """Requests per hour; as many may come at once after an hour of rest."""
    fail: list[Record] = field(default_factory=list)
    """Actions that fail: `command`, `code` of the error, `times` (1)."""
    slow: dict[str, float] = field(default_factory=dict)
    """Seconds of actions by command."""
    capacity: list[Record] = field(default_factory=list)
    """What can't be had: `kind` (servers, or volumes), `server_type` and `location` (absent: any), `code` of
    servers (resource_unavailable), `times` (absent: for good)."""
    limits: dict[str, int] = field(default_factory=dict)
    """How many of a kind a project may have; no entry: no limit."""
    delegations: dict[str, str] = field(default_factory=dict)
    """What is found out about the delegation of zones by name: valid, invalid, lame, ...; no entry: unknown."""


@dataclass
class Project:
    """All that belongs to the tokens of one project."""

    name: str
    clock: Callable[[], float]
    behaviour: Behaviour
    next_id: int = _FIRST_ID
    records: dict[str, dict[int, Record]] = field(default_factory=dict)
    actions: dict[int, Record] = field(default_factory=dict)
    unseen: int = 0
    tokens_left: float = 3600.0
    refilled: float = 0.0
    _names: dict[str, dict[str, int]] = field(default_factory=dict)
    _due: list[tuple[float, int, int]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)
    _locks: dict[str, set[int]] = field(default_factory=dict)
    _history: dict[str, list[int]] = field(default_factory=dict)

    def stamp(self, seconds: float | None = None) -> str:
        """A time as the API writes it."""
        moment = self.clock() if seconds is None else seconds
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def take_id(self) -> int:
        """An id that nothing else has."""
        self.next_id += 1
        return self.next_id - 1

    # Records

    def all(self, kind: str) -> dict[int, Record]:
        """Records of a kind by id."""
        return self.records.setdefault(kind, {})

    def find(self, kind: str, id_: Any) -> Record | None:
        """A record by id, if there is one."""
        return self.records.get(kind, {}).get(id_)

    def get(self, kind: str, id_: Any) -> Record:
        """A record by id. Raises ApiError 404."""
        found = self.find(kind, id_)
        if found is None:
            raise missing(f"{_word(kind)} with ID '{id_}'")
        return found

    def named(self, kind: str, key: Any) -> Record:
        """A record by id or name. Raises ApiError 404."""
        ids = self._names.get(kind, {})
        found = self.find(kind, ids.get(str(key)))
        if found is None and str(key).isdigit():
            found = self.find(kind, int(key))
        if found is None:
            raise missing(f"{_word(kind)} with ID or name '{key}'")
        return found

    def add(self, kind: str, record: Record, *, unique: bool = True) -> Record:
        """Make a record with an id of its own. Raises ApiError 409 for a name that is taken and 403 when the
        project may have no more."""
        self.room(kind)
        id_ = self.take_id()
        if unique:
            self._claim(kind, record.get("name"), id_)
        made = {"id": id_, "created": self.stamp(), "_born": self.clock(), **record}
        self.all(kind)[id_] = made
        return made

    def room(self, kind: str, more: int = 1) -> None:
        """Raise ApiError 403 when the project may not have so many more of a kind."""
        limit = self.behaviour.limits.get(kind)
        if limit is not None and len(self.all(kind)) + more > limit:
            raise limited(f"{_word(kind).replace(' ', '_')}_limit", f"{_word(kind)} limit exceeded")

    def _claim(self, kind: str, name: Any, id_: int) -> None:
        if not isinstance(name, str) or not name.strip():
            raise invalid("name", "must not be empty")
        names = self._names.setdefault(kind, {})
        if names.get(name, id_) != id_:
            raise taken("name", f"{_word(kind)} name is already used")
        names[name] = id_

    def unused(self, kind: str, name: str) -> str:
        """A name that nothing of a kind has: the given one, or that with more behind it."""
        while name in self._names.get(kind, {}):
            name += "-1"
        return name

    def rename(self, kind: str, record: Record, name: str) -> None:
        """Give a record another name. Raises ApiError 409 for one that is taken."""
        if name != record["name"]:
            self._claim(kind, name, record["id"])
            self._names[kind].pop(record["name"], None)
            record["name"] = name

    def remove(self, kind: str, id_: int) -> None:
        """Forget a record."""
        gone = self.all(kind).pop(id_, None)
        if gone is not None and self._names.get(kind, {}).get(gone.get("name", "")) == id_:
            del self._names[kind][gone["name"]]

    # Actions

    def locked(self, kind: str, id_: int) -> bool:
        """Whether an action runs that keeps others away from a record."""
        return bool(self._locks.get(f"{kind}:{id_}"))

    def free(self, kind: str, id_: int, code: str = "locked") -> None:
        """Raise ApiError 423 locked (or 409 conflict) while an action runs on the record."""
        if self.locked(kind, id_):
            text = f"{_word(kind)} with ID '{id_}' is locked by another action"
            raise ApiError(409 if code == "conflict" else 423, code, text)

    def act(
        self,
        command: str,
        resources: Sequence[tuple[str, int]],
        effects: Iterable[Effect] = (),
        *,
        failed: Iterable[Effect] = (),
        locks: Iterable[tuple[str, int]] = (),
        after: Record | None = None,
    ) -> Record:
        """Start an action. When its time is over its effects take place, or those of a failure. One that comes
        `after` another begins when that is over, and fails with it. `locks` are kinds and ids of records."""
        seconds = self.behaviour.slow.get(command, self.behaviour.action_seconds)
        names = [f"{kind}:{owner}" for kind, owner in locks]
        return self._begin(self.take_id(), command, seconds, resources, effects, failed, names, after)

    def at_once(self, command: str, resources: Sequence[tuple[str, int]]) -> Record:
        """An action that is over already, as the API shows it."""
        action = self._begin(self.take_id(), command, 0.0, resources, (), (), [], None)
        self.settle()
        return self.shown(action)

    def later(self, effects: Iterable[Effect], after: Record, seconds: float | None = None) -> None:
        """What happens by itself some time after an action. The API does not show it: its id is negative."""
        self.unseen += 1
        wait = self.behaviour.action_seconds if seconds is None else seconds
        self._begin(-self.unseen, "", wait, (), effects, (), [], after)

    def _begin(
        self,
        id_: int,
        command: str,
        seconds: float,
        resources: Sequence[tuple[str, int]],
        effects: Iterable[Effect],
        failed: Iterable[Effect],
        locks: list[str],
        after: Record | None,
    ) -> Record:
        began = after["_due"] if after else self.clock()
        action: Record = {
            "id": id_,
            "command": command,
            "status": "running",
            "progress": 0,
            "started": self.stamp(),
            "finished": None,
            "resources": [{"id": owner, "type": type_} for type_, owner in resources],
            "error": None,
            "_began": began,
            "_due": began + seconds,
            "_effects": [[name, arguments] for name, arguments in effects],
            "_failed": [[name, arguments] for name, arguments in failed],
            "_locks": locks,
            "_after": after["id"] if after else None,
        }
        self.actions[id_] = action
        self._watch(action)
        return action

    def _watch(self, action: Record) -> None:
        for resource in action["resources"]:
            self._history.setdefault(resource["type"], []).append(action["id"])
            self._history.setdefault(f"{resource['type']}/{resource['id']}", []).append(action["id"])
        if action["status"] == "running":
            heapq.heappush(self._due, (action["_due"], next(self._order), action["id"]))
            for lock in action["_locks"]:
                self._locks.setdefault(lock, set()).add(action["id"])

    def settle(self) -> None:
        """Let all actions take effect whose time has come."""
        now = self.clock()
        while self._due and self._due[0][0] <= now:
            action = self.actions[heapq.heappop(self._due)[2]]
            for lock in action["_locks"]:
                self._locks[lock].discard(action["id"])
                if not self._locks[lock]:
                    del self._locks[lock]
            action["progress"], action["finished"] = 100, self.stamp(action["_due"])
            error = self._failure(action)
            if error is not None:
                self.fail(action, error["code"], error["message"])
            action["status"] = "error" if error else "success"
            if action["id"] < 0:
                del self.actions[action["id"]]
            outcomes = {"error": action.pop("_failed"), "success": action.pop("_effects")}
            for name, arguments in outcomes[action["status"]]:
                _EFFECTS[name](self, **arguments)

    def fail(self, action: Record, code: str, message: str = "Action failed") -> None:
        """Let an action end with an error; effects use it for what only shows at the end."""
        action["status"], action["error"] = "error", {"code": code, "message": message}

    def _failure(self, action: Record) -> Record | None:
        before = self.actions.get(action["_after"] or 0)
        if before is not None and before["status"] == "error":
            earlier: Record = before["error"]
            return earlier
        planned = next((row for row in self.behaviour.fail if row["command"] == action["command"]), None)
        if planned is None:
            return None
        planned["times"] = planned.get("times", 1) - 1
        if planned["times"] <= 0:
            self.behaviour.fail.remove(planned)
        return {"code": planned.get("code", "action_failed"), "message": planned.get("message", "Action failed")}

    def shown(self, action: Record) -> Record:
        """An action as the API shows it, with its progress now."""
        if action["status"] == "running":
            passed = self.clock() - action["_began"]
            share = passed / max(action["_due"] - action["_began"], 1e-9)
            action["progress"] = max(0, min(99, int(share * 100)))
        return public(action)

    def actions_of(self, type_: str, id_: int | None = None) -> list[Record]:
        """All actions of a type of resource, or of one."""
        key = type_ if id_ is None else f"{type_}/{id_}"
        return [self.actions[number] for number in self._history.get(key, [])]

    # Keeping

    def dump(self) -> Record:
        """Everything, as JSON can hold it."""
        return {
            "name": self.name,
            "next_id": self.next_id,
            "unseen": self.unseen,
            "records": {kind: list(rows.values()) for kind, rows in self.records.items()},
            "actions": list(self.actions.values()),
            "tokens_left": self.tokens_left,
            "refilled": self.refilled,
        }

    def load(self, kept: Mapping[str, Any]) -> None:
        """Take the place of what `dump` wrote."""
        self.next_id, self.unseen = kept["next_id"], kept["unseen"]
        self.records = {kind: {row["id"]: row for row in rows} for kind, rows in kept["records"].items()}
        self._names = {
            kind: {row["name"]: id_ for id_, row in rows.items() if row.get("name")}
            for kind, rows in self.records.items()
        }
        self.actions, self._due, self._locks, self._history = {}, [], {}, {}
        for action in kept["actions"]:
            self.actions[action["id"]] = action
            self._watch(action)
        self.tokens_left, self.refilled = kept["tokens_left"], kept["refilled"]


def _word(kind: str) -> str:
    return kind.removesuffix("s").replace("_", " ")


def public(record: Mapping[str, Any]) -> Record:
    """A record without what only the stand-in needs."""
    return {key: value for key, value in record.items() if not key.startswith("_")}
