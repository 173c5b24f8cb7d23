"""validate, schema and init as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rehost.cli.main import cli

BROKEN = "stack: plaza\nservers:\n\n  äpp: {count: 1}\n  app: {cuont: 2}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test runs in a folder of its own that looks like a checkout."""
    folder = tmp_path / "shop" / "infra"
    folder.mkdir(parents=True)
    (tmp_path / "shop" / ".git").mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    return folder


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, list(arguments), input=stdin)


def findings(result: Result) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = json.loads(result.stdout)["diagnostics"]
    return made


def test_a_valid_stack_leaves_with_0_and_a_broken_one_with_3(here: Path) -> None:
    assert run("validate").exit_code == 3
    (here / "stack.yaml").write_text("stack: plaza\n")
    assert run("validate").exit_code == 0
    (here / "stack.yaml").write_text(BROKEN)
    assert run("validate").exit_code == 3


def test_text_has_the_line_and_a_caret_under_the_column(here: Path) -> None:
    (here / "stack.yaml").write_text(BROKEN)
    shown = run("validate").stdout.splitlines()
    at = shown.index(" --> stack.yaml:5:9")
    assert shown[at - 1] == "error[unknown-key]: the key 'cuont' is not known here"
    assert shown[at + 1 : at + 3] == ["5 |   app: {cuont: 2}", "  |         ^"]
    assert shown[-1] == "2 errors"
    assert "\x1b" not in run("validate").stdout


@pytest.mark.parametrize(
    ("line", "caret"),
    [
        ('  app: {labels: {"名前": x}, cuont: 2}', '  app: {labels: {"名前": x}, cuont: 2}'.index("cuont") + 2),
        ("  app: {labels:\t{a: b},\tcuont: 2}", 24),
        ("  app: {image: " + "x" * 200 + ", cuont: 2}", None),
    ],
)
def test_the_caret_is_right_after_wide_characters_tabs_and_long_lines(
    here: Path, line: str, caret: int | None
) -> None:
    (here / "stack.yaml").write_text(f"stack: plaza\nservers:\n{line}\n", encoding="utf-8")
    shown = run("validate").stdout.splitlines()
    at = next(n for n, row in enumerate(shown) if row.startswith("3 |"))
    assert len(shown[at]) <= 80
    column = shown[at + 1].index("^") - len("3 | ")
    if caret is not None:
        assert column == caret
    else:
        assert shown[at][len("3 | ") + column :].startswith("cuont")


def test_json_has_every_finding_with_its_place(here: Path) -> None:
    (here / "stack.yaml").write_text(BROKEN)
    result = run("validate", "--format", "json")
    document = json.loads(result.stdout)
    assert (document["format_version"], document["valid"], document["errors"]) == (1, False, 2)
    found = findings(result)
    assert [(row["code"], row["file"], row["line"], row["column"]) for row in found] == [
        ("name", "stack.yaml", 4, 3),
        ("unknown-key", "stack.yaml", 5, 9),
    ]
    assert found[1]["fix"] == "did you mean 'count'?"
    assert found[1]["path"] == ["servers", "app", "cuont"]


def test_findings_of_a_provider_name_the_target(here: Path) -> None:
    text = "stack: plaza\ntargets: {eu: {provider: hetzner, region: fsn1}}\nservers: {app: {image: plan9}}\n"
    (here / "stack.yaml").write_text(text)
    found = findings(run("validate", "--format", "json"))
    assert [(row["code"], row["target"]) for row in found] == [("image", "eu")]
    assert "(target eu)" in run("validate").stdout


def test_sarif_is_what_code_scanning_reads(here: Path) -> None:
    (here / "stack.yaml").write_text(BROKEN + "buckets: {a b: {}}\n")
    result = run("validate", "--format", "sarif", "--set", "servers.app.image=", "--set", "x")
    document = json.loads(result.stdout)
    assert result.exit_code == 3
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("sarif-2.1.0.json")
    (made,) = document["runs"]
    rules = made["tool"]["driver"]["rules"]
    assert made["tool"]["driver"]["name"] == "rehost"
    assert len({rule["id"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("note", "warning", "error")
    assert made["results"]
    for row in made["results"]:
        assert rules[row["ruleIndex"]]["id"] == row["ruleId"]
        assert row["level"] in ("note", "warning", "error")
        assert row["message"]["text"]
        (location,) = row["locations"]
        physical = location["physicalLocation"]
        assert physical["artifactLocation"] == {"uri": "infra/stack.yaml", "uriBaseId": "%SRCROOT%"}
        assert physical["region"]["startLine"] >= 1
        assert physical["region"]["startColumn"] >= 1
    texts = [row["message"]["text"] for row in made["results"]]
    assert any("--set x" in text for text in texts)


def test_standard_input_can_be_the_file() -> None:
    assert run("validate", "-f", "-", stdin="stack: plaza\n").exit_code == 0
    found = findings(run("validate", "-f", "-", "--format", "json", stdin=BROKEN))
    assert [(row["file"], row["line"]) for row in found] == [("<stdin>", 4), ("<stdin>", 5)]


def test_the_override_beside_the_file_is_used_unless_files_are_named(here: Path) -> None:
    (here / "stack.yaml").write_text("stack: plaza\n")
    (here / "stack.override.yaml").write_text("servers: {app: {count: -1}}\n")
    assert [row["file"] for row in findings(run("validate", "--format", "json"))] == ["stack.override.yaml"]
    assert run("validate", "-f", "stack.yaml").exit_code == 0


def test_init_writes_a_stack_that_validates_and_plans_at_every_target(here: Path) -> None:
    result = run("init")
    assert result.exit_code == 0, result.output
    text = (here / "stack.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=stack.schema.json\n")
    assert "stack: infra\n" in text
    assert json.loads((here / "stack.schema.json").read_text())["title"] == "rehost stack file"
    assert run("validate").exit_code == 0
    for target in ("aws", "hetzner"):
        assert target in result.output
        planned = run("plan", "--on", target, "--no-refresh")
        assert planned.exit_code == 0, planned.output


def test_what_the_starter_has_in_comments_is_valid_too(here: Path) -> None:
    assert run("init", "--no-schema").exit_code == 0
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGQwNcWnJqHqYz0zjC7aVf8V3nJr5b8sY7mT1l2k3j4h"
    lines = (here / "stack.yaml").read_text().splitlines()
    opened = []
    for line in lines:
        bare = line.lstrip()
        if bare.startswith("# ") and not bare[2:3].isupper() and not bare.startswith("# `"):
            line = line.replace("# ", "", 1)
        opened.append(line.replace("ssh-ed25519 AAAA...", key))
    assert opened != lines
    result = run("validate", "-f", "-", stdin="\n".join(opened) + "\n")
    assert result.exit_code == 0, result.output


def test_init_writes_over_nothing_without_being_told_to(here: Path) -> None:
    (here / "stack.yaml").write_text("mine\n")
    assert isinstance(run("init").exception, Exception)
    assert (here / "stack.yaml").read_text() == "mine\n"
    assert run("init", "--force", "--name", "agora", "--provider", "hetzner:hel1").exit_code == 0
    text = (here / "stack.yaml").read_text()
    assert "stack: agora\n" in text
    assert "hetzner: {provider: hetzner, region: hel1}" in text
    assert "aws" not in text
    assert run("validate").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [("--name", "My Shop"), ("--domain", "no domain"), ("--provider", "aws:eu-central-1", "--name", "sg")],
)
def test_init_refuses_what_would_not_validate(here: Path, arguments: tuple[str, ...]) -> None:
    assert run("init", *arguments).exit_code == 3
    assert list(here.iterdir()) == []


def test_the_schema_can_be_written_to_a_file(here: Path) -> None:
    printed = run("schema").stdout
    assert run("schema", "--out", "s.json").exit_code == 0
    assert (here / "s.json").read_text() == printed
    assert json.loads(printed)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
