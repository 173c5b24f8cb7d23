"""Values that only one resource may have go from one name to another in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clouds import cloud
from strategies import public_key
from test_names import NESTED, SERVER, stack
from test_random_stacks import deployed, destroyed, told

from rehost.stacks.errors import Refused
from rehost.stacks.plan import Wishes

BOTH = pytest.mark.parametrize("provider", ["aws", "hetzner"])


def follows(provider: str, folder: Path, first: dict[str, Any], second: dict[str, Any]) -> set[str]:
    """Deploy one after the other, insist on the end that the second has alone, and tell what was done."""
    (folder / "fresh").mkdir()
    with cloud(provider) as here:
        deployed(here, folder / "fresh", second)
        expected = here.inventory()
    with cloud(provider) as here:
        deployed(here, folder, first)
        plan = deployed(here, folder, second)
        again = here.deployment(folder, second).plan()
        assert again.empty, told(again)
        assert here.inventory() == expected
        destroyed(here, folder, second)
        assert not here.inventory()
    return {step.action.value for step in plan.changing}


@BOTH
def test_an_ssh_key_gets_another_name(provider: str, tmp_path: Path) -> None:
    def keyed(name: str) -> dict[str, Any]:
        return stack(provider, ssh_keys={name: public_key(1)})

    assert follows(provider, tmp_path, keyed("old"), keyed("new")) == {"create", "delete"}


@BOTH
def test_two_ssh_keys_change_names(provider: str, tmp_path: Path) -> None:
    def keyed(one: int, other: int) -> dict[str, Any]:
        return stack(provider, ssh_keys={"a": public_key(one), "b": public_key(other)})

    assert follows(provider, tmp_path, keyed(1, 2), keyed(2, 1)) == {"replace"}


def networked(provider: str, subnets: dict[str, str], **parts: Any) -> dict[str, Any]:
    rows = {name: {"cidr": cidr, "zone": 1} for name, cidr in subnets.items()}
    return stack(provider, network={"cidr": "10.8.0.0/16", "subnets": rows}, **parts)


@BOTH
def test_a_subnet_gets_another_name(provider: str, tmp_path: Path) -> None:
    one, other = ({name: "10.8.1.0/24", "kept": "10.8.2.0/24"} for name in ("old", "new"))
    # Hetzner knows it by its range alone.
    done = {"create", "delete"} if provider == "aws" else set()
    assert follows(provider, tmp_path, networked(provider, one), networked(provider, other)) == done


@BOTH
def test_two_subnets_change_names(provider: str, tmp_path: Path) -> None:
    one, other = {"a": "10.8.1.0/24", "b": "10.8.2.0/24"}, {"b": "10.8.1.0/24", "a": "10.8.2.0/24"}
    done = {"replace"} if provider == "aws" else set()
    assert follows(provider, tmp_path, networked(provider, one), networked(provider, other)) == done


@BOTH
def test_a_subnet_becomes_part_of_another(provider: str, tmp_path: Path) -> None:
    one, other = {"small": "10.8.1.0/24"}, {"large": "10.8.0.0/22"}
    assert follows(provider, tmp_path, networked(provider, one), networked(provider, other)) == {
        "create",
        "delete",
    }


def test_a_subnet_with_a_server_gets_another_name(tmp_path: Path) -> None:
    servers = {"app": SERVER | {"count": 1}}
    one, other = (networked("aws", {name: "10.8.1.0/24"}, servers=servers) for name in ("old", "new"))
    assert follows("aws", tmp_path, one, other) == {"create", "delete", "replace"}


def test_a_subnet_that_something_can_not_leave_is_refused(tmp_path: Path) -> None:
    def balanced(name: str) -> dict[str, Any]:
        made = networked(
            "aws",
            {name: "10.8.1.0/24", "kept": "10.8.2.0/24"},
            servers={"app": SERVER | {"count": 1, "subnet": "kept"}},
            load_balancers={"edge": {"to": "servers.app", "listen": [{"port": 80, "protocol": "http"}]}},
        )
        made["network"]["subnets"]["kept"]["zone"] = 2
        return made

    with cloud("aws") as here:
        deployed(here, tmp_path, balanced("old"))
        writes = here.writes
        with pytest.raises(Refused, match="can't take over") as refused:
            here.deployment(tmp_path, balanced("new")).deploy(Wishes(delete_data=("*",)))
        assert "load_balancers.edge" in refused.value.why
        assert here.writes == writes


def test_a_record_set_gets_another_name(tmp_path: Path) -> None:
    alone = stack("aws", dns={**NESTED, "b.x.example": []})
    assert follows("aws", tmp_path, alone, stack("aws", dns=NESTED)) == {"create", "replace"}
