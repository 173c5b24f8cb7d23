"""Credentials that are missing, wrong, or of somebody else, as an operator of real clouds gives them: in the
environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from plaza import PROVIDERS, Sandbox, sandbox


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sandbox(tmp_path_factory.mktemp("plaza")) as made:
        yield made


WRONG = {
    "aws": [{"AWS_SECRET_ACCESS_KEY": "wrong"}, {"AWS_ACCESS_KEY_ID": "AKIANOBODYNOBODY0000"}],
    "hetzner": [{"HCLOUD_TOKEN": "x" * 64}],
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_wrong_credentials_are_refused_before_the_first_write(
    here: Sandbox, tmp_path: Path, provider: str
) -> None:
    folder = here.folder(f"{tmp_path.name}/wrong")
    here.forget(provider)
    for changes in WRONG[provider]:
        run = here.run("deploy", "--yes", "--on", provider, cwd=folder, **{**here.variables, **changes})
        assert run.returncode == 4, run.stderr
        assert "does not accept these credentials" in run.stderr
        assert not any(value in run.stdout + run.stderr for value in changes.values())
    assert here.count(provider)
    assert not here.writes(provider)
    assert here.inventory(provider) == []


def test_another_account_is_refused_before_the_first_write(here: Sandbox, tmp_path: Path) -> None:
    folder = here.folder(f"{tmp_path.name}/foreign")
    role = "arn:aws:iam::222222222222:role/other"
    other = here.client("sts").assume_role(RoleArn=role, RoleSessionName="plaza")["Credentials"]
    foreign = {
        **here.variables,
        "AWS_ACCESS_KEY_ID": other["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": other["SecretAccessKey"],
        "AWS_SESSION_TOKEN": other["SessionToken"],
    }
    assert here.run("deploy", "--yes", "--on", "aws", cwd=folder, **here.variables).returncode == 0
    there = here.inventory("aws")
    here.forget("aws")
    for command in (("deploy", "--yes"), ("destroy", "--yes", "--delete-data", "*"), ("plan",), ("status",)):
        run = here.run(*command, "--on", "aws", cwd=folder, **foreign)
        assert run.returncode == 4, run.stderr
        assert "222222222222" in run.stderr
    assert not here.writes("aws")
    assert here.inventory("aws") == there
    gone = here.run("destroy", "--yes", "--delete-data", "*", "--on", "aws", cwd=folder, **here.variables)
    assert gone.returncode == 0, gone.stderr
    assert here.inventory("aws") == []


def test_keys_that_a_person_has_to_make_are_waited_for_with_all_else_done(here: Sandbox, tmp_path: Path) -> None:
    folder = here.folder(f"{tmp_path.name}/waiting")
    deploy = ("deploy", "--yes", "--on", "hetzner")
    without = {**here.variables, "HETZNER_S3_ACCESS_KEY": "", "HETZNER_S3_SECRET_KEY": ""}
    waiting = here.run(*deploy, cwd=folder, **without)
    assert waiting.returncode == 6, waiting.stdout + waiting.stderr
    assert "deploy waiting: " in waiting.stdout
    assert "make a pair and set HETZNER_S3_ACCESS_KEY and HETZNER_S3_SECRET_KEY" in waiting.stderr
    there = here.inventory("hetzner")
    here.forget("hetzner")
    again = here.run(*deploy, cwd=folder, **without)
    assert again.returncode == 6, again.stderr
    assert not here.writes("hetzner")
    assert here.inventory("hetzner") == there
    done = here.run(*deploy, cwd=folder, **here.variables)
    assert done.returncode == 0, done.stdout + done.stderr
    # All that was missing are the bucket and its settings.
    found = here.inventory("hetzner")
    assert [row for row in found if row not in there] == [("bucket", "plaza-media", "Enabled")]
    assert all(row in found for row in there)
    gone = here.run("destroy", "--yes", "--delete-data", "*", "--on", "hetzner", cwd=folder, **here.variables)
    assert gone.returncode == 0, gone.stderr
    assert here.inventory("hetzner") == []
