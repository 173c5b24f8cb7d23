"""Public names of buckets: what they are made of at both providers, and what is told of them."""

from __future__ import annotations

from typing import Any

import pytest
from test_lift import asked, lowered

from rehost.providers.registry import adapter
from rehost.stacks.acme.resource import CERTIFICATE
from rehost.stacks.graph import Graph, Join, Ref, Resource, Secret, reveal
from rehost.stacks.hosts.resource import TOKEN
from rehost.stacks.legalize import legalize
from rehost.stacks.migrate import names
from rehost.stacks.migrate.addresses import Address
from rehost.stacks.model import Record, Stack
from rehost.stacks.portability import compare
from rehost.stacks.resolve import resolve_facts

PLAZA: dict[str, Any] = {
    "stack": "plaza",
    "targets": {
        "aws": {"provider": "aws", "region": "eu-central-1"},
        "hetzner": {"provider": "hetzner", "region": "fsn1"},
    },
    "servers": {"app": {}},
    "services": {
        "web": {
            "image": "plaza:1",
            "on": "app",
            "environment": {"URL": "${buckets.media.url}/x", "DIRECT": "${buckets.media.direct_url}"},
        }
    },
    "buckets": {"media": {"public_read": True, "public_name": "media.plaza.example"}},
    "dns": {"plaza.example": [{"name": "@", "a": "192.0.2.1"}]},
    "acme": {"terms_agreed": True},
}
PROVIDERS = pytest.mark.parametrize("provider", ["aws", "hetzner"])


def graph(provider: str, **changes: Any) -> Graph:
    """What the platform lowers to."""
    stack = Stack.model_validate({**PLAZA, **changes})
    target = stack.targets[provider]
    legal = legalize(stack, adapter(provider).native)
    facts = resolve_facts(
        adapter(provider), legal.stack, target, {}, ask=lambda need: asked(target, need)
    ).values()
    return lowered(legal, target, facts)


def unit(made: Graph, name: str) -> Resource:
    """The only unit of a service."""
    (found,) = (r for r in made.resources.values() if r.type == TOKEN and r.inputs["name"] == name)
    return found


def variable(made: Graph, service: str, name: str) -> Any:
    """A variable of a service, without what makes text of it."""
    value = reveal(unit(made, service).inputs["environment"])[name]
    return value.parts[0] if isinstance(value, Join) and len(value.parts) == 1 else value


@PROVIDERS
def test_services_are_told_the_name_and_the_proxy_the_buckets_own_address(provider: str) -> None:
    made = graph(provider)
    assert variable(made, "web", "URL") == "https://media.plaza.example/x"
    direct = variable(made, "web", "DIRECT")
    assert direct == variable(made, "bucket-media", "BUCKET_URL")
    assert isinstance(direct, Join) and direct.parts[0] == "https://"
    without = graph(provider, buckets={"media": {}})
    assert variable(without, "web", "URL") == Join((direct, "/x"))


@PROVIDERS
def test_the_record_leads_to_the_proxy_alone(provider: str) -> None:
    made = graph(provider)
    (record,) = (r for r in made.resources.values() if r.component == "dns.media.plaza.example")
    values = record.inputs["records"]
    (value,) = [row["value"] if isinstance(row, dict) else row for row in values]
    assert isinstance(value, Ref) and value.urn.endswith("::bucket-media-1")
    assert record.inputs["ttl"] == 60


@PROVIDERS
def test_a_certificate_that_only_the_proxy_has_is_not_put_at_the_provider(provider: str) -> None:
    made = graph(provider)
    (issued,) = (r for r in made.resources.values() if r.type == CERTIFICATE)
    assert issued.inputs["domains"] == ["media.plaza.example"]
    assert variable(made, "bucket-media", "CERTIFICATE") == Ref(issued.urn, "chainPem")
    key = reveal(Secret("value of certificates_bucket-media_key"))
    assert reveal(variable(made, "bucket-media", "PRIVATE_KEY")) == key
    assert [r.type for r in made.resources.values() if r.component == "certificates.bucket-media"] == [
        "rehost:acme/order:Order",
        CERTIFICATE,
    ]


@PROVIDERS
@pytest.mark.parametrize("domain", ["media.plaza.example", "*.plaza.example"])
def test_a_certificate_of_the_stack_that_holds_for_the_name_is_taken(provider: str, domain: str) -> None:
    own = {
        "domains": [domain],
        "issuer": "upload",
        "certificate": "${secrets.chain}",
        "private_key": "${secrets.key}",
    }
    secrets = {"chain": {"from_env": "CHAIN"}, "key": {"from_env": "KEY"}}
    managed = {"domains": [domain]}
    made = graph(provider, certificates={"a": managed, "own": own}, secrets=secrets, acme=None)
    assert not [r for r in made.resources.values() if r.type == CERTIFICATE]
    assert reveal(variable(made, "bucket-media", "CERTIFICATE")) == "value of chain"
    assert reveal(variable(made, "bucket-media", "PRIVATE_KEY")) == "value of key"


@PROVIDERS
def test_a_renewed_certificate_changes_the_proxy_and_nothing_that_takes_it_down(provider: str) -> None:
    inputs = unit(graph(provider), "bucket-media").inputs
    assert inputs["order"] == "start-first"
    assert inputs["health"]["port"] == 80
    renewed = {**inputs, "environment": {**inputs["environment"], "CERTIFICATE": "a newer one"}}
    told = adapter(provider).diff(TOKEN, inputs, {}, renewed)
    assert told.changes and not told.replaces


def test_the_diff_tells_choice_and_price_of_each_target() -> None:
    stack = Stack.model_validate(PLAZA)
    sides = {name: (adapter(target.provider), target) for name, target in stack.targets.items()}
    for here, there in (("aws", "hetzner"), ("hetzner", "aws")):
        told = compare(stack, sides[here], sides[there])
        (row,) = (row for row in told.rows if row.component == "buckets.media")
        (reason,) = (f.reason for f in row.findings if "bucket-media-1" in f.reason)
        (line,) = (line for line in told.cost_there.lines if line.component == "servers.bucket-media-1")
        assert f"at {there}" in reason
        assert f"{line.monthly:.2f} {told.cost_there.currency} a month" in reason


def test_the_name_is_turned_to_the_other_side(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Address("media.plaza.example", "A", ("198.51.100.7",), 60)
    monkeypatch.setattr(names, "addresses_of", lambda side: {(there.name, there.type): there})
    side: Any = None
    turned = legalize(names.pointed(Stack.model_validate(PLAZA), side), frozenset()).stack
    records = [record for record in turned.dns["plaza.example"] if record.name == "media"]
    assert records == [Record(name="media", a=("198.51.100.7",), ttl=60)]
