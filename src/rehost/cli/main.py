"""Wiring only: finds the verbs in `commands/`, loads one when it is called, maps errors to exit codes."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys

import click

from rehost import __version__
from rehost.cli import commands
from rehost.cli.exits import Exit
from rehost.stacks.errors import RehostError

#: One line each, so that `rehost --help` imports no verb. A test compares it with the commands themselves.
SUMMARIES = {
    "adopt": "Write what runs in an account as a stack file, and take it into state.",
    "catalog": "Show what a provider has, what it costs, and since when that is known.",
    "data": "Copy and verify objects and databases between any two places.",
    "deploy": "Make a target what the stack says.",
    "diff": "Show how a stack fits two targets: what is native, substituted, lost, or needs you.",
    "destroy": "Remove what a deployment made.",
    "init": "Write a stack file to start from.",
    "migrate": "Take a stack with its data from one target to another.",
    "plan": "Show what deploy would do at a target, and change nothing.",
    "providers": "Show which providers there are, and what one of them has.",
    "sandbox": "Stand-ins for the providers on loopback.",
    "schema": "Print the JSON Schema of stack files, for completion and checks in editors.",
    "state": "Look at what a deployment owns, and repair it by hand.",
    "status": "Show what is deployed where, and what has changed since.",
    "target": "Look at a target before anything is built there.",
    "validate": "Report everything that is wrong with a stack file.",
}


class Verbs(click.Group):
    """A group whose commands are imported when they are used: `--help` must stay fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{commands.__name__}.{name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in self.list_commands(ctx)])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rehost")
def cli() -> None:
    """Move a whole platform, with its data, to another cloud with one command."""


def show_error(error: RehostError) -> None:
    """What went wrong, why, and what to do about it, on stderr."""
    click.echo(click.style("error: ", fg="red", bold=True) + error.summary, err=True)
    for label, text in (("at", error.address), ("why", error.why), ("fix", error.fix)):
        if text:
            click.echo(f"  {label}: {text}", err=True)


def main() -> None:
    """The console script. Usage errors leave with 3, as every invalid input does."""
    try:
        code = cli.main(standalone_mode=False)
    except click.UsageError as error:
        error.show()
        code = Exit.INVALID
    except click.ClickException as error:
        error.show()
        code = Exit.FAILED
    except RehostError as error:
        show_error(error)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = Exit.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.FAILED
    except Exception as error:  # a fault of ours: said in a line, told whole when asked
        if os.environ.get("REHOST_DEBUG"):
            raise
        show_error(
            RehostError(
                f"rehost has a fault: {type(error).__name__}: {error}",
                why="this should not happen; what was done so far is in state",
                fix="set REHOST_DEBUG=1 to see where, and report it",
            )
        )
        code = Exit.FAILED
    sys.exit(code if isinstance(code, int) else Exit.DONE)
