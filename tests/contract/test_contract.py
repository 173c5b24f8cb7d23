"""What every kind of every provider has to do. The cases are data: see bench.py."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, Lost, Made, Turned, all_kinds, cases, filled

from rehost.providers import registry
from rehost.providers.base import project
from rehost.providers.hosts import host_kinds
from rehost.stacks.errors import InvalidInput, OperatorNeeded, ProviderError, Reason
from rehost.stacks.graph import is_secret
from rehost.stacks.hosts.resource import HOST
from rehost.stacks.hosts.resource import TOKEN as UNIT
from rehost.stacks.ports import Known
from rehost.stacks.unique import taken_from

ISSUED = ("rehost:acme/certificate:Certificate", "rehost:acme/order:Order")
"""Carried out by rehost itself, beside a provider's connection."""

SPECS = Path(__file__).parents[3] / "shared" / "specs"
PROVIDERS = [name for name in registry.names() if cases(name)]
KINDS = all_kinds()
CHANGES = [
    (provider, token, name)
    for provider, token in KINDS
    for name in [*cases(provider)[token].get("change", {}), "tags"]
]

REPLACEMENTS = [
    (provider, token, path) for provider, token in KINDS for path in cases(provider)[token].get("replace", ())
]

DEFAULTS = [
    (provider, token, name)
    for provider, token in KINDS
    for name in sorted(
        registry.adapter(provider).rules(token).defaults.keys()
        & {key for values in cases(provider)[token].get("change", {}).values() for key in values}
        - registry.adapter(provider).rules(token).unread
    )
]

each_provider = pytest.mark.parametrize("provider", PROVIDERS)
each_kind = pytest.mark.parametrize(("provider", "token"), KINDS, ids=[token for _, token in KINDS])


def ask(bench: Bench, token: str, check: str) -> dict[str, Any]:
    """The case of a kind; skips the test where the case says why."""
    case = dict(bench.case(token))
    if check in case.get("skip", {}):
        pytest.skip(case["skip"][check])
    return case


def test_what_is_declared_is_told_without_an_sdk() -> None:
    program = (
        "import json, sys; from rehost.providers import registry\n"
        "declared = {name: list(registry.adapter(name).kinds()) for name in registry.names()}\n"
        "print(json.dumps([declared, [m for m in ('boto3', 'hcloud', 'requests') if m in sys.modules]]))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    declared, loaded = json.loads(run.stdout)
    assert loaded == []
    assert {name: set(cases(name)) for name in PROVIDERS} == {name: set(declared[name]) for name in PROVIDERS}


@each_provider
def test_declared_kinds_are_implemented_and_the_other_way_round(bench: Bench) -> None:
    declared = set(bench.adapter.kinds())
    # The in-memory provider has one implementation for all.
    assert set(getattr(bench.connection, "kinds", declared)) == declared - set(ISSUED)
    assert set(cases(bench.provider)) == declared, "every kind has a case, and no case is left over"


@pytest.mark.parametrize("token", [HOST, UNIT])
def test_servers_that_cannot_be_entered_are_left_to_people(token: str) -> None:
    kind = host_kinds(None, lambda server: True)[token]
    inputs = {"name": "web", "serverId": "s", "command": ["serve"], "tags": {"rehost-id": "mark"}}
    known, call = Known(f"urn:{token}", "s/web", inputs, {}), Turned("", [0.0])
    assert kind.read([known]) == [None] and kind.find(inputs) is None
    for act in (
        lambda: kind.create(call, inputs),
        lambda: kind.update(call, known, inputs),
        lambda: kind.delete(call, known),
    ):
        with pytest.raises(OperatorNeeded, match="web is left to you"):
            act()


@each_kind
def test_what_was_made_is_what_was_asked_for(bench: Bench, token: str) -> None:
    case = ask(bench, token, "created")
    for over in [{}, *case.get("also", ())]:
        made = bench.make(token, over)
        (read,) = bench.read(made.known)
        assert read is not None and read.id == made.live.id
        assert bench.differences(token, made.inputs, read.inputs) == []
        assert bench.differences(token, made.inputs, made.live.inputs) == []
        assert set(made.inputs) == set(read.inputs), "unreadable ones are kept, nothing is added"
        assert read.outputs == made.live.outputs


@each_kind
def test_outputs_have_the_names_of_the_official_provider(bench: Bench, token: str) -> None:
    official = spec(token)
    if official is None:
        pytest.skip("no copy of the official schema beside the checkout")
    case = ask(bench, token, "outputs")
    outputs = set(bench.make(token).live.outputs)
    inputs, computed = official
    assert outputs <= inputs | computed, "names that the official provider does not have"
    assert set(bench.inputs(token)) <= inputs
    rules = bench.adapter.rules(token)
    named = rules.force_new | rules.unread | rules.unordered | rules.sensitive | rules.volatile
    named |= rules.defaults.keys() | rules.disruption.keys() | rules.notice.keys()
    assert {path.split(".")[0] for path in named} <= inputs | computed, "rules speak of official names"
    assert rules.inputs <= inputs
    missing = computed - inputs - outputs - set(case.get("absent", {}))
    assert not missing, "outputs of the official provider that are not there"


def spec(token: str) -> tuple[set[str], set[str]] | None:
    """Inputs and outputs of a kind in the official schema."""
    for path in SPECS.glob("pulumi-*.json"):
        resources = json.loads(path.read_text())["resources"]
        if token in resources:
            found = resources[token]
            if "inputProperties" in found:
                return set(found["inputProperties"]), set(found["properties"])
            return set(found["inputs"]), set(found["outputs"])
    return None


@each_kind
def test_many_are_read_with_the_calls_of_one(bench: Bench, token: str) -> None:
    case = ask(bench, token, "batch")
    made = [bench.make(token) for _ in range(4)]
    counts = []
    for some in (made[:1], made):
        before = bench.calls()
        answers = bench.read(*(one.known for one in some))
        counts.append(bench.calls() - before)
        assert [live and live.id for live in answers] == [one.live.id for one in some]
    if "reads" in case:
        assert counts[1] <= 4 * counts[0]
    else:
        assert counts[0] == counts[1]


@pytest.mark.parametrize(("provider", "token", "name"), CHANGES, ids=[f"{t}-{n}" for _, t, n in CHANGES])
def test_a_property_changes_in_place(bench: Bench, token: str, name: str) -> None:
    case, rules = ask(bench, token, "changed"), bench.adapter.rules(token)
    if name == "tags":
        if not rules.tags:
            pytest.skip("the type has no tags")
        name = rules.tags
    made = bench.make(token, case.get("from", {}).get(name))
    marked = {"rehost-id": made.inputs[name]["rehost-id"], "kept": "a", "new": "c"} if name == rules.tags else None
    new = bench.changed(made, {name: marked} if marked else case["change"][name])
    diff = bench.adapter.diff(token, made.inputs, made.live.outputs, new)
    assert diff.effective and not diff.replaces
    live = bench.connection.update(bench.call(), token, made.known, new)
    (read,) = bench.read(Known(made.known.urn, live.id, new, live.outputs))
    assert read is not None
    assert bench.differences(token, new, read.inputs) == []
    if "unmade" not in case:
        assert live.id == made.live.id


@pytest.mark.parametrize(("provider", "token", "name"), DEFAULTS, ids=[f"{t}-{n}" for _, t, n in DEFAULTS])
def test_a_property_that_is_taken_away_goes_back_to_its_default(bench: Bench, token: str, name: str) -> None:
    case, default = ask(bench, token, "changed"), bench.adapter.rules(token).defaults[name]
    ask(bench, token, "imported")
    check, values = next((check, values) for check, values in case["change"].items() if name in values)
    other = values[name]
    if other in (default, None) or name not in case["inputs"]:
        made = bench.make(token, case.get("from", {}).get(check))
        changed = bench.changed(made, values)
        live = bench.connection.update(bench.call(), token, made.known, changed)
        made = Made(token, changed, live)
    else:
        made = bench.make(token, {**(case.get("from", {}).get(check) or {}), **values})
    bare = {key: value for key, value in made.inputs.items() if key != name}
    if made.inputs.get(name, default) != default:
        live = bench.connection.update(bench.call(), token, made.known, bare)
        made = Made(token, bare, live)
    id_ = filled(case.get("import", "${self.id}"), bench.scope(made))
    (read,) = bench.read(Known(made.known.urn, id_, {}, {}))
    assert read is not None
    assert read.inputs.get(name, default) == default


@each_kind
def test_every_declared_property_is_changed_or_replaced_by_a_case(provider: str, token: str) -> None:
    case, rules = cases(provider)[token], registry.adapter(provider).rules(token)
    declared = set(rules.inputs) or set(case["inputs"])
    forcing = {path for path in rules.force_new - rules.frozen if path.split(".")[0] in declared}
    changed = {name for values in case.get("change", {}).values() for name in values} | {rules.tags}
    replaced, excused = set(case.get("replace", {})), set(case.get("fixed", {}))
    assert declared - forcing - rules.frozen - {""} <= changed | replaced | excused, "no check changes them"
    assert forcing <= replaced | excused, "no check replaces for them"
    assert not excused & (changed | replaced), "they are excused, and tried"
    assert excused <= declared | forcing


@each_kind
def test_a_forcing_property_replaces(bench: Bench, token: str) -> None:
    case, rules = bench.case(token), bench.adapter.rules(token)
    inputs = bench.sketch(token)
    for path in sorted(rules.force_new - rules.frozen):
        new = with_other(inputs, path.split("."))
        diff = bench.adapter.diff(token, inputs, {}, new)
        assert diff.replaces, path
        assert rules.paper or all(change.disruption.value >= 2 for change in diff.changes if change.replaces)
    for condition in case.get("replaces", ()):
        sides = [{**inputs, **condition[side]} for side in ("from", "to")]
        old, new = ({key: value for key, value in side.items() if value is not None} for side in sides)
        diff = bench.adapter.diff(token, old, {}, new)
        assert bool(diff.replaces) is condition["replaces"], condition


@pytest.mark.parametrize(("provider", "token", "path"), REPLACEMENTS, ids=[f"{t}-{p}" for _, t, p in REPLACEMENTS])
def test_a_replacement_is_there_and_its_predecessor_gone(bench: Bench, token: str, path: str) -> None:
    case, rules = ask(bench, token, "replaced"), bench.adapter.rules(token)
    old = bench.make(token, case.get("before", {}).get(path))
    new = bench.successor(old, case["replace"][path])
    diff = bench.adapter.diff(token, old.inputs, old.live.outputs, new)
    assert path in {re.sub(r"\[\d+\]", "", found) for found in diff.replaces}
    # As the engine does it: what has a value that only one may have lets go first.
    lets_go = taken_from([("new", token, new)], [("old", token, old.inputs)], bench.adapter.rules)
    delete_first = rules.delete_before_replace or bool(lets_go)
    if delete_first:
        bench.connection.delete(bench.call(), token, old.known)
    live = bench.connection.create(bench.call(), token, new)
    if not delete_first and path not in case.get("same", {}):
        assert live.id != old.live.id
        found = bench.connection.find(token, new, frozenset({old.live.id}))
        assert found is not None and found.id == live.id, "both carry the same mark for a while"
        bench.connection.delete(bench.call(), token, old.known)
    (read,) = bench.read(Known(old.known.urn, live.id, new, live.outputs))
    assert read is not None
    assert bench.differences(token, new, read.inputs) == []
    if "remains" not in case and live.id != old.live.id and path not in case.get("same", {}):
        assert bench.read(old.known) == [None]


def with_other(inputs: dict[str, Any], steps: list[str]) -> dict[str, Any]:
    """The inputs with another value at a path, whatever its type."""
    name, *rest = steps
    before = inputs.get(name)
    if not rest:
        return {**inputs, name: "something else"}
    if isinstance(before, list):
        return {**inputs, name: [with_other(item, rest) for item in before] or [with_other({}, rest)]}
    return {**inputs, name: with_other(before if isinstance(before, dict) else {}, rest)}


@each_kind
def test_what_is_imported_by_its_id_describes_it(bench: Bench, token: str) -> None:
    case, rules = ask(bench, token, "imported"), bench.adapter.rules(token)
    for over in [{}, *case.get("also", ())]:
        made = bench.make(token, over)
        id_ = filled(case.get("import", "${self.id}"), bench.scope(made))
        (read,) = bench.read(Known(made.known.urn, id_, {}, {}))
        assert read is not None and read.id == made.live.id
        hidden = rules.unread | rules.frozen | case.get("untold", {}).keys()
        hidden |= {key for key in case.get("either", ()) if key not in read.inputs}
        asked = {key: value for key, value in made.inputs.items() if key not in hidden}
        seen = {key: project(value, read.inputs[key]) for key, value in asked.items() if key in read.inputs}
        assert bench.differences(token, asked, seen) == []
        bench.adapter.check(token, read.inputs)


@each_kind
@pytest.mark.parametrize("id_", ["nothing", "0", "a:b:c_d/e|f,g"])
def test_an_id_of_nothing_is_not_found_or_refused(bench: Bench, token: str, id_: str) -> None:
    ask(bench, token, "imported")
    try:
        assert bench.read(Known(f"urn:{token}", id_, {}, {})) == [None]
    except InvalidInput as error:
        assert id_ in error.summary
    except ProviderError as error:
        assert error.reason in (Reason.NOT_FOUND, Reason.INVALID)


@each_kind
def test_what_is_deleted_is_gone_and_may_be_deleted_again(bench: Bench, token: str) -> None:
    case = ask(bench, token, "deleted")
    gone, kept = bench.make(token), bench.make(token)
    bench.connection.delete(bench.call(), token, gone.known)
    assert "remains" in case or bench.read(gone.known, kept.known)[0] is None
    assert bench.read(gone.known, kept.known)[1] is not None, "its neighbour is"
    bench.connection.delete(bench.call(), token, gone.known)


@each_kind
def test_a_create_that_was_interrupted_is_found_and_finished(bench: Bench, token: str) -> None:
    case = ask(bench, token, "found")
    inputs = bench.inputs(token)
    assert "always" in case or bench.connection.find(token, inputs) is None
    call = bench.call(crash=True)
    try:
        bench.connection.create(call, token, inputs)
    except Lost:
        assert len(call.ids) == 1
    found = bench.connection.find(token, inputs)
    assert found is not None and (not call.ids or found.id == call.ids[0])
    known = Known(f"urn:{token}", found.id, found.inputs, found.outputs)
    if bench.differences(token, found.inputs, inputs):
        found = bench.connection.update(bench.call(), token, known, inputs)
    (read,) = bench.read(Known(known.urn, found.id, inputs, found.outputs))
    assert read is not None
    assert bench.differences(token, inputs, read.inputs) == []


@each_kind
def test_creating_twice_makes_one(bench: Bench, token: str) -> None:
    case = ask(bench, token, "twice")
    inputs, name = bench.inputs(token), "0" * 31 + "a"
    first = bench.connection.create(bench.call(name), token, inputs)
    if "twice" in case:
        second = bench.connection.find(token, inputs)
    else:
        try:
            second = bench.connection.create(bench.call(name), token, inputs)
        except ProviderError as error:
            assert error.reason is Reason.EXISTS, error.summary
            second = bench.connection.find(token, inputs)
    assert second is not None and second.id == first.id
    bench.connection.delete(bench.call(), token, Known(f"urn:{token}", first.id, inputs, first.outputs))
    assert "remains" in case or bench.connection.find(token, inputs) is None, "there was a second one"


@each_kind
def test_what_is_not_carried_out_is_refused(bench: Bench, token: str) -> None:
    if not bench.adapter.rules(token).inputs:
        pytest.skip("everything is taken")
    with pytest.raises(InvalidInput, match="no property shoeSize"):
        bench.adapter.check(token, {**bench.sketch(token), "shoeSize": 44})


@each_kind
def test_secrets_are_wrapped_and_in_no_error(bench: Bench, token: str) -> None:
    case, rules = ask(bench, token, "secrets"), bench.adapter.rules(token)
    if not rules.sensitive:
        pytest.skip("it has no secrets")
    inputs = bench.inputs(token, case.get("secrets"))
    secrets = [str(inputs[name]) for name in rules.sensitive if name in inputs]
    if not secrets:
        pytest.skip("it has no secrets")
    checked = bench.adapter.check(token, inputs)
    assert all(is_secret(checked[name]) for name in rules.sensitive if name in inputs)
    if "refused" not in case:
        # The second of the same name is refused.
        bench.connection.create(bench.call(), token, inputs)
    with pytest.raises(ProviderError) as error:
        bench.connection.create(bench.call(), token, {**inputs, **case.get("refused", {})})
    told = repr((error.value.summary, error.value.why, error.value.fix, str(error.value)))
    assert not any(secret in told for secret in secrets)
