"""A plan in a file: made now, looked at by people, carried out later, and only if the world is still the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from rehost.stacks.errors import InvalidInput, Refused
from rehost.stacks.model import Stack
from rehost.stacks.plan import Plan, Wishes

FORMAT = "rehost-plan"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class SavedPlan:
    """What a plan file holds: the definition, what was asked for, and what was going to be done.

    `steps` are URNs with their actions, `store` is where the state was. Values of secrets are not in it.
    """

    stack: Stack
    target: str
    sandbox: bool
    store: str
    wishes: Wishes
    upgrade_facts: bool
    deployment: str
    digest: str
    steps: frozenset[tuple[str, str]]


def to_text(plan: Plan, stack: Stack, shown: Mapping[str, Any], **asked: Any) -> str:
    """The file's text. `shown` is the plan as it is shown to machines; `asked` are wishes, upgrade_facts, store
    and sandbox as in SavedPlan."""
    body = {
        "stack": stack.model_dump(mode="json", by_alias=True, exclude_unset=True),
        "target": plan.target,
        "sandbox": asked["sandbox"],
        "store": asked["store"],
        "wishes": asdict(asked["wishes"]),
        "upgrade_facts": asked["upgrade_facts"],
        "deployment": plan.deployment,
        "digest": plan.digest(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": shown,
    }
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "sha256": _checksum(body)}
    return json.dumps({**head, **body}, indent=1) + "\n"


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def parse(text: str, where: str) -> SavedPlan:
    """The plan in a file's text. Raises InvalidInput for anything that `to_text` did not write."""
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise InvalidInput(
                f"{where} is not a saved plan",
                why="it was not written by `plan --out`",
                fix="make one with `--out`",
            )
        if found["format_version"] != FORMAT_VERSION:
            raise InvalidInput(
                f"{where} is of version {found['format_version']}", fix="make the plan with this version of rehost"
            )
        body = {key: item for key, item in found.items() if key not in ("format", "format_version", "sha256")}
        if found["sha256"] != _checksum(body):
            raise InvalidInput(
                f"{where} was changed after it was made",
                why="its checksum does not fit",
                fix="make a new plan; nothing was done",
            )
        wishes: dict[str, Any] = {
            key: tuple(item) if isinstance(item, list) else item for key, item in found["wishes"].items()
        }
        return SavedPlan(
            Stack.model_validate(found["stack"]),
            found["target"],
            found["sandbox"],
            found["store"],
            Wishes(**wishes),
            found["upgrade_facts"],
            found["deployment"],
            found["digest"],
            frozenset((step["urn"], step["action"]) for step in found["plan"]["steps"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise InvalidInput(
            f"{where} is not a saved plan",
            why=f"{type(error).__name__}: {error}",
            fix="make one with `plan --out`",
        ) from error


def refuse_if_stale(saved: SavedPlan, now: Plan, applying: str) -> None:
    """Raise Refused unless the plan made now does what was planned.

    `applying` is the digest of the plan that state says is being carried out: after an interruption the rest of
    the same plan is in order, whatever of it was left.
    """
    if saved.digest == now.digest():
        return
    rest = {(step.urn, step.action.value) for step in now.changing}
    if applying == saved.digest and {urn for urn, _ in rest} <= {urn for urn, _ in saved.steps}:
        return
    fresh, missing = sorted(rest - saved.steps), sorted(saved.steps - rest)
    told = [f"{action} {urn.split('::')[-1]} is new" for urn, action in fresh]
    told += [f"{action} {urn.split('::')[-1]} is not needed any more" for urn, action in missing]
    more = f" and {len(told) - 4} more" if len(told) > 4 else ""
    raise Refused(
        "the plan is stale: the target has changed since it was made",
        why=("; ".join(told[:4]) + more) if told else "the same steps would change other values",
        fix="make a new plan and look at it",
    )
