"""The portability diff for people, for pull requests, for code scanning and for machines."""

from __future__ import annotations

from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from rehost.stacks.catalog import Origin
from rehost.stacks.diagnostics import Diagnostic, Severity
from rehost.stacks.load import Loaded
from rehost.stacks.model import show_size
from rehost.stacks.portability import Cost, Finding, Fit, Portability

_STYLES = {Fit.NATIVE: "green", Fit.SUBSTITUTED: "cyan", Fit.OPERATOR: "yellow", Fit.LOST: "red"}
_SEVERITY = {Fit.SUBSTITUTED: Severity.NOTE, Fit.OPERATOR: Severity.WARNING, Fit.LOST: Severity.ERROR}


def headline(found: Portability) -> str:
    """The diff in one sentence."""
    told = [f"{found.count(fit)} {fit.label}" for fit in Fit if found.count(fit)]
    locked = f"; {len(found.lock_in)} lock-in" if found.lock_in else ""
    return (", ".join(told) or "nothing to move") + locked


def _price(cost: Cost) -> str:
    if not cost.unknown:
        return f"{cost.monthly:,.2f} {cost.currency}"
    return f"at least {cost.monthly:,.2f} {cost.currency}, {len(cost.unknown)} unknown"


def _dated(cost: Cost) -> str:
    """The days that a side's prices are of."""
    days = [origin.date for origin in cost.origins]
    if not days:
        return ""
    return f"prices of {days[0]}" if len(set(days)) == 1 else f"prices of {days[0]} to {days[-1]}"


def _costs(found: Portability) -> list[tuple[str, str]]:
    rows = [("Cost a month", f"{_price(found.cost_here)} -> {_price(found.cost_there)}, list prices")]
    for name, cost in ((found.source, found.cost_here), (found.target, found.cost_there)):
        if cost.origins:
            rows.append(("", f"{name}: {_dated(cost)}"))
        if cost.unknown:
            shown = ", ".join(cost.unknown[:4]) + (f" and {len(cost.unknown) - 4} more" * (len(cost.unknown) > 4))
            rows.append(("", f"{name}, not in it: {shown}"))
    return rows


def _egress(found: Portability) -> str:
    cost = found.data.egress
    if cost is None:
        return f"unknown from {found.source}"
    about = f"{'at most ' if cost.at_most else ''}{cost.amount:,.2f} {found.data.currency} once (list price"
    about += f" of {cost.origin.date})" if cost.origin else ")"
    return f"{about} from {found.source}" + (f"; {cost.note}" if cost.note else "")


def _data(found: Portability) -> list[tuple[str, str]]:
    data, rows = found.data, []
    if not data.sizes:
        return []
    missing = [component for component, size in data.sizes.items() if size is None]
    if data.total is not None:
        rows.append(("Data", show_size(data.total)))
        rows.append(("Time", _time(data.seconds) if data.seconds is not None else "unknown without --bandwidth"))
        rows.append(("Egress", _egress(found)))
    else:
        rows.append(("Data", f"unknown: give {' '.join(f'--size {component}=..' for component in missing)}"))
    return rows


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


class PortabilityView:
    """Each component with how it fits, what makes the difference, and what is to be done; the sum comes last."""

    def __init__(self, found: Portability) -> None:
        self._found = found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        found = self._found
        yield Text(f"{found.stack}: from {found.source} to {found.target}\n", style="bold")
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column()
        for row in found.rows:
            told = Text("\n").join(_told(finding) for finding in row.findings)
            # What is lost is a property, as a rule: the component itself is there.
            label = "loses" if row.there is Fit.LOST else row.there.label
            table.add_row(row.component, Text(label, style=_STYLES[row.there]), told)
        for finding in found.lock_in:
            table.add_row(finding.component, Text("lock-in", style="magenta"), _told(finding))
        yield table
        yield Text("")
        summary = Table.grid(padding=(0, 2))
        summary.add_column(style="bold", no_wrap=True)
        summary.add_column()
        summary.add_row("Fit", headline(found))
        for label, text in (*_costs(found), *_data(found)):
            summary.add_row(label, text)
        yield summary


def _told(finding: Finding) -> Text:
    text = Text(finding.reason)
    if finding.step:
        text.append(f"\nto do: {finding.step}", style="dim")
    return text


def markdown(found: Portability) -> str:
    """A comment for a pull request."""
    lines = [f"### `{found.stack}`: from `{found.source}` to `{found.target}`", "", f"**{headline(found)}**", ""]
    lines += ["| component | fit | why | what to do |", "| --- | --- | --- | --- |"]
    for row in found.rows:
        whys = "<br>".join(_cell(finding.reason) for finding in row.findings)
        steps = "<br>".join(_cell(finding.step) for finding in row.findings if finding.step)
        lines.append(f"| `{row.component}` | {row.there.label} | {whys} | {steps} |")
    for finding in found.lock_in:
        lines.append(f"| `{finding.component}` | lock-in | {_cell(finding.reason)} | {_cell(finding.step)} |")
    lines += [""]
    lines += [f"- {label + ': ' if label else ''}{text}" for label, text in (*_costs(found), *_data(found))]
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def diagnostics(found: Portability, loaded: Loaded) -> list[Diagnostic]:
    """The diff as findings with places in the stack file, for code scanning."""
    told = [finding for row in found.rows for finding in row.findings if finding.fit is not Fit.NATIVE]
    result = []
    for code, findings in (("portability", told), ("lock-in", found.lock_in)):
        for finding in findings:
            path = tuple(finding.component.split(".", 1))
            fit = finding.fit.label.replace(" ", "-")
            result.append(
                Diagnostic(
                    f"{code}-{fit}" if code == "portability" else code,
                    f"{finding.component} at {found.target}: {finding.reason}",
                    fix=finding.step,
                    path=path,
                    span=loaded.span(path, key=True),
                    severity=_SEVERITY[finding.fit],
                )
            )
    return result


def _finding(finding: Finding) -> dict[str, str]:
    return {"fit": finding.fit.label, "reason": finding.reason, "step": finding.step}


def _origin(origin: Origin) -> dict[str, str]:
    return {"source": origin.source, "date": origin.date}


def as_dict(found: Portability) -> dict[str, Any]:
    """One JSON document."""

    def cost(side: Cost) -> dict[str, Any]:
        return {
            "monthly": side.monthly,
            "unknown": len(side.unknown),
            "currency": side.currency,
            "components": [
                {"component": line.component, "monthly": line.monthly, "unknown": list(line.unknown)}
                for line in side.lines
            ],
            "origins": [_origin(origin) for origin in side.origins],
        }

    data = found.data
    return {
        "format_version": 1,
        "stack": found.stack,
        "from": found.source,
        "to": found.target,
        "worst": found.worst.label,
        "counts": {fit.label: found.count(fit) for fit in Fit},
        "components": [
            {
                "component": row.component,
                "from": row.here.label,
                "to": row.there.label,
                "findings": [_finding(finding) for finding in row.findings],
            }
            for row in found.rows
        ],
        "lock_in": [{"component": finding.component, **_finding(finding)} for finding in found.lock_in],
        "cost": {"from": cost(found.cost_here), "to": cost(found.cost_there)},
        "data": {
            "bytes": data.total,
            "sizes": dict(data.sizes),
            "seconds": data.seconds,
            "egress": None if data.egress is None else data.egress.amount,
            "egress_at_most": data.egress is not None and data.egress.at_most,
            "egress_origin": _origin(data.egress.origin) if data.egress and data.egress.origin else None,
            "currency": data.currency,
        },
    }
