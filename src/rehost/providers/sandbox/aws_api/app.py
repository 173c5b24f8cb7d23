"""The AWS stand-in: signatures and what AWS refuses are checked, then moto answers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rehost.providers.sandbox.aws_api import pricing
from rehost.providers.sandbox.aws_api.dialect import AwsDialect
from rehost.providers.sandbox.aws_api.operations import service_of
from rehost.providers.sandbox.aws_api.signature import Signatures, is_signed, signed_by
from rehost.providers.sandbox.aws_api.strict import Strict
from rehost.providers.sandbox.aws_api.strict.roles import told_to_server
from rehost.providers.sandbox.aws_api.strict.rules import Settings
from rehost.providers.sandbox.aws_api.zones import public_zones
from rehost.providers.sandbox.wire import Answer, App, Environ

_PLAIN = {"s3", "ec2", "route53", "iam", "sts", "rds", "elbv2", "acm", "elasticache", "secretsmanager"}
"""Services whose requests moto tells by the name in their signature alone."""


def moto_app() -> App:
    """All of moto, dispatching by service. What it holds belongs to the process."""
    # The images that the catalog knows, with their real owners and names; read when moto is imported.
    os.environ["MOTO_AMIS_PATH"] = str(Path(__file__).parents[1] / "data" / "amis.json")
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    dispatcher: Any = DomainDispatcherApplication(create_backend_app)
    known: dict[str, App] = {}

    def dispatch(environ: Environ, start_response: Any) -> Iterable[bytes]:
        """moto looks through its folders for the service of every request, a third of the time of a small one:
        once is enough for services that the signature names."""
        service = service_of(environ)
        if service == "pricing":
            return pricing.app(environ, start_response)
        if environ.get("PATH_INFO", "").startswith(("/moto-api", "/v20180820/")) or service not in _PLAIN:
            answer: Iterable[bytes] = dispatcher(environ, start_response)
            return answer
        if service not in known:
            known[service] = dispatcher.get_application(environ)
        return known[service](environ, start_response)

    return dispatch


class AwsApi:
    """The APIs for whoever has one of the keys (id to secret), or keys that were made through IAM or STS."""

    def __init__(
        self,
        keys: dict[str, str],
        *,
        flavour: str = "aws",
        quotas: bool = False,
        instant: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.dialect = AwsDialect()
        self._moto = moto_app()
        self._strict = Strict(self._moto, self.dialect, Settings(flavour, quotas, instant, clock))
        self._keys = dict(keys)
        self._signatures = Signatures(self._secret)
        self.addresses: Callable[[], Mapping[str, str]] = dict
        """What host names of the provider stand for here."""

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "").startswith("/moto-api/"):
            return self._moto(environ, start_response)
        if environ.get("PATH_INFO") == "/_sandbox/zones":
            answer = json.dumps({"zones": public_zones(self.addresses())}).encode()
            return Answer(200, [("Content-Type", "application/json")], answer).send(start_response)
        call = self.dialect.call(environ)
        # A bucket may let in whoever asks: that is for its policy to say.
        anonymous = call.service == "s3" and not is_signed(environ)
        refusal = None if anonymous else self._signatures.refuse(call, environ)
        if refusal is not None:
            return refusal.send(start_response)
        session = None if anonymous else told_to_server(signed_by(call, environ))
        return self._strict(environ, start_response, anonymous=anonymous, session=session)

    def _secret(self, key_id: str) -> str | None:
        if key_id in self._keys:
            return self._keys[key_id]
        from moto.core.models import DEFAULT_ACCOUNT_ID
        from moto.iam.models import iam_backends
        from moto.sts.models import sts_backends

        for user in iam_backends[DEFAULT_ACCOUNT_ID]["aws"].users.values():
            for key in user.access_keys:
                if key.access_key_id == key_id and key.status == "Active":
                    return str(key.secret_access_key)
        # Roles of other accounts are assumed there.
        for account in list(sts_backends.values()):
            for role in account["aws"].assumed_roles:
                if role.access_key_id == key_id:
                    return str(role.secret_access_key)
        return None
