"""The middleware that lets what is real follow each call."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rehost.providers.sandbox.hcloud_api import HcloudApi
from rehost.providers.sandbox.machines import places
from rehost.providers.sandbox.machines.reality import Reality, Source, say
from rehost.providers.sandbox.wire import App, Dialect, Environ, run


class Behind:
    """An application whose calls have effects in `reality`, before they are answered."""

    def __init__(self, app: App, dialect: Dialect, reality: Reality) -> None:
        self._app, self._dialect, self._reality = app, dialect, reality

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(("/_sandbox/", "/moto-api/")):
            return self._app(environ, start_response)
        call = self._dialect.call(environ)
        # Objects are not copied through here.
        if call.reads or call.service == "s3":
            return self._app(environ, start_response)
        answer = run(self._app, environ)
        if answer.status < 300:
            self._reality.source.note(call)
            try:
                self._reality.settle()
            except Exception as error:  # noqa: BLE001 - the call was carried out, and is looked at again in a moment
                say(f"after {call.name}: {type(error).__name__}: {error}")
        return answer.send(start_response)


def reality_of(kind: str, app: Any, folder: Path, block: int) -> Reality:
    """What is real behind a stand-in."""
    source: Source
    if kind == "hcloud":
        from rehost.providers.sandbox.machines.hetzner import Hetzner

        assert isinstance(app, HcloudApi)
        source = Hetzner(app, block)
    else:
        from rehost.providers.sandbox.machines.aws import Aws

        source = Aws(block)
    made = Reality(source, folder / source.name, block)
    if kind != "hcloud":
        app.addresses = lambda: places.names(made.folder)
    return made
