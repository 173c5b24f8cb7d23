"""rehost sandbox"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from rehost.cli.exits import Exit

_folder = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="The sandbox's folder; default: .rehost-sandbox here.",
)
_CALLS = ("latency", "throttle", "error", "timeout_before", "timeout_after", "stale")
_format = click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")


@click.group(help="Stand-ins for the providers on loopback.")
def command() -> None:
    """Verbs of the sandbox."""


def _chosen(folder: Path | None) -> Path:
    from rehost.providers.sandbox.control import default_folder

    return folder.resolve() if folder else default_folder()


@command.command(
    help="Start the stand-ins in the background.\n\n"
    "--realism takes any of eventual (reads lag behind writes), quotas (limits of a new account), capacity (the "
    "first server finds none) and latency, joined by commas; or instant: states and actions take no time."
)
@_folder
@click.option("--keep", is_flag=True, help="Keep what they know over the end, and go on from there.")
@click.option("--realism", default="", metavar="LIST", help="Be as unfriendly as the clouds.")
def up(folder: Path | None, keep: bool, realism: str) -> None:
    from rehost.providers.sandbox import control
    from rehost.providers.sandbox.realism import INSTANT, LEVELS

    levels = list(dict.fromkeys(word.strip() for word in realism.split(",") if word.strip()))
    strange = [word for word in levels if word not in LEVELS] if levels != [INSTANT] else []
    if strange == [INSTANT]:
        raise click.BadParameter(f"{INSTANT} stands alone", param_hint="--realism")
    if strange:
        raise click.BadParameter(f"{strange[0]!r} is none of {', '.join(LEVELS)}", param_hint="--realism")
    where = _chosen(folder)
    was = control.record(where)
    running = control.up(where, keep=keep, realism=levels)
    word = "up already" if was and was["pid"] == running["pid"] else "up"
    click.echo(f"the sandbox is {word} (process {running['pid']}, logs in {where / 'logs'})")
    click.echo('point any tool at it with: eval "$(rehost sandbox env)"', err=True)


@command.command(help="End the stand-ins.")
@_folder
def down(folder: Path | None) -> None:
    from rehost.providers.sandbox import control

    click.echo("the sandbox is down" if control.down(_chosen(folder)) else "no sandbox was running")


@command.command(help="Say what runs, where and since when; leaves with 1 if nothing runs or a part has died.")
@_folder
@_format
def status(folder: Path | None, format_: str) -> None:
    from rehost.providers.sandbox import control

    where = _chosen(folder)
    running = control.record(where)
    if running is None:
        document: Any = {"format_version": 1, "up": False, "pid": None, "parts": {}}
        click.echo(json.dumps(document) if format_ == "json" else "down")
        sys.exit(Exit.FAILED)
    ended = [part for part in running["parts"].values() if part["ended"]]
    if format_ == "json":
        shown = {key: value for key, value in running.items() if key != "environment"}
        click.echo(json.dumps({**shown, "up": not ended}))
    else:
        click.echo(f"up since {_moment(running['since'])} (process {running['pid']}, logs in {where / 'logs'})")
        unfriendly = f"; realism: {', '.join(running['realism'])}" if running["realism"] else ""
        click.echo(f"state is {'kept' if running['keep'] else 'forgotten at the end'}{unfriendly}")
        for part in running["parts"].values():
            click.echo(f"  {part['title']:<24}{_state(part)}")
    if ended:
        sys.exit(Exit.FAILED)


def _state(part: Mapping[str, Any]) -> str:
    if part["ended"]:
        return f"ended ({part['ended']}); rehost sandbox down, then up"
    again = f", restarts: {part['restarts']}" if part["restarts"] else ""
    return f"http://{part['address']}  process {part['pid']}  since {_moment(part['since'])}{again}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")


@command.command(help="Print the variables that point any tool at the stand-ins.")
@_folder
@click.option("--format", "format_", type=click.Choice(["shell", "json", "dotenv"]), default="shell")
def env(folder: Path | None, format_: str) -> None:
    from rehost.providers.sandbox import control

    variables = control.connection(_chosen(folder))
    if format_ == "json":
        click.echo(json.dumps(variables, indent=2))
        return
    for name, value in variables.items():
        if format_ == "dotenv":
            click.echo(f"{name}={value}")
        elif value:
            click.echo(f"export {name}={shlex.quote(value)}")
        else:
            click.echo(f"unset {name}")


@command.command(
    help="Make calls slow or let them fail.\n\n"
    "A rule holds for the calls that match --call: an operation (RunInstances, s3:Put*, 'POST /servers*').\n\n"
    "throttle and error answer as the API itself does; timeout_before closes the connection without an effect, "
    "timeout_after does so after the effect; latency waits --seconds; stale hides from reads what is younger. "
    "fail_action and slow_action are Hetzner's: --call is the action's command (create_server)."
)
@_folder
@_format
@click.option(
    "--provider", type=click.Choice(["aws", "hetzner", "objects"]), help="Which stand-in; objects is Hetzner's S3."
)
@click.option("--call", "call_", help="A pattern of operations.")
@click.option("--do", type=click.Choice([*_CALLS, "fail_action", "slow_action"]))
@click.option("--seconds", type=click.FloatRange(min=0), help="How long (latency, time-outs, stale).")
@click.option("--times", type=click.IntRange(min=1), help="For so many calls; default: until --clear.")
@click.option("--share", type=click.FloatRange(min=0, max=1, min_open=True), help="The part of the calls it hits.")
@click.option("--after", type=click.IntRange(min=0), help="So many matching calls go through first.")
@click.option("--code", help="The error code; default: the usual one.")
@click.option(
    "--http-status", "status_", type=click.IntRange(400, 599), help="The HTTP status; default: the usual one."
)
@click.option("--seed", type=int, help="For --share: another seed, other calls.")
@click.option("--off", "power", flag_value="off", help="Let all of a provider fall silent at once.")
@click.option("--on", "power", flag_value="on", help="Let it go on.")
@click.option("--list", "list_", is_flag=True, help="Show the rules in force.")
@click.option("--clear", is_flag=True, help="Drop the rules that were set here.")
@click.option("--group", help="With --clear: the rules that --realism made for a level instead (latency).")
def fault(
    folder: Path | None,
    format_: str,
    provider: str | None,
    call_: str | None,
    do: str | None,
    status_: int | None,
    list_: bool,
    clear: bool,
    group: str | None,
    power: str | None,
    **given: Any,
) -> None:
    from rehost.providers.sandbox.control import PROVIDERS, ask

    where = _chosen(folder)
    if power is not None:
        if provider is None or call_ or do or list_ or clear:
            raise click.UsageError(f"--{power} takes --provider and nothing else")
        for name in {"hetzner": ("hetzner", "objects")}.get(provider, (provider,)):
            ask(where, name, "POST" if power == "off" else "DELETE", "/_sandbox/off")
        click.echo(f"{provider}: {'nothing of it answers any more' if power == 'off' else 'it answers again'}")
        return
    chosen = [provider] if provider else list(PROVIDERS)
    if group and not clear:
        raise click.UsageError("--group goes with --clear")
    if list_ or clear:
        if (list_ and clear) or call_ or do:
            raise click.UsageError("--list and --clear stand alone, with --provider at most")
        # What --realism made is of a group, and stays unless that is named.
        method, path = (
            ("DELETE", f"/_sandbox/faults?group={quote(group or '')}") if clear else ("GET", "/_sandbox/faults")
        )
        found = {name: ask(where, name, method, path) for name in chosen}
    else:
        if not (provider and call_ and do):
            raise click.UsageError("a rule needs --provider, --call and --do; or give --list or --clear")
        if do.endswith("_action"):
            _action(where, provider, call_, do, given)
            return
        rule = {"call": call_, "do": do, "status": status_, **given}
        rule = {key: value for key, value in rule.items() if value is not None}
        found = {provider: ask(where, provider, "POST", "/_sandbox/faults", rule)}
    if format_ == "json":
        click.echo(json.dumps({"format_version": 1, "providers": found}))
        return
    for name, answer in found.items():
        if clear:
            click.echo(f"{name}: {answer['dropped']} rules dropped")
        for row in answer.get("rules", []):
            click.echo(f"{name}: {_rule(row)}")


def _action(where: Path, provider: str, command_: str, do: str, given: Mapping[str, Any]) -> None:
    """Actions run inside Hetzner's stand-in; its own switch makes them fail or take their time."""
    from rehost.providers.sandbox.control import ask

    if provider != "hetzner":
        raise click.UsageError("only Hetzner has actions")
    if do == "slow_action" and given["seconds"] is None:
        raise click.UsageError("slow_action needs --seconds")
    row = {"command": command_, "seconds": given["seconds"], "code": given["code"], "times": given["times"]}
    row = {key: value for key, value in row.items() if value is not None}
    ask(where, provider, "POST", "/_sandbox/behaviour", {f"{do.replace('action', 'actions')}": [row]})
    click.echo(f"hetzner: {do.replace('_', ' ')} {command_}")


def _rule(row: Mapping[str, Any]) -> str:
    words = [f"{row['id']}. {row['do']} {row['call']}"]
    words += [f"{row['seconds']:g} s"] if row["seconds"] else []
    words += [f"{row['times']} times"] if row["times"] else []
    words += [f"{row['share']:.0%} of the calls"] if row["share"] < 1 else []
    words += [f"after {row['after']}"] if row["after"] else []
    words += [row["code"]] if row["code"] else []
    words += [f"of --realism {row['group']}"] if row["group"] else []
    return ", ".join(words) + f" ({row['hits']} of {row['matched']} calls hit)"
