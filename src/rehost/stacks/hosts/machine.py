"""A server made ready for units, as a resource in graph and state: `rehost:host/host:Host`.

Inputs: `serverId`, `name` (for people), `connection` (see `pool.over_ssh`, with the host key that the server was
made with), `programs`, `mounts`, `folders`, `allow`; they mean what the fields of `prepare.Wanted` do. Output:
`hostKey`, the key to be trusted from now on. What is not as it should be shows as a `drift`. Rules are in
`data/kinds.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.hosts import prepare
from rehost.stacks.hosts.cloudinit import renew_host_key
from rehost.stacks.hosts.pool import HostPool
from rehost.stacks.hosts.port import Host, HostDenied, HostGone, HostUnreachable
from rehost.stacks.hosts.resource import Exists, seen, translated
from rehost.stacks.ports import Call, Known, Live

BOOT_S, POLL_S = 300.0, 5.0
"""A new server is waited for so long until it lets us in, and asked so often."""
SHOWN_S = 30.0
"""A new host key has to be shown after so long."""
_AT_ONCE = 16


class HostKind:
    """Create, read, find, update and delete. An id is the server's, and the host key that it was given last."""

    def __init__(
        self,
        pool: HostPool,
        exists: Exists = lambda server: True,
        *,
        key_file: str = "/etc/ssh/ssh_host_ed25519_key",
        service: str = "ssh.service",
    ) -> None:
        self._pool, self._exists = pool, exists
        self._key_file, self._service = key_file, service

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        """Wait for the server, let it make a host key of its own, and prepare it."""
        with translated(inputs):
            server = str(inputs["serverId"])
            host = self._host(inputs, "")
            self._arrive(call, host)
            if not self._pool.prepares:
                key = str(((inputs["connection"].get("hostKeys")) or [""])[0])
                call.made(f"{server} {key}")
                return self._live(host, inputs, key)
            prepare.booted(host)
            key = self._renewed(host, lambda public: call.made(f"{server} {public}"))
            return self._finish(call, inputs, key)

    def _renewed(self, host: Host, told: Callable[[str], object]) -> str:
        return renew_host_key(host, path=self._key_file, service=self._service, told=told)

    def _finish(self, call: Call, inputs: Mapping[str, Value], key: str) -> Live:
        host = self._alone(call, inputs, key)
        prepare.prepare(host, prepare.Wanted.of(inputs))
        return self._live(host, inputs, key)

    def _alone(self, call: Call, inputs: Mapping[str, Value], key: str) -> Host:
        """The connection that trusts the new key only, once the server shows it: it reads its keys anew a moment
        after it was told to."""
        until = call.now() + SHOWN_S
        while True:
            host = self._pool(str(inputs["serverId"]), {**inputs["connection"], "hostKeys": [key]})
            try:
                host.run(["true"])
                return host
            except HostDenied:
                if call.now() >= until:
                    raise
            call.pause(1.0)

    def _arrive(self, call: Call, host: Host) -> None:
        until = call.now() + BOOT_S
        while True:
            try:
                host.run(["true"])
                return
            except HostUnreachable:
                if call.now() >= until:
                    raise
            call.pause(POLL_S)

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        """The servers as they are, several at once. Raises ValueError for one to be imported."""
        if any(not item.inputs for item in known):
            raise ValueError("a host can't be imported: deploy prepares the server")
        with ThreadPoolExecutor(max(1, min(_AT_ONCE, len(known)))) as pool:
            return list(pool.map(self._read, known))

    def _read(self, known: Known) -> Live | None:
        inputs, key = known.inputs, _key(known)
        return seen(inputs, self._exists, lambda: self._live(self._host(inputs, key), inputs, key))

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        """Nothing is to be found: preparing a server again does no harm, and as long as no id was written down it
        has the key that it was made with."""
        del inputs
        return None

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        """Finish what a create left half done, and prepare what is missing."""
        key = _key(known)
        with translated(inputs):
            host = self._host(inputs, key)
            self._arrive(call, host)
            if not self._pool.prepares:
                return self._live(host, inputs, key)
            if self._given(host) != key:
                self._renewed(host, partial(_same, key))
            return self._finish(call, inputs, key)

    def delete(self, call: Call, known: Known) -> None:
        """Take away the packet filter; all else goes with the server, or does no harm on it."""
        del call
        if not known.inputs.get("allow") or not self._pool.prepares:
            return
        try:
            host = self._host(known.inputs, _key(known))
            prepare.prepare(host, prepare.Wanted())
        except (HostGone, HostUnreachable):
            return

    def _host(self, inputs: Mapping[str, Value], key: str) -> Host:
        """The connection that trusts the key, and the first one too where it may not have been taken up yet."""
        way = inputs["connection"]
        keys = list(dict.fromkeys([*([key] if key else []), *(way.get("hostKeys") or ())]))
        return self._pool(str(inputs["serverId"]), {**way, "hostKeys": keys})

    def _given(self, host: Host) -> str:
        """The host key that a server has now."""
        return (host.fetch(f"{self._key_file}.pub") or b"").decode().strip()

    def _live(self, host: Host, inputs: Mapping[str, Value], key: str) -> Live:
        asked = {name: value for name, value in inputs.items() if name != "drift"}
        wrong: list[str] = []
        if self._pool.prepares:
            wrong = prepare.missing(host, prepare.Wanted.of(inputs))
            wrong += [] if self._given(host) == key else ["host key"]
        else:
            host.run(["true"])
        drift: dict[str, Value] = {"drift": wrong} if wrong else {}
        return Live(f"{inputs['serverId']} {key}", {**asked, **drift}, {**asked, "hostKey": key})


def _key(known: Known) -> str:
    return known.id.partition(" ")[2]


def _same(expected: str, public: str) -> None:
    """Raise ProviderError where a server offers another key than the one that was written down."""
    if public != expected:
        raise ProviderError(
            "the server made another host key than the one that was written down",
            reason=Reason.FAILED,
            fix="replace the server: it may have been tampered with",
        )
