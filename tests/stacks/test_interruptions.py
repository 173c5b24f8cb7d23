"""Runs that are killed at any call, before or after its effect, and calls that fail, at providers that are as
unfriendly as the clouds: the same command again ends the same, with nothing twice and nothing left over."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clouds import Cloud, Killed, Trouble, cloud, loaded
from strategies import public_key
from test_random_stacks import deployed, destroyed, told

from rehost.providers.sandbox.realism import LEVELS
from rehost.stacks.plan import Wishes

PROVIDERS = ["aws", "hetzner"]


def plaza(provider: str, **changes: Any) -> dict[str, Any]:
    """A stack with one of everything."""
    return {
        "stack": "plaza",
        "targets": {
            "here": {"provider": provider, "region": {"aws": "eu-central-1", "hetzner": "fsn1"}[provider]}
        },
        "network": {"cidr": "10.20.0.0/16", "zones": 2},
        "firewalls": {
            "web": {"ingress": [{"ports": [80, 443]}, {"ports": [22], "from": "198.51.100.0/24"}]},
            "peers": {"ingress": [{"ports": [5432], "from": "servers.app"}], "egress": [{"protocol": "any"}]},
        },
        "ssh_keys": {"ops": public_key(1)},
        "servers": {
            "app": {
                "count": 2,
                "size": {"cpu": 2, "memory": "4GiB"},
                "public": True,
                "firewalls": ["web", "peers"],
                "ssh_keys": ["ops"],
                "labels": {"role": "web"},
                "user_data": "key=${secrets.key} db=${servers.db.private_ip}\n",
            },
            "db": {"firewalls": ["peers"]},
        },
        "volumes": {"data": {"size": "20GiB", "on": "db"}, "each": {"size": "10GiB", "on": "app"}},
        "buckets": {"media": {"versioning": True, "public_read": True}, "private": {}},
        "dns": {
            "plaza.example": [
                {"name": "@", "to": "servers.app"},
                {"name": "www", "cname": "plaza.example"},
                {"name": "@", "mx": ["10 mail.plaza.example"]},
                {"name": "note", "txt": 'v=1; say "hello"'},
            ]
        },
        "secrets": {"key": {"generate": 16}},
        **changes,
    }


def until_killed(here: Cloud, folder: Path, chance: random.Random, run: Callable[[], object]) -> bool:
    """Run something that dies at a call by chance; answers whether it did before its end."""
    here.trouble = Trouble(kill_at=chance.randint(1, 110), kill_after=chance.random() < 0.5, folder=folder)
    try:
        run()
    except Killed:
        here.trouble.restore()
        return True
    finally:
        here.trouble = Trouble()
    return False


def life_with_kills(here: Cloud, folder: Path, stack: Any, expected: Any, chance: random.Random) -> int:
    """Deploy and destroy with kills in between; answers how many there were."""
    kills = 0
    everything = Wishes(delete_data=("*",))
    for _ in range(chance.randint(1, 3)):
        kills += until_killed(here, folder, chance, lambda: here.deployment(folder, stack).deploy(everything))
    deployed(here, folder, stack)
    assert here.inventory() == expected
    again = here.deployment(folder, stack).plan()
    assert again.empty, told(again)
    for _ in range(chance.randint(1, 3)):
        kills += until_killed(here, folder, chance, lambda: here.deployment(folder, stack).destroy(everything))
    destroyed(here, folder, stack)
    return kills


@pytest.mark.parametrize("provider", PROVIDERS)
def test_killed_at_any_call_the_same_command_ends_the_same(provider: str, tmp_path: Path) -> None:
    _rounds(provider, tmp_path, 6, seed=3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_killed_at_any_call_hundreds_of_times(provider: str, tmp_path: Path) -> None:
    _rounds(provider, tmp_path, 250, seed=4)


def _rounds(provider: str, tmp_path: Path, count: int, seed: int) -> None:
    chance = random.Random(seed)
    with cloud(provider, levels=LEVELS) as here:
        stack = loaded(plaza(provider), tmp_path)
        nothing = here.inventory()
        deployed(here, tmp_path, stack)
        expected = here.inventory()
        destroyed(here, tmp_path, stack)
        kills = 0
        for number in range(count):
            folder = tmp_path / str(number)
            folder.mkdir()
            kills += life_with_kills(here, folder, stack, expected, chance)
            assert here.inventory() == nothing
        assert kills >= count
        struck = {rule.group for rule in here.amazon.rules if rule.hits} if here.amazon else set()
        assert (
            struck == {"capacity", "eventual", "latency"} if provider == "aws" else not here.api.behaviour.capacity
        )


@pytest.mark.parametrize("provider", PROVIDERS)
def test_ten_percent_of_calls_failing_ends_the_same(provider: str, tmp_path: Path) -> None:
    with cloud(provider, levels=LEVELS) as here:
        stack = loaded(plaza(provider), tmp_path)
        nothing = here.inventory()
        deployed(here, tmp_path, stack)
        expected = here.inventory()
        destroyed(here, tmp_path, stack)
        for seed in range(3):
            folder = tmp_path / str(seed)
            folder.mkdir()
            here.trouble = Trouble(before=0.025, after=0.025, fault=0.025, throttled=0.025, seed=seed)
            deployed(here, folder, stack)
            assert here.inventory() == expected
            again = here.deployment(folder, stack).plan()
            assert again.empty, told(again)
            destroyed(here, folder, stack)
            here.trouble = Trouble()
            assert here.inventory() == nothing


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_fifth_of_all_calls_failing_is_too_little_to_give_up(provider: str, tmp_path: Path) -> None:
    with cloud(provider, levels=LEVELS) as here:
        stack = loaded(plaza(provider), tmp_path)
        for seed in range(2):
            folder = tmp_path / str(seed)
            folder.mkdir()
            here.trouble = Trouble(before=0.06, after=0.08, fault=0.06, seed=seed)
            deployed(here, folder, stack)
            here.trouble = Trouble()
            again = here.deployment(folder, stack).plan()
            assert again.empty, told(again)
            destroyed(here, folder, stack)
            assert not here.inventory()
