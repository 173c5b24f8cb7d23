"""A plan for people and for machines."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import click

from rehost.stacks.plan import Action, Plan, Step, show
from rehost.stacks.ports import Disruption

_MARK = {"create": ("+", "green"), "update": ("~", "yellow"), "replace": ("±", "magenta"), "delete": ("-", "red")}


def plan_text(plan: Plan, *, width: int = 100) -> str:
    """What will happen, why, and what it interrupts."""
    if plan.empty:
        return f"{plan.stack} on {plan.target}: no changes. The target is what the stack says."
    lines = [click.style(f"{plan.stack} on {plan.target}", bold=True)]
    if not plan.refreshed:
        lines.append("  compared with the last known state only (--no-refresh)")
    if plan.chosen or plan.unknown_facts:
        lines.append("\nchoices made for you (pinned from then on)")
        for fact in plan.facts:
            if fact.key in plan.chosen:
                lines.append(f"  {fact.key} = {fact.value}")
                told = fact.why + (f"; next: {fact.runner_up}" if fact.runner_up else "")
                lines += textwrap.wrap(told, max(40, width), initial_indent="      ", subsequent_indent="      ")
        lines += [f"  {key}: known when the provider is asked" for key in plan.unknown_facts]
    lines.append("")
    for step in plan.changing:
        lines += _step(step, width)
    lines.append("")
    lines.append(_summary(plan))
    lines += [f"note: {note}" for note in plan.notes]
    if plan.blocked:
        lines.append(click.style(f"blocked: {', '.join(plan.blocked)} would lose data", fg="red", bold=True))
        lines.append("  allow it with " + " ".join(f"--delete-data {component}" for component in plan.blocked))
    return "\n".join(lines)


def _step(step: Step, width: int) -> list[str]:
    mark, colour = _MARK.get(step.action.value, ("=", "cyan"))
    head = f"  {mark} {step.action.value:<8}{step.component or step.name}  {step.title}"
    if step.disruption is not Disruption.NONE:
        head += click.style(f"  [{step.disruption.label}]", fg="red", bold=True)
    lines = [click.style(head, fg=colour)]
    if step.reason and step.reason != "new":
        lines.append(f"      because {step.reason}")
    if step.action in (Action.UPDATE, Action.REPLACE):
        for change in step.changes:
            text = f"      {change.path}: {_short(change.old)} -> {_short(change.new)}"
            if change.replaces:
                text += "  (forces the replacement)"
            lines.append(text if len(text) <= width else text[: width - 1] + "…")
    return lines


def _short(value: Any) -> str:
    shown = show(value)
    return shown if isinstance(shown, str) else json.dumps(shown)


def _summary(plan: Plan) -> str:
    counts = {action: count for action, count in plan.counts().items() if count and action != "same"}
    text = ", ".join(f"{count} to {action}" for action, count in counts.items()) or "only facts change"
    worst = max((step.disruption for step in plan.changing), default=Disruption.NONE)
    interrupted = sum(step.disruption is not Disruption.NONE for step in plan.changing)
    text += f". Interrupts: {f'{interrupted} (worst: {worst.label})' if interrupted else 'nothing'}."
    before, after, unknown = plan.monthly()
    if before or after:
        text += f" List price a month: {before:.2f} -> {after:.2f} {plan.currency}"
        text += f", {unknown} without a known price." if unknown else "."
    return text


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
        "cost": {"before": before, "after": after, "unknown": unknown, "currency": plan.currency},
        "facts": [
            {"key": f.key, "value": f.value, "why": f.why, "runner_up": f.runner_up, "chosen": f.key in plan.chosen}
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
                "disruption": step.disruption.label,
                "delete_first": step.delete_first,
                "drifted": step.drifted,
                "changes": [
                    {"path": c.path, "old": show(c.old), "new": show(c.new), "replaces": c.replaces}
                    for c in step.changes
                ],
            }
            for step in plan.changing
        ],
    }
