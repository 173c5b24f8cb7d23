"""Two stores in memory and what moves between them, with faults on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rehost.providers.memory.objects import MemoryObjects
from rehost.stacks.data.evidence import Evidence
from rehost.stacks.data.report import Report
from rehost.stacks.data.transfer import Tools
from rehost.stacks.data.work import Crew, Patience
from rehost.stacks.engine.clock import Clock
from rehost.stacks.ports import ObjectMeta

HTML = ObjectMeta({"Content-Type": "text/html"}, {"number": "1"}, {"kind": "page"})


class Turned(Clock):
    """A clock whose waits are over at once, and are written down."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        return stop.is_set()


class Store(MemoryObjects):
    """A store that calls `on(operation, key)` before it does anything; that may raise or change the content."""

    def __init__(self, name: str) -> None:
        self.content: dict[str, tuple[bytes, dict[str, Any]]] = {}
        super().__init__(self.content, name)
        self.on: Callable[[str, str], None] = lambda operation, key: None
        self.calls: list[tuple[str, str]] = []

    def _called(self, operation: str, key: str) -> None:
        self.calls.append((operation, key))
        self.on(operation, key)

    def count(self, operation: str) -> int:
        return sum(name == operation for name, _ in self.calls)

    def about(self, key: str) -> Any:
        self._called("about", key)
        return super().about(key)

    def open(self, key: str, **how: Any) -> Any:
        self._called("open", key)
        return super().open(key, **how)

    def put(self, key: str, meta: ObjectMeta, size: int, content: Iterable[bytes], *, sha256: str = "") -> Any:
        self._called("put", key)
        return super().put(key, meta, size, content, sha256=sha256)

    def put_part(self, key: str, *rest: Any) -> str:
        self._called("put_part", key)
        return super().put_part(key, *rest)

    def finish(self, key: str, *rest: Any) -> Any:
        self._called("finish", key)
        return super().finish(key, *rest)

    def fill(self, content: dict[str, bytes], meta: ObjectMeta = HTML) -> None:
        for key, data in content.items():
            self.put(key, meta, len(data), [data])
        self.calls.clear()

    def data(self) -> dict[str, bytes]:
        return {key: data for key, (data, _) in self.content.items()}


class Bench:
    """A pair of stores and a folder for evidence; `tools` is one run between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source, self.destination = Store("source"), Store("destination")
        self.clock = Turned()
        self.stop = threading.Event()
        self.runs = 0

    @contextmanager
    def tools(self, *, parallel: int = 4, part: int = 1000, move: str = "") -> Iterator[Tools]:
        self.runs += 1
        of = {"source": "source", "destination": "destination"}
        evidence = Evidence(self.folder / "evidence.jsonl", of)
        try:
            with Crew(parallel) as crew:
                patience = Patience(self.clock, self.stop)
                yield Tools(
                    self.source, self.destination, evidence, Report(), patience, crew, move or f"move {self.runs}",
                    self.clock, part=part, buffer=500,
                )  # fmt: skip
        finally:
            evidence.close()
