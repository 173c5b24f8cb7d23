"""The terminal, as all text output uses it."""

from __future__ import annotations

import os
import shutil
import sys

from rich.console import Console, RenderableType

PIPED_COLUMNS = 100
"""Width where there is no terminal and COLUMNS says nothing."""


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr: colours only on a terminal and never against NO_COLOR."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else shutil.get_terminal_size((PIPED_COLUMNS, 24)).columns
    return Console(
        stderr=stderr,
        width=width,
        highlight=False,
        emoji=False,
        markup=False,
        no_color="NO_COLOR" in os.environ or None,
    )


def show(renderable: RenderableType, *, stderr: bool = False) -> None:
    """Print something, without the blanks that tables leave at the ends of lines."""
    to = console(stderr=stderr)
    with to.capture() as captured:
        to.print(renderable)
    to.file.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))
    to.file.flush()
