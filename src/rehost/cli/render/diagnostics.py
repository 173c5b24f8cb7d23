"""Findings for people and for machines: text, JSON, SARIF."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rehost.cli.render.console import console, show
from rehost.stacks.diagnostics import TITLES, Diagnostic, Severity, Span
from rehost.stacks.load.text import split_lines

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
_TAB = 4
_ELLIPSIS = "…"


def show_text(
    found: Sequence[Diagnostic], sources: Mapping[str, str] | None = None, *, stderr: bool = True
) -> None:
    """Each finding with its line of the file and a caret under its column, then how many there are."""
    lines = {name: split_lines(text.removeprefix("\ufeff")) for name, text in (sources or {}).items()}
    width = console(stderr=stderr).width
    for diagnostic in found:
        show(_finding(diagnostic, lines.get(diagnostic.span.file, []), width), stderr=stderr)
    if found:
        counts = {s: sum(d.severity is s for d in found) for s in Severity}
        said = [f"{n} {s.value}{'s' if n != 1 else ''}" for s, n in counts.items() if n]
        worst = next(s for s in Severity if counts[s])
        show(Text(", ".join(said), style=f"bold {_COLOURS[worst]}"), stderr=stderr)


def _finding(diagnostic: Diagnostic, lines: Sequence[str], width: int) -> RenderableType:
    span, colour = diagnostic.span, _COLOURS[diagnostic.severity]
    head = Text.assemble((diagnostic.severity.value, f"bold {colour}"), (f"[{diagnostic.code}]", colour), ": ")
    head.append(printable(diagnostic.summary), style="bold")
    gutter = len(str(span.line))
    place = ":".join(str(part) for part in (printable(span.file), span.line, span.column) if part)
    rows: list[RenderableType] = [head, Text.assemble(" " * gutter, ("--> ", "blue"), place)]
    if 0 < span.line <= len(lines):
        shown, column = excerpt(lines[span.line - 1], span.column, width - gutter - 4)
        bar = Text(" " * gutter + " |", style="blue")
        rows.append(Text.assemble((f"{span.line} |", "blue"), " ", shown, overflow="crop", no_wrap=True))
        rows.append(Text.assemble(bar, " " * (column + 1), ("^", f"bold {colour}")))
    notes = Table.grid(padding=(0, 1))
    for label, text in (("why:", diagnostic.why), ("fix:", diagnostic.fix)):
        if text:
            notes.add_row(Text(label, style="blue" if label == "why:" else "green"), Text(printable(text)))
    if notes.row_count:
        rows.append(Padding(notes, (0, 0, 0, gutter + 1)))
    return Group(*rows, Text(""))


def excerpt(line: str, column: int, width: int) -> tuple[str, int]:
    """A line as it fits, and the cell under which its `column`-th character stands; tabs are blanks to the next
    stop, and a line that is too long is cut on the left, on the right, or both."""
    cells: list[str] = []
    used = 0
    for character in line:
        shown = " " * (_TAB - used % _TAB) if character == "\t" else printable(character)
        cells.append(shown)
        used += cell_len(shown)
    at = min(max(column - 1, 0), len(cells))
    before = cell_len("".join(cells[:at]))
    start = 0
    if used >= width and before > width * 2 // 3:
        while start < at and cell_len("".join(cells[start:at])) > width // 2:
            start += 1
    text = (_ELLIPSIS if start else "") + "".join(cells[start:])
    before = cell_len((_ELLIPSIS if start else "") + "".join(cells[start:at]))
    if cell_len(text) > width:
        kept = ""
        for character in text:
            if cell_len(kept) + cell_len(character) > width - 1:
                break
            kept += character
        text = kept + _ELLIPSIS
    return text, before


def printable(text: str) -> str:
    """Text that can't move the cursor or change colours: control and formatting characters become marks."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in text)


def as_dict(diagnostic: Diagnostic) -> dict[str, Any]:
    """A finding for machines."""
    return {
        "severity": diagnostic.severity.value,
        "code": diagnostic.code,
        "summary": diagnostic.summary,
        "why": diagnostic.why,
        "fix": diagnostic.fix,
        "target": diagnostic.target or None,
        "path": list(diagnostic.path),
        "file": diagnostic.span.file,
        "line": diagnostic.span.line,
        "column": diagnostic.span.column,
    }


def to_json(found: Sequence[Diagnostic]) -> str:
    """One document."""
    counts = {f"{s.value}s": sum(d.severity is s for d in found) for s in Severity}
    valid = not counts["errors"]
    document = {"format_version": 1, "valid": valid, **counts, "diagnostics": [as_dict(d) for d in found]}
    return json.dumps(document, indent=2)


def to_sarif(found: Sequence[Diagnostic], version: str, file: str) -> str:
    """SARIF 2.1.0 with what code hosts need to show alerts: rules with texts, relative addresses, columns.

    What has no place in a file (a `--set`) is shown at the start of the stack file.
    """
    codes = sorted({d.code for d in found})
    results = [_result(d, codes, file) for d in found]
    driver = {
        "name": "rehost",
        "version": version,
        "semanticVersion": version,
        "rules": [_rule(code, found) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"%SRCROOT%": {"uri": _root().as_uri() + "/"}},
        "results": results,
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2)


def _rule(code: str, found: Sequence[Diagnostic]) -> dict[str, Any]:
    title = TITLES.get(code) or code.replace("-", " ").capitalize()
    level = next(d.severity.value for d in found if d.code == code)
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in code.split("-")),
        "shortDescription": {"text": title},
        "fullDescription": {"text": title},
        "help": {"text": f"{title}. `rehost validate` shows the place and the fix."},
        "defaultConfiguration": {"level": level},
        "properties": {"tags": ["stack"], "problem.severity": {"note": "recommendation"}.get(level, level)},
    }


def _result(diagnostic: Diagnostic, codes: Sequence[str], file: str) -> dict[str, Any]:
    span, summary = diagnostic.span, diagnostic.summary
    if span.file.startswith("--set "):
        summary, span = f"{span.file}: {summary}", Span(file, 1, 1)
    sentences = [f"{s[:1].upper()}{s[1:]}{'' if s.endswith(('.', '?')) else '.'}" for s in (summary,) if s]
    sentences += [f"{label}: {text}" for label, text in (("Why", diagnostic.why), ("Fix", diagnostic.fix)) if text]
    uri = _uri(span.file)
    artifact = {"uri": uri} if ":" in uri else {"uri": uri, "uriBaseId": "%SRCROOT%"}
    region = {"startLine": max(1, span.line), "startColumn": max(1, span.column)}
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": artifact, "region": region}}
    if diagnostic.path:
        location["logicalLocations"] = [{"fullyQualifiedName": ".".join(map(str, diagnostic.path))}]
    return {
        "ruleId": diagnostic.code,
        "ruleIndex": codes.index(diagnostic.code),
        "level": diagnostic.severity.value,
        "message": {"text": "\n".join(sentences)},
        "locations": [location],
    }


def _root() -> Path:
    """The checkout around the current folder, or that folder."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


def _uri(file: str) -> str:
    """A file's address relative to the checkout; absolute where it is outside."""
    path = Path(file).resolve()
    root = _root()
    return quote(path.relative_to(root).as_posix()) if path.is_relative_to(root) else path.as_uri()
