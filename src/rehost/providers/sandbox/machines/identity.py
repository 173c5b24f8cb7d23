"""Which server of the sandbox a connection comes from: a process that connects to 127.x.y.z comes from 127.0.0.1,
so the process itself is looked up, and with it the server whose unit it belongs to."""

from __future__ import annotations

import contextlib
from pathlib import Path

from rehost.stacks.hosts.programs.supervise import MARK


def owner(machines: Path, peer: tuple[str, int], here: tuple[str, int]) -> str:
    """The id of the server (a folder of `machines`) that the other end of a connection runs on; empty where it is
    none of them. Needs /proc, and the rights of the process's user."""
    inode = _inode(peer, here)
    return _belongs(machines, inode) if inode else ""


def _inode(peer: tuple[str, int], here: tuple[str, int]) -> str:
    """The socket of the peer: its local address is what we see as the remote one."""
    wanted = (_written(peer), _written(here))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1], fields[2]) == wanted:
            return fields[9]
    return ""


def _written(address: tuple[str, int]) -> str:
    number = bytes(reversed([int(part) for part in address[0].split(".")])).hex().upper()
    return f"{number}:{address[1]:04X}"


def _belongs(machines: Path, inode: str) -> str:
    link, mark = f"socket:[{inode}]", f"{MARK}={machines}/".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            variables = (entry / "environ").read_bytes().split(b"\0")
            found = next((item for item in variables if item.startswith(mark)), None)
            if found is None:
                continue
            if any(_reads(file) == link for file in (entry / "fd").iterdir()):
                return found[len(mark) :].decode().partition("/")[0]
    return ""


def _reads(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
