"""Findings as text for people, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from rehost.stacks.diagnostics import Diagnostic


def show_text(found: Sequence[Diagnostic]) -> None:
    """Each finding with its line of the file, on stderr."""
    for diagnostic in found:
        span = diagnostic.span
        place = ":".join(str(part) for part in (span.file, span.line, span.column) if part)
        colour = {"error": "red", "warning": "yellow"}.get(diagnostic.severity.value, "cyan")
        head = click.style(diagnostic.severity.value, fg=colour, bold=True)
        click.echo(f"{head}: {click.style(diagnostic.summary, bold=True)} [{diagnostic.code}]", err=True)
        if place:
            click.echo(f"  at {place}", err=True)
        line = _line(span.file, span.line)
        if line is not None:
            click.echo(f"  {span.line:>4} | {line}", err=True)
            click.echo(f"       | {' ' * max(0, span.column - 1)}^", err=True)
        for label, text in (("why", diagnostic.why), ("fix", diagnostic.fix)):
            if text:
                click.echo(f"  {label}: {text}", err=True)
    errors = sum(d.severity.value == "error" for d in found)
    if found:
        click.echo(f"{errors} error(s), {len(found) - errors} other finding(s)", err=True)


def _line(file: str, number: int) -> str | None:
    try:
        return Path(file).read_text(encoding="utf-8-sig").splitlines()[number - 1] if number else None
    except (OSError, UnicodeDecodeError, IndexError):
        return None


def as_dict(diagnostic: Diagnostic) -> dict[str, Any]:
    """A finding for machines."""
    return {
        "severity": diagnostic.severity.value,
        "code": diagnostic.code,
        "summary": diagnostic.summary,
        "why": diagnostic.why,
        "fix": diagnostic.fix,
        "path": list(diagnostic.path),
        "file": diagnostic.span.file,
        "line": diagnostic.span.line,
        "column": diagnostic.span.column,
    }


def to_json(found: Sequence[Diagnostic]) -> str:
    """One document."""
    return json.dumps({"format_version": 1, "diagnostics": [as_dict(d) for d in found]}, indent=2)


def to_sarif(found: Sequence[Diagnostic], version: str) -> str:
    """SARIF 2.1.0, as code hosts read it."""
    results = [
        {
            "ruleId": d.code,
            "level": d.severity.value,
            "message": {"text": " ".join(part for part in (d.summary, d.why, d.fix) if part)},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": d.span.file},
                        "region": {"startLine": max(1, d.span.line), "startColumn": max(1, d.span.column)},
                    }
                }
            ],
        }
        for d in found
    ]
    rules = [{"id": code} for code in sorted({d.code for d in found})]
    tool = {"driver": {"name": "rehost", "version": version, "rules": rules}}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps(
        {"$schema": schema, "version": "2.1.0", "runs": [{"tool": tool, "results": results}]}, indent=2
    )
