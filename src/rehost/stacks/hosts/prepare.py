"""What a server of a provider needs beyond SSH before units can run on it: programs, mounts, folders, a filter.

Debian and Ubuntu. Each part says what is missing and puts just that right, so that it can be asked for at any
time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rehost.stacks.graph import Value
from rehost.stacks.hosts.firewall import Allow, HostFirewall
from rehost.stacks.hosts.port import Completed, FirewallHost, Host, HostError, HostFile

INSTALL_S, BOOT_S, FORMAT_S = 900.0, 900.0, 900.0
_PACKAGES = {"nft": "nftables", "pip3": "python3-pip", "venv": "python3-venv"}
"""Packages that are named otherwise than their program."""
_WAIT_DEVICE = (
    'for i in $(seq 60); do for d in "$@"; do [ -b "$d" ] && exec readlink -f "$d"; done; sleep 1; done; exit 1'
)


@dataclass(frozen=True)
class Mount:
    """A volume of the stack: what its device is known by (the end of a link in /dev/disk/by-id, or a path),
    and what it is formatted with when it is new. It is mounted at /mnt/NAME."""

    name: str
    device: tuple[str, ...]
    filesystem: str

    @property
    def path(self) -> str:
        """Where it is mounted."""
        return f"/mnt/{self.name}"

    @property
    def unit(self) -> str:
        """The name that systemd demands for it (systemd.unit(5), string escaping)."""
        return re.sub(r"[^a-z0-9_.:]", lambda m: f"\\x{ord(m[0]):02x}", self.name).join(("mnt-", ".mount"))


@dataclass(frozen=True)
class Wanted:
    """All that is asked of a server."""

    programs: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    folders: tuple[str, ...] = ()
    allow: Mapping[int, tuple[str, ...]] | None = None
    """Whom the packet filter lets in by port; None where there is to be none."""

    @classmethod
    def of(cls, inputs: Mapping[str, Value]) -> Wanted:
        """From the inputs of a host."""
        mounts = [
            Mount(row["name"], tuple(map(str, row["device"])), row["filesystem"])
            for row in inputs.get("mounts") or ()
        ]
        allow = inputs.get("allow")
        peers = {int(port): tuple(text.split(",")) for port, text in allow.items()} if allow else None
        return cls(tuple(inputs.get("programs") or ()), tuple(mounts), tuple(inputs.get("folders") or ()), peers)

    def filter(self) -> HostFirewall | None:
        """Its packet filter."""
        if self.allow is None:
            return None
        return HostFirewall(tuple(Allow((port,), peers) for port, peers in sorted(self.allow.items())))


def booted(host: Host) -> None:
    """Wait for the end of cloud-init: until then it may still install and restart things. One that went wrong in
    parts of the operator's own is none of ours."""
    if _run(host, ["sh", "-c", "command -v cloud-init"]).code == 0:
        _run(host, ["cloud-init", "status", "--wait"], BOOT_S)


def missing(host: Host, wanted: Wanted) -> list[str]:
    """What is not as it should be, in words."""
    found = [f"program {name}" for name in _absent(host, wanted.programs)]
    found += [f"mount {mount.path}" for mount in wanted.mounts if not _mounted(host, mount)]
    found += [f"folder {path}" for path in wanted.folders if _run(host, ["test", "-d", path]).code]
    if wanted.allow is not None and isinstance(host, FirewallHost) and not host.filtered(wanted.filter()):
        found.append("packet filter")
    return found


def prepare(host: Host, wanted: Wanted) -> None:
    """Put right what is missing. Raises HostError."""
    _install(host, _absent(host, wanted.programs))
    for mount in wanted.mounts:
        if _mounted(host, mount):
            _grow(host, mount)
        else:
            _mount(host, mount)
    if wanted.folders:
        _must(host, ["mkdir", "-p", "--", *wanted.folders])
    if isinstance(host, FirewallHost):
        host.firewall(wanted.filter())


def _absent(host: Host, programs: Sequence[str]) -> list[str]:
    if not programs:
        return []
    # Environments of Python's own are made by a module, which Debian has in a package of its own.
    script = (
        'for p in "$@"; do if [ "$p" = venv ]; then python3 -c "import ensurepip, venv" 2> /dev/null; '
        'else PATH=$PATH:/usr/sbin:/sbin command -v "$p" > /dev/null; fi || echo "$p"; done'
    )
    return _must(host, ["sh", "-c", script, "sh", *programs]).text.split()


def _install(host: Host, programs: Sequence[str]) -> None:
    if not programs:
        return
    names = sorted(_PACKAGES.get(program, program) for program in programs)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    waiting = ["-o", "DPkg::Lock::Timeout=300", "-q", "-y"]
    for command in (
        ["apt-get", *waiting, "update"],
        ["apt-get", *waiting, "install", "--no-install-recommends", *names],
    ):
        done = host.run(command, environment=quiet, timeout=INSTALL_S)
        if done.code:
            raise HostError(
                f"{', '.join(names)} can't be installed on {host.name}",
                why=_last(done),
                fix="the server needs a way out to its distribution's packages, or an image that has them",
            )


def _mounted(host: Host, mount: Mount) -> bool:
    return _run(host, ["findmnt", "--noheadings", "--mountpoint", mount.path]).code == 0


def _candidates(host: Host, mount: Mount) -> Iterator[str]:
    """Paths that its device may have. Links are named after the provider's own id, with or without its dashes."""
    listed = _run(host, ["ls", "/dev/disk/by-id"]).text.split()
    for known in mount.device:
        if known.startswith("/dev/"):
            yield known
            continue
        end = known.replace("-", "")
        yield from (f"/dev/disk/by-id/{name}" for name in listed if name.replace("-", "").endswith(end))


def _mount(host: Host, mount: Mount) -> None:
    _run(host, ["udevadm", "settle"])
    candidates = list(_candidates(host, mount)) or [d for d in mount.device if d.startswith("/dev/")]
    found = _run(host, ["sh", "-c", _WAIT_DEVICE, "sh", *candidates], 90.0)
    if found.code:
        raise HostError(
            f"{host.name} has no device for the volume {mount.name}",
            why=f"none of {', '.join(mount.device)} is there",
            fix="look whether the volume is attached",
        )
    device = found.text.strip()
    kind = _run(host, ["blkid", "-o", "value", "-s", "TYPE", device]).text.strip()
    if not kind:
        label = _run(host, ["blkid", "-p", device])
        if label.code == 0 and label.text.strip():
            raise HostError(
                f"the volume {mount.name} on {host.name} holds something that is no filesystem",
                why=label.text.strip()[:200],
                fix="rehost formats empty volumes only: wipe it by hand if nothing on it is needed",
            )
        _must(host, [f"mkfs.{mount.filesystem}", "-q", device], FORMAT_S)
        kind = mount.filesystem
    uuid = _must(host, ["blkid", "-o", "value", "-s", "UUID", device]).text.strip()
    lines = ["[Unit]", f"Description=rehost {mount.name}", "", "[Mount]", f"What=/dev/disk/by-uuid/{uuid}"]
    lines += [f"Where={mount.path}", f"Type={kind}", "Options=nofail,discard", ""]
    lines += ["[Install]", "WantedBy=local-fs.target", ""]
    host.put(HostFile(f"/etc/systemd/system/{mount.unit}", "\n".join(lines).encode()))
    _must(host, ["mkdir", "-p", mount.path])
    _must(host, ["systemctl", "daemon-reload"])
    _must(host, ["systemctl", "enable", "--now", "--quiet", mount.unit])


def _grow(host: Host, mount: Mount) -> None:
    """Let the filesystem fill a volume that was enlarged; nothing happens where it does already."""
    told = json.loads(_must(host, ["findmnt", "--json", "--mountpoint", mount.path]).text)
    row: dict[str, Any] = told["filesystems"][0]
    command = ["xfs_growfs", mount.path] if row["fstype"] == "xfs" else ["resize2fs", str(row["source"])]
    _must(host, command, FORMAT_S)


def _run(host: Host, command: Sequence[str], timeout: float = 60.0) -> Completed:
    return host.run(command, timeout=timeout)


def _must(host: Host, command: Sequence[str], timeout: float = 60.0) -> Completed:
    done = host.run(command, timeout=timeout)
    if done.code:
        raise HostError(f"{host.name}: {' '.join(command[:3])} failed", why=_last(done))
    return done


def _last(done: Completed) -> str:
    return (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-500:]
