"""The table of rules, and the application that holds them against each request."""

from __future__ import annotations

import importlib
import io
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from rehost.providers.sandbox.aws_api import additions
from rehost.providers.sandbox.aws_api.dialect import AwsDialect, refusal
from rehost.providers.sandbox.wire import Answer, App, Call, Environ, body, run


class Refusal(Exception):
    """A call that AWS would refuse: code, message, HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class Settings:
    """How strict. Times are seconds since 1970."""

    flavour: str = "aws"
    """`aws`, or `objects` for an object storage of Hetzner's."""
    quotas: bool = False
    instant: bool = False
    """States don't take their time."""
    clock: Callable[[], float] = time.time


@dataclass
class Request:
    """A call with what is behind it."""

    call: Call
    environ: Environ
    settings: Settings
    app: App
    """moto."""
    anonymous: bool = False
    session: Any = None
    """moto's session of a role, where a server was told the keys that the request is signed with."""
    locks: list[threading.Lock] = field(default_factory=list)

    @property
    def now(self) -> float:
        """The time."""
        return self.settings.clock()

    def due(self, seconds: float) -> float:
        """When something that takes so long is over."""
        return self.now if self.settings.instant else self.now + seconds

    @property
    def body(self) -> bytes:
        """The whole body."""
        return body(self.environ)

    def header(self, name: str) -> str:
        """A header; empty if there is none."""
        return str(self.environ.get(f"HTTP_{name.upper().replace('-', '_')}", ""))

    def query(self, name: str) -> str:
        """A parameter of the address, as presigned URLs have them; empty if there is none."""
        found = parse_qs(str(self.environ.get("QUERY_STRING", ""))).get(name)
        return found[0] if found else ""

    def get(self, name: str) -> str:
        """A parameter; empty if there is none."""
        return self.call.params.get(name, "")

    def add(self, name: str, value: str) -> None:
        """Another parameter for moto, as if the form had had it."""
        form = self.body + f"&{name}={quote(value)}".encode()
        self.environ["rehost.body"] = form
        self.environ["CONTENT_LENGTH"] = str(len(form))
        self.environ["wsgi.input"] = io.BytesIO(form)

    def all(self, name: str) -> list[str]:
        """The values of a list parameter (`InstanceId.1`, `Tags.member.2`)."""
        pattern = re.compile(rf"{re.escape(name)}(\.member)?\.\d+")
        return [value for key, value in self.call.params.items() if pattern.fullmatch(key)]

    def backend(self, service: str = "") -> Any:
        """moto's backend of a service for the account and region of the call."""
        from moto import backends
        from moto.core.models import DEFAULT_ACCOUNT_ID

        get: Any = backends.get_backend
        name = service or self.call.service
        region = "aws" if name in ("s3", "route53", "iam") else self.region
        return get(name)[DEFAULT_ACCOUNT_ID][region]

    @property
    def region(self) -> str:
        """Of the signature."""
        scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/", self.environ.get("HTTP_AUTHORIZATION", ""))
        return scope[1] if scope else "us-east-1"

    @property
    def path(self) -> list[str]:
        """Bucket and key of a call to S3."""
        raw = str(self.environ.get("RAW_URI") or self.environ.get("PATH_INFO", "/")).partition("?")[0]
        bucket, _, key = raw.lstrip("/").partition("/") if not raw.startswith("//") else raw[1:].partition("/")
        return [unquote(bucket), unquote(key)]


Before = Callable[[Request], None]
After = Callable[[Request, Answer], None]
BEFORE: dict[str, list[Before]] = {}
AFTER: dict[str, list[After]] = {}
SETTLE: dict[str, list[Before]] = {}


def before(*names: str) -> Callable[[Before], Before]:
    """Hold a function against calls (`ec2:DeleteVpc`) before they take place."""

    def note(function: Before) -> Before:
        for name in names:
            BEFORE.setdefault(name, []).append(function)
        return function

    return note


def after(*names: str) -> Callable[[After], After]:
    """Run a function after calls that went well."""

    def note(function: After) -> After:
        for name in names:
            AFTER.setdefault(name, []).append(function)
        return function

    return note


def settle(service: str) -> Callable[[Before], Before]:
    """Run a function before every call to a service."""

    def note(function: Before) -> Before:
        SETTLE.setdefault(service, []).append(function)
        return function

    return note


_MODULES = {
    "acm": ("balancers",),
    "ec2": (
        "ec2_dry",
        "ec2_gateways",
        "ec2_network",
        "ec2_servers",
        "ec2_tags",
        "ec2_values",
        "ec2_volumes",
        "quotas",
    ),
    "elasticache": ("databases",),
    "elbv2": ("balancers", "quotas"),
    "iam": ("identities",),
    "rds": ("databases",),
    "route53": ("route53", "quotas"),
    "secretsmanager": ("identities",),
    "s3": ("s3_access", "s3_objects", "s3_ranges", "quotas"),
}


_loaded: set[str] = set()
_loading = threading.Lock()


def load(service: str) -> None:
    """Complete a service and let its modules register their rules. Some of moto takes a second to import: it waits
    until the service is called."""
    if service in _loaded:
        return
    with _loading:
        additions.complete(service)
        for name in _MODULES.get(service, ()):
            importlib.import_module(f"{__package__}.{name}")
        _loaded.add(service)


def warm() -> None:
    """Import what the first calls would wait for."""
    for service in ("ec2", "s3", "route53"):
        load(service)


class Strict:
    """Applies the rules. Calls to services other than S3 are answered one at a time: moto's own checks do not
    stand two at once, nor would these."""

    def __init__(self, app: App, dialect: AwsDialect, settings: Settings) -> None:
        self._app, self._dialect, self._settings = app, dialect, settings
        self._one = threading.RLock()

    def __call__(
        self, environ: Environ, start_response: Any, *, anonymous: bool = False, session: Any = None
    ) -> Iterable[bytes]:
        call = self._dialect.call(environ)
        if self._settings.flavour == "objects" and call.service != "s3":
            return refusal(call, "AccessDenied", 403, "This is an object storage").send(start_response)
        request = Request(call, environ, self._settings, self._app, anonymous, session)
        if call.service == "s3":
            return self._answer(request).send(start_response)
        with self._one:
            return self._answer(request).send(start_response)

    def _answer(self, request: Request) -> Answer:
        call = request.call
        load(call.service)
        try:
            if request.session is not None:
                from rehost.providers.sandbox.aws_api.strict.roles import judge

                judge(request)
            for function in (*SETTLE.get(call.service, ()), *BEFORE.get(call.name, ())):
                function(request)
            answer = run(self._app, request.environ)
            if answer.status < 300:
                for react in AFTER.get(call.name, ()):
                    react(request, answer)
            return answer
        except Refusal as error:
            return refusal(call, error.code, error.status, error.message)
        except Replayed as known:
            return known.answer
        except Exception:  # noqa: BLE001 - a fault of the stand-in is an internal error of the service
            traceback.print_exc()
            return self._dialect.failure(call, "error", "", 0, "")
        finally:
            for lock in request.locks:
                lock.release()


class Replayed(Exception):
    """A repeated call whose first answer holds."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("answered before")
        self.answer = answer
