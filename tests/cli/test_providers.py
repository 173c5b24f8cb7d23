"""What can be said of providers without credentials, and the pages that are made of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rehost.cli.main import cli

PAGES = Path(__file__).parents[2] / "docs" / "providers"


@pytest.mark.parametrize("name", ["aws", "hetzner"])
def test_the_page_of_a_provider_is_what_the_command_prints(name: str) -> None:
    run = CliRunner().invoke(cli, ["providers", name, "--format", "markdown"])
    assert run.exit_code == 0, run.output
    assert (PAGES / f"{name}.md").read_text(encoding="utf-8") == run.output, (
        f"stale: rehost providers {name} --format markdown > docs/providers/{name}.md"
    )


def test_every_kind_is_listed_and_unknown_providers_are_refused() -> None:
    run = CliRunner().invoke(cli, ["providers", "memory", "--format", "json"])
    tokens = {kind["token"] for kind in json.loads(run.output)["kinds"]}
    assert "memory:index/server:Server" in tokens
    assert CliRunner().invoke(cli, ["providers", "azur"]).exit_code != 0
