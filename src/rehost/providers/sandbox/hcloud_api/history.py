"""Actions by id, and the actions of every kind that has them."""

from __future__ import annotations

from rehost.providers.sandbox.hcloud_api import images, zones
from rehost.providers.sandbox.hcloud_api.errors import Record, invalid, missing, removed
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Kind, Route
from rehost.providers.sandbox.hcloud_api.store import Project

_STATES = ("running", "success", "error")


def _view(project: Project, action: Record) -> Record:
    return project.shown(action)


ACTIONS = Kind(
    "actions", "action", _view, ("id", "command", "status", "started", "finished"), filters={"status": _STATES}
)


def _asked(call: Call) -> set[int]:
    texts = call.query.getlist("id")
    if not all(text.isdigit() for text in texts):
        raise invalid("id", "must be of type integer")
    return {int(text) for text in texts}


def _action(project: Project, type_: str, id: int) -> Record:
    action = project.actions.get(id)
    if action is None or (type_ and all(row["type"] != type_ for row in action["resources"])):
        raise missing(f"action with ID '{id}'")
    return project.shown(action)


def _several(call: Call) -> Answer:
    ids = _asked(call)
    if not ids:
        announced = "2025-01-30-listing-arbitrary-actions-in-the-actions-list-endpoint-is-removed"
        raise removed(announced, "listing all actions was removed; name them with 'id'")
    found = [call.project.actions[id] for id in sorted(ids) if id in call.project.actions]
    return ACTIONS.listed(call, found)


def _one(call: Call, id: int) -> Answer:
    return 200, {"action": _action(call.project, "", id)}


def _of_kind(word: str) -> list[Route]:
    plural = _PLURALS.get(word, f"{word}s")

    def record_id(call: Call, key: str) -> int:
        if word == "zone":
            return int(zones.zone(call.project, key)["id"])
        if not key.isdigit():
            raise missing(f"{word.replace('_', ' ')} with ID '{key}'")
        if word == "image" and images.known(call.project, int(key)) is not None:
            return int(key)
        return int(call.project.get(plural, int(key))["id"])

    def of_all(call: Call) -> Answer:
        ids = _asked(call)
        rows = call.project.actions_of(word)
        return ACTIONS.listed(call, [row for row in rows if not ids or row["id"] in ids])

    def of_all_one(call: Call, id: int) -> Answer:
        return 200, {"action": _action(call.project, word, id)}

    def of_one(call: Call, key: str) -> Answer:
        return ACTIONS.listed(call, call.project.actions_of(word, record_id(call, key)))

    def of_one_one(call: Call, key: str, action_id: int) -> Answer:
        ids = {row["id"] for row in call.project.actions_of(word, record_id(call, key))}
        if action_id not in ids:
            raise missing(f"action with ID '{action_id}'")
        return 200, {"action": _action(call.project, word, action_id)}

    return [
        ("GET", f"/{plural}/actions", of_all),
        ("GET", f"/{plural}/actions/<int:id>", of_all_one),
        ("GET", f"/{plural}/<key>/actions", of_one),
        ("GET", f"/{plural}/<key>/actions/<int:action_id>", of_one_one),
    ]


_PLURALS = {"storage_box": "storage_boxes"}
_WORDS = (
    "certificate",
    "firewall",
    "floating_ip",
    "image",
    "load_balancer",
    "network",
    "primary_ip",
    "server",
    "storage_box",
    "volume",
    "zone",
)
ROUTES: tuple[Route, ...] = (
    ("GET", "/actions", _several),
    ("GET", "/actions/<int:id>", _one),
    *(route for word in _WORDS for route in _of_kind(word)),
)
