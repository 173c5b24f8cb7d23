"""What a version needs made before it starts (libraries, built files), made once for the same script and files.

Each attempt has a folder of its own, `<prefix>/made/<unit>/<key>/<attempt>`, so that one that lives on after
rehost was killed can't get in the way of the next. The file `done` beside it names the one that ended well. The
key is salted like a unit's fingerprint, since variables are part of it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import posixpath
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rehost.stacks.hosts.backend import Placed
from rehost.stacks.hosts.port import HostError, HostFile, HostUnreachable, ReleaseFailed
from rehost.stacks.hosts.record import Record
from rehost.stacks.hosts.units import Setup, UnitSpec

if TYPE_CHECKING:
    from rehost.stacks.hosts.unithost import UnitHost

_QUOTED = 1500
"""Characters of a failed setup's output that are told."""
_MASKED = 4
"""Values of variables from this length on are masked where a unit's own words are quoted."""


def masked(text: str, spec: UnitSpec) -> str:
    """A text without values of the unit's variables."""
    for value in sorted(spec.environment.values(), key=len, reverse=True):
        if len(value) >= _MASKED:
            text = text.replace(value, "***")
    return text


def key_of(spec: UnitSpec, setup: Setup, record: Record) -> str:
    """The same for setups that make the same."""
    told = {
        "run": setup.run,
        "user": spec.user,
        "files": {path: hashlib.sha256(content).hexdigest() for path, content in _read(spec, setup).items()},
        "variables": setup.named(spec.environment),
    }
    text = json.dumps(told, sort_keys=True).encode()
    return hmac.new(bytes.fromhex(record.salt), text, hashlib.sha256).hexdigest()[:32]


def _read(spec: UnitSpec, setup: Setup) -> Mapping[str, bytes]:
    return {path: spec.files[path] for path in setup.reads} if setup.reads else spec.files


class Made:
    """What the setup of a version made, or has to make. `links` is None while nothing is made; `wrong` are those
    of the links into the version's source that are not there."""

    def __init__(self, host: UnitHost, placed: Placed, record: Record) -> None:
        assert placed.spec.setup is not None
        self._host, self._placed, self._setup = host, placed, placed.spec.setup
        self._folder = f"{host.backend.layout.made(placed.spec.name)}/{key_of(placed.spec, self._setup, record)}"
        self.links: Mapping[str, str] | None = None
        self.wrong: list[str] = []
        self._look()

    def _look(self) -> None:
        spec, backend = self._placed.spec, self._host.backend
        path = f"{self._folder}/done"
        attempt = backend.read([path]).get(path, b"").decode("utf-8", "replace")
        if not attempt.isalnum():
            return
        source = backend.layout.source(spec.name, self._placed.slot)
        found = backend.hand("made", stage=f"{self._folder}/{attempt}", own=sorted(spec.files), source=source)
        if found is not None:
            self.links, self.wrong = found["links"], found["wrong"]

    def run(self) -> None:
        """Make what is not made yet. Raises ReleaseFailed with what it said."""
        if self.links is not None:
            return
        spec, backend, stage = self._placed.spec, self._host.backend, f"{self._folder}/{secrets.token_hex(6)}"
        owner, files = backend.keeper(spec), _read(spec, self._setup)
        home = f"{stage}.home"
        folders = {posixpath.dirname(f"{stage}/{path}") for path in files} | {home, stage}
        for folder in sorted({*folders, *(above for one in folders for above in _above(one, stage))}):
            backend.hand("folder", path=folder, mode=0o755, owner=owner)
        modes = {True: 0o755, False: 0o644}
        backend.write(
            [HostFile(f"{stage}/{path}", text, modes[text[:2] == b"#!"], owner) for path, text in files.items()]
        )
        try:
            answer = backend.hand(
                "run",
                timeout=self._setup.timeout,
                repeat=False,
                command=["/bin/sh", "-e", "-c", f"exec 2>&1\n{self._setup.run}"],
                content=b"",
                environment={"LANG": "C.UTF-8", "HOME": home, **self._setup.named(spec.environment)},
                limit=self._setup.timeout,
                user="" if owner == "root" else owner,
                folder=stage,
                bare=True,
            )
        except HostUnreachable:
            raise
        except HostError as error:
            backend.delete([stage, home])
            raise self._failed(error.summary, "") from error
        backend.delete([home])
        if answer["code"]:
            backend.delete([stage])
            said = masked(answer["out"].decode("utf-8", "replace").strip(), spec)[-_QUOTED:]
            raise self._failed(f"it ended with {answer['code']}", said)
        backend.write([HostFile(f"{self._folder}/done", posixpath.basename(stage).encode())])
        self._look()

    def _failed(self, problem: str, said: str) -> ReleaseFailed:
        name, reads = self._placed.spec.name, self._setup.reads
        fix = "mend it and deploy again"
        if reads:
            fix += f"; it sees {', '.join(reads)} only: name under `reads:` what else it needs"
        return ReleaseFailed(
            f"the setup of {name} on {self._host.name} failed: {problem}",
            why=f"the version before it, if there is one, serves on{f'; it said: {said}' if said else ''}",
            fix=fix,
            address=name,
        )

    def link(self) -> list[str]:
        """Put the links that are not there; answers their paths."""
        wrong = {path: (self.links or {})[path] for path in self.wrong}
        if wrong:
            self._host.backend.hand("link", links=wrong)
        return list(wrong)

    def prune(self) -> None:
        """Remove what other versions needed made."""
        folder, _, key = self._folder.rpartition("/")
        self._host.backend.hand("prune", folder=folder, keep=key)


def _above(folder: str, stage: str) -> list[str]:
    found = []
    while folder.startswith(f"{stage}/"):
        folder = posixpath.dirname(folder)
        found.append(folder)
    return found
