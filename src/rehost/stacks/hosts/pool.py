"""Hosts by server, each connected to once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from rehost.stacks.errors import InvalidInput, OperatorNeeded
from rehost.stacks.graph import Value
from rehost.stacks.hosts.memory import MemoryHost
from rehost.stacks.hosts.port import Host


class HostPool:
    """A FindHost that keeps what it found. `connect` makes the host of a server; `prepares` says whether its
    servers are systems that have to be prepared for units."""

    def __init__(self, connect: Callable[[str, Mapping[str, Value]], Host], *, prepares: bool = False) -> None:
        self._connect = connect
        self.prepares = prepares
        self._hosts: dict[tuple[str, str], Host] = {}
        self._guard = threading.Lock()

    def __call__(self, server: str, connection: Mapping[str, Value]) -> Host:
        key = (server, repr(sorted(connection.items())))
        with self._guard:
            if key not in self._hosts:
                self._hosts[key] = self._connect(server, connection)
            return self._hosts[key]

    def close(self) -> None:
        """Close all connections; units run on."""
        with self._guard:
            hosts, self._hosts = list(self._hosts.values()), {}
        for host in hosts:
            host.close()


def over_ssh() -> HostPool:
    """Servers with systemd. `connection` has `address`, `hostKeys`, and if need be `port`, `user`, `privateKey`,
    `via` (another such mapping), and `unreachable` where no way leads to a private address."""

    def connect(server: str, connection: Mapping[str, Value]) -> Host:
        try:
            from rehost.stacks.hosts.ssh import SshAddress
            from rehost.stacks.hosts.systemd import SystemdHost
        except ImportError as error:
            raise InvalidInput(
                "servers can't be entered: a library for SSH is missing",
                why=str(error),
                fix="pip install 'rehost[hosts]'",
            ) from error
        if connection.get("unreachable"):
            raise OperatorNeeded(
                f"no way leads to server {server}",
                why=f"its address {connection.get('address')} is private, and SSH could go over no public server",
                fix="make a small server group of the stack public, with a firewall that lets you in over SSH, "
                "and run the same command again",
            )

        def address(given: Mapping[str, Value]) -> SshAddress:
            return SshAddress(
                host=str(given["address"]),
                host_keys=tuple(given.get("hostKeys") or ()),
                port=int(given.get("port", 22)),
                user=str(given.get("user", "root")),
                private_key=str(given.get("privateKey", "")),
                via=address(given["via"]) if given.get("via") else None,
            )

        try:
            return SystemdHost(server, address(connection))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"the connection to server {server} lacks or spoils {error}") from None

    return HostPool(connect, prepares=True)


def in_memory() -> HostPool:
    """Servers that are there for plans and tests only; they are the same whatever their connection is."""
    hosts: dict[str, MemoryHost] = {}
    return HostPool(lambda server, connection: hosts.setdefault(server, MemoryHost(server)))
