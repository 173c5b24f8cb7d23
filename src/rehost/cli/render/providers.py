"""Providers and their resource types, for people, for the documentation and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from rehost.stacks.ports import Adapter

_IDENTITY = {"tag": "its tag", "name": "its name", "natural": "what it joins or says"}


def summary(adapter: Adapter) -> dict[str, Any]:
    """One provider in a line."""
    return {
        "name": adapter.name,
        "title": adapter.title,
        "regions": len(adapter.regions()),
        "kinds": len(list(adapter.kinds())),
        "currency": adapter.currency,
    }


def summary_table(told: Sequence[dict[str, Any]]) -> Table:
    """All providers."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("name", "title", "regions", "kinds", "currency"):
        table.add_column(column, header_style="dim", justify="right" if column in ("regions", "kinds") else "left")
    for row in told:
        table.add_row(*(str(value) for value in row.values()))
    return table


def summary_markdown(told: Sequence[dict[str, Any]]) -> str:
    """All providers, as a table."""
    lines = ["| provider | title | regions | kinds | currency |", "| --- | --- | ---: | ---: | --- |"]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in told]
    return "\n".join(lines) + "\n"


def page(adapter: Adapter) -> dict[str, Any]:
    """All that can be said of a provider without credentials."""
    kinds = []
    for token in sorted(adapter.kinds()):
        rules = adapter.rules(token)
        kinds.append(
            {
                "token": token,
                "title": rules.title,
                "holds_data": rules.holds_data,
                "replaced_by": sorted(rules.force_new),
                "interrupts": {path: worst.label for path, worst in sorted(rules.disruption.items())},
                "unread": sorted(rules.unread),
                "found_by": rules.identity,
            }
        )
    return {
        "name": adapter.name,
        "title": adapter.title,
        "currency": adapter.currency,
        "parallel": adapter.parallel,
        "regions": list(adapter.regions()),
        "options": dict(adapter.options),
        "kinds": kinds,
    }


class PageView:
    """A provider in a terminal."""

    def __init__(self, page: dict[str, Any]) -> None:
        self._page = page

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        told = self._page
        yield Text(f"{told['title']} (provider: {told['name']})\n", style="bold")
        about = Table.grid(padding=(0, 2))
        about.add_row(Text("regions", style="bold"), ", ".join(told["regions"]) or "any")
        for option, text in told["options"].items():
            about.add_row(Text(option, style="bold"), text)
        yield about
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("type", header_style="dim", no_wrap=True)
        table.add_column("what it is", header_style="dim")
        for kind in told["kinds"]:
            table.add_row(kind["token"], kind["title"] + (", holds data" if kind["holds_data"] else ""))
        yield Text("")
        yield table


def page_markdown(told: dict[str, Any]) -> str:
    """A provider's page in the documentation."""
    lines = [f"# {told['title']}", "", f"`provider: {told['name']}`, list prices in {told['currency']}.", ""]
    if told["regions"]:
        lines += [f"Regions: {', '.join(f'`{region}`' for region in told['regions'])}.", ""]
    if told["options"]:
        lines += ["| option of a target | meaning |", "| --- | --- |"]
        lines += [f"| `{option}` | {text} |" for option, text in told["options"].items()] + [""]
    lines += [
        "## Resource types",
        "",
        "A change of what is listed replaces the resource, or interrupts it as said; everything else that rehost"
        " sets changes in place. A create whose answer was lost is found again by what the last column says.",
        "",
        "| type | what it is | replaced by a change of | interrupted by a change of | found by |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind in told["kinds"]:
        title = kind["title"] + (" (holds data)" if kind["holds_data"] else "")
        replaced = ", ".join(f"`{name}`" for name in kind["replaced_by"])
        interrupts = ", ".join(f"`{name}` ({worst})" for name, worst in kind["interrupts"].items())
        lines.append(
            f"| `{kind['token']}` | {title} | {replaced} | {interrupts} | {_IDENTITY[kind['found_by']]} |"
        )
    return "\n".join(lines) + "\n"
