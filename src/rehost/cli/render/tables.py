"""Rows for people and for pull requests."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """For a terminal: long cells fold, columns without any content are left out."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    kept = [number for number in range(len(heads)) if any(row[number] for row in rows)]
    for number in kept:
        table.add_column(heads[number], overflow="fold")
    for row in rows:
        table.add_row(*(row[number] for number in kept))
    return table


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """For a pull request."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in r) + " |" for r in lines
    )
