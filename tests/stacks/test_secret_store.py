"""Secrets that are in a provider's store as well: another value is another version, none is written plainly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clouds import cloud

from rehost.providers.registry import adapter
from rehost.stacks.deployment import Deployment
from rehost.stacks.fit import Fit
from rehost.stacks.model import Stack
from rehost.stacks.plan import Action

SHOP: dict[str, Any] = {
    "stack": "shop",
    "targets": {
        "aws": {"provider": "aws", "region": "eu-central-1"},
        "hetzner": {"provider": "hetzner", "region": "fsn1"},
    },
    "secrets": {"api_key": {"from_env": "API_KEY", "store": True}, "own": {"generate": 16}},
}


def test_a_stored_secret_is_found_by_others_and_rotated(tmp_path: Path) -> None:
    with cloud("aws") as here:
        store = here.client("secretsmanager")

        def at(value: str, stack: dict[str, Any] = SHOP) -> Deployment:
            made = here.deployment(tmp_path, stack)
            made.environment = {**made.environment, "API_KEY": value}
            return made

        def deploy(value: str) -> dict[str, int]:
            outcome = at(value).deploy()[1]
            assert outcome.word == "done", [error.summary for _, error in outcome.failed]
            return dict(outcome.done)

        def told() -> str:
            return str(store.get_secret_value(SecretId="shop/api_key")["SecretString"])

        assert deploy("the-first-value") == {"create": 2}
        assert [row["Name"] for row in store.list_secrets()["SecretList"]] == ["shop/api_key"]
        assert told() == "the-first-value" and at("the-first-value").plan().empty
        (step,) = at("the-second-value").plan().changing
        assert step.action is Action.REPLACE and "-value" not in str(step.changes)
        deploy("the-second-value")
        assert told() == "the-second-value"
        store.put_secret_value(SecretId="shop/api_key", SecretString="somebody's own")
        deploy("the-second-value")
        assert told() == "the-second-value", "what others put there is put right"
        assert not any("-value" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())
        assert at("").destroy()[1].word == "done"
        deploy("the-third-value")
        assert told() == "the-third-value", "its name was free again"
        assert at("", {**SHOP, "secrets": {}}).deploy()[1].word == "done"
        assert store.list_secrets()["SecretList"] == []


def test_what_has_no_store_is_named() -> None:
    stack = Stack.model_validate(SHOP)
    found = {f.component: f.fit for f in adapter("hetzner").fits(stack, stack.targets["hetzner"])}
    assert found["secrets.api_key"] is Fit.LOST and "secrets.own" not in found
    assert not list(adapter("aws").fits(stack, stack.targets["aws"]))


def test_targets_without_a_store_make_nothing_of_it(tmp_path: Path) -> None:
    def types(secrets: dict[str, Any]) -> set[str]:
        with cloud("hetzner") as here:
            made = here.deployment(tmp_path, {**SHOP, "secrets": secrets})
            return {resource.type for resource in made.wanted(made.store.read("shop", "hetzner"), live=False)}

    assert types({"own": {"generate": 16, "store": True}}) == types({"own": {"generate": 16}})
