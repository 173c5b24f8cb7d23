"""What --realism switches on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from control_tools import aws_client
from rehost.cli.commands.sandbox import command
from rehost.providers.sandbox import control, realism
from rehost.providers.sandbox.faults import Rule
from rehost.providers.sandbox.part import stand_in


@pytest.mark.parametrize("kind", ["aws", "objects", "hcloud"])
def test_every_level_makes_rules_and_switches_that_the_stand_ins_take(kind: str) -> None:
    for level in realism.LEVELS:
        for rule in realism.rules(kind, [level]):
            assert Rule.of(rule).group == level
        keys = {"k": "s"}
        made = stand_in(kind, keys, realism.switches(kind, [level]))
        faults, keeping = made.app, made.keeping
        assert keeping is None
        assert faults.rules == []
    assert realism.rules(kind, []) == []


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "sandbox"
    control.down(tmp_path / "sandbox")


def test_both_clouds_are_unfriendly_at_once(folder: Path) -> None:
    run = CliRunner().invoke(
        command, ["up", "--dir", str(folder), "--realism", "eventual,capacity, latency,quotas"]
    )
    assert run.exit_code == 0, run.output
    env = control.connection(folder)
    ec2 = aws_client(env, "ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    launch = {"ImageId": image, "MinCount": 1, "MaxCount": 1, "InstanceType": "t3.small"}
    with pytest.raises(ec2.exceptions.ClientError, match="InsufficientInstanceCapacity"):
        ec2.run_instances(**launch)
    ec2.run_instances(**launch)
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    with pytest.raises(ec2.exceptions.ClientError, match=r"InvalidVpcID\.NotFound"):
        ec2.describe_vpcs(VpcIds=[vpc])

    headers = {"Authorization": f"Bearer {env['HCLOUD_TOKEN']}"}
    url = env["HCLOUD_ENDPOINT"]
    types = requests.get(url + "/server_types", headers=headers, timeout=10).json()["server_types"]
    body = {"name": "s", "server_type": types[0]["name"], "image": "debian-12", "location": "fsn1"}
    first = requests.post(url + "/servers", json=body, headers=headers, timeout=10)
    assert first.json()["error"]["code"] == "resource_unavailable"
    network = requests.post(
        url + "/networks", json={"name": "n", "ip_range": "10.0.0.0/16"}, headers=headers, timeout=10
    )
    assert network.status_code == 201
    assert requests.get(url + "/networks", headers=headers, timeout=10).json()["networks"] == []
    listed = CliRunner().invoke(command, ["fault", "--dir", str(folder), "--list"]).output
    assert "of --realism capacity (1 of 2 calls hit)" in listed
    # Clearing takes away what was set by hand, not the realism.
    CliRunner().invoke(command, ["fault", "--dir", str(folder), "--clear"])
    assert "of --realism latency" in CliRunner().invoke(command, ["fault", "--dir", str(folder), "--list"]).output
    calm = CliRunner().invoke(command, ["fault", "--dir", str(folder), "--clear", "--group", "latency"])
    assert "objects: 1 rules dropped" in calm.output
    listed = CliRunner().invoke(command, ["fault", "--dir", str(folder), "--list"]).output
    assert "of --realism latency" not in listed and "of --realism eventual" in listed
    status = CliRunner().invoke(command, ["status", "--dir", str(folder)])
    assert "realism: eventual, capacity, latency, quotas" in status.output


def test_nothing_takes_time_when_all_is_instant(folder: Path) -> None:
    run = CliRunner().invoke(command, ["up", "--dir", str(folder), "--realism", "instant"])
    assert run.exit_code == 0, run.output
    env = control.connection(folder)
    ec2 = aws_client(env, "ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.small")
    server = ec2.describe_instances()["Reservations"][0]["Instances"][0]
    assert server["State"]["Name"] == "running"
    volume = ec2.create_volume(Size=1, AvailabilityZone="eu-central-1a")["VolumeId"]
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"
    headers = {"Authorization": f"Bearer {env['HCLOUD_TOKEN']}"}
    body = {"name": "s", "server_type": "cx23", "image": "debian-12", "location": "fsn1"}
    requests.post(env["HCLOUD_ENDPOINT"] + "/servers", json=body, headers=headers, timeout=10)
    servers = requests.get(env["HCLOUD_ENDPOINT"] + "/servers", headers=headers, timeout=10).json()["servers"]
    assert servers[0]["status"] == "running"


def test_instant_stands_alone(folder: Path) -> None:
    run = CliRunner().invoke(command, ["up", "--dir", str(folder), "--realism", "instant,quotas"])
    assert (run.exit_code, "instant stands alone" in run.output) == (2, True)


def test_an_unknown_level_is_refused(folder: Path) -> None:
    run = CliRunner().invoke(command, ["up", "--dir", str(folder), "--realism", "chaos"])
    assert run.exit_code == 2
    assert "'chaos' is none of eventual, quotas, capacity, latency" in run.output
    assert control.record(folder) is None
