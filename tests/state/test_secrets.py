"""Secrets rest as ciphertext only, and what needs the passphrase asks for it before anything is changed."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehost.cli.render.plan import plan_dict
from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import MemoryCloud
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.errors import InvalidInput, RehostError
from rehost.stacks.graph import UNKNOWN, Secret
from rehost.stacks.model import Stack
from rehost.stacks.plan import NO_WISHES
from rehost.stacks.savedplan import to_text
from rehost.stacks.state import Passphrase, file_store

PLAZA = {
    "stack": "plaza",
    "targets": {"here": {"provider": "memory"}},
    "servers": {"app": {"user_data": "a=${secrets.token}\nb=${secrets.given}"}},
    "secrets": {"token": {"generate": 16}, "given": {"from_env": "GIVEN"}},
}
HORSE = Passphrase("horse")


def deployment(folder: Path, cloud: MemoryCloud, passphrase: Passphrase, **fields: Any) -> Deployment:
    stack = Stack.model_validate(PLAZA)
    store = file_store(folder, passphrase)
    environment = {"GIVEN": fields.pop("given", "hunter2-hunter2")}
    adapter = MemoryAdapter(cloud=cloud)
    return Deployment(stack, stack.targets["here"], adapter, store, environment, clock=Clock(pace=200), **fields)


class Untouched(MemoryCloud):
    def create(self, *arguments: Any, **named: Any) -> Any:
        raise AssertionError("something was made")

    update = delete = create


def test_without_a_passphrase_nothing_is_made_at_the_provider(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="a passphrase is needed"):
        deployment(tmp_path, Untouched(), Passphrase(None)).deploy()
    assert file_store(tmp_path, HORSE).targets("plaza") == []
    assert len(deployment(tmp_path, Untouched(), Passphrase(None)).plan().changing) == 1


def test_a_passphrase_is_asked_for_before_the_confirmation(tmp_path: Path) -> None:
    def confirm(plan: object) -> bool:
        raise AssertionError(f"asked about {plan}")

    with pytest.raises(InvalidInput):
        deployment(tmp_path, Untouched(), Passphrase(None)).deploy(confirm=confirm)


@pytest.mark.parametrize(("text", "told"), [(None, "a passphrase is needed"), ("mule", "the passphrase is wrong")])
def test_a_deployment_with_secrets_stays_shut_without_its_passphrase(
    tmp_path: Path, text: str | None, told: str
) -> None:
    cloud = MemoryCloud()
    deployment(tmp_path, cloud, HORSE).deploy()
    before = cloud.inventory()
    for operation in ("deploy", "destroy"):
        with pytest.raises(InvalidInput, match=told):
            getattr(deployment(tmp_path, cloud, Passphrase(text)), operation)()
    assert cloud.inventory() == before


def test_without_the_passphrase_secrets_are_unknown_and_the_plan_is_readable(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    deployment(tmp_path, cloud, HORSE).deploy()
    state = file_store(tmp_path, Passphrase(None)).read("plaza", "here")
    assert (state.locked, set(state.secrets.values())) == (True, {UNKNOWN})
    assert deployment(tmp_path, cloud, Passphrase(None)).plan().stack == "plaza"


def forms(secret: str) -> set[bytes]:
    """What a secret looks like once it was passed through what programs pass things through."""
    plain = secret.encode()
    found = {plain, json.dumps(secret)[1:-1].encode(), quote(secret).encode(), plain.hex().encode()}

    # Base64 of the secret wherever it may begin: what does not depend on its neighbours.
    for shift in range(3):
        whole = base64.b64encode(b"x" * shift + plain)
        found.add(whole[4 if shift else 0 : -4])
    return {form for form in found if len(form) >= 8}


@settings(max_examples=8, deadline=None)
@given(secret=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=12, max_size=40))
def test_no_form_of_a_secret_is_in_any_file_or_plan(tmp_path_factory: pytest.TempPathFactory, secret: str) -> None:
    folder, cloud = tmp_path_factory.mktemp("plaza"), MemoryCloud()
    told: list[object] = []
    plan = deployment(folder, cloud, HORSE, given=secret).plan(settled=True)
    deployment(folder, cloud, HORSE, given=secret, emit=told.append).deploy()
    generated = file_store(folder, HORSE).read("plaza", "here").secrets["token"].value
    cloud.tamper(cloud.inventory()[0]["id"], {"labels": {"changed": "outside"}})
    again = deployment(folder, cloud, HORSE, given=secret).plan()
    # The journal of a run that is not folded yet.
    store = file_store(folder, HORSE)
    with store.open("plaza", "here", command="deploy") as session:
        session.append(
            {"kind": "secrets", "secrets": {"given": Secret(secret), "nested": Secret({"a": [secret]})}}
        )
        written = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    written |= {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    asked = {"wishes": NO_WISHES, "upgrade_facts": False, "sandbox": False, "store": ""}
    saved = [to_text(made, Stack.model_validate(PLAZA), plan_dict(made), **asked) for made in (plan, again)]
    shown = [*saved, repr(plan), repr(again), repr(told), store.export("plaza", "here")]
    everything = [*written.values(), *(text.encode() for text in shown)]
    assert any(path.suffix == ".journal" for path in written)
    for value in (secret, generated):
        for form in forms(value):
            assert not any(form in data for data in everything), form


def test_secrets_of_a_shown_export_are_shown_and_sealed_otherwise(tmp_path: Path) -> None:
    deployment(tmp_path, MemoryCloud(), HORSE).deploy()
    assert "hunter2" in file_store(tmp_path, HORSE).export("plaza", "here", show_secrets=True)
    assert "hunter2" not in file_store(tmp_path, Passphrase(None)).export("plaza", "here")
    with pytest.raises(RehostError, match="a passphrase is needed"):
        file_store(tmp_path, Passphrase(None)).export("plaza", "here", show_secrets=True)


def test_the_passphrase_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text("horse\n")
    salt = b"12345678"
    for environment in ({"PULUMI_CONFIG_PASSPHRASE": "horse"}, {"PULUMI_CONFIG_PASSPHRASE_FILE": str(path)}):
        assert Passphrase.from_environment(environment).key(salt) == HORSE.key(salt)
    assert Passphrase.from_environment({"PULUMI_CONFIG_PASSPHRASE": ""}).given
    assert not Passphrase.from_environment({}).given
    with pytest.raises(InvalidInput, match="can't be read"):
        Passphrase.from_environment({"PULUMI_CONFIG_PASSPHRASE_FILE": str(tmp_path)})
