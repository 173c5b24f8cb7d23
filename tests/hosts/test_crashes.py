"""rehost is killed at any point of an apply or a release: the same call again ends where it should."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rehost.stacks.hosts.memory import MemoryBackend, MemoryHost
from rehost.stacks.hosts.port import Active
from rehost.stacks.hosts.units import Order, Port, UnitSpec, Volume


class Killed(BaseException):
    """Stands for the end of the process."""


class Fragile(MemoryBackend):
    """Dies at one of the calls that change something; what was done stays done."""

    left = -1
    most = 0
    """The most versions that ever ran at once."""
    watched = outage = False
    """Whether connections were sent to nobody, while that was watched."""

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def _look(self) -> None:
        """What the forwarder is told to send connections to."""
        route = self.contents.get(self.layout.front("web"))
        if not self.watched or route is None:
            return
        (port,) = (real for _, real in json.loads(route.content)["ports"].values())
        for slot in ("a", "b"):
            told = self.contents.get(f"{self.layout.slot('web', slot)}/service.json")
            if told and json.loads(told.content)["environment"]["PORT"] == str(port):
                self.outage = (
                    self.outage or self.states([f"web.{slot}"])[f"web.{slot}"].active is not Active.RUNNING
                )
                return
        self.outage = True

    def write(self, files: Any) -> None:
        for file in files:
            self._count()
            super().write([file])
            self._look()

    def delete(self, paths: Any) -> None:
        for path in paths:
            self._count()
            super().delete([path])
            self._look()

    def start(self, service: str, *, scheduled: bool, again: bool) -> None:
        self._count()
        super().start(service, scheduled=scheduled, again=again)
        versions = [name for name, state in self.running.items() if state.active is Active.RUNNING]
        self.most = max(self.most, len([name for name in versions if not name.endswith(".front")]))

    def stop(self, service: str) -> None:
        self._count()
        super().stop(service)
        self._look()


def spec(version: str, order: Order) -> UnitSpec:
    return UnitSpec(
        "web",
        command=("x",),
        files={"app": version.encode()},
        environment={"VERSION": version},
        ports=(Port(80),),
        volumes=(Volume("data", "/data"),),
        order=order,
    )


def reaches(host: MemoryHost, wanted: UnitSpec) -> None:
    """The unit is what it should be, and nothing else is left."""
    status = host.units()["web"]
    assert status.active is Active.RUNNING and status.drift == ()
    assert not host.preview(wanted)
    folder = host.backend.layout.unit("web")
    slots = {
        path[len(folder) + 1 :].split("/")[0]
        for path in host.backend.tree(folder)
        if path.startswith((f"{folder}/a/", f"{folder}/b/"))
    }
    assert slots == {status.slot}
    running = {name for name, state in host.backend.running.items() if state.active is Active.RUNNING}
    assert running == {f"web.{status.slot}"} | ({"web.front"} if wanted.fronted else set())


Operation = Callable[[MemoryHost, UnitSpec], object]


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("operation", [MemoryHost.apply, MemoryHost.release], ids=["apply", "release"])
@pytest.mark.parametrize("back", [False, True], ids=["again", "back"])
def test_killed_at_every_call(order: Order, operation: Operation, back: bool) -> None:
    old, new = spec("1", order), spec("2", order)
    for at in range(1, 100):
        backend = Fragile()
        MemoryHost("x", backend).apply(old)
        backend.left, backend.most = at, 0
        backend.watched = operation is MemoryHost.release and order is Order.START_FIRST
        try:
            operation(MemoryHost("x", backend), new)
        except Killed:
            pass
        else:
            assert at > 5, "there was something to be killed in"
            return
        backend.left = -1
        served = [name for name, state in backend.running.items() if state.active is Active.RUNNING]
        assert served or not backend.watched, "somebody serves all the time"
        wanted = old if back else new
        operation(MemoryHost("x", backend), wanted)
        reaches(MemoryHost("x", backend), wanted)
        assert not backend.outage
        if order is Order.STOP_FIRST:
            assert backend.most <= 1, "two versions never run at once"
    raise AssertionError("the operation never came to its end")


def test_killed_in_a_removal() -> None:
    for at in range(1, 100):
        backend = Fragile()
        MemoryHost("x", backend).apply(spec("1", Order.START_FIRST))
        backend.left = at
        try:
            MemoryHost("x", backend).remove("web", data=True)
        except Killed:
            backend.left = -1
            MemoryHost("x", backend).remove("web", data=True)
        else:
            return
        assert backend.contents == {} and backend.running == {}
    raise AssertionError("the removal never came to its end")


def test_killed_while_a_unit_is_held_or_let_go() -> None:
    for at in range(1, 20):
        backend = Fragile()
        MemoryHost("x", backend).apply(spec("1", Order.STOP_FIRST))
        backend.left = at
        try:
            MemoryHost("x", backend).hold("web")
        except Killed:
            backend.left = -1
            MemoryHost("x", backend).hold("web")
        assert MemoryHost("x", backend).units()["web"].held
        assert backend.running == {}
        backend.left = at
        try:
            MemoryHost("x", backend).enable("web")
        except Killed:
            backend.left = -1
            MemoryHost("x", backend).enable("web")
        assert MemoryHost("x", backend).units()["web"].active is Active.RUNNING
