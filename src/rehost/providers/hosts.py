"""How servers of a provider are entered: over SSH, or in the sandbox as folders of this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from rehost.providers.base import Kind, NoHosts
from rehost.providers.sandbox.environment import MACHINES
from rehost.stacks.hosts.machine import HostKind
from rehost.stacks.hosts.pool import HostPool, over_ssh
from rehost.stacks.hosts.resource import HOST, TOKEN, UnitKind


def pool_for(environment: Mapping[str, str], provider: str, endpoint: str, storage: str = "") -> HostPool | None:
    """How a provider's servers are entered; None where they can't be, as those of a stand-in that has none.
    `storage` is where its object storage is, if that is apart from its API."""
    folder = environment.get(MACHINES)
    if folder:
        from rehost.providers.sandbox.machines.pool import in_sandbox

        return in_sandbox(Path(folder) / provider, storage or endpoint)
    return None if _here(endpoint) else over_ssh()


def host_kinds(pool: HostPool | None, exists: Callable[[str], bool]) -> dict[str, Kind]:
    """The kinds of hosts and units. `exists` answers whether a server is still there, by its id: one that does not
    answer may be gone."""
    if pool is None:
        return {HOST: NoHosts(), TOKEN: NoHosts()}
    return {HOST: HostKind(pool, exists), TOKEN: UnitKind(pool, exists)}


def _here(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
