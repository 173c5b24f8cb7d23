"""Options that many verbs share, and what they make: a loaded stack, a deployment."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rehost.cli.exits import Exit

if TYPE_CHECKING:
    from rehost.stacks.deployment import Deployment
    from rehost.stacks.load import Loaded

F = TypeVar("F", bound=Callable[..., Any])


def stack_options(function: F) -> F:
    """-f and --set."""
    for option in (
        click.option("sets", "--set", multiple=True, metavar="KEY=VALUE", help="Change a value of the stack."),
        click.option(
            "files", "-f", "--file", multiple=True, type=click.Path(path_type=Path),
            help="Stack file; further ones are laid over the first.",
        ),
    ):
        function = option(function)
    return function


def format_option(function: F) -> F:
    """--format."""
    choice = click.Choice(["text", "json"])
    return click.option("--format", "format_", type=choice, default="text", show_default=True)(function)


def target_options(function: F) -> F:
    """--on and how to work there."""
    for option in (
        click.option("--sandbox", is_flag=True, help="Run against the running sandbox, with a state of its own."),
        click.option("--parallel", type=click.IntRange(1, 256), default=None, help="Calls at once, at most."),
        click.option("--on", "target", required=True, metavar="TARGET", help="Target in the stack file."),
    ):
        function = option(function)
    return function


def load_stack(files: tuple[Path, ...], sets: tuple[str, ...]) -> Loaded:
    """The stack of the named files, or of the one in the current folder."""
    from rehost.stacks.load import find_stack_file, load

    chosen = list(files)
    if not chosen:
        chosen = [find_stack_file(Path.cwd()) or Path("stack.yaml")]
    return load(chosen, sets=sets)


def load_deployment(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str,
    parallel: int | None,
    sandbox: bool = False,
    **fields: Any,
) -> Deployment:
    """The deployment of a valid stack at a target. Leaves with 3 after showing what is wrong."""
    from rehost.cli.render.diagnostics import show_text
    from rehost.providers.registry import adapter
    from rehost.stacks.deployment import Deployment
    from rehost.stacks.errors import InvalidInput
    from rehost.stacks.load.loader import did_you_mean
    from rehost.stacks.state import Passphrase, file_store
    from rehost.stacks.validate import errors, validate

    loaded = load_stack(files, sets)
    found = validate(loaded, adapter)
    if errors(found) or loaded.stack is None:
        show_text(found)
        sys.exit(Exit.INVALID)
    if target not in loaded.stack.targets:
        names = list(loaded.stack.targets)
        raise InvalidInput(f"the stack has no target {target!r}", fix=did_you_mean(target, names))
    chosen = loaded.stack.targets[target]
    folder = Path(loaded.file).resolve().parent
    environment = dict(os.environ)
    if sandbox:
        from rehost.providers.sandbox.control import connection, default_folder
        from rehost.stacks.engine.clock import Clock

        environment |= connection(default_folder())
        fields["clock"] = Clock(pace=20)
    return Deployment(
        loaded.stack,
        chosen,
        adapter(chosen.provider),
        file_store(folder, Passphrase.from_environment(environment), sandbox=sandbox),
        environment,
        parallel=parallel or 0,
        **fields,
    )


def stop_on_interrupt() -> threading.Event:
    """An event that the first Ctrl-C sets; the second leaves at once (the journal is on disk already)."""
    stop = threading.Event()

    def handle(number: int, frame: object) -> None:
        del number, frame
        if stop.is_set():
            os._exit(Exit.INTERRUPTED)
        stop.set()
        click.echo("stopping: calls under way are finished; once more leaves at once", err=True)

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
    return stop
