"""Projects of the stand-in: records by kind, actions that take their time, errors in the API's own shape."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Record = dict[str, Any]


class ApiError(Exception):
    """An error answer. Codes and statuses: Hetzner Cloud API reference, Errors."""

    def __init__(self, status: int, code: str, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.details = status, code, message, details

    def body(self) -> Record:
        """The JSON answer."""
        return {"error": {"code": self.code, "message": self.message, "details": self.details}}


def invalid(name: str, message: str) -> ApiError:
    """422 invalid_input with the field at fault."""
    details = {"fields": [{"name": name, "messages": [message]}]}
    return ApiError(422, "invalid_input", f"invalid input in field '{name}'", details)


def missing(what: str) -> ApiError:
    """404 not_found."""
    return ApiError(404, "not_found", f"{what} not found")


_LABEL = re.compile(r"^(|[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)$")


def check_labels(labels: Any) -> dict[str, str]:
    """Labels that obey the grammar. Raises ApiError."""
    if not isinstance(labels or {}, dict):
        raise invalid("labels", "must be an object")
    for key, value in (labels or {}).items():
        if not _LABEL.match(key.rsplit("/", 1)[-1]) or not isinstance(value, str) or not _LABEL.match(value):
            raise invalid("labels", "label is not valid")
    return dict(labels or {})


_TERM = re.compile(
    r"^(!?)([\w./-]+)$|^([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)$|^([\w./-]+)\s+(in|notin)\s*\(([^)]*)\)$"
)


def selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether labels match a selector (`k`, `!k`, `k=v`, `k!=v`, `k in (a,b)`, joined by commas)."""
    for term in re.split(r",(?![^(]*\))", selector):
        match = _TERM.match(term.strip())
        if not match:
            raise invalid("label_selector", "label selector is not valid")
        if match[2]:
            fits = (match[2] in labels) != bool(match[1])
        elif match[3]:
            fits = (labels.get(match[3]) == match[5]) != (match[4] == "!=")
        else:
            choices = {item.strip() for item in match[8].split(",")}
            fits = (labels.get(match[6]) in choices) == (match[7] == "in")
        if not fits:
            return False
    return True


@dataclass
class Behaviour:
    """How the stand-in behaves; times are seconds."""

    action_seconds: float = 0.3
    stale_seconds: float = 0.0
    rate_limit: int = 3600
    fail: list[Record] = field(default_factory=list)
    slow: dict[str, float] = field(default_factory=dict)


@dataclass
class Project:
    """All that belongs to one token."""

    name: str
    clock: Callable[[], float]
    behaviour: Behaviour
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(4711))
    records: dict[str, dict[int, Record]] = field(default_factory=dict)
    born: dict[int, float] = field(default_factory=dict)
    actions: dict[int, Record] = field(default_factory=dict)
    due: dict[int, tuple[float, Callable[[], None] | None, Record | None]] = field(default_factory=dict)
    tokens_left: float = 3600.0
    refilled: float = 0.0

    def stamp(self, seconds: float | None = None) -> str:
        """A time as the API writes it."""
        moment = self.clock() if seconds is None else seconds
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")

    def all(self, kind: str) -> dict[int, Record]:
        """Records of a kind by id."""
        return self.records.setdefault(kind, {})

    def get(self, kind: str, id_: Any) -> Record:
        """A record by id. Raises ApiError 404."""
        try:
            return self.all(kind)[int(id_)]
        except (KeyError, ValueError, TypeError):
            raise missing(kind.rstrip("s").replace("_", " ")) from None

    def add(self, kind: str, record: Record, *, unique: bool = True) -> Record:
        """Make a record. Raises ApiError 409 for a name that is taken."""
        if not record.get("name"):
            raise invalid("name", "must not be empty")
        if unique and any(other["name"] == record["name"] for other in self.all(kind).values()):
            details = {"fields": [{"name": "name"}]}
            raise ApiError(409, "uniqueness_error", f"{kind.rstrip('s')} name is already used", details)
        id_ = next(self.ids)
        made = {"id": id_, "created": self.stamp(), **record}
        self.all(kind)[id_] = made
        self.born[id_] = self.clock()
        return made

    def remove(self, kind: str, id_: int) -> None:
        """Forget a record."""
        self.all(kind).pop(id_, None)

    def locked(self, record: Record) -> None:
        """Raise ApiError 423 while an action runs on the record."""
        if any(owner is record for _, _, owner in self.due.values()):
            raise ApiError(423, "locked", "resource is locked by another action")

    def act(
        self,
        command: str,
        resources: list[tuple[str, int]],
        effect: Callable[[], None] | None = None,
        *,
        lock: Record | None = None,
    ) -> Record:
        """Start an action; its effect takes place when its time is over, unless it is told to fail."""
        id_ = next(self.ids)
        action: Record = {
            "id": id_,
            "command": command,
            "status": "running",
            "progress": 0,
            "started": self.stamp(),
            "finished": None,
            "resources": [{"id": owner, "type": type_} for type_, owner in resources],
            "error": None,
        }
        self.actions[id_] = action
        seconds = self.behaviour.slow.get(command, self.behaviour.action_seconds)
        self.due[id_] = (self.clock() + seconds, effect, lock)
        action["_began"], action["_seconds"] = self.clock(), seconds
        return action

    def settle(self) -> None:
        """Let all actions take effect whose time has come."""
        for id_, (moment, effect, _) in sorted(self.due.items()):
            action = self.actions[id_]
            if moment > self.clock():
                share = (self.clock() - action["_began"]) / max(action["_seconds"], 1e-9)
                action["progress"] = min(99, int(share * 100))
                continue
            del self.due[id_]
            action["progress"], action["finished"] = 100, self.stamp(moment)
            failing = next((f for f in self.behaviour.fail if f["command"] == action["command"]), None)
            if failing is not None:
                failing["times"] = failing.get("times", 1) - 1
                if failing["times"] <= 0:
                    self.behaviour.fail.remove(failing)
                action["status"] = "error"
                action["error"] = {"code": failing.get("code", "action_failed"), "message": "Action failed"}
                continue
            action["status"] = "success"
            if effect is not None:
                effect()


def public(record: Record) -> Record:
    """A record without what only the stand-in needs."""
    return {key: value for key, value in record.items() if not key.startswith("_")}
