"""How often Python looks for unreachable cycles while a deployment is worked on."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLDS = (100_000, 50, 1_000)
"""Allocations between two collections of the youngest objects, and between those of the older generations."""


@contextmanager
def few_collections() -> Iterator[None]:
    """Let the cyclic garbage collector run rarely.

    Graphs, plans and states are large trees that live to the end: going through all of them again and again finds
    nothing, and makes the time grow faster than the number of resources.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
