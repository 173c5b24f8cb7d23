"""Stand-ins served in this process, each behind its faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from rehost.providers.sandbox.aws_api.app import AwsApi
from rehost.providers.sandbox.faults import Faults
from served import KEY, SECRET, Hand, Served


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def aws(hand: Hand) -> Iterator[Served]:
    app = AwsApi({KEY: SECRET})
    served = Served(Faults(app, app.dialect, pause=hand.pause, clock=hand), app)
    # What moto holds lives in this process: other tests may have left something.
    requests.post(f"{served.url}/moto-api/reset", timeout=10).raise_for_status()
    yield served
    served.stop()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    running: list[Served] = []

    def start(faults: Faults, app: Any = None) -> Served:
        running.append(Served(faults, app))
        return running[-1]

    yield start
    for served in running:
        served.stop()
