"""Makes real what a stand-in's control plane says: looks at it again and again, and puts right what differs.

Addresses and folders of servers are there before the call that made them is answered; what takes its time (ends of
processes, databases, health checks) goes on in a thread of its own.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rehost.providers.sandbox.machines import balancer, block, identity, life, metadata, places
from rehost.providers.sandbox.machines.authority import Authority
from rehost.providers.sandbox.machines.doors import Doors, through
from rehost.providers.sandbox.machines.gate import Gate
from rehost.providers.sandbox.machines.managed import ManagedServer, force_ssl
from rehost.providers.sandbox.machines.world import Balancer, Listener, Machine, Managed, Pair, World
from rehost.providers.sandbox.wire import Call

LOOK_S = 0.1


class Source(Protocol):
    """A control plane."""

    name: str

    def world(self) -> World:
        """What there should be."""
        ...

    def note(self, call: Call) -> None:
        """A call that was answered."""
        ...

    def about(self, machine: str) -> metadata.Told | None:
        """What a server is told when it asks about itself; None where it is told nothing."""
        ...

    def told(self, ready: dict[str, str]) -> None:
        """The states of databases by their ids: `creating`, `available`, ..."""
        ...


class Reality:
    """What is real of one provider, in a folder `<sandbox>/machines/<provider>`."""

    def __init__(self, source: Source, folder: Path, number: int) -> None:
        self.source, self.folder, self._block = source, folder, number
        folder.mkdir(parents=True, exist_ok=True)
        self._authority = Authority(folder.parent.parent)
        self._authority.make()
        self._lock = threading.RLock()
        self._given: dict[str, str] = self._kept()
        self._doors = Doors()
        self._balanced: dict[tuple[str, int], balancer.Balanced] = {}
        self._databases: dict[str, ManagedServer] = {}
        self._ready: dict[str, str] = {}
        self._states: dict[str, tuple[int, bool]] = {}
        self._pool = ThreadPoolExecutor(16)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._silent = False
        self._loop = asyncio.new_event_loop()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        """Begin."""
        self.settle()
        self._thread.start()

    def silence(self, off: bool) -> None:
        """Let everything fall silent, as with a provider that is gone; or go on."""
        self._silent = off
        self.settle()

    def close(self) -> None:
        """End all processes, and give back all addresses."""
        self._ended.set()
        self._thread.join(15)
        everyone = list(places.all_of(self.folder).values())
        list(self._pool.map(lambda place: life.off(self.folder, place), everyone))
        for database in self._databases.values():
            database.server.stop()

    # -- at once -----------------------------------------------------------------------------------------------

    def settle(self) -> World:
        """Addresses, folders and names for what there is by now."""
        with self._lock:
            world = self.source.world()
            there = places.all_of(self.folder)
            for machine in world.machines:
                self._place(machine, there.get(machine.id))
            for database in world.databases:
                if ManagedServer.runs(database):
                    self._ready.setdefault(database.id, "creating")
            self.source.told(dict(self._ready))
            self._write_names(world)
        return world

    def _place(self, machine: Machine, before: places.Place | None) -> None:
        address = before.address if before else self._address(f"server {machine.id}")
        networks = tuple(dict.fromkeys(network for network, _ in machine.private))
        on = machine.on and not self._silent
        now = places.Place(machine.id, machine.name, address, on, machine.boots, networks)
        if now != before:
            places.write(self.folder, now)

    def _address(self, key: str) -> str:
        """An address of the sandbox's own, the same for as long as it is needed."""
        if key not in self._given:
            self._given[key] = block.inner(self._block, self.source.name, set(self._given.values()))
            (self.folder / "given.json").write_text(json.dumps(self._given))
        return self._given[key]

    def _kept(self) -> dict[str, str]:
        try:
            kept: dict[str, str] = json.loads((self.folder / "given.json").read_text())
        except (OSError, ValueError):
            return {}
        # Another block may have been had.
        return {key: address for key, address in kept.items() if address.split(".")[1] == str(self._block)}

    def _write_names(self, world: World) -> None:
        names: dict[str, dict[str, str]] = {"": {}}
        for machine in world.machines:
            for network, ip in machine.private:
                names.setdefault(network, {})[ip] = self._address(f"server {machine.id}")
        for network, cidr in world.networks:
            names.setdefault(network, {})[cidr] = block.servers(self._block)
        for row in world.balancers:
            for network, name in row.names:
                names.setdefault(network, {})[name] = self._front(row)
        for database in world.databases:
            names[""][database.host] = self._address(f"database {database.id}")
        if names != places.names_by_network(self.folder):
            places.write_names(self.folder, names)

    def _front(self, row: Balancer) -> str:
        return row.public or self._address(f"balancer {row.id}")

    # -- as it comes -------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        self._loop.run_until_complete(self._run())

    async def _run(self) -> None:
        checks = 0.0
        while not self._ended.is_set():
            try:
                world = await self._loop.run_in_executor(self._pool, self.settle)
                await self._machines(world)
                await self._open_balancers(world)
                await self._run_databases(world)
                if self._loop.time() >= checks:
                    checks = self._loop.time() + balancer.CHECK_S
                    for balanced in self._balanced.values():
                        self._soon(f"check {id(balanced)}", balanced.check())
            except Exception as error:  # noqa: BLE001 - what fails is looked at again in a moment; the log says it
                say(f"{self.source.name}: {type(error).__name__}: {error}")
            await asyncio.sleep(LOOK_S)
        self._doors.close()
        for task in self._busy.values():
            task.cancel()

    def _soon(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside, unless it is being done."""
        if key in self._busy and not self._busy[key].done():
            work.close()
            return
        self._busy[key] = self._loop.create_task(work)

    async def _aside(self, what: Callable[[], object], key: str) -> None:
        try:
            await self._loop.run_in_executor(self._pool, what)
        except Exception as error:  # noqa: BLE001 - as above
            say(f"{key}: {type(error).__name__}: {error} {getattr(error, 'why', '')}")

    async def _machines(self, world: World) -> None:
        wanted = {machine.id: machine for machine in world.machines}
        open_: dict[tuple[str, int], places.Place] = {}
        for id_, place in places.all_of(self.folder).items():
            if id_ not in wanted:
                self._forget(f"server {id_}")
                self._soon(f"server {id_}", self._aside(partial(life.remove, self.folder, place), id_))
                continue
            state = (place.boots, place.on)
            if self._states.get(id_) != state:
                work = self._turned(place, self._states.get(id_))
                self._states[id_] = state
                self._soon(f"server {id_} {state}", self._aside(work, id_))
            if place.on:
                ports = life.ports(self.folder, place)
                open_ |= {(ip, port): place for ip in wanted[id_].public for port in ports}
        for path in self.folder.iterdir():
            # What a process wrote while its server went.
            if path.is_dir() and path.name not in wanted and path.name != "databases":
                self._soon(f"server {path.name}", self._aside(partial(shutil.rmtree, path), path.name))
        await self._forward(open_)
        await self._tell()

    async def _tell(self) -> None:
        """Each server that is on can ask what it is."""
        there = [place for place in places.all_of(self.folder).values() if place.on]
        wanted = {(place.address, metadata.PORT): place for place in there if self.source.about(place.id)}
        had = self._doors.owned("metadata")
        for key in had - wanted.keys():
            self._doors.shut(key)
        for key, place in wanted.items():
            if key not in had:
                mine = partial(_is, self.folder, place.id)
                told = metadata.Metadata(partial(self.source.about, place.id), mine)
                await self._doors.open(*key, told, group="metadata")

    def _turned(self, place: places.Place, before: tuple[int, bool] | None) -> Callable[[], object]:
        if not place.on:
            return partial(life.off, self.folder, place)
        if before is not None and before[1] and before[0] != place.boots:
            return partial(life.again, self.folder, place)
        return partial(life.on, self.folder, place)

    def _forget(self, key: str) -> None:
        self._given.pop(key, None)
        self._states.pop(key.partition(" ")[2], None)

    async def _forward(self, wanted: Mapping[tuple[str, int], places.Place]) -> None:
        """What units publish is at the public addresses of their servers too."""
        had = self._doors.owned("forward")
        for key in had - wanted.keys():
            self._doors.shut(key)
        for key, place in wanted.items():
            if key not in had:

                async def take(reader: Any, writer: Any, to: tuple[str, int] = (place.address, key[1])) -> None:
                    await through(reader, writer, to)

                await self._doors.open(*key, take, group="forward")

    async def _open_balancers(self, world: World) -> None:
        rows = [] if self._silent else world.balancers
        wanted = {(self._front(row), listener.port): listener for row in rows for listener in row.listeners}
        for key in self._balanced.keys() - wanted.keys():
            self._doors.shut(key)
            del self._balanced[key]
        for key, listener in wanted.items():
            known = self._balanced.get(key)
            if known is not None and _same_door(known.listener, listener):
                known.listener = listener
                continue
            made = balancer.Balanced(listener, self._where)
            await made.check()
            tls = balancer.context(listener.tls, self._authority)
            if await self._doors.open(*key, made, tls):
                self._balanced[key] = made

    def _where(self, machine: str) -> str | None:
        place = places.read(self.folder, machine)
        return place.address if place is not None and place.on else None

    async def _run_databases(self, world: World) -> None:
        wanted = {row.id: row for row in world.databases if ManagedServer.runs(row)}
        for id_ in self._databases.keys() - wanted.keys():
            database = self._databases.pop(id_)
            self._doors.shut((database.address, database.port))
            self._ready.pop(id_, None)
            self._given.pop(f"database {id_}", None)
            self._soon(f"database {id_} away", self._aside(database.drop, id_))
        for id_, row in wanted.items():
            if id_ not in self._databases:
                address, clients = self._address(f"database {id_}"), block.servers(self._block)
                folder = self.folder / "databases" / id_
                self._databases[id_] = ManagedServer(folder, row, address, clients)
            database = self._databases[id_]
            on = row.on and not self._silent
            if database.wanted is None or database.wanted != row or database.server.running != on:
                self._soon(f"database {id_}", self._become(database, row, on))

    async def _become(self, database: ManagedServer, row: Managed, on: bool) -> None:
        key = (database.address, database.port)
        before = database.wanted
        if before is not None and before.boots != row.boots:
            self._ready[row.id] = "rebooting"
        if not on:
            self._doors.shut(key)
            await self._aside(database.server.stop, row.id)
            return
        await self._aside(lambda: database.become(row), row.id)
        if database.wanted != row:
            return
        if key not in self._doors.real:
            tls = balancer.context((Pair((row.host,)),), self._authority)
            to = (database.address, database.server.port)
            forced = partial(_forced, database)
            await self._doors.open(*key, Gate(self.folder, to, partial(_may, database), tls=tls, forced=forced))
        self._ready[row.id] = "available"


def _is(folder: Path, machine: str, peer: tuple[str, int], here: tuple[str, int]) -> bool:
    return identity.owner(folder, peer, here) == machine


def _may(database: ManagedServer, who: str) -> bool:
    wanted = database.wanted
    return wanted is not None and (wanted.open or who in wanted.allowed)


def _forced(database: ManagedServer) -> bool:
    return database.wanted is not None and force_ssl(database.wanted)


def _same_door(one: Listener, other: Listener) -> bool:
    return (one.http, one.tls, one.redirect) == (other.http, other.tls, other.redirect)


def say(text: str) -> None:
    """A line for the log."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def clear(folder: Path) -> None:
    """Remove what an earlier sandbox left."""
    shutil.rmtree(folder, ignore_errors=True)
