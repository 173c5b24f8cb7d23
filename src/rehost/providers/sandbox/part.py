"""One stand-in in a process of its own. Run as a module; reads its settings as a line of JSON from standard input,
says on standard output when it answers, ends when the input does."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from typing import Any

from werkzeug.serving import make_server

from rehost.providers.sandbox.faults import Faults, Rule


def stand_in(kind: str, keys: dict[str, str]) -> Faults:
    """The stand-in for one provider's API behind its faults. Keys are ids with their secrets, or tokens with the
    names of their projects."""
    if kind == "hcloud":
        from rehost.providers.sandbox.hcloud_api import HcloudApi
        from rehost.providers.sandbox.hcloud_dialect import HcloudDialect

        return Faults(HcloudApi(keys, action_seconds=0.1, rate_limit=36_000), HcloudDialect())
    from rehost.providers.sandbox.aws_api.app import AwsApi

    api = AwsApi(keys)
    return Faults(api, api.dialect)


def _handler(kind: str) -> Any:
    if kind == "hcloud":
        from werkzeug.serving import WSGIRequestHandler

        return WSGIRequestHandler
    from moto.moto_server.werkzeug_app import MotoRequestHandler

    return MotoRequestHandler


def main() -> None:
    """Serve on the socket that was handed down until the supervisor's end of the pipe is closed."""
    settings = json.loads(sys.stdin.readline())
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    kind = settings["kind"]
    app = stand_in(kind, settings["keys"])
    for rule in settings["rules"]:
        app.add(Rule.of(rule))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_handler(kind), fd=settings["socket"])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
