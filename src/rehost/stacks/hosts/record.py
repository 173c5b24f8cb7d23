"""What a host remembers of a unit: written beside its files, readable by its keeper only."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rehost.stacks.hosts.backend import FileFact
from rehost.stacks.hosts.port import HostError
from rehost.stacks.hosts.units import HealthCheck, UnitSpec

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Record:
    """The applied version of a unit. `dirty` means that files were changed and the service was not started anew
    since: a crash in between is made good by the next apply."""

    salt: str
    fingerprint: str = ""
    owner: str = ""
    slot: str = "a"
    ports: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    fronted: bool = False
    scheduled: bool = False
    restart: str = "always"
    health: HealthCheck | None = None
    files: Mapping[str, FileFact] = field(default_factory=dict)
    dirty: bool = False

    @classmethod
    def new(cls) -> Record:
        """Of a unit that was never applied."""
        return cls(salt=secrets.token_hex(16))

    def of(self, spec: UnitSpec) -> str:
        """The fingerprint of a spec on this host."""
        return spec.fingerprint(bytes.fromhex(self.salt))

    def encode(self) -> bytes:
        """As it is stored."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, sort_keys=True).encode()

    @classmethod
    def decode(cls, content: bytes, name: str) -> Record:
        """Raises HostError for what this version did not write."""
        try:
            raw: dict[str, Any] = json.loads(content)
            if raw.pop("format") != FORMAT:
                raise ValueError("written by another version")
            health = raw.pop("health")
            if health:
                health["command"] = tuple(health["command"])
            ports = {slot: {int(k): int(v) for k, v in found.items()} for slot, found in raw.pop("ports").items()}
            files = {path: FileFact(**fact) for path, fact in raw.pop("files").items()}
            return cls(**raw, health=HealthCheck(**health) if health else None, ports=ports, files=files)
        except (ValueError, KeyError, TypeError) as error:
            raise HostError(
                f"the record of unit {name} can't be read",
                why=str(error),
                fix=f"remove the unit {name} from the host and apply it again",
            ) from error
