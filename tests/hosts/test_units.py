"""Specs, schedules and firewall rules: pure."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehost.stacks.errors import InvalidInput
from rehost.stacks.hosts.cron import on_calendar, parse
from rehost.stacks.hosts.firewall import Allow, HostFirewall, nftables
from rehost.stacks.hosts.unitfiles import environment_file, environment_of, quote
from rehost.stacks.hosts.units import HealthCheck, Order, Port, Schedule, UnitSpec, Volume

NFT = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin")
IP = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin")
ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "Web"}, "a name is"),
        ({"name": "-web"}, "a name is"),
        ({"command": ()}, "image or a command"),
        ({"image": "x", "files": {"a": b""}}, "belong to a command"),
        ({"environment": {"A-B": ""}}, "no name of a variable"),
        ({"environment": {"A": "\0"}}, "NUL"),
        ({"environment": {"A": "\ud800"}}, "no text"),
        ({"environment": {"A": "\ufffe"}}, "no text"),
        ({"environment": {"A": "\U0001ffff"}}, "no text"),
        ({"command": ("x", "\ufdd0")}, "no text"),
        ({"files": {"a\udc80": b""}}, "relative path"),
        ({"files": {"../x": b""}}, "relative path"),
        ({"files": {"/x": b""}}, "relative path"),
        ({"ports": (Port(0),)}, "no port"),
        ({"ports": (Port(1), Port(1, 2))}, "twice"),
        ({"volumes": (Volume("data", "relative"),)}, "absolute target"),
        ({"volumes": (Volume("a/b", "/x"),)}, "no name of a volume"),
        ({"user": "ro ot"}, "no name of a user"),
        ({"schedule": Schedule("* * * * *"), "ports": (Port(1),)}, "on a schedule"),
        ({"singleton": True, "order": Order.START_FIRST}, "singleton"),
        ({"health": HealthCheck(path="/")}, "needs a port"),
        ({"health": HealthCheck(port=2), "ports": (Port(1),)}, "names port 2"),
    ],
)
def test_what_no_host_could_run_is_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        UnitSpec(**{"name": "web", "command": ("true",), **changes})  # type: ignore[arg-type]


def test_values_are_never_shown() -> None:
    spec = UnitSpec("web", command=("x",), environment={"A": "horse"}, files={"b": b"battery"})
    assert "horse" not in repr(spec) and "battery" not in repr(spec)


@given(st.dictionaries(st.sampled_from("ABC"), st.text(max_size=5)), st.binary(min_size=1, max_size=4))
def test_fingerprints_tell_specs_apart_and_depend_on_the_salt(environment: dict[str, str], salt: bytes) -> None:
    environment = {key: value.replace("\0", "") for key, value in environment.items()}
    environment = {k: v.encode("utf-8", "ignore").decode() for k, v in environment.items()}
    spec = UnitSpec("web", command=("x",), environment=environment)
    again = UnitSpec("web", command=("x",), environment=dict(reversed(environment.items())))
    other = UnitSpec("web", command=("x",), environment={**environment, "A": environment.get("A", "") + "!"})
    assert spec.fingerprint(salt) == again.fingerprint(salt) != other.fingerprint(salt)
    assert spec.fingerprint(salt) != spec.fingerprint(salt + b"x")


@pytest.mark.parametrize(
    ("cron", "calendar"),
    [
        ("* * * * *", ("*-*-* *:*:00 UTC",)),
        ("*/15 2-4 * * *", ("*-*-* 02,03,04:00,15,30,45:00 UTC",)),
        ("0 0 * * 7", ("Sun *-*-* 00:00:00 UTC",)),
        ("0 0 * * MON-FRI", ("Mon,Tue,Wed,Thu,Fri *-*-* 00:00:00 UTC",)),
        ("0 0 13 * FRI", ("*-*-13 00:00:00 UTC", "Fri *-*-* 00:00:00 UTC")),
        ("0 0 L * *", ("*-*~01 00:00:00 UTC",)),
        ("0 0 * * 5#2", ("Fri *-*-08..14 00:00:00 UTC",)),
        ("0 0 * 1,7 5L", ("Fri *-01,07~07/1 00:00:00 UTC",)),
    ],
)
def test_cron_becomes_on_calendar(cron: str, calendar: tuple[str, ...]) -> None:
    assert on_calendar(Schedule(cron)) == calendar


@pytest.mark.parametrize("cron", ["", "* * * *", "60 * * * *", "* * * * * *", "@daily", "a b c d e"])
def test_what_is_no_schedule_is_said(cron: str) -> None:
    with pytest.raises(InvalidInput, match="no schedule"):
        on_calendar(Schedule(cron))


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../etc", "/etc/passwd"])
def test_what_is_no_time_zone_is_said(zone: str) -> None:
    with pytest.raises(InvalidInput, match="no time zone"):
        on_calendar(Schedule("* * * * *", zone))


FIELDS = st.tuples(
    st.sampled_from(["0", "*", "*/7", "5,35", "10-20"]),
    st.sampled_from(["0", "*", "4", "8-18/3", "23"]),
    st.sampled_from(["*", "1", "31", "13,14", "L"]),
    st.sampled_from(["*", "2", "1-6", "DEC"]),
    st.sampled_from(["*", "0", "1-5", "SAT", "2#3", "5L"]),
)


@pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze (Debian package systemd)")
@settings(max_examples=15, deadline=None)
@given(fields=FIELDS, zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]))
def test_systemd_elapses_when_cron_does(fields: tuple[str, ...], zone: str) -> None:
    schedule = Schedule(" ".join(fields), zone)
    base = datetime(2027, 4, 15, 12, 0, 30, tzinfo=ZoneInfo("UTC"))
    try:
        calendar = on_calendar(schedule)
    except InvalidInput as error:
        assert "numbered weekday" in error.why
        return
    cron = parse(schedule)
    cron = type(cron)(schedule.cron, base.astimezone(ZoneInfo(zone)))
    assert ANALYZE
    told = [ANALYZE, "calendar", "--iterations=3", "--base-time=2027-04-15 12:00:30 UTC", *calendar]
    run = subprocess.run(told, capture_output=True, text=True, env={"TZ": "UTC", "LANG": "C"}, check=True)
    elapses = set()
    for line in run.stdout.splitlines():
        label, _, rest = line.strip().partition(": ")
        if label == "(in UTC)" or (label in ("Next elapse",) or label.startswith("Iter. #")):
            words = rest.split()
            if words[-1] == "UTC":
                moment = datetime.strptime(" ".join(words[1:3]), "%Y-%m-%d %H:%M:%S").replace(tzinfo=base.tzinfo)
                elapses.add(moment)
    expected = [next(cron).astimezone(base.tzinfo) for _ in range(3)]
    assert sorted(elapses)[:3] == expected or _leaves_out_an_hour(expected, zone), (calendar, elapses, expected)


def _leaves_out_an_hour(expected: list[datetime], zone: str) -> bool:
    """Whether the clock is changed near one of these times; there the two differ by design."""
    there = [moment.astimezone(ZoneInfo(zone)) for moment in expected]
    return any(
        (t - timedelta(hours=3)).utcoffset() != (t + timedelta(hours=3)).utcoffset()
        or (t.astimezone(base := ZoneInfo("UTC")) - timedelta(hours=3)).astimezone(ZoneInfo(zone)).utcoffset()
        != (t.astimezone(base) + timedelta(hours=3)).astimezone(ZoneInfo(zone)).utcoffset()
        for t in there
    )


RULES = HostFirewall(
    allow=(
        Allow((80, 443)),
        Allow((5432,), ("10.0.1.0/24", "10.0.1.7", "10.0.0.0/16", "fd00::/8")),
        Allow((53,), ("192.0.2.1",), "udp"),
    ),
    ssh_peers=("198.51.100.7",),
)


def test_rules_name_who_may_reach_what() -> None:
    text = nftables(RULES)
    assert "tcp dport { 80, 443 } accept" in text
    assert "ip saddr { 10.0.0.0/16 } tcp dport { 5432 } accept" in text
    assert "ip6 saddr { fd00::/8 } tcp dport { 5432 } accept" in text
    assert "ip saddr { 198.51.100.7/32 } tcp dport { 22 } accept" in text
    assert text == nftables(RULES)


@pytest.mark.parametrize("peer", ["all", "10.0.0.1/8", "example.org", "10.0.0.0/33"])
def test_peers_are_addresses(peer: str) -> None:
    with pytest.raises(InvalidInput, match="no address"):
        Allow((80,), (peer,))


TRAFFIC = r"""
set -e
mount -t tmpfs tmpfs /run && mkdir /run/netns
ip netns add peer
ip link add near type veth peer name far netns peer
ip addr add 10.9.0.1/24 dev near && ip link set near up && ip link set lo up
ip -n peer addr add 10.9.0.2/24 dev far && ip -n peer addr add 10.9.0.3/24 dev far && ip -n peer link set far up
nft -f - < "$RULES" && nft -f - < "$RULES"
python3 -c "
import select, socket
servers = [socket.create_server(('', port)) for port in (80, 5432, 9999, 22)]
print(flush=True)
while True:
    for server in select.select(servers, [], [])[0]: server.accept()[0].close()
" > /run/listens & server=$!
while ! test -s /run/listens; do :; done
ip netns exec peer python3 -c "
import socket
for source in ('10.9.0.2', '10.9.0.3'):
    for port in (80, 5432, 9999, 22):
        try:
            socket.create_connection(('10.9.0.1', port), 0.3, (source, 0)).close()
            print(source, port)
        except OSError: pass
"
python3 -c "import socket; socket.create_connection(('10.9.0.1', 9999), 3); print('itself')"
kill $server
"""


@pytest.mark.skipif(not NFT or not IP, reason="needs nft and ip (Debian packages nftables and iproute2)")
def test_packets_pass_as_the_rules_say(tmp_path: Path) -> None:
    rules = HostFirewall(allow=(Allow((80,)), Allow((5432,), ("10.9.0.2",))), ssh_peers=("10.9.0.3",))
    (tmp_path / "rules").write_text(nftables(rules))
    run = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", TRAFFIC],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "RULES": str(tmp_path / "rules")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unshare: unshare failed" in run.stderr:
        pytest.skip("no network namespace may be made here")
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["10.9.0.2 80", "10.9.0.2 5432", "10.9.0.3 80", "10.9.0.3 22", "itself"]


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True),
        st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")),
    )
)
def test_variables_can_be_read_back_from_their_file(environment: dict[str, str]) -> None:
    content = environment_file(environment)
    assert environment_of(content) == environment
    assert content == environment_file(dict(reversed(environment.items())))


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")))
def test_a_quoted_word_is_one_line_without_specifiers_and_variables(word: str) -> None:
    quoted = quote(word)
    assert quoted[0] == quoted[-1] == '"' and not set(quoted) & set("\n\r\t")
    assert "%" not in quoted.replace("%%", "") and "$" not in quoted.replace("$$", "")
