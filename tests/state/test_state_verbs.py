"""`rehost state` and `rehost status`, as a user types them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rehost.cli import main
from rehost.providers.memory.adapter import MemoryAdapter
from rehost.providers.memory.cloud import MemoryCloud
from rehost.providers.stores import open_store
from rehost.stacks.errors import RehostError
from rehost.stacks.state import Passphrase, Store

STACK = """\
stack: plaza
targets:
  here: {provider: memory}
  there: {provider: memory}
network: {cidr: 10.0.0.0/16}
servers:
  app: {public: true, user_data: "token=${secrets.token}"}
buckets:
  media: {}
dns:
  plaza.example: [{name: "@", to: servers.app}]
secrets:
  token: {generate: 16}
"""
Run = Callable[..., Result]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> MemoryCloud:
    """All commands of a test see the same cloud."""
    cloud = MemoryCloud()
    monkeypatch.setattr("rehost.providers.registry.adapter", lambda name: MemoryAdapter(cloud=cloud))
    return cloud


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cloud: MemoryCloud) -> Run:
    del cloud
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rehost.cli.commands.deploy.stop_on_interrupt", threading.Event)
    # A million rounds for each command is what real passphrases need.
    monkeypatch.setattr("rehost.stacks.state.crypt._ROUNDS", 1000)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "horse")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("REHOST_STATE", raising=False)
    (tmp_path / "stack.yaml").write_text(STACK)

    def go(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main.cli, arguments)
        if isinstance(result.exception, RehostError):
            result.exit_code = result.exception.exit_code
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return go


@pytest.fixture
def deployed(run: Run) -> Run:
    run("deploy", "--on", "here", "--yes")
    return run


def told(result: Result) -> str:
    assert isinstance(result.exception, RehostError)
    return result.exception.summary


def store(where: str | None = None) -> Store:
    return open_store(where, Path.cwd(), Passphrase("horse"), {})


# -- list, show, export --------------------------------------------------------------------------------------


def test_list_tells_everything_that_is_held(deployed: Run) -> None:
    with store().open("plaza", "here", command="deploy") as session:
        server = next(r for r in session.state.resources.values() if r.component == "servers.app-1")
        session.append({"kind": "replacing", "urn": server.urn})
        intent = {"n": 7, "action": "create", "urn": server.urn, "type": server.type, "component": "servers.app-1"}
        session.append({"kind": "intent", **intent})
    found = json.loads(deployed("state", "list", "--format", "json").stdout)
    assert (found["format_version"], found["stack"], found["target"]) == (1, "plaza", "here")
    conditions = {(row["component"], row["condition"], row["action"]) for row in found["resources"]}
    assert conditions >= {
        ("buckets.media", "current", None),
        ("servers.app-1", "replaced", None),
        ("servers.app-1", "pending", "create"),
    }
    assert all(row["urn"].startswith("urn:pulumi:here::plaza::memory:") for row in found["resources"])
    text = deployed("state", "list").stdout
    assert "to be deleted" in text
    assert "open create" in text
    assert deployed("state", "list", "--format", "markdown").stdout.startswith("| COMPONENT |")


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_show_masks_secrets_unless_they_are_asked_for(
    deployed: Run, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = store().read("plaza", "here").secrets["token"].value
    shown = deployed("state", "show", "servers.app-1", "--format", form).stdout
    assert "[secret]" in shown
    assert token not in shown
    assert token in deployed("state", "show", "servers.app-1", "--show-secrets", "--format", form).stdout
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    shut = deployed("state", "show", "servers.app-1", "--format", form).stdout
    assert "[secret]" in shut
    assert "passphrase is needed" in told(deployed("state", "show", "servers.app-1", "--show-secrets", code=3))


def test_show_takes_component_name_and_urn_and_helps_with_what_is_none(deployed: Run) -> None:
    (row,) = json.loads(deployed("state", "show", "buckets.media", "--format", "json").stdout)["resources"]
    for address in (row["urn"], "media"):
        assert json.loads(deployed("state", "show", address, "--format", "json").stdout)["resources"] == [row]
    wrong = deployed("state", "show", "bucket.media", code=3)
    assert isinstance(wrong.exception, RehostError)
    assert wrong.exception.fix == "did you mean 'buckets.media'?"


def test_an_export_stays_sealed_and_can_be_imported_again(deployed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = store().read("plaza", "here")
    token = before.secrets["token"].value
    deployed("state", "export", "--out", "kept.json")
    assert Path("kept.json").stat().st_mode & 0o777 == 0o600
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    sealed = deployed("state", "export").stdout
    assert json.loads(sealed)["version"] == 3
    assert token not in sealed + Path("kept.json").read_text()
    assert "passphrase is needed" in told(deployed("state", "export", "--show-secrets", code=3))
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "horse")
    assert token in deployed("state", "export", "--show-secrets").stdout
    deployed("state", "import", "--on", "here", "kept.json")
    after = store().read("plaza", "here")
    assert (after.resources, after.secrets) == (before.resources, before.secrets)
    assert after.serial == before.serial + 1


def test_where_nothing_is_deployed_is_said(run: Run) -> None:
    assert "no target of plaza has a state" in told(run("state", "list", code=3))
    assert "has no state in" in told(run("state", "export", "--on", "here", code=3))
    assert "no target 'nowhere'" in told(run("state", "list", "--on", "nowhere", code=3))


# -- import --------------------------------------------------------------------------------------------------


def exported(run: Run) -> Any:
    return json.loads(run("state", "export").stdout)


def put(document: Any) -> str:
    Path("changed.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return "changed.json"


def test_a_state_of_another_place_is_invalid(deployed: Run) -> None:
    name = put(exported(deployed))
    assert "is not a state of plaza on there" in told(deployed("state", "import", "--on", "there", name, code=3))
    assert "can't be read" in told(deployed("state", "import", "--on", "here", "none.json", code=3))
    assert "is not a state" in told(deployed("state", "import", "--on", "here", put("{"), code=3))


def test_types_that_the_provider_does_not_have_are_named(deployed: Run) -> None:
    document = exported(deployed)
    for row in document["deployment"]["resources"]:
        row["type"] = row["type"].replace(":Bucket", ":Pail")
    error = told(deployed("state", "import", "--on", "here", put(document), code=3))
    assert "not known: memory:index/bucket:Pail" in error


def test_an_import_that_loses_sight_of_something_has_to_be_forced(deployed: Run) -> None:
    document = exported(deployed)
    rows = document["deployment"]["resources"]
    document["deployment"]["resources"] = [row for row in rows if not row["type"].endswith(":Bucket")]
    name = put(document)
    assert "1 resource(s) would be forgotten" in told(deployed("state", "import", "--on", "here", name, code=4))
    deployed("state", "import", "--on", "here", "--force", name)
    assert "buckets.media" not in deployed("state", "list").stdout


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"deployment": "0123"}, "a state of the deployment 0123"),
        ({"deployment": ""}, "of a deployment that it does not name"),
        ({"serial": 0}, "is older than the one that is there"),
    ],
)
def test_another_deployment_or_an_older_state_has_to_be_forced(
    deployed: Run, change: dict[str, Any], error: str
) -> None:
    document = exported(deployed)
    document["deployment"]["resources"][0]["outputs"]["rehost"] |= change
    name = put(document)
    assert error in told(deployed("state", "import", "--on", "here", name, code=4))
    before = store().read("plaza", "here")
    deployed("state", "import", "--on", "here", "--force", name)
    # One that names no deployment is taken for this one.
    assert store().read("plaza", "here").deployment == (change.get("deployment") or before.deployment)


def test_what_an_interrupted_run_left_open_is_not_overwritten(deployed: Run) -> None:
    name = put(exported(deployed))
    with store().open("plaza", "here", command="deploy") as session:
        urn = next(iter(session.state.resources))
        session.append({"kind": "intent", "n": 7, "action": "update", "urn": urn, "type": urn.split("::")[2]})
    assert "1 step(s) of an interrupted run are open" in told(
        deployed("state", "import", "--on", "here", name, code=4)
    )


# -- rm, backups ---------------------------------------------------------------------------------------------


def test_rm_forgets_and_deletes_nothing(deployed: Run, cloud: MemoryCloud) -> None:
    before = cloud.inventory()
    assert "depend on it" in told(deployed("state", "rm", "servers.app-1", code=4))
    assert "forgotten: urn:pulumi:here" in deployed("state", "rm", "buckets.media").stdout
    assert "nothing called 'buckets.media'" in told(deployed("state", "rm", "buckets.media", code=3))
    deployed("state", "rm", "servers.app-1", "--force")
    deployed("state", "rm", "network", "dns.plaza.example")
    assert cloud.inventory() == before
    assert "is empty" in deployed("state", "list").stdout


def test_an_earlier_state_can_be_put_back(deployed: Run) -> None:
    assert "no backup of plaza on here" in deployed("state", "backups").stdout
    whole = store().read("plaza", "here")
    deployed("state", "rm", "buckets.media")
    kept = json.loads(deployed("state", "backups", "--format", "json").stdout)["backups"]
    assert [row["serial"] for row in kept] == [whole.serial]
    deployed("state", "restore", str(whole.serial))
    assert store().read("plaza", "here").resources == whole.resources
    assert "there is no backup 99" in told(deployed("state", "restore", "99", code=3))


# -- one place -----------------------------------------------------------------------------------------------


def test_a_second_place_is_refused_and_a_state_can_be_moved_there_and_back(deployed: Run, tmp_path: Path) -> None:
    there = str(tmp_path / "shared")
    for verb in (("plan", "--on", "here"), ("status", "--on", "here"), ("state", "list", "--on", "here")):
        assert "has a state in" in told(deployed(*verb, "--state", there, code=4))
    before = store().read("plaza", "here")
    deployed("state", "move", "--on", "here", "--to", there)
    for verb in (("deploy", "--on", "here", "--yes"), ("state", "list", "--on", "here")):
        assert f"was moved to {there}" in told(deployed(*verb, code=4))
    assert "no changes" in deployed("plan", "--on", "here", "--state", there).stdout
    assert store(there).read("plaza", "here").resources == before.resources
    deployed("state", "move", "--on", "here", "--state", there, "--to", ".rehost")
    assert "no changes" in deployed("plan", "--on", "here").stdout
    assert store().read("plaza", "here").deployment == before.deployment


def test_a_move_that_was_interrupted_is_ended_by_the_same_command(
    deployed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = str(tmp_path / "shared")

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("rehost.stacks.state.files.FileStore.retire", stop)
        deployed("state", "move", "--on", "here", "--to", there, code=1)
    deployed("state", "move", "--on", "here", "--to", there)
    assert store().targets("plaza") == []
    assert store(there).targets("plaza") == ["here"]


def test_a_move_does_not_overwrite_another_deployment(deployed: Run, tmp_path: Path) -> None:
    there = store(str(tmp_path / "shared"))
    with there.open("plaza", "here", command="deploy") as session:
        session.append({"kind": "deployment", "id": "other", "endpoint": "memory", "account": "memory"})
    refused = deployed("state", "move", "--on", "here", "--to", there.url, code=4)
    assert "has a state of plaza on here already" in told(refused)
    assert store().targets("plaza") == ["here"]


# -- unlock --------------------------------------------------------------------------------------------------


def test_unlock_shows_the_holder_and_asks(deployed: Run) -> None:
    assert "is not locked" in deployed("state", "unlock", "--on", "here").stdout
    holder = {"user": "ops", "host": "laptop", "pid": 1, "command": "deploy", "since": "2026-01-01T00:00:00+00:00"}
    Path(".rehost/plaza/here.lock").write_text(json.dumps(holder))
    refused = deployed("state", "unlock", "--on", "here", code=4)
    assert "locked by ops on laptop (process 1, `rehost deploy`)" in refused.output
    assert "locked by ops on laptop" in told(deployed("deploy", "--on", "here", "--yes", code=4))
    assert "locked by ops on laptop" in deployed("status", "--on", "here").stdout
    deployed("state", "unlock", "--on", "here", "--yes")
    deployed("deploy", "--on", "here", "--yes")


# -- status --------------------------------------------------------------------------------------------------


def test_status_tells_what_is_deployed_where_it_is_reached_and_what_was_chosen(deployed: Run) -> None:
    found = json.loads(deployed("status", "--on", "here", "--detailed-exitcode", "--format", "json").stdout)
    assert (found["format_version"], found["deployed"], found["in_sync"]) == (1, True, True)
    assert found["since"] <= found["changed"]
    assert {fact["key"] for fact in found["facts"]} == {"servers.app.type"}
    reached = {(row["component"], row["name"]) for row in found["addresses"]}
    assert reached == {("servers.app-1", "publicIp"), ("servers.app-1", "privateIp"), ("buckets.media", "name")}
    text = deployed("status", "--on", "here").stdout
    assert "no drift" in text
    assert "nothing to change" in text


def test_status_tells_drift_from_what_the_definition_changes(deployed: Run, cloud: MemoryCloud) -> None:
    by_kind = {record["token"].split(":")[-1]: record["id"] for record in cloud.inventory()}
    cloud.tamper(by_kind["Bucket"], {"versioning": True})
    cloud.tamper(by_kind["RecordSet"], None)
    # What was made a moment ago would be looked for until it has to be visible.
    path = Path(".rehost/plaza/here.json")
    path.write_text(re.sub('"created":"20..', '"created":"2020', path.read_text()))
    Path("stack.yaml").write_text(STACK.replace("{public: true", "{labels: {of: plaza}, public: true"))
    result = deployed("status", "--on", "here", "--format", "json", "--detailed-exitcode", code=2)
    found = json.loads(result.stdout)
    assert [row["component"] for row in found["drift"]["changed"]] == ["buckets.media"]
    assert [row["component"] for row in found["drift"]["deleted"]] == ["dns.plaza.example"]
    assert [row["component"] for row in found["changes"]] == ["servers.app-1"]
    text = deployed("status", "--on", "here").stdout
    assert "changed outside" in text
    assert "deleted outside" in text
    assert "rehost plan --on here" in text
    blind = json.loads(deployed("status", "--on", "here", "--no-refresh", "--format", "json").stdout)
    assert blind["refreshed"] is False
    assert blind["drift"] == {"changed": [], "deleted": []}
    assert deployed("status", "--on", "here", "--format", "markdown").stdout.startswith("### plaza on here")


def test_status_without_a_target_lists_all_that_have_a_state(
    deployed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = MemoryCloud()
    monkeypatch.setattr("rehost.providers.registry.adapter", lambda name: MemoryAdapter(cloud=other))
    deployed("deploy", "--on", "there", "--yes")
    found = json.loads(deployed("status", "--format", "json").stdout)
    assert [(row["target"], row["deployed"]) for row in found["targets"]] == [("here", True), ("there", True)]
    assert deployed("status").stdout.startswith("TARGET")
    assert "needs --on" in deployed("status", "--detailed-exitcode", code=2).output


def test_status_of_what_is_not_deployed_says_so(run: Run) -> None:
    assert "nothing is deployed" in run("status", "--on", "here", "--detailed-exitcode").stdout
    assert "not deployed anywhere" in run("status").stdout
    assert json.loads(run("status", "--format", "json").stdout)["targets"] == []
