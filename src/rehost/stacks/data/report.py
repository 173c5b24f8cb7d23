"""What a pass over a bucket did, counted while it runs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

NAMED = 1000
"""So many names of a kind are kept; all are counted."""


class Names:
    """Findings: all counted, the first NAMED of them kept."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, text: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < NAMED:
            self.first.append(text)

    def __bool__(self) -> bool:
        return self.count > 0


Watch = Callable[["Report"], None]
"""Is told after every object and every piece; has to be quick."""


@dataclass
class Report:
    """What happened to one bucket. `source_digest` and `destination_digest` are one SHA-256 each over keys, sizes,
    hashes and metadata of all objects as they were sent and as they were read back."""

    objects: int = 0
    bytes: int = 0
    copied: int = 0
    copied_bytes: int = 0
    skipped: int = 0
    skipped_bytes: int = 0
    adopted: int = 0
    """There already with the same content, though not known to be ours."""
    removed: int = 0
    resumed_parts: int = 0
    moved: int = 0
    """Changed or removed at the source while being read: left to the next pass."""
    passes: int = 0
    read_back: int = 0
    read_back_bytes: int = 0
    repeated: int = 0
    destination_objects: int = 0
    destination_bytes: int = 0
    source_digest: str = ""
    destination_digest: str = ""
    failures: Names = field(default_factory=Names)
    differences: Names = field(default_factory=Names)
    foreign: Names = field(default_factory=Names)
    lost: Counter[str] = field(default_factory=Counter)
    """How many objects lost what on the way, because the destination does not keep it."""
    passed_bytes: int = 0
    """Bytes that went through so far, both ways, for progress."""
    watch: Watch = field(default=lambda _: None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, **numbers: int) -> None:
        """Add to the numbers, from any thread."""
        with self._lock:
            for name, number in numbers.items():
                setattr(self, name, getattr(self, name) + number)
        self.watch(self)

    def find(self, kind: str, text: str) -> None:
        """Add to `failures`, `differences`, `foreign` or `lost`."""
        with self._lock:
            if kind == "lost":
                self.lost[text] += 1
            else:
                getattr(self, kind).add(text)

    @property
    def problems(self) -> list[str]:
        """Everything that keeps the copy from being proven."""
        return [*self.failures.first, *self.differences.first, *self.foreign.first]

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        left_out = {"watch", "_lock", "passed_bytes"}
        told = {name: value for name, value in vars(self).items() if name not in left_out}
        for name in ("failures", "differences", "foreign"):
            told[name] = list(told[name].first)
            told[f"{name}_count"] = getattr(self, name).count
        told["lost"] = dict(self.lost)
        return told
