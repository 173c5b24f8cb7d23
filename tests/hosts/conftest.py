"""The suite in test_hosts.py runs on every implementation of the host port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hostbench import BENCHES, Bench


@pytest.fixture(params=sorted(BENCHES))
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Each implementation in turn."""
    yield from BENCHES[request.param]()
