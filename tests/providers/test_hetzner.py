"""The Hetzner adapter: lowering against the official names, and a whole life against the stand-ins."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hcloud import Client
from moto.server import ThreadedMotoServer
from werkzeug.serving import make_server

from rehost.providers.hetzner.adapter import HetznerAdapter
from rehost.providers.sandbox.hcloud_api import HcloudApi
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.errors import Refused
from rehost.stacks.lower import Lowering, lower
from rehost.stacks.model import Stack
from rehost.stacks.plan import Action, Wishes
from rehost.stacks.state import Passphrase, file_store

SPECS = Path(__file__).parents[3] / "shared" / "specs"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGQwNcWnJqHqYz0zjC7aVf8V3nJr5b8sY7mT1l2k3j4h ops@example"
PLAZA: dict[str, Any] = {
    "stack": "plaza",
    "targets": {"hetzner": {"provider": "hetzner", "region": "fsn1"}},
    "network": {"cidr": "10.20.0.0/16", "zones": 2},
    "firewalls": {
        "web": {"ingress": [{"ports": [80, 443]}, {"ports": [22], "from": "198.51.100.0/24"}]},
        "peers": {"ingress": [{"ports": [7000], "from": "servers.app"}]},
    },
    "ssh_keys": {"ops": KEY},
    "servers": {
        "app": {
            "count": 2,
            "size": {"cpu": 2, "memory": "4GiB"},
            "public": True,
            "firewalls": ["web", "peers"],
            "ssh_keys": ["ops"],
            "labels": {"role": "web"},
            "user_data": "# ${servers.db.private_ip}",
        },
        "db": {},
    },
    "volumes": {"data": {"size": "20GiB", "on": "db"}},
    "buckets": {"media": {"versioning": True, "public_read": True}},
    "dns": {
        "plaza.example": [
            {"name": "@", "to": "servers.app"},
            {"name": "www", "cname": "plaza.example"},
            {"name": "@", "mx": ["10 mail.plaza.example"]},
            {"name": "note", "txt": 'v=1; say "hello"'},
        ]
    },
}


class Clouds:
    """The Cloud API and an object storage on loopback."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.api = HcloudApi({"token": "plaza", "other": "other"}, action_seconds=0.01, rate_limit=100_000)
        self._server = make_server("127.0.0.1", 0, self.api, threaded=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._objects = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._objects.start()
        host, port = self._objects.get_host_and_port()
        self.environment = {
            "HCLOUD_TOKEN": "token",
            "HCLOUD_ENDPOINT": f"http://127.0.0.1:{self._server.port}/v1",
            "HETZNER_S3_ACCESS_KEY": "a",
            "HETZNER_S3_SECRET_KEY": "b",
            "HETZNER_S3_ENDPOINT": f"http://{host}:{port}",
        }

    def stop(self) -> None:
        self._server.shutdown()
        self._objects.stop()

    def inventory(self) -> dict[str, int]:
        return {kind: len(rows) for kind, rows in self.api.project("token").records.items() if rows}


@pytest.fixture
def clouds() -> Iterator[Clouds]:
    made = Clouds()
    yield made
    made.stop()


def deployment(tmp_path: Path, clouds: Clouds, **changes: Any) -> Deployment:
    stack = Stack.model_validate({**PLAZA, **changes})
    return Deployment(
        stack,
        stack.targets["hetzner"],
        HetznerAdapter(),
        file_store(tmp_path, Passphrase("horse")),
        clouds.environment,
        clock=Clock(pace=20),
    )


def changed(group: str, **fields: Any) -> dict[str, Any]:
    return {"servers": {**PLAZA["servers"], group: {**PLAZA["servers"][group], **fields}}}


@pytest.mark.skipif(not (SPECS / "pulumi-hcloud.json").exists(), reason="no copy of the official schema beside")
def test_lowered_resources_have_official_names() -> None:
    cloud = json.loads((SPECS / "pulumi-hcloud.json").read_text())["resources"]
    minio = json.loads((SPECS / "pulumi-minio.json").read_text())["resources"]
    stack = Stack.model_validate(PLAZA)
    adapter = HetznerAdapter()
    for resource in lower(adapter, Lowering(stack, stack.targets["hetzner"], {}, "d" * 32)).resources.values():
        if resource.type in minio:
            names, required = set(minio[resource.type]["inputs"]), set()
        else:
            names = set(cloud[resource.type]["inputProperties"])
            required = set(cloud[resource.type].get("requiredInputs", []))
        assert set(resource.inputs) <= names, resource.urn
        assert required <= set(resource.inputs), resource.urn


def test_a_whole_life_on_the_stand_in(tmp_path: Path, clouds: Clouds) -> None:
    plan, outcome = deployment(tmp_path, clouds).deploy()
    assert outcome.word == "done", [(str(s.urn), e.summary) for s, e in outcome.failed]
    again = deployment(tmp_path, clouds).plan()
    assert again.empty, [(s.component, c.path, c.old, c.new) for s in again.changing for c in s.changes]

    # The official SDK sees what was made.
    client = Client(token="token", api_endpoint=clouds.environment["HCLOUD_ENDPOINT"], poll_interval=0.01)
    assert {s.name for s in client.servers.get_all()} == {"plaza-app-1", "plaza-app-2", "plaza-db-1"}
    database = client.servers.get_by_name("plaza-db-1")
    assert database is not None and database.public_net is not None and database.public_net.ipv4 is None
    assert len(client.firewalls.get_all()[0].applied_to or []) == 2

    bigger = changed("app", size={"cpu": 4, "memory": "8GiB"}, count=3)
    plan, outcome = deployment(tmp_path, clouds, **bigger).deploy()
    assert outcome.word == "done", [(str(s.urn), e.summary) for s, e in outcome.failed]
    servers = {(s.component, s.action.value, s.disruption.label) for s in plan.changing if s.title == "server"}
    assert servers == {
        ("servers.app-1", "update", "restart"),
        ("servers.app-2", "update", "restart"),
        ("servers.app-3", "create", "none"),
    }
    assert deployment(tmp_path, clouds, **bigger).plan().empty

    firewall = client.firewalls.get_by_name("plaza-web")
    assert firewall is not None
    client.firewalls.set_rules(firewall, [])
    zone = client.zones.get("plaza.example")
    client.zones.delete_rrset(client.zones.get_rrset(zone, "www", "CNAME"))
    plan, outcome = deployment(tmp_path, clouds, **bigger).deploy()
    assert {(s.action, s.drifted) for s in plan.changing} == {(Action.UPDATE, True), (Action.CREATE, False)}
    assert deployment(tmp_path, clouds, **bigger).plan().empty

    with pytest.raises(Refused, match="would lose data"):
        deployment(tmp_path, clouds, **bigger).destroy()
    _, outcome = deployment(tmp_path, clouds, **bigger).destroy(Wishes(delete_data=("*",)))
    assert outcome.word == "done", [(str(s.urn), e.summary) for s, e in outcome.failed]
    assert clouds.inventory() == {}


def test_services_are_left_to_a_person_once_everything_else_is_made(tmp_path: Path, clouds: Clouds) -> None:
    variables = {"DATABASE": "${servers.db.private_ip}", "MEDIA": "${buckets.media.name}"}
    services = {"web": {"on": "app", "image": "plaza:1", "ports": [8080], "environment": variables}}
    _, outcome = deployment(tmp_path, clouds, stack="shop", services=services).deploy()
    assert (outcome.word, outcome.failed) == ("waiting", [])
    assert {step.component for step, _ in outcome.waiting} == {"servers.app-1", "servers.app-2"}
    assert all("is left to you" in error.summary and error.fix for _, error in outcome.waiting)
    # Nothing pretends that they run: they are still to be made, and nothing of them is in state.
    left = deployment(tmp_path, clouds, stack="shop", services=services).plan()
    made = {"rehost:host/host:Host": "servers.app", "rehost:host/unit:Unit": "services.web"}
    assert {(step.type, step.component, step.action) for step in left.changing} == {
        (token, f"{what}-{number}", Action.CREATE) for token, what in made.items() for number in (1, 2)
    }
    unit = next(step for step in left.changing if step.component == "services.web-1")
    environment = next(c.new for c in unit.changes if c.path == "environment")
    assert environment["MEDIA"].startswith("shop-media-") and environment["DATABASE"].startswith("10.20.")
    _, outcome = deployment(tmp_path, clouds, stack="shop", services=services).destroy(Wishes(delete_data=("*",)))
    assert outcome.word == "done", [(str(s.urn), e.summary) for s, e in outcome.failed]


def test_another_project_or_a_wrong_token_is_refused_before_anything_is_written(
    tmp_path: Path, clouds: Clouds
) -> None:
    small = {"servers": {}, "volumes": {}, "buckets": {}, "firewalls": {}, "dns": {}}
    one = deployment(tmp_path, clouds, **small)
    assert one.deploy()[1].word == "done"
    other = deployment(tmp_path, clouds, **small)
    other.environment = {**clouds.environment, "HCLOUD_TOKEN": "other"}
    with pytest.raises(Refused, match="anchor"):
        other.deploy()
    wrong = deployment(tmp_path, clouds, **small)
    wrong.environment = {**clouds.environment, "HCLOUD_TOKEN": "nonsense"}
    with pytest.raises(Refused, match="credentials"):
        wrong.deploy()
    assert clouds.api.project("other").records.get("networks", {}) == {}


def test_missing_keys_of_the_object_storage_leave_only_the_buckets_waiting(tmp_path: Path, clouds: Clouds) -> None:
    without = deployment(tmp_path, clouds)
    without.environment = {k: v for k, v in clouds.environment.items() if "S3_SECRET" not in k}
    _, outcome = without.deploy()
    assert (outcome.word, outcome.exit_code) == ("waiting", 6)
    assert clouds.inventory()["servers"] == 3
    _, outcome = deployment(tmp_path, clouds).deploy()
    assert outcome.word == "done"
    assert deployment(tmp_path, clouds).plan().empty


def test_failed_actions_and_stale_reads_end_the_same(tmp_path: Path, clouds: Clouds) -> None:
    clouds.api.behaviour.stale_seconds = 0.3
    clouds.api.behaviour.fail += [{"command": "attach_volume", "code": "locked", "times": 1}]
    _, outcome = deployment(tmp_path, clouds).deploy()
    assert outcome.word == "done", [(str(s.urn), e.summary) for s, e in outcome.failed]
    assert deployment(tmp_path, clouds).plan().empty
