"""Servers that can be entered, in memory: as much of Debian as the preparation of a server asks for."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from rehost.stacks.graph import Value
from rehost.stacks.hosts.memory import MemoryBackend, MemoryHost
from rehost.stacks.hosts.pool import HostPool
from rehost.stacks.hosts.port import Completed, HostFile

_numbers = itertools.count(1)


class Machine:
    """One server. Its disks are empty until they are formatted."""

    def __init__(self, name: str) -> None:
        self.backend = MemoryBackend(runner=self.run)
        self.host = MemoryHost(name, self.backend)
        self.programs, self.folders, self.mounted = {"sh"}, set[str](), set[str]()
        self.disks: dict[str, str] = {}

    def run(self, command: Sequence[str], input: bytes, environment: Mapping[str, str]) -> Completed:
        """What a command answers."""
        del input, environment
        name, *words = command
        answer: Any = getattr(self, f"_{name.partition('.')[0].replace('-', '_')}", lambda *words: "")(*words)
        if isinstance(answer, bool):
            return Completed(0 if answer else 1, b"", b"")
        return Completed(0, str(answer or "").encode(), b"")

    def _sh(self, _: str, script: str, __: str = "", *words: str) -> Any:
        if "cloud-init" in script:
            return False
        if "readlink" in script:
            return words[0]
        return "\n".join(word for word in words if word not in self.programs)

    def _apt_get(self, *words: str) -> None:
        if "install" in words:
            self.programs |= {"nft" if word == "nftables" else word for word in words}

    def _ls(self, folder: str) -> str:
        return "scsi-0HC_Volume_1 scsi-0HC_Volume_2" if folder == "/dev/disk/by-id" else ""

    def _blkid(self, *words: str) -> Any:
        kind = self.disks.get(words[-1], "")
        return kind and (f"uuid-{kind}" if "UUID" in words else kind)

    def _mkfs(self, *words: str) -> None:
        self.disks[words[-1]] = "ext4"

    def _findmnt(self, *words: str) -> Any:
        if "--json" in words:
            return '{"filesystems": [{"fstype": "ext4", "source": "/dev/sdb"}]}'
        return words[-1] in self.mounted

    def _systemctl(self, *words: str) -> None:
        if words[-1].endswith(".mount"):
            self.mounted.add("/" + words[-1].removesuffix(".mount").replace("-", "/"))

    def _mkdir(self, *words: str) -> None:
        self.folders |= set(words)

    def _test(self, _: str, path: str) -> bool:
        return path in self.folders

    def _ssh_keygen(self, *words: str) -> None:
        key = f"ssh-ed25519 AAAA{next(_numbers)}"
        self.backend.write([HostFile(words[-1], b"private"), HostFile(f"{words[-1]}.pub", key.encode())])

    def _cp(self, source: str, to: str) -> None:
        self.backend.write([HostFile(to, self.backend.contents[source].content)])

    def _mv(self, source: str, to: str) -> None:
        self._cp(source, to)
        self._rm(source)

    def _rm(self, *words: str) -> None:
        self.backend.contents.pop(words[-1], None)


def entered() -> HostPool:
    """Servers by id, the same whatever their connection is."""
    machines: dict[str, Machine] = {}

    def connect(server: str, connection: Mapping[str, Value]) -> MemoryHost:
        del connection
        return machines.setdefault(server, Machine(server)).host

    return HostPool(connect, prepares=True)
