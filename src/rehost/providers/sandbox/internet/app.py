"""Registry, name servers and certificate authority as one stand-in.

Over HTTP at its address: the authority's ACME, and `/_sandbox/registry` (GET; POST `{"domain", "provider"}`),
`/_sandbox/records` (POST `{"name", "type", "values", "ttl"}`, of zones elsewhere), `/_sandbox/authority` (GET what
it has; POST changes its behaviour) and `/_sandbox/authority.pem` (its root).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from rehost.providers.sandbox.internet.authority import Authority
from rehost.providers.sandbox.internet.issuing import Signer
from rehost.providers.sandbox.internet.nameservers import Answers, NameServers
from rehost.providers.sandbox.internet.registry import Registry, Source
from rehost.stacks.acme.names import Names


class Internet:
    """Starts answering names at once; the rest is WSGI."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        folder: Path | None = None,
        port: int = 0,
        above: Signer | None = None,
    ) -> None:
        self.registry = Registry(sources, folder / "registry.json" if folder else None)
        self.servers = NameServers(Answers(self.registry), port)
        self.servers.start()
        kept = folder / "authority.json" if folder else None
        self.authority = Authority(Names(self.servers.address), kept, above)

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        if not environ.get("PATH_INFO", "").startswith("/_sandbox/"):
            return self.authority(environ, start_response)
        try:
            response = self._control(Request(environ))
        except (ValueError, KeyError, TypeError) as error:
            response = _json(400, {"error": f"{error}"})
        return response(environ, start_response)

    def _control(self, request: Request) -> Response:
        what, posted = request.path.removeprefix("/_sandbox/"), request.method == "POST"
        body = request.get_json(force=True) if posted else {}
        if what == "authority.pem":
            return Response(self.authority.root, content_type="application/x-pem-file")
        if what == "registry":
            if posted:
                self.registry.delegate(body["domain"], body["provider"])
            return _json(200, {"delegations": self.registry.delegations})
        if what == "records" and posted:
            self.registry.set(body["name"], body["type"], body["values"], body.get("ttl", 60))
            return _json(200, {})
        if what == "authority":
            self.authority.behave(**body)
            return _json(200, self.authority.inventory())
        return _json(404, {"error": f"there is nothing at {request.path}"})

    def close(self) -> None:
        """Stop answering names."""
        self.servers.close()


def _json(status: int, body: Any) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")
