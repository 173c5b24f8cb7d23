"""One stand-in in a process of its own. Run as a module; reads its settings as a line of JSON from standard input,
says on standard output when it can be called, ends when the input does.

It can be called before all is imported, which takes most of the time of a start: the socket listens already,
and the first calls wait in its queue. With state to take up it waits, as that may be of no use.
"""

from __future__ import annotations

import fcntl
import gc
import importlib.util
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rehost.providers.sandbox.keeping import Keeping, Memory
    from rehost.providers.sandbox.wire import App, Dialect, Environ

if TYPE_CHECKING:
    from rehost.providers.sandbox.machines.reality import Reality


@dataclass(frozen=True)
class Standin:
    """A stand-in's API, with what a folder keeps of it, and what is real behind it."""

    app: Any
    keeping: Keeping | None
    reality: Reality | None


def stand_in(
    kind: str,
    keys: dict[str, str],
    switches: Mapping[str, Any],
    kept: Path | None = None,
    machines: tuple[Path, int] | None = None,
) -> Standin:
    """The stand-in for one provider's API behind its faults, with what a folder keeps of it. Keys are ids with
    their secrets, or tokens with the names of their projects; `machines` is the folder of its servers and the
    block of their addresses. Raises ValueError for kept state of no use."""
    if kind == "hcloud":
        from rehost.providers.sandbox.hcloud_api import HcloudApi
        from rehost.providers.sandbox.hcloud_dialect import HcloudDialect, HcloudMemory

        hcloud = HcloudApi(keys, action_seconds=0.1, rate_limit=36_000)
        for name, value in switches.items():
            setattr(hcloud.behaviour, name, value)
        return _kept(kind, hcloud, HcloudDialect(), kept, machines, lambda folder: HcloudMemory(hcloud))
    from rehost.providers.sandbox.aws_api.app import AwsApi

    api = AwsApi(keys, flavour="objects" if kind == "objects" else "aws", **switches)

    def memory(folder: Path) -> Memory:
        from rehost.providers.sandbox.aws_api.memory import MotoMemory

        return MotoMemory(folder / "objects")

    return _kept(kind, api, api.dialect, kept, machines, memory)


def internet(addresses: Mapping[str, str], socket_: int, kept: Path | None, folder: Path) -> App:
    """DNS and certificate authority. The name servers have the port of the socket, at addresses of their own; the
    authority's root is that of the sandbox in `folder`."""
    import socket

    from rehost.providers.sandbox.internet.app import Internet
    from rehost.providers.sandbox.internet.registry import asked
    from rehost.providers.sandbox.machines.authority import Authority

    root = Authority(folder)
    root.make()
    with socket.fromfd(socket_, socket.AF_INET, socket.SOCK_STREAM) as listener:
        port: int = listener.getsockname()[1]
    sources = {name: asked(address) for name, address in addresses.items()}
    return Internet(sources, kept, port, root.signer())


def _kept(
    kind: str,
    app: App,
    dialect: Dialect,
    folder: Path | None,
    machines: tuple[Path, int] | None,
    memory: Callable[[Path], Memory],
) -> Standin:
    from rehost.providers.sandbox.faults import Faults
    from rehost.providers.sandbox.keeping import Keeping

    reality = None
    if machines is not None and kind != "objects":
        from rehost.providers.sandbox.machines.behind import Behind, reality_of

        reality = reality_of(kind, app, *machines)
        app = Behind(app, dialect, reality)
    if folder is None:
        return Standin(Faults(app, dialect, log=_say), None, reality)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def writes(environ: Environ) -> bool:
        if environ.get("PATH_INFO", "").startswith(("/_sandbox/", "/moto-api/")):
            return bool(environ["REQUEST_METHOD"] != "GET")
        return not dialect.call(environ).reads

    keeping = Keeping(app, memory(folder), folder / "state", writes)
    keeping.restore()
    keeping.start()
    return Standin(Faults(keeping, dialect, log=_say), keeping, reality)


def _say(line: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {line}\n")


def _handler(kind: str) -> Any:
    if kind in ("hcloud", "internet"):
        from werkzeug.serving import WSGIRequestHandler

        return WSGIRequestHandler
    from moto.moto_server.werkzeug_app import MotoRequestHandler

    return MotoRequestHandler


def _ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def _lock(folder: Path | None) -> TextIO | None:
    """Wait until the stand-in before this one has written what it knew. Held until the process ends."""
    if folder is None:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (folder / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _made(kind: str, settings: Mapping[str, Any], kept: Path | None) -> Standin:
    if kind == "internet":
        folder = Path(settings["machines"]).parent
        return Standin(internet(settings["keys"], settings["socket"], kept, folder), None, None)
    machines = (Path(settings["machines"]), settings["block"]) if settings["block"] else None
    return stand_in(kind, settings["keys"], settings["switches"], kept, machines)


def main() -> None:
    """Serve on the socket that was handed down until the supervisor's end of the pipe is closed."""
    settings = json.loads(sys.stdin.readline())
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    kind = settings["kind"]
    kept = Path(settings["kept"]) if settings["kept"] else None
    lock = _lock(kept)
    for module in ("werkzeug", *(("moto",) if kind != "hcloud" else ())):
        if importlib.util.find_spec(module) is None:
            raise SystemExit(f"No module named '{module}'")
    if kept is None:
        _ready()
    # Nothing that is imported goes away again: looking for it takes a tenth of the time.
    gc.disable()
    from werkzeug.serving import make_server

    from rehost.providers.sandbox.faults import Rule

    try:
        made = _made(kind, settings, kept)
    except ValueError as error:
        raise SystemExit(f"{error}; to begin anew, remove {kept}") from error
    for rule in settings["rules"]:
        made.app.add(Rule.of(rule))
    if made.reality is not None:
        made.reality.start()
        made.app.switched = made.reality.silence
    server = make_server(
        "127.0.0.1", 0, made.app, threaded=True, request_handler=_handler(kind), fd=settings["socket"]
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if kept is not None:
        _ready()
    if kind == "aws":
        from rehost.providers.sandbox.aws_api.strict.rules import warm

        warm()
    gc.freeze()
    gc.enable()
    sys.stdin.read()
    if made.reality is not None:
        made.reality.close()
    if made.keeping is not None:
        made.keeping.save()
    # Threads may still be answering: they are not waited for.
    del lock
    os._exit(0)


if __name__ == "__main__":
    main()
