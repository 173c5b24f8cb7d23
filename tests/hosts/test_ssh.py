"""What only hosts over SSH have to do, on a machine with a real sshd and a real systemd.

Not covered: a real boot (the target that a boot reaches is started instead), published ports and limits of
containers beyond podman's own reading of them, docker, packages that cloud-init installs, sudo of other users than
root.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hostbench import Bench, ssh, the_machine
from hypothesis import HealthCheck as Slow
from hypothesis import given, settings
from hypothesis import strategies as st

from rehost.stacks.errors import InvalidInput, OperatorNeeded, ProviderError
from rehost.stacks.hosts.backend import Placed
from rehost.stacks.hosts.cloudinit import renew_host_key
from rehost.stacks.hosts.firewall import Allow, HostFirewall
from rehost.stacks.hosts.machine import HostKind
from rehost.stacks.hosts.pool import over_ssh
from rehost.stacks.hosts.port import Active, HostDenied, HostError, HostFile, HostUnreachable
from rehost.stacks.hosts.resource import UnitKind
from rehost.stacks.hosts.ssh import Ssh, SshAddress
from rehost.stacks.hosts.systemd import SystemdHost
from rehost.stacks.hosts.unitfiles import unit_files
from rehost.stacks.hosts.units import HealthCheck, Limits, Port, Restart, Schedule, UnitSpec, Volume, bearable
from rehost.stacks.ports import Known

TEXT = st.text(max_size=30).filter(bearable)


@pytest.fixture
def bench() -> Iterator[Bench]:
    yield from ssh()


def address(**changes: object) -> SshAddress:
    there = the_machine()
    given = SshAddress(
        "127.0.0.1", (there.host_key,), port=there.port, private_key=there.private_key, attempts=2, pause=0.01
    )
    return replace(given, **changes)  # type: ignore[arg-type]


def new_key() -> tuple[str, str]:
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    return key.export_private_key().decode(), key.export_public_key().decode()


def test_a_host_with_another_key_is_not_talked_to(bench: Bench) -> None:
    stranger = SystemdHost("far", address(host_keys=(new_key()[1],)))
    with pytest.raises(HostDenied, match="not the host that was expected"):
        stranger.run(["true"])
    stranger.close()
    with pytest.raises(InvalidInput, match="no host key is known"):
        Ssh(address(host_keys=()))


def test_a_wrong_private_key_is_said(bench: Bench) -> None:
    host = SystemdHost("far", address(private_key=new_key()[0]))
    with pytest.raises(HostDenied, match="does not let us in"):
        host.run(["true"])
    host.close()


def test_nobody_there_is_said_after_some_attempts(bench: Bench) -> None:
    host = SystemdHost("far", address(port=bench.port()))
    with pytest.raises(HostUnreachable, match="can't be reached"):
        host.run(["true"])
    host.close()


def test_a_host_without_the_interpreter_is_said(bench: Bench) -> None:
    host = SystemdHost("far", address(python="/usr/bin/no-python"))
    with pytest.raises(HostUnreachable) as failure:
        host.run(["true"])
    assert "no-python" in failure.value.why + failure.value.fix
    host.close()


def test_a_lost_connection_is_opened_again_and_no_command_repeated(bench: Bench) -> None:
    note = "/opt/rehost/note"
    bench.host.put(HostFile(note, b""))
    failures: list[HostError] = []

    def command() -> None:
        try:
            bench.host.run(["sh", "-c", f"echo ran >> {note}; exec sleep 300"])
        except HostError as error:
            failures.append(error)

    thread = threading.Thread(target=command)
    thread.start()
    bench.until(lambda: bench.host.fetch(note))
    cut_connections()
    thread.join(60)
    assert [type(error) for error in failures] == [HostUnreachable]
    assert bench.host.fetch(note) == b"ran\n"
    bench.host.run(["pkill", "sleep"])


def cut_connections() -> None:
    """End the processes of sshd that serve us."""
    sessions = "for pid in $(pgrep -f '[s]shd: root@'); do kill -9 $pid; done"
    inside = ["nsenter", "-t", str(init()), "-p", "-m", "sh", "-c", sessions]
    subprocess.run(inside, check=True)


def init() -> int:
    """The systemd of the machine, seen from here."""
    found = the_machine().process.pid
    for _ in range(8):
        children = subprocess.run(["pgrep", "-P", str(found)], capture_output=True, text=True, check=False)
        first = children.stdout.split()
        name = subprocess.run(["ps", "-o", "comm=", "-p", str(found)], capture_output=True, text=True, check=True)
        if name.stdout.strip() == "systemd" or not first:
            break
        found = int(first[0])
    return found


def test_a_host_key_is_renewed_over_the_connection_it_proved(bench: Bench) -> None:
    there = the_machine()
    before = there.host_key.strip()
    renewed = renew_host_key(bench.host, path=str(there.folder / "host"), service="ssh-test.service")
    assert renewed.split()[:2] == there.host_key.split()[:2] != before.split()[:2]
    assert bench.host.run(["echo", "goes on"]).text == "goes on"
    bench.until(lambda: key_is(renewed))
    with pytest.raises(HostDenied):
        Ssh(address(host_keys=(before,))).check()


class Noted:
    """A call that remembers, and can be cut off once an id is known."""

    client_token = "t"

    def __init__(self, *, cut: bool = False) -> None:
        self.id, self._cut = "", cut

    def now(self) -> float:
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        threading.Event().wait(min(seconds, 0.1))

    def made(self, id_: str) -> None:
        self.id = id_
        if self._cut:
            raise KeyboardInterrupt

    def poll(self, done: Callable[[], bool], what: str) -> None:
        raise AssertionError(what)


def test_a_server_is_prepared_and_its_units_are_put(bench: Bench) -> None:
    there = the_machine()
    # Its connection goes on, whatever keys there are later.
    bench.host.run(["true"])
    kind = HostKind(over_ssh(), key_file=str(there.folder / "host"), service="ssh-test.service")
    first = there.host_key.strip()
    way = {"address": "127.0.0.1", "port": there.port, "hostKeys": [first], "privateKey": there.private_key}
    allow = {"5432": "10.20.0.4,10.20.0.5", str(there.port): "127.0.0.1"}
    inputs = {
        "serverId": "s-1",
        "name": "db-1",
        "connection": way,
        "programs": ["nft", "sh"],
        "folders": ["/opt/data/backups"],
        "allow": allow,
    }
    # Stopped where the new key is known and not yet in use.
    cut = Noted(cut=True)
    with pytest.raises(KeyboardInterrupt):
        kind.create(cut, inputs)
    known = Known("urn", cut.id, inputs, {})
    (seen,) = kind.read([known])
    assert seen is not None and "host key" in seen.inputs["drift"]
    live = kind.update(Noted(), Known("urn", cut.id, seen.inputs, seen.outputs), inputs)
    key = live.outputs["hostKey"]
    assert live.id == cut.id == f"s-1 {key}" and key != first and "drift" not in live.inputs
    assert bench.host.run(["test", "-d", "/opt/data/backups"]).code == 0
    assert "10.20.0.4" in bench.host.run(["/opt/shim/nft", "list", "table", "inet", "rehost"]).text

    bench.host.run(["/opt/shim/nft", "delete", "table", "inet", "rehost"])
    bench.host.run(["rmdir", "/opt/data/backups"])
    (seen,) = kind.read([Known("urn", live.id, live.inputs, live.outputs)])
    assert seen is not None and seen.inputs["drift"] == ["folder /opt/data/backups", "packet filter"]
    again = kind.update(Noted(), Known("urn", live.id, seen.inputs, seen.outputs), inputs)
    assert "drift" not in again.inputs

    units = UnitKind(over_ssh())
    unit = {
        "serverId": "s-1",
        "connection": {**way, "hostKeys": [key]},
        "name": "job",
        "command": ["sleep", "100"],
    }
    made = units.create(Noted(), unit)
    assert made.outputs["active"] == "running"
    stranger = {**unit, "connection": {**way, "hostKeys": [first]}}
    with pytest.raises(ProviderError, match="not the host that was expected"):
        units.read([Known("urn", "s-1/job", stranger, {})])
    units.delete(Noted(), Known("urn", made.id, unit, made.outputs))
    kind.delete(Noted(), Known("urn", live.id, inputs, live.outputs))
    assert bench.host.run(["/opt/shim/nft", "list", "table", "inet", "rehost"]).code != 0


def test_a_server_that_does_not_answer_is_told_once_unless_it_is_gone() -> None:
    inputs = {
        "serverId": "s",
        "name": "web",
        "command": ["x"],
        "connection": {"address": "127.0.0.1", "port": 1, "hostKeys": [new_key()[1]]},
    }
    known = [Known("urn", "s/web", inputs, {})]
    with pytest.raises(ProviderError, match="web can't be looked at") as caught:
        UnitKind(over_ssh()).read(known)
    assert not caught.value.retryable and "--no-refresh" in caught.value.fix
    assert UnitKind(over_ssh(), lambda server: False).read(known) == [None]
    alone = {**inputs, "connection": {"address": "10.0.0.2", "unreachable": True}}
    with pytest.raises(OperatorNeeded, match="no way leads"):
        UnitKind(over_ssh()).create(Noted(), alone)


def key_is(key: str) -> bool:
    """Whether sshd shows this key by now; it reads its keys anew a moment after it was told to."""
    connection = Ssh(address(host_keys=(key,)))
    try:
        connection.check()
    except (HostDenied, HostUnreachable):
        return False
    finally:
        connection.close()
    return True


def test_through_a_jump_host(bench: Bench) -> None:
    host = SystemdHost("far", address(via=address()))
    assert host.run(["echo", "there"]).text == "there"
    host.close()


def test_many_threads_share_one_connection(bench: Bench) -> None:
    said: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: said.append(bench.host.run(["echo", str(n)]).text)) for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(said, key=int) == [str(n) for n in range(12)]


def test_secrets_are_in_one_file_that_only_root_reads(bench: Bench) -> None:
    bench.host.apply(bench.web(environment={"TOKEN": "horse-battery"}))
    env = f"{bench.host.backend.layout.slot('web', 'a')}/env"
    told = bench.host.run(["grep", "-rl", "horse-battery", "/opt/rehost", "/etc/systemd/system"])
    assert told.text == env
    assert bench.host.backend.describe([env])[env].mode == 0o600
    assert "horse-battery" not in bench.host.run(["ps", "axww"]).text


def test_units_run_as_a_user_of_their_own_and_write_only_their_volumes(bench: Bench) -> None:
    program = (
        "import json, os, pwd\n"
        "def writes(path):\n"
        "    try:\n        open(path + '/x', 'w').close(); return True\n    except OSError: return False\n"
        "print(json.dumps([pwd.getpwuid(os.getuid()).pw_name, writes(os.environ['VOLUME_DATA']), writes('/usr'), "
        "writes('.')]))"
    )
    spec = UnitSpec(
        "job",
        command=(bench.host.backend.python, "job.py"),
        files={"job.py": program.encode()},
        volumes=(Volume("data", "/data"),),
        restart=Restart.NEVER,
        limits=Limits(memory=256 * 1024**2, cpus=0.5, processes=50),
    )
    bench.host.apply(spec)
    bench.until(lambda: bench.host.units()["job"].exit_code is not None)
    assert json.loads(bench.host.logs("job")[-1].text) == ["rehost", True, False, False]
    bench.host.remove("job", data=True)
    assert bench.host.run(["id", "-u", "rehost"]).code != 0, "the user that was made for units went with them"
    left = bench.host.run(["find", "/etc/systemd/system", "-name", "rehost-*"])
    assert left.text == ""


def test_a_boot_starts_what_is_enabled_and_nothing_that_is_held(bench: Bench) -> None:
    bench.host.apply(bench.swapped())
    bench.host.apply(bench.web("held"), held=True)
    bench.host.apply(UnitSpec("once", command=("/bin/true",), restart=Restart.NEVER))
    bench.until(lambda: bench.host.units()["once"].exit_code == 0)
    before = bench.host.run(["systemctl", "show", "-P", "ExecMainStartTimestamp", "rehost-once.a"]).text
    for service in ("rehost-web.a", "rehost-web.front"):
        bench.host.run(["systemctl", "stop", service])
    bench.host.run(["systemctl", "daemon-reload"])
    bench.host.run(["systemctl", "start", "--no-block", "multi-user.target"])
    bench.until(lambda: bench.get() == b"1")
    assert bench.host.units()["held"].active is Active.STOPPED
    after = bench.host.run(["systemctl", "show", "-P", "ExecMainStartTimestamp", "rehost-once.a"]).text
    assert after == before, "what ran once is not run again"
    bench.host.run(["systemctl", "stop", "multi-user.target"])


def test_a_health_command_runs_as_the_unit(bench: Bench) -> None:
    check = HealthCheck(command=("sh", "-c", 'test "$VERSION" = 1'), interval=0.1, retries=2, start_period=0)
    bench.host.release(bench.web(health=check))
    assert bench.host.status("web").healthy is True  # type: ignore[union-attr]
    bench.host.apply(bench.web(version="2", health=check))
    assert bench.host.status("web").healthy is False  # type: ignore[union-attr]


def test_systemd_finds_no_fault_in_the_unit_files(bench: Bench) -> None:
    bench.host.apply(bench.swapped(limits=Limits(memory=2**28, cpus=1.5, processes=9)), held=True)
    job = UnitSpec("job", command=("/bin/true", "$x", "%n"), schedule=Schedule("5 4 * * 1-5", "Europe/Berlin"))
    bench.host.apply(job)
    verify = ["systemd-analyze", "verify", "--man=no"]
    files = bench.host.run(["sh", "-c", "ls /etc/systemd/system/rehost-*"]).text.split()
    assert len(files) == 4
    done = bench.host.run([*verify, *files])
    assert "rehost-" not in done.stderr.decode(), done.stderr
    timers = bench.host.run(["systemctl", "list-timers", "--no-pager"]).text
    assert "rehost-job.a.timer" in timers


STORAGE = b"""
[storage]
driver = "vfs"
runroot = "/run/containers/run"
graphroot = "/run/containers/graph"
"""
ENGINE = b"""
[containers]
netns = "host"
utsns = "host"
cgroups = "disabled"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
IMAGE = """
set -e
mkdir -p /run/image/bin && cp /bin/busybox /run/image/bin/
for name in sh httpd env; do ln -sf busybox /run/image/bin/$name; done
tar -C /run/image -c . | podman import --quiet - localhost/app:1
"""


def podman(bench: Bench) -> None:
    """Podman that needs neither network nor cgroups of its own, which a machine in namespaces can't give it."""
    for path, package in (("/usr/bin/podman", "podman crun"), ("/bin/busybox", "busybox-static")):
        if bench.host.run(["test", "-x", path]).code:
            pytest.skip(f"needs {path} (apt-get install {package})")
    bench.host.put(HostFile("/etc/containers/storage.conf", STORAGE))
    bench.host.put(HostFile("/etc/containers/containers.conf", ENGINE))


def test_an_image_runs_in_a_container(bench: Bench) -> None:
    podman(bench)
    made = bench.host.run(["sh", "-c", IMAGE])
    assert made.code == 0, made.stderr
    port = bench.extra["port app"] = bench.port()
    serve = "env > /data/env; exec httpd -f -p $PORT -h /data"
    check = HealthCheck(path="/env", interval=0.1)
    spec = UnitSpec(
        "app",
        image="localhost/app:1",
        command=("sh", "-c", serve),
        environment={"TOKEN": "horse\nbattery $HOME"},
        volumes=(Volume("data", "/data"),),
        ports=(Port(port),),
        health=check,
        stop_grace=0.3,
    )
    bench.host.release(spec)
    assert b"TOKEN=horse\nbattery $HOME\n" in bench.get("/env", "app")
    assert "battery" not in bench.host.run(["ps", "axww"]).text
    inside = replace(check, path="", command=("sh", "-c", f'test "$PORT" = "$PORT_{port}"'))
    assert bench.host.backend.probe("app.a", inside, "127.0.0.1", port)
    assert not bench.host.apply(spec)
    bench.host.remove("app", data=True)
    assert bench.host.run(["podman", "ps", "--all", "--quiet"]).text == ""


def test_podman_takes_the_command_line(bench: Bench) -> None:
    podman(bench)
    spec = UnitSpec(
        "app",
        image="localhost/none:1",
        command=("serve",),
        ports=(Port(8080, 80),),
        volumes=(Volume("data", "/data", True),),
        user="app",
        limits=Limits(memory=2**28, cpus=0.5, processes=50),
    )
    placed = Placed(spec, "a", {8080: 8080}, "127.0.0.1")
    files = unit_files(placed, bench.host.backend.layout, "/etc/systemd/system", "/usr/bin/podman")
    line = next(line for line in files[-1].content.decode().splitlines() if line.startswith("ExecStart="))
    words = [word.strip('"') for word in line.removeprefix("ExecStart=").split()]
    assert "--publish 127.0.0.1:8080:80" in " ".join(words)
    words[words.index("missing")] = "never"
    done = bench.host.run(words, timeout=120)
    assert done.code == 125 and b"localhost/none:1" in done.stderr and b"flag" not in done.stderr, done.stderr


def test_the_packet_filter_is_set_kept_and_removed(bench: Bench) -> None:
    host = bench.host
    assert isinstance(host, SystemdHost)
    if host.run(["test", "-x", "/usr/sbin/nft"]).code:
        pytest.skip("needs nft (apt-get install nftables)")
    rules = HostFirewall(allow=(Allow((443,)), Allow((5432,), ("10.0.1.0/24",))), ssh_port=the_machine().port)
    assert host.firewall(rules)
    assert not host.firewall(rules)
    shown = host.run(["nft", "list", "table", "inet", "rehost"]).text
    assert "ip saddr 10.0.1.0/24 tcp dport 5432 accept" in shown and "tcp dport 443 accept" in shown
    host.run(["nft", "delete", "table", "inet", "rehost"])
    assert host.firewall(rules), "a table that somebody removed is put back"
    assert host.run(["systemctl", "is-enabled", "rehost-firewall.service"]).text == "enabled"
    assert host.firewall(None)
    assert not host.firewall(None)
    assert host.run(["nft", "list", "table", "inet", "rehost"]).code != 0
    assert host.fetch("/etc/systemd/system/rehost-firewall.service") is None


def test_rules_that_lock_us_out_are_taken_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    host = bench.host
    assert isinstance(host, SystemdHost)
    if host.run(["test", "-x", "/usr/sbin/nft"]).code:
        pytest.skip("needs nft (apt-get install nftables)")

    def locked_out() -> None:
        raise HostUnreachable("no answer")

    monkeypatch.setattr(host.backend.ssh, "check", locked_out)
    with pytest.raises(HostError, match="taken back"):
        host.firewall(HostFirewall())
    assert host.run(["nft", "list", "table", "inet", "rehost"]).code != 0
    assert host.fetch("/opt/rehost/firewall.nft") is None


@settings(max_examples=3, deadline=None, suppress_health_check=[Slow.function_scoped_fixture, Slow.too_slow])
@given(words=st.lists(TEXT, min_size=30, max_size=60), values=st.lists(TEXT, min_size=30, max_size=60))
def test_any_text_arrives_through_unit_files(bench: Bench, words: list[str], values: list[str]) -> None:
    program = (
        "import json, os, sys\n"
        "json.dump([sys.argv[1:], dict(os.environ)], open(os.environ['VOLUME_DATA'] + '/told', 'w'))"
    )
    environment = {f"V{number}": value for number, value in enumerate(values)}
    spec = UnitSpec(
        "odd",
        command=(bench.host.backend.python, "-c", program, *words),
        environment=environment,
        volumes=(Volume("data", "/data"),),
        restart=Restart.NEVER,
    )
    bench.host.apply(spec)
    path = bench.host.backend.layout.volumes("odd") + "/data/told"
    bench.until(lambda: bench.host.units()["odd"].exit_code is not None)
    told = json.loads(bench.host.fetch(path) or b"null")
    bench.host.remove("odd", data=True)
    assert told[0] == words
    assert {key: told[1].get(key) for key in environment} == environment
