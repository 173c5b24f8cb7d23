"""The corpus: small stack files in `broken/` and `valid/`, and beside the broken ones what is to be found in them.

`NAME.expected` has a line for each finding: severity, code, line:column. It is data: look twice before you change
a line of it.
"""

from __future__ import annotations

from pathlib import Path

from rehost.providers.registry import adapter
from rehost.stacks.diagnostics import Diagnostic
from rehost.stacks.load import load
from rehost.stacks.validate import validate

HERE = Path(__file__).parent
BROKEN = sorted((HERE / "broken").glob("*.yaml"))
VALID = sorted((HERE / "valid").glob("*.yaml"))


def findings(path: Path) -> list[Diagnostic]:
    """What is said about a file."""
    return validate(load([path], environment={}), adapter)


def shown(found: Diagnostic) -> str:
    """A finding as a line of an .expected file."""
    return f"{found.severity} {found.code} {found.span.line}:{found.span.column}"


def expected(path: Path) -> list[str]:
    """The lines of the .expected file beside a broken one."""
    return path.with_suffix(".expected").read_text(encoding="utf-8").splitlines()
