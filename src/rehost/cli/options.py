"""Options that many verbs share, and what they make: a loaded stack, a deployment."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from rehost.cli.exits import Exit

if TYPE_CHECKING:
    from rehost.stacks.deployment import Deployment
    from rehost.stacks.load import Loaded
    from rehost.stacks.model import Stack
    from rehost.stacks.ports import Adapter
    from rehost.stacks.savedplan import SavedPlan
    from rehost.stacks.state import Passphrase, Store

F = TypeVar("F", bound=Callable[..., Any])


def stack_options(function: F) -> F:
    """-f and --set."""
    for option in (
        click.option("sets", "--set", multiple=True, metavar="KEY=VALUE", help="Change a value of the stack."),
        click.option(
            "files",
            "-f",
            "--file",
            multiple=True,
            type=click.Path(path_type=Path),
            help="Stack file (.yaml or .py, - for stdin); further ones are laid over the first.",
        ),
    ):
        function = option(function)
    return function


def format_option(function: F) -> F:
    """--format of an operation: text, or events as JSON Lines."""
    choice = click.Choice(["text", "json"])
    return click.option("--format", "format_", type=choice, default="text", show_default=True)(function)


def answer_option(function: F) -> F:
    """--format of a question: text, one JSON document, Markdown."""
    choice = click.Choice(["text", "json", "markdown"])
    return click.option("--format", "format_", type=choice, default="text", show_default=True)(function)


def store_options(function: F) -> F:
    """--state and --sandbox: which states are worked on."""
    for option in (
        click.option("--sandbox", is_flag=True, help="Run against the running sandbox, with a state of its own."),
        click.option(
            "--state",
            metavar="FOLDER|URL",
            default=None,
            envvar="REHOST_STATE",
            help="Where states are kept: a folder, or s3://bucket/prefix?region=..&endpoint=..  "
            "[default: REHOST_STATE, or .rehost beside the stack file].",
        ),
    ):
        function = option(function)
    return function


def target_options(function: F) -> F:
    """--on and how to work there."""
    for option in (
        store_options,
        click.option("--parallel", type=click.IntRange(1, 256), default=None, help="Calls at once, at most."),
        click.option("--on", "target", required=True, metavar="TARGET", help="Target in the stack file."),
    ):
        function = option(function)
    return function


def wish_options(function: F) -> F:
    """What may be asked for beside the stack: --target, --replace, --delete-data, --upgrade-facts, --choose."""
    for option in (
        click.option(
            "--choose",
            multiple=True,
            metavar="NEED=TYPE",
            help="Choose by hand what the stack leaves open: servers.app.type=cpx22.",
        ),
        click.option("--upgrade-facts", is_flag=True, help="Choose types, images and zones again."),
        click.option("--delete-data", multiple=True, metavar="COMPONENT", help="May lose its data."),
        click.option("--replace", multiple=True, metavar="COMPONENT", help="Make this component anew."),
        click.option(
            "--only", "--target", "only", multiple=True, metavar="COMPONENT", help="Only this component."
        ),
    ):
        function = option(function)
    return function


def asked_again(command: str, *, without: Collection[str]) -> str:
    """A command line to copy: a command with the options that the current one was given, but for some."""
    context = click.get_current_context()
    words = []
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in without or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value, option = context.params[name], parameter.opts[0]
        for one in value if parameter.multiple else [value]:
            words += [option] if one is True else [option, str(one)]
    return f"{command} {shlex.join(words)}"


def load_stack(files: tuple[Path, ...], sets: tuple[str, ...]) -> Loaded:
    """The stack of the named files, or of the current folder's with the override beside it."""
    from rehost.stacks.load import find_stack_files, load, several_files

    if files:
        return load(files, sets=sets)
    here = Path()
    loaded = load(find_stack_files(here) or [Path("stack.yaml")], sets=sets)
    loaded.diagnostics += several_files(here)
    return loaded


def load_deployment(
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    target: str,
    parallel: int | None,
    sandbox: bool = False,
    state: str | None = None,
    **fields: Any,
) -> Deployment:
    """The deployment of a valid stack at a target. Leaves with 3 after showing what is wrong."""
    loaded, stack = valid_stack(files, sets)
    return deployment_of(stack, target, state, Path(loaded.file).parent, parallel, sandbox, **fields)


def valid_stack(files: tuple[Path, ...], sets: tuple[str, ...]) -> tuple[Loaded, Stack]:
    """A stack without errors. Leaves with 3 after showing what is wrong."""
    from rehost.cli.render.diagnostics import show_text
    from rehost.providers.registry import adapter
    from rehost.stacks.validate import errors, validate

    loaded = load_stack(files, sets)
    found = validate(loaded, adapter)
    if errors(found) or loaded.stack is None:
        show_text(found, loaded.sources)
        sys.exit(Exit.INVALID)
    return loaded, loaded.stack


def deployment_of(
    stack: Stack, target: str, state: str | None, beside: Path, parallel: int | None, sandbox: bool, **fields: Any
) -> Deployment:
    """The deployment of a stack at one of its targets. Its state is where `state` says, otherwise in the folder
    `.rehost` in `beside`. Raises Refused if that would make it the second one."""
    from rehost.providers.registry import adapter
    from rehost.stacks.deployment import Deployment
    from rehost.stacks.diagnostics import did_you_mean
    from rehost.stacks.errors import InvalidInput
    from rehost.stacks.state import Passphrase, refuse_two_places

    if target not in stack.targets:
        raise InvalidInput(f"the stack has no target {target!r}", fix=did_you_mean(target, list(stack.targets)))
    chosen = stack.targets[target]
    if sandbox:
        from rehost.stacks.engine.clock import Clock

        fields["clock"] = Clock(pace=20)
    environment = environment_of(sandbox)
    passphrase = Passphrase.from_environment(environment)
    store, local = (open_state(where, beside, environment, sandbox, passphrase) for where in (state, None))
    refuse_two_places(store, local, stack.stack, target)
    if sandbox:
        _refuse_state_of_another_sandbox(store, stack.stack, target, environment["REHOST_SANDBOX"])
    provider = informed(adapter(chosen.provider), environment)
    return Deployment(
        stack, chosen, provider, store, environment, parallel=parallel or 0, adapters=adapter, **fields
    )


def informed(provider: Adapter, environment: Mapping[str, str]) -> Adapter:
    """An adapter with what was last asked of its provider's catalog in this environment."""
    from rehost.stacks.ports import Catalogued

    return provider.informed(environment) if isinstance(provider, Catalogued) else provider


def _refuse_state_of_another_sandbox(store: Store, stack: str, target: str, running: str) -> None:
    """Raise Refused where a state is of stand-ins that are gone with all that was in them."""
    from rehost.stacks.errors import Refused

    bound = store.read(stack, target).binding
    kind, _, name = bound.endpoint.partition(":") if bound else ("", "", "")
    if kind == "sandbox" and name != running:
        raise Refused(
            f"the state of {stack} on {target} is of another sandbox",
            why="the one that runs was started later and is empty",
            fix=f"remove the folder sandbox in {store.url}; `sandbox up --keep` keeps the content over a restart",
        )


@dataclass(frozen=True)
class Place:
    """A stack and where its states are: `store` as asked for, `local` is the folder beside the stack file."""

    stack: Stack
    store: Store
    local: Store
    open: Callable[[str], Store]
    """Another store, by folder or URL."""
    passphrase: Passphrase

    def one(self, target: str | None) -> str:
        """The target that is meant: the one named, or the only one with a state. Raises InvalidInput otherwise,
        and Refused where a second state would be looked at."""
        from rehost.stacks.diagnostics import did_you_mean
        from rehost.stacks.errors import InvalidInput
        from rehost.stacks.state import refuse_two_places

        name = self.stack.stack
        if target is None:
            with_state = self.store.targets(name)
            if len(with_state) != 1:
                told = ", ".join(with_state) or "no target"
                raise InvalidInput(
                    f"{told} of {name} {'has' if len(with_state) < 2 else 'have'} a state in {self.store.url}",
                    why="it is not clear which one is meant",
                    fix="name it with --on",
                )
            target = with_state[0]
        elif target not in self.stack.targets and target not in self.store.targets(name):
            fix = did_you_mean(target, list(self.stack.targets))
            raise InvalidInput(f"the stack has no target {target!r}", fix=fix)
        refuse_two_places(self.store, self.local, name, target)
        return target


def load_place(files: tuple[Path, ...], sets: tuple[str, ...], state: str | None, sandbox: bool) -> Place:
    """Where the states of a stack are. Leaves with 3 after showing what is wrong, if the stack can't be read."""
    from rehost.cli.render.diagnostics import show_text
    from rehost.stacks.state import Passphrase

    loaded = load_stack(files, sets)
    if loaded.stack is None:
        show_text(loaded.diagnostics)
        sys.exit(Exit.INVALID)
    environment, beside = environment_of(sandbox), Path(loaded.file).parent
    passphrase = Passphrase.from_environment(environment)

    def another(where: str | None) -> Store:
        return open_state(where, beside, environment, sandbox, passphrase)

    return Place(loaded.stack, another(state), another(None), another, passphrase)


def environment_of(sandbox: bool) -> dict[str, str]:
    """The environment, with everything pointed at the running sandbox if asked for."""
    environment = dict(os.environ)
    if sandbox:
        from rehost.providers.sandbox.control import connection, default_folder

        environment |= connection(default_folder())
    return environment


def open_state(
    where: str | None,
    beside: Path,
    environment: Mapping[str, str],
    sandbox: bool,
    passphrase: Passphrase | None = None,
) -> Store:
    """The store that --state names; without it the folder `.rehost` in `beside`. The passphrase is the
    environment's unless one is given."""
    from rehost.providers.stores import open_store
    from rehost.stacks.state import Passphrase

    passphrase = passphrase or Passphrase.from_environment(environment)
    return open_store(where or None, beside.resolve(), passphrase, environment, sandbox=sandbox)


def write_text(path: Path, text: str) -> None:
    """Write a file of the user's own. Raises RehostError."""
    from rehost.stacks.errors import RehostError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RehostError(f"{path} can't be written", why=str(error), fix="name another file") from error


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads. Raises RehostError."""
    from rehost.stacks.errors import RehostError

    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise RehostError(f"{path} can't be written", why=str(error), fix="name another file") from error


def read_text(path: Path) -> str:
    """The text of a file. Raises InvalidInput for one that can't be read."""
    from rehost.stacks.errors import InvalidInput

    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidInput(f"{path} can't be read", why=why, fix="check the name") from error


def read_saved_plan(path: Path) -> SavedPlan:
    """The plan in a file. Raises InvalidInput for one that can't be read or is none."""
    from rehost.stacks.savedplan import parse

    return parse(read_text(path), str(path))


def stop_on_interrupt() -> threading.Event:
    """An event that the first Ctrl-C sets; the second leaves at once (the journal is on disk already)."""
    stop = threading.Event()

    def handle(number: int, frame: object) -> None:
        del number, frame
        if stop.is_set():
            os._exit(Exit.INTERRUPTED)
        stop.set()
        # Not through the stream: the signal may come in the middle of a line that is being written to it.
        os.write(2, b"stopping: calls under way are finished; once more leaves at once\n")

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
    return stop
