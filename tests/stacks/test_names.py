"""Names and places that stay: what is added beside a resource leaves it alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from clouds import Cloud, cloud
from test_random_stacks import deployed, destroyed, told

from rehost.providers.registry import adapter
from rehost.stacks.graph import UNKNOWN, Ref, is_unknown, references, resolve
from rehost.stacks.load import load
from rehost.stacks.validate import errors, validate


def stack(provider: str, **parts: Any) -> dict[str, Any]:
    """A stack file's data with one target."""
    region = {"aws": "eu-central-1", "hetzner": "fsn1"}[provider]
    return {"stack": "plaza", "targets": {"here": {"provider": provider, "region": region}}, **parts}


SERVER = {"size": {"cpu": 1, "memory": "2GiB", "disk": "10GiB"}, "image": "debian-12"}


def test_more_zones_move_no_server_and_new_servers_fill_them(tmp_path: Path) -> None:
    def sized(zones: int, count: int) -> dict[str, Any]:
        return stack(
            "aws", network={"cidr": "10.0.0.0/16", "zones": zones}, servers={"app": SERVER | {"count": count}}
        )

    with cloud("aws") as here:
        deployed(here, tmp_path, sized(2, 4))
        before = {str(row) for row in here.inventory()["instance"]}
        plan = here.deployment(tmp_path, sized(3, 4)).plan()
        assert {step.action.value for step in plan.changing} == {"create"}, told(plan)
        plan = deployed(here, tmp_path, sized(3, 6))
        assert {step.action.value for step in plan.changing} == {"create"}, told(plan)
        after = {str(row) for row in here.inventory()["instance"]}
        assert before < after
        assert sum("plaza-zone-3" in row for row in after - before) == 2
        assert here.deployment(tmp_path, sized(3, 6)).plan().empty


def test_a_server_leaves_a_subnet_that_goes(tmp_path: Path) -> None:
    with cloud("aws") as here:
        for zones in (3, 1):
            deployed(
                here,
                tmp_path,
                stack(
                    "aws", network={"cidr": "10.0.0.0/16", "zones": zones}, servers={"app": SERVER | {"count": 3}}
                ),
            )
        assert all("plaza-zone-1" in str(row) for row in here.inventory()["instance"])


def test_a_volume_put_in_between_leaves_other_attachments_alone(tmp_path: Path) -> None:
    def with_volumes(*names: str) -> dict[str, Any]:
        volumes = {name: {"size": "10GiB", "on": "app", "filesystem": "ext4"} for name in names}
        return stack("aws", servers={"app": SERVER | {"count": 1}}, volumes=volumes)

    with cloud("aws") as here:
        deployed(here, tmp_path, with_volumes("a", "c"))
        plan = here.deployment(tmp_path, with_volumes("a", "b", "c")).plan()
        assert {step.action.value for step in plan.changing} == {"create"}, told(plan)
        deployed(here, tmp_path, with_volumes("a", "b", "c"))
        # One that goes leaves its device to one that comes, in the same run.
        plan = deployed(here, tmp_path, with_volumes("d", "b", "c"))
        assert {step.component for step in plan.changing} == {"volumes.a-1", "volumes.d-1"}, told(plan)
        devices = re.findall(
            r"/dev/sd[f-z]", str([row for row in here.inventory()["volume"] if "plaza-" in str(row)])
        )
        assert sorted(devices) == ["/dev/sdf", "/dev/sdg", "/dev/sdh"]
        destroyed(here, tmp_path, with_volumes("d", "b", "c"))


NESTED = {
    "x.example": [{"name": "a.b", "a": "192.0.2.1"}, {"name": "b", "txt": "up"}],
    "b.x.example": [{"name": "a", "a": "192.0.2.2"}, {"name": "@", "txt": "down"}],
}


def test_two_zones_with_one_name_are_told_apart(tmp_path: Path) -> None:
    with cloud("aws") as here:
        deployed(here, tmp_path, stack("aws", dns=NESTED))
        assert here.deployment(tmp_path, stack("aws", dns=NESTED)).plan().empty
        values = {str(row) for row in here.inventory()["record"] if "192.0.2" in str(row)}
        assert len(values) == 2
        destroyed(here, tmp_path, stack("aws", dns=NESTED))


def test_two_zones_with_one_name_are_worth_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "stack.yaml"
    path.write_text(json.dumps(stack("aws", dns=NESTED)))
    found = list(validate(load([path], environment={}), adapter))
    assert not errors(found)
    assert sum(finding.code == "overshadowed" for finding in found) == 2


def test_ids_held_as_text_are_no_difference() -> None:
    token = "hcloud:index/server:Server"
    old = {"networks": [{"networkId": "7"}], "firewallIds": ["9", "8"], "publicNets": [{"ipv4": "5"}]}
    new = {"networks": [{"networkId": 7}], "firewallIds": [8, 9], "publicNets": [{"ipv4": 5}]}
    assert not adapter("hetzner").diff(token, old, old, new).changes
    moved = {**new, "networks": [{"networkId": 77}]}
    assert [change.path for change in adapter("hetzner").diff(token, old, old, moved).changes] == ["networks"]


def test_an_id_becomes_a_number_once_it_is_known() -> None:
    token = "hcloud:index/volumeAttachment:VolumeAttachment"
    ref = Ref("urn:pulumi:here::plaza::hcloud:index/server:Server::app-1")
    inputs = adapter("hetzner").check(token, {"serverId": ref, "volumeId": "12"})
    assert [found.urn for found in references(dict(inputs))] == [ref.urn]
    assert resolve(dict(inputs), lambda _: "4711") == {"serverId": 4711, "volumeId": 12}
    assert is_unknown(resolve(dict(inputs), lambda _: UNKNOWN))


def _addresses(here: Cloud, folder: Path, data: dict[str, Any]) -> list[str]:
    state = here.deployment(folder, data).status()[0]
    servers = [found for found in state.resources.values() if found.type.endswith(":Server")]
    return sorted(found.outputs["networks"][0]["ip"].rpartition(".")[0] for found in servers)


def test_a_server_of_hetzner_is_in_its_subnet(tmp_path: Path) -> None:
    def placed(subnet: str | None) -> dict[str, Any]:
        rows = {name: {"cidr": f"10.8.{n}.0/24", "zone": 1} for n, name in enumerate(("front", "back"), 1)}
        server = SERVER | {"count": 2, "public": True} | ({"subnet": subnet} if subnet else {})
        network = {"cidr": "10.8.0.0/16", "subnets": rows}
        return stack("hetzner", network=network, servers={"app": server})

    with cloud("hetzner") as here:
        places = {"front": ["10.8.1"] * 2, "back": ["10.8.2"] * 2, None: ["10.8.1", "10.8.2"]}
        for subnet in ("front", "back", None, "front"):
            plan = deployed(here, tmp_path, placed(subnet))
            assert "replace" not in {step.action.value for step in plan.changing}, told(plan)
            assert _addresses(here, tmp_path, placed(subnet)) == places[subnet]
            assert here.deployment(tmp_path, placed(subnet)).plan().empty
        destroyed(here, tmp_path, placed("front"))
