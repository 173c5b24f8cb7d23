"""A plan for people, for pull requests and for machines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rehost.stacks.graph import UNKNOWN, Value
from rehost.stacks.model import Stack
from rehost.stacks.plan import Action, Plan, Step, show
from rehost.stacks.ports import Change, Disruption
from rehost.stacks.resolve import SHARED_OUT
from rehost.stacks.state import Fact

MARKS = {"create": "+", "update": "~", "replace": "±", "delete": "-", "adopt": "=", "same": " "}
_STYLES = {"create": "green", "update": "yellow", "replace": "magenta", "delete": "red", "adopt": "cyan"}
_MEANING = {
    Disruption.RESTART: "restart: off for a while, data kept; of a group one server after the other",
    Disruption.REPLACE: "replace: removed and made anew; what it held itself is gone",
    Disruption.DATA_LOSS: "data loss: what is stored in it is gone for good",
}
_QUIET = {"tags", "labels", "name"}
"""Inputs that tell a reader nothing new about what is made."""


def outcome_line(plan: Plan) -> str:
    """The plan in one sentence: how many of what."""
    counts = {action: count for action, count in plan.counts().items() if count and action != "same"}
    same = plan.counts()["same"]
    if plan.empty:
        return f"no changes: all {same} resources are what the stack says" if same else "no changes"
    told = ", ".join(f"{count} to {action}" for action, count in counts.items()) or "only pinned choices change"
    return told + (f", {same} stay as they are" if same else "")


def disruption_lines(plan: Plan) -> list[str]:
    """What the plan interrupts, the worst first; one line for each component."""
    lines: dict[tuple[int, str], str] = {}
    for step in plan.changing:
        if step.disruption is not Disruption.NONE:
            key = (-step.disruption, step.component or step.name)
            lines.setdefault(key, f"{step.disruption.label:<9}  {step.address}")
    return [lines[key] for key in sorted(lines)]


def cost_line(plan: Plan) -> str:
    """List prices before and after, and what is missing in them."""
    before, after, unknown = plan.monthly()
    if not before and not after and not unknown:
        return ""
    days = [origin.date for origin in plan.origins()]
    dated = f" of {days[0]}" if days else ""
    dated += f" to {days[-1]}" if len(set(days)) > 1 else ""
    least = "at least " if unknown else ""
    text = f"{before:,.2f} -> {least}{after:,.2f} {plan.currency} a month (list prices{dated})"
    if not unknown:
        return text
    unpriced = list(dict.fromkeys(f"{s.address} ({', '.join(s.unpriced)})" for s in plan.steps if s.unpriced))
    more = f" and {len(unpriced) - 3} more" if len(unpriced) > 3 else ""
    return f"{text}; no price is known of {', '.join(unpriced[:3])}{more}"


class PlanView:
    """What will happen, why, and what it interrupts; the answer comes last, where a terminal's reader looks."""

    def __init__(self, plan: Plan, *, verbose: bool = False, then: str = "") -> None:
        self._plan = plan
        self._verbose = verbose
        self._then = then

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        plan = self._plan
        yield Text(f"{plan.stack} on {plan.target}", style="bold")
        if not plan.refreshed:
            yield Text("compared with the last known state only (--no-refresh)", style="dim")
        yield from self._choices()
        yield from self._steps(options.max_width)
        yield Text("")
        yield from self._summary()

    def _choices(self) -> RenderResult:
        plan = self._plan
        chosen = _chosen(plan)
        if not chosen and not plan.unknown_facts:
            return
        yield Text("\nChoices made for you, pinned from now on", style="bold")
        for fact in chosen:
            yield Text.assemble("  ", fact.key, " = ", (_short(fact.value), "bold"))
            told = fact.why + (f". Next best: {fact.runner_up}" if fact.runner_up else "")
            yield Padding(Text(told, style="dim"), (0, 0, 0, 6))
        if plan.unknown_facts:
            asked = ", ".join(plan.unknown_facts)
            yield Padding(Text(f"only the provider can tell: {asked}", style="dim"), (0, 0, 0, 2))

    def _steps(self, width: int) -> RenderResult:
        for component, steps in _grouped(self._plan.changing):
            yield Text(f"\n{component}", style="bold")
            for step in steps:
                yield from self._step(step, width)

    def _step(self, step: Step, width: int) -> RenderResult:
        style = _STYLES.get(step.action.value, "")
        name = "" if step.name in step.component or step.shows else f" {step.name}"
        head = Text.assemble(
            "  ", (f"{MARKS[step.action.value]} {step.action.value:<7} {step.title}{name}", style)
        )
        if step.disruption is not Disruption.NONE:
            head.append(f"  {step.disruption.label.upper()}", style="bold red")
        if step.action is Action.CREATE and not self._verbose:
            details = brief(step)
            room = width - head.cell_len - 2
            if details and room > 12:
                head.append("  " + _cut(details, room), style="dim")
        yield head
        if step.reason not in ("", "new", "the definition changed", "no longer in the stack", "destroy"):
            yield Padding(Text(f"because {step.reason}"), (0, 0, 0, 12))
        if step.notice:
            yield Padding(Text(step.notice, style="yellow"), (0, 0, 0, 12))
        if step.action in (Action.UPDATE, Action.REPLACE) or self._verbose:
            for change in step.changes:
                for line in _change(change, step):
                    yield Padding(line, (0, 0, 0, 12))

    def _summary(self) -> RenderResult:
        plan = self._plan
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        table.add_row("Plan", outcome_line(plan))
        if not plan.empty:
            interrupted = disruption_lines(plan)
            meanings = [_MEANING[d] for d in sorted({s.disruption for s in plan.changing}) if d in _MEANING]
            shown = "\n".join([*interrupted, *meanings])
            table.add_row("Interrupts", Text(shown, style="red" if interrupted else "") if shown else "nothing")
        cost = cost_line(plan)
        if cost:
            table.add_row("Cost", cost)
        for note in plan.notes:
            table.add_row("Note", Text(note, style="yellow"))
        if plan.blocked:
            allow = " ".join(f"--delete-data {component}" for component in plan.blocked)
            text = f"{', '.join(plan.blocked)} would lose data; if that is meant, add {allow}"
            table.add_row("Blocked", Text(text, style="bold red"))
        if self._then and not plan.empty and not plan.blocked:
            table.add_row("Next", self._then)
        yield table


def _chosen(plan: Plan) -> list[Fact]:
    """The choices that somebody may want to know of: not which of several equal places something was given."""
    return [fact for fact in plan.facts if fact.key in plan.chosen and fact.source != SHARED_OUT]


def _grouped(steps: Iterable[Step]) -> list[tuple[str, list[Step]]]:
    """Steps by component, in the order of the stack file's keys."""
    groups: dict[str, list[Step]] = {}
    for step in steps:
        groups.setdefault(step.component or step.name, []).append(step)
    families = list(Stack.model_fields)

    def place(item: tuple[str, list[Step]]) -> tuple[int, list[str | int]]:
        family, _, rest = item[0].partition(".")
        # app-10 after app-9.
        parts: list[str | int] = [f"{int(p):09}" if p.isdigit() else p for p in re.split(r"(\d+)", rest)]
        return (families.index(family) if family in families else len(families), parts)

    return sorted(groups.items(), key=place)


def brief(step: Step) -> str:
    """What a new resource is, in one line."""
    if step.shows:
        given = {change.path: change.new for change in step.changes}
        values = [_told(given[key]) for key in step.shows if given.get(key) not in (None, "")]
        return " ".join(value for value, _ in groupby(values))
    told = []
    for change in step.changes:
        value = change.new
        if change.path in _QUIET or change.path.endswith(("Id", "Ids")) or not isinstance(value, str | int):
            continue
        if value not in ("", False) and not str(value).startswith("{"):
            told.append(change.path if value is True else f"{change.path} {value}")
    return ", ".join(told)


def _told(value: Value) -> str:
    if value is UNKNOWN:
        return "…"
    if isinstance(value, list):
        items = [item.get("value") if isinstance(item, dict) else item for item in value]
        if None not in items:
            return ", ".join(map(_told, items))
        return f"{len(items)} {'entry' if len(items) == 1 else 'entries'}"
    return _short(value)


def _change(change: Change, step: Step) -> list[Text]:
    if step.action is Action.CREATE:
        return [Text(f"{change.path}: {_short(change.new)}")]
    forces = Text("  (can't change in place)" if change.replaces else "", style="magenta")
    if isinstance(change.old, list) and isinstance(change.new, list):
        gone, fresh = _apart(change.old, change.new)
        lines = [Text.assemble(f"{change.path}:", forces)]
        lines += [Text(f"- {_item(item)}", style="red") for item in gone]
        lines += [Text(f"+ {_item(item)}", style="green") for item in fresh]
        return lines if gone or fresh else [Text.assemble(f"{change.path}: another order", forces)]
    old, new = (_short(change.old), "red"), (_short(change.new), "green")
    return [Text.assemble(f"{change.path}: ", old, " -> ", new, forces)]


def _apart(old: list[Value], new: list[Value]) -> tuple[list[Value], list[Value]]:
    """What only one of two lists has."""
    gone, fresh = list(old), []
    for item in new:
        if item in gone:
            gone.remove(item)
        else:
            fresh.append(item)
    return gone, fresh


def _item(value: Value) -> str:
    """One item of a list in a line."""
    if isinstance(value, dict):
        if set(value) == {"value"}:
            return _short(value["value"])
        return ", ".join(f"{key} {_item(item)}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(map(_item, value))
    return _short(value)


def _short(value: Any) -> str:
    shown = show(value)
    text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    # Of a certificate nobody reads more than what it is.
    return f"{text.partition(chr(10))[0]}…" if text.startswith("-----BEGIN ") else text


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1].rstrip(" ,") + "…"


def plan_markdown(plan: Plan) -> str:
    """A plan as a comment of a pull request: the answer, then a table, then the choices behind it."""
    lines = [f"### `{plan.stack}` on `{plan.target}`: {outcome_line(plan)}", ""]
    if not plan.refreshed:
        lines += ["Compared with the last known state only.", ""]
    interrupted = disruption_lines(plan)
    if interrupted:
        lines += ["**Interrupts**", "", *(f"- {line}" for line in interrupted), ""]
    elif not plan.empty:
        lines += ["Interrupts nothing.", ""]
    cost = cost_line(plan)
    if cost:
        lines += [f"Cost: {cost}", ""]
    lines += [f"> **Blocked**: `{component}` would lose data." for component in plan.blocked]
    lines += [f"> {note}" for note in plan.notes]
    if plan.changing:
        lines += ["", "| | component | resource | what changes |", "| --- | --- | --- | --- |"]
        lines += [_row(step) for step in plan.changing]
    chosen = _chosen(plan)
    if chosen:
        lines += ["", "<details><summary>Choices</summary>", ""]
        lines += [f"- `{fact.key}` = `{_short(fact.value)}`: {fact.why}" for fact in chosen]
        lines += ["", "</details>"]
    return "\n".join(lines).rstrip() + "\n"


def _row(step: Step) -> str:
    if step.action is Action.CREATE:
        told = _code(brief(step)) if step.changes else ""
    else:
        lines = [line.plain for change in step.changes for line in _change(change, step)]
        told = "<br>".join(map(_code, lines))
    worst = "" if step.disruption is Disruption.NONE else f" **{step.disruption.label}**"
    because = "" if step.reason in ("", "new", "the definition changed") else f"{step.reason}<br>"
    action = f"{MARKS[step.action.value]} {step.action.value}{worst}"
    return f"| {action} | `{step.component or step.name}` | {step.title} | {because}{told} |"


def _code(text: str) -> str:
    flat = " ".join(_cut(text, 200).replace("`", "'").replace("|", "\\|").split())
    return f"`{flat}`" if flat else ""


def plan_dict(plan: Plan) -> dict[str, Any]:
    """One JSON document; secrets are masked."""
    before, after, unknown = plan.monthly()
    return {
        "format_version": 1,
        "stack": plan.stack,
        "target": plan.target,
        "refreshed": plan.refreshed,
        "changes": not plan.empty,
        "counts": plan.counts(),
        "cost": {
            "before": before,
            "after": after,
            "unknown": unknown,
            "currency": plan.currency,
            "origins": [{"source": origin.source, "date": origin.date} for origin in plan.origins()],
        },
        "facts": [
            {
                "key": f.key,
                "value": f.value,
                "why": f.why,
                "runner_up": f.runner_up,
                "chosen": f.key in plan.chosen,
            }
            for f in plan.facts
        ],
        "unknown_facts": list(plan.unknown_facts),
        "notes": list(plan.notes),
        "blocked": list(plan.blocked),
        "digest": plan.digest(),
        "steps": [
            {
                "action": step.action.value,
                "urn": step.urn,
                "type": step.type,
                "component": step.component,
                "reason": step.reason,
                "notice": step.notice,
                "disruption": step.disruption.label,
                "delete_first": step.delete_first,
                "drifted": step.drifted,
                "monthly": {"before": step.was_monthly, "after": step.monthly, "unknown": list(step.unpriced)},
                "changes": [
                    {"path": c.path, "old": show(c.old), "new": show(c.new), "replaces": c.replaces}
                    for c in step.changes
                ],
            }
            for step in plan.changing
        ],
    }
