"""Data that flows through hosts."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator

import pytest
from hostbench import ODD, Bench, processes, ssh

from rehost.stacks.hosts.port import HostError
from rehost.stacks.hosts.streams import StreamHost

MAKERS = {"processes": processes, "ssh": ssh}


@pytest.fixture(params=sorted(MAKERS))
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    yield from MAKERS[request.param]()


@pytest.fixture
def host(bench: Bench) -> StreamHost:
    assert isinstance(bench.host, StreamHost)
    return bench.host


def test_megabytes_flow_through_unchanged(host: StreamHost) -> None:
    pieces = [bytes([number]) * 100_000 for number in range(80)]
    sent, back = hashlib.sha256(), hashlib.sha256()
    for piece in pieces:
        sent.update(piece)
    for piece in host.stream(["cat"], input=iter(pieces)):
        back.update(piece)
    assert back.digest() == sent.digest()


def test_variables_and_arguments_arrive_as_they_are(host: StreamHost) -> None:
    told = b"".join(host.stream(["sh", "-c", 'printf %s "$SECRET$1"', "x", ODD], environment={"SECRET": ODD}))
    assert told.decode() == ODD * 2


def test_a_failing_command_is_said(host: StreamHost) -> None:
    with pytest.raises(HostError, match="exit code 3") as failure:
        list(host.stream(["sh", "-c", "cat > /dev/null; echo why >&2; exit 3"], input=[b"x"]))
    assert failure.value.why == "why"
    loud = "head -c 9000000 /dev/zero >&2; echo end >&2; exit 4"
    with pytest.raises(HostError, match="exit code 4"):
        list(host.stream(["sh", "-c", loud]))
    with pytest.raises(HostError):
        list(host.stream(["/no/such/program"]))


def test_a_command_that_does_not_read_its_input_ends_all_the_same(host: StreamHost) -> None:
    assert b"".join(host.stream(["echo", "done"], input=(b"x" * 100_000 for _ in range(100)))) == b"done\n"


def test_what_goes_wrong_with_the_input_is_raised(host: StreamHost) -> None:
    def broken() -> Iterator[bytes]:
        yield b"begin"
        raise ValueError("the source broke")

    with pytest.raises(ValueError, match="the source broke"):
        list(host.stream(["cat"], input=broken()))


def test_ending_early_ends_the_command(bench: Bench, host: StreamHost) -> None:
    flow = host.stream(["sh", "-c", "echo $$; exec sleep 300"])
    pid = next(flow).decode().strip()
    flow.close()  # type: ignore[attr-defined]
    state = ["sh", "-c", f"grep -h State /proc/{pid}/status | grep -v Z"]
    bench.until(lambda: bench.host.run(state).code != 0)


def test_a_port_that_the_host_can_reach_is_reached_through_it(bench: Bench, host: StreamHost) -> None:
    bench.host.release(bench.web())
    port = bench.extra["port web"]
    with host.tunnel(bench.host.backend.address, port) as (address, near):
        connection = http.client.HTTPConnection(address, near, timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"1"
        connection.close()
