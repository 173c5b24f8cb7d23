"""What all kinds share: reads, lists with filters, order and pages, changes of name and labels, protection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from werkzeug.datastructures import MultiDict

from rehost.providers.sandbox.hcloud_api import labels
from rehost.providers.sandbox.hcloud_api.errors import Record, invalid, missing, protected
from rehost.providers.sandbox.hcloud_api.store import Effect, Project, effect, public

_PAGE = 25
_MOST = 50


@dataclass(slots=True)
class Call:
    """One request of a project."""

    project: Project
    body: Record
    query: MultiDict[str, str]
    links: dict[str, int] = field(default_factory=dict)
    """The other pages of a list, by relation."""

    def number(self, name: str, default: int) -> int:
        """A whole number of at least 1 from the query. Raises ApiError."""
        text = self.query.get(name)
        if text is None:
            return default
        if not text.isdigit() or int(text) < 1:
            raise invalid(name, "must be a number of at least 1")
        return int(text)

    def flag(self, name: str) -> bool:
        """A truth value from the query. Raises ApiError."""
        text = self.query.get(name, "false").lower()
        if text not in ("true", "false", "1", "0"):
            raise invalid(name, "must be true or false")
        return text in ("true", "1")


Answer = tuple[int, Record]
Handler = Callable[..., Answer]
Route = tuple[str, str, Handler]
View = Callable[[Project, Record], Record]


def _plain(project: Project, record: Record) -> Record:
    del project
    return public(record)


@dataclass(frozen=True)
class Kind:
    """How a kind is shown and listed."""

    plural: str
    word: str
    view: View = _plain
    sorts: tuple[str, ...] = ("id", "name", "created")
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Filters beside the name, with the values that they take (none: any)."""
    most: int = _MOST

    def show(self, project: Project, record: Record) -> Record:
        """A record as the API shows it."""
        return self.view(project, record)

    def list(self, call: Call) -> Answer:
        """GET of all records."""
        return self.listed(call, call.project.all(self.plural).values())

    def listed(self, call: Call, records: Iterable[Record]) -> Answer:
        """A page of the given records, which are not stale, match the filters and stand in the asked order.
        Raises ApiError for parameters that are not valid."""
        project, query = call.project, call.query
        stale = project.behaviour.stale_seconds
        rows = list(records)
        if stale:
            until = project.clock() - stale
            rows = [row for row in rows if row.get("_born", 0.0) <= until]
        for name, choices in (("name", ()), *self.filters.items()):
            wanted = set(query.getlist(name))
            if choices and not wanted <= set(choices):
                raise invalid(name, f"must be one of {', '.join(choices)}")
            if wanted:
                rows = [row for row in rows if _text(row.get(name)) in wanted]
        if query.get("label_selector"):
            matches = labels.selector(query["label_selector"])
            rows = [row for row in rows if matches(row.get("labels") or {})]
        for order in reversed(query.getlist("sort")):
            name, _, way = order.partition(":")
            if name not in self.sorts or way not in ("", "asc", "desc"):
                raise invalid("sort", f"'{order}' is not a valid sort parameter")
            rows.sort(key=partial(_order, name), reverse=way == "desc")
        size, page = min(call.number("per_page", _PAGE), self.most), call.number("page", 1)
        last = max(1, -(-len(rows) // size))
        pages = {
            "page": page,
            "per_page": size,
            "previous_page": page - 1 if page > 1 else None,
            "next_page": page + 1 if page < last else None,
            "last_page": last,
            "total_entries": len(rows),
        }
        if last > 1:
            asked = {"prev": pages["previous_page"], "next": pages["next_page"], "last": last}
            call.links.update({relation: number for relation, number in asked.items() if number is not None})
        shown = [self.view(project, row) for row in rows[(page - 1) * size : page * size]]
        return 200, {self.plural: shown, "meta": {"pagination": pages}}

    def one(self, call: Call, id: int) -> Answer:
        """GET of one record."""
        return 200, {self.word: self.view(call.project, self.fresh(call, call.project.get(self.plural, id)))}

    def fresh(self, call: Call, record: Record) -> Record:
        """The record, unless reads do not find it yet. Raises ApiError 404."""
        wait = call.project.behaviour.stale_single_seconds
        if wait and record.get("_born", 0.0) > call.project.clock() - wait:
            raise missing(self.word.replace("_", " "))
        return record

    def change(self, call: Call, id: int) -> Answer:
        """PUT of name and labels."""
        record = call.project.get(self.plural, id)
        self.apply_plain(call, record)
        return 200, {self.word: self.view(call.project, record)}

    def apply_plain(self, call: Call, record: Record) -> None:
        """Take name and labels from a body. Raises ApiError."""
        fresh = labels.checked(call.body["labels"]) if call.body.get("labels") is not None else record["labels"]
        if call.body.get("name") is not None:
            call.project.rename(self.plural, record, call.body["name"])
        record["labels"] = fresh

    def protect(self, call: Call, id: int) -> Answer:
        """The action change_protection."""
        call.project.get(self.plural, id)
        asked = {
            key: value for key, value in call.body.items() if key in ("delete", "rebuild") and value is not None
        }
        return 201, {"action": self.act(call, "change_protection", id, ("protect", {"values": asked}))}

    def act(self, call: Call, command: str, id: int, *effects: Effect, lock: bool = False) -> Record:
        """Start an action on a record; its effects get the record's kind and id as well."""
        completed = [(name, {"kind": self.plural, "id": id, **arguments}) for name, arguments in effects]
        locks = [(self.plural, id)] if lock else []
        return call.project.shown(call.project.act(command, [(self.word, id)], completed, locks=locks))

    def reads(self) -> Sequence[Route]:
        """Routes that list and read."""
        return (("GET", f"/{self.plural}", self.list), ("GET", f"/{self.plural}/<int:id>", self.one))


def _text(value: Any) -> str:
    """As a query writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _order(name: str, row: Record) -> tuple[bool, Any]:
    return row.get(name) is not None, row.get(name)


def guard(record: Record, word: str) -> None:
    """Raise ApiError 423 for a record that is protected against deletion."""
    if record["protection"]["delete"]:
        raise protected(word.replace("_", " "))


@effect
def protect(project: Project, kind: str, id: int, values: Record) -> None:
    """Set the protection of a record."""
    record = project.find(kind, id)
    if record is not None:
        record["protection"] = {**record["protection"], **values}


@effect
def update(project: Project, kind: str, id: int, values: Record) -> None:
    """Set fields of a record."""
    record = project.find(kind, id)
    if record is not None:
        record.update(values)


@effect
def forget(project: Project, kind: str, id: int) -> None:
    """Remove a record."""
    project.remove(kind, id)


def any_of(rows: Iterable[Mapping[str, Any]], **wanted: Any) -> Mapping[str, Any] | None:
    """The first row with the wanted values."""
    return next((row for row in rows if all(row.get(key) == value for key, value in wanted.items())), None)
