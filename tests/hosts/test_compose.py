"""Services of the Compose Specification as units."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehost.stacks.errors import InvalidInput
from rehost.stacks.hosts.compose import from_compose
from rehost.stacks.hosts.units import HealthCheck, Limits, Order, Port, Restart, Schedule, Volume


def test_a_service_becomes_a_unit() -> None:
    unit = from_compose(
        "web",
        {
            "image": "registry.example/plaza:1.4",
            "command": "serve --name 'two words'",
            "environment": {"DEBUG": True, "WORKERS": 4, "URL": "postgres://x"},
            "ports": ["8080", "80:8000", {"target": 9000, "published": "9001"}],
            "volumes": ["data:/var/lib/plaza", "/etc/ssl:/certs:ro"],
            "healthcheck": {"test": ["CMD", "true"], "interval": "1m30s", "timeout": "500ms", "retries": 2},
            "user": "app",
            "restart": "unless-stopped",
            "stop_grace_period": "30s",
            "deploy": {"resources": {"limits": {"memory": "512m", "cpus": "0.5", "pids": 99}}},
        },
    )
    assert unit.command == ("serve", "--name", "two words")
    assert unit.environment == {"DEBUG": "true", "WORKERS": "4", "URL": "postgres://x"}
    assert unit.ports == (Port(8080), Port(80, 8000), Port(9001, 9000))
    assert unit.volumes == (Volume("data", "/var/lib/plaza"), Volume("/etc/ssl", "/certs", True))
    assert unit.health == HealthCheck(command=("true",), interval=90.0, timeout=0.5, retries=2)
    assert (unit.user, unit.restart, unit.stop_grace) == ("app", Restart.ALWAYS, 30.0)
    assert unit.limits == Limits(512 * 1024**2, 0.5, 99)
    assert unit.order is Order.STOP_FIRST, "a volume is not shared by two versions unless asked for"


def test_versions_are_switched_where_that_can_do_no_harm() -> None:
    plain: dict[str, Any] = {"image": "x", "ports": ["80"], "healthcheck": {"path": "/"}}
    assert from_compose("web", plain).order is Order.START_FIRST
    assert from_compose("web", {**plain, "x-singleton": True}).order is Order.STOP_FIRST
    asked = {**plain, "deploy": {"update_config": {"order": "stop-first"}}}
    assert from_compose("web", asked).order is Order.STOP_FIRST
    source = {"command": ["python3", "app.py"], "ports": ["80"], "healthcheck": {"path": "/"}}
    assert from_compose("web", source, {"app.py": b""}).order is Order.STOP_FIRST


def test_jobs_and_lists() -> None:
    job = from_compose(
        "job",
        {"command": ["x"], "x-schedule": "0 4 * * *", "x-timezone": "Europe/Berlin", "environment": ["A=b=c"]},
    )
    assert job.schedule == Schedule("0 4 * * *", "Europe/Berlin") and job.environment == {"A": "b=c"}
    assert from_compose("a", {"command": ["x"], "restart": "on-failure:3"}).restart is Restart.ON_FAILURE
    assert from_compose("a", {"command": ["x"], "ports": ["1"], "healthcheck": {"test": "NONE"}}).health is None
    shell = from_compose("a", {"command": ["x"], "healthcheck": {"test": "curl $X"}}).health
    assert shell is not None and shell.command == ("/bin/sh", "-c", "curl $X")


@pytest.mark.parametrize(
    ("service", "problem"),
    [
        ({"image": "x", "privileged": True}, "privileged is not supported"),
        ({"image": "x", "ports": ["127.0.0.1:80:80"]}, "port"),
        ({"image": "x", "ports": ["80-90"]}, "port"),
        ({"image": "x", "volumes": ["/data"]}, "volume"),
        ({"image": "x", "environment": {"A": None}}, "no value"),
        ({"image": "x", "environment": ["A"]}, "without a value"),
        ({"image": "x", "restart": "sometimes"}, "sometimes"),
        ({"image": "x", "stop_grace_period": "soon"}, "duration"),
        ({"image": "x", "mem_limit": "lots"}, "size"),
        ({"image": "x", "healthcheck": {"tests": "x"}}, "tests is not supported"),
        ({"image": "x", "command": "a 'b"}, "quotation"),
        ({}, "image or a command"),
    ],
)
def test_what_is_not_supported_is_named(service: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        from_compose("web", service)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = ["image", "command", "environment", "ports", "volumes", "healthcheck", "restart", "deploy", "cpus", "user"]


@hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_service_is_a_unit_or_an_answer(service: dict[str, Any]) -> None:
    try:
        from_compose("web", service)
    except InvalidInput as error:
        assert error.summary
