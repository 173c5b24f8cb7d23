"""How long is waited after a refusal: never less than the provider asked for, in whichever way it did."""

from __future__ import annotations

import io
import threading
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError
from requests.adapters import BaseAdapter

from rehost.providers.botoerrors import translate
from rehost.providers.hetzner.api import Api
from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import MemoryCloud
from rehost.providers.s3wire import refusal
from rehost.providers.waits import retry_after
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.engine.events import Event, StepRetries
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.model import Stack
from rehost.stacks.state import Passphrase, file_store

NOW = 1_790_000_000.0
DATE = format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0.5", 0.5), (" 3 ", 3.0), (DATE, 90.0), ("", None), (None, None), ("soon", None), ("-1", None)],
)
def test_a_header_holds_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds
    assert retry_after(DATE, NOW + 1000) == 0.0


class Answers(BaseAdapter):
    """Answers every request with 429 and the given headers."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__()
        self.headers = headers

    def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:  # type: ignore[override]
        response = requests.Response()
        response.status_code, response.request, response.url = 429, request, request.url
        response.headers.update(self.headers)
        error = '{"error": {"code": "rate_limit_exceeded", "message": "limit of 3600 requests per hour reached"}}'
        body = error.encode()
        response.raw, response._content = io.BytesIO(body), body  # type: ignore[attr-defined]
        return response

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "5"}, 5.0),
        ({"Retry-After": DATE}, 90.0),
        ({"RateLimit-Reset": str(int(NOW) + 12)}, 12.0),
        # The whole limit is back after an hour; single calls are free again long before that.
        ({"RateLimit-Reset": str(int(NOW) + 3000)}, 60.0),
        ({"RateLimit-Reset": str(int(NOW) - 3)}, 1.0),
        ({"Retry-After": "2", "RateLimit-Reset": str(int(NOW) + 40)}, 2.0),
        ({}, None),
    ],
)
def test_hetzner_says_it_in_headers(headers: dict[str, str], seconds: float | None) -> None:
    api = Api("http://hcloud.invalid/v1", "token", lambda: NOW)
    api._session.mount("http://", Answers(headers))
    with pytest.raises(ProviderError) as caught:
        api.call("GET", "/servers")
    assert (caught.value.reason, caught.value.retry_after) == (Reason.THROTTLED, seconds)
    api.close()


@pytest.mark.parametrize("code", ["Throttling", "RequestLimitExceeded", "SlowDown", "TooManyRequestsException"])
def test_amazon_says_it_with_codes_and_sometimes_a_header(code: str) -> None:
    meta: dict[str, Any] = {"HTTPStatusCode": 503}
    answer: Any = {"Error": {"Code": code, "Message": "Rate exceeded"}, "ResponseMetadata": meta}
    error = translate(ClientError(answer, "RunInstances"), "run_instances")
    assert (error.reason, error.retry_after) == (Reason.THROTTLED, None)
    meta["HTTPHeaders"] = {"retry-after": "4"}
    error = translate(ClientError(answer, "RunInstances"), "run_instances")
    assert (error.reason, error.retry_after) == (Reason.THROTTLED, 4.0)
    assert refusal(503, {"retry-after": "6"}, b"<Error><Code>SlowDown</Code></Error>", "get").retry_after == 6.0


class Turned(Clock):
    """A clock whose waits are over at once."""

    def __init__(self, pace: float = 1.0) -> None:
        super().__init__(pace)
        self.seconds = 1000.0
        self.waits: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.seconds

    def time(self) -> float:
        return NOW + self.seconds

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        with self._lock:
            self.waits.append(seconds / self.pace)
            self.seconds += seconds / self.pace
        return stop.is_set()


class Busy(MemoryCloud):
    """A cloud that refuses the first creates, and tells when calls come all the same."""

    def __init__(self, clock: Turned, refusals: int, after: float | None) -> None:
        super().__init__(now=clock.now, wait=lambda seconds: None)
        self.clock, self.left, self.after = clock, refusals, after
        self.free_at = 0.0
        self.too_early: list[str] = []

    def create(self, token: str, *rest: Any, **named: Any) -> Any:
        if self.clock.now() < self.free_at:
            self.too_early.append(token)
        if self.left:
            self.left -= 1
            self.free_at = self.clock.now() + (self.after or 0.0)
            raise ProviderError("slow down", reason=Reason.THROTTLED, status=429, retry_after=self.after)
        return super().create(token, *rest, **named)


STACK = {
    "stack": "plaza",
    "targets": {"here": {"provider": "memory"}},
    "network": {"cidr": "10.0.0.0/16"},
    "servers": {"app": {"count": 3}},
    "buckets": {"media": {}},
}


@pytest.mark.parametrize("pace", [1.0, 20.0])
def test_the_engine_waits_as_long_as_it_is_asked_to(tmp_path: Path, pace: float) -> None:
    clock = Turned(pace)
    cloud = Busy(clock, 3, 17.0)
    told: list[Event] = []
    stack = Stack.model_validate(STACK)
    deployment = Deployment(
        stack,
        stack.targets["here"],
        MemoryAdapter(cloud=cloud),
        file_store(tmp_path, Passphrase("horse")),
        {},
        clock=clock,
        emit=told.append,
        parallel=1,
    )
    _, outcome = deployment.deploy()
    assert outcome.word == "done", outcome.failed
    assert cloud.too_early == []
    assert sum(seconds >= 17.0 for seconds in clock.waits) == 3
    assert [event.seconds >= 17.0 for event in told if isinstance(event, StepRetries)] == [True] * 3


def test_without_a_word_from_the_provider_waits_grow(tmp_path: Path) -> None:
    clock = Turned()
    stack = Stack.model_validate(STACK)
    adapter = MemoryAdapter(cloud=Busy(clock, 5, None))
    store = file_store(tmp_path, Passphrase("horse"))
    deployment = Deployment(stack, stack.targets["here"], adapter, store, {}, clock=clock, parallel=1)
    _, outcome = deployment.deploy()
    assert outcome.word == "done", outcome.failed
    waits = [seconds for seconds in clock.waits if seconds >= 0.5]
    assert len(waits) == 5
    assert waits[-1] > 2 * waits[0]
    assert max(waits) <= 30.0
