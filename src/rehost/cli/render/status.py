"""What is deployed, for people, for pull requests and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rehost.cli.render.plan import outcome_line
from rehost.cli.render.tables import markdown_table
from rehost.stacks.plan import Step, show
from rehost.stacks.status import Status, Summary

HEADS = ("TARGET", "RESOURCES", "SINCE", "LAST CHANGE", "OPEN STEPS", "LOCKED BY")


def summary_row(summary: Summary) -> list[str]:
    """One target, under HEADS."""
    return [
        summary.target,
        str(summary.resources),
        _time(summary.since) or "-",
        _time(summary.changed) or "-",
        str(summary.pending or ""),
        summary.holder.told() if summary.holder else "",
    ]


def summary_dict(summary: Summary) -> dict[str, Any]:
    """One target for machines."""
    holder = summary.holder
    shown = ("user", "host", "pid", "command", "since")
    return {
        "target": summary.target,
        "deployment": summary.deployment or None,
        "deployed": bool(summary.resources or summary.pending),
        "since": summary.since or None,
        "changed": summary.changed or None,
        "resources": summary.resources,
        "replaced": summary.replaced,
        "pending": summary.pending,
        "lock": {key: getattr(holder, key) for key in shown} if holder else None,
    }


def _time(stamp: str) -> str:
    return stamp[:16].replace("T", " ") + " UTC" if stamp else ""


def status_dict(status: Status) -> dict[str, Any]:
    """The whole for machines; secrets are masked."""
    plan, state = status.plan, status.state
    return {
        "format_version": 1,
        "stack": state.stack,
        **summary_dict(status.summary),
        "binding": {"endpoint": state.binding.endpoint, "account": state.binding.account}
        if state.binding
        else None,
        "refreshed": plan is not None and plan.refreshed,
        "in_sync": plan is None or plan.empty,
        "facts": [
            {"key": f.key, "value": f.value, "why": f.why, "source": f.source}
            for f in sorted(state.facts.values(), key=lambda fact: fact.key)
        ],
        "addresses": [
            {"component": a.component, "title": a.title, "name": a.name, "values": list(a.values)}
            for a in status.addresses
        ],
        "drift": {
            "changed": [_step_dict(step) for step in status.changed_outside],
            "deleted": [_step_dict(step) for step in status.deleted_outside],
        },
        "changes": [_step_dict(step) for step in status.waiting],
        "notes": list(plan.notes) if plan else [],
    }


def _step_dict(step: Step) -> dict[str, Any]:
    return {
        "urn": step.urn,
        "type": step.type,
        "component": step.component,
        "title": step.title,
        "action": step.action.value,
        "properties": [{"path": c.path, "now": show(c.old), "wanted": show(c.new)} for c in step.changes],
    }


def status_text(status: Status, *, markdown: bool = False) -> str:
    """The whole for people; what to do comes last."""
    state, summary = status.state, status.summary
    title = f"{state.stack} on {state.target}"
    if status.plan is None:
        return f"{title}: nothing is deployed"
    binding = state.binding
    at = f"account {binding.account} at {binding.endpoint}" if binding and binding.account else ""
    at = at or (binding.endpoint if binding else "")
    told = [
        f"deployed {_time(summary.since)}, last changed {_time(summary.changed)}",
        f"{summary.resources} resources, deployment {summary.deployment}" + (f", {at}" if at else ""),
    ]
    if summary.holder:
        told.append(f"locked by {summary.holder.told()}")
    if summary.pending:
        told.append(f"{summary.pending} step(s) of an interrupted run are open: `rehost deploy` settles them")
    reached = [[a.component, a.title, a.name, ", ".join(a.values)] for a in status.addresses]
    choices = [[fact.key, _value(fact.value), fact.source] for _, fact in sorted(state.facts.items())]
    parts = [_head(title, markdown), *_lines(told, markdown)]
    parts += _section("Reached at", ("component", "kind", "property", "value"), reached, markdown)
    parts += _section("Pinned choices", ("choice", "value", "from"), choices, markdown)
    drift = [["changed outside", s.address, _paths(s)] for s in status.changed_outside]
    drift += [["deleted outside", s.address, ""] for s in status.deleted_outside]
    parts += _section("Drift", ("what", "resource", "properties"), drift, markdown)
    return "\n".join([*parts, "", *_lines(_verdict(status), markdown)])


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _paths(step: Step) -> str:
    return "; ".join(f"{c.path}: {show(c.old)} instead of {show(c.new)}" for c in step.changes)


def _verdict(status: Status) -> list[str]:
    assert status.plan is not None
    plan = status.plan
    lines = []
    if not plan.refreshed:
        lines.append("compared with the last known state only (--no-refresh): drift is not known")
    elif not status.changed_outside and not status.deleted_outside:
        lines.append("no drift: everything is as rehost left it")
    if plan.empty:
        lines.append("nothing to change: the target is what the stack says")
    else:
        lines.append(f"{outcome_line(plan)}: see `rehost plan --on {plan.target}`")
    return lines


def _head(text: str, markdown: bool) -> str:
    return f"### {text}\n" if markdown else text


def _lines(lines: Sequence[str], markdown: bool) -> list[str]:
    return [f"- {line}" if markdown else f"  {line}" for line in lines]


def _section(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool) -> list[str]:
    if not rows:
        return []
    if markdown:
        return ["", f"**{title}**", "", markdown_table(heads, rows)]
    widths = [max(len(row[number]) for row in rows) for number in range(len(heads) - 1)]
    lines = ["  ".join([*map(str.ljust, row[:-1], widths), row[-1]]).rstrip() for row in rows]
    return ["", title, *(f"  {line}" for line in lines)]
