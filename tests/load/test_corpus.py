"""Every file of the corpus: what is said about it, where, and whether the schema says so too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from corpus import BROKEN, VALID, expected, findings, shown
from jsonschema import Draft202012Validator

from rehost.cli.commands.schema import schema_text
from rehost.stacks.diagnostics import TITLES, Diagnostic, Severity
from rehost.stacks.load.text import decode
from rehost.stacks.load.yamlfile import parse_yaml

FORM = {"unknown-key", "missing-key", "value", "name", "number", "rule-direction", "not-yet", "option", "provider"}
"""Codes of mistakes that a schema can find; all others take more than the form of a file to see."""

BEYOND = {
    ("cidrs", "network.cidr"),
    ("compose", "services.blind.healthcheck.test"),
    ("compose", "services.twice.mem_limit"),
    ("data", "databases.open.parameters.work-mem"),
    ("edge", "certificates.own"),
    ("edge", "load_balancers.plain.listen.0.certificate"),
    ("huge-number", "servers.app.count"),
    ("checks", "checks.6.status"),
    ("roles", "databases.main.roles.as.settings"),
    ("roles", "databases.main.roles.odd.password"),
    ("services", "services.blind.healthcheck"),
    ("services", "services.early.timezone"),
    ("services", "services.served.ports"),
    ("services", "services.told.command"),
    ("services", "services.twins.deploy"),
    ("setup", "services.long.setup.timeout"),
    ("setup", "services.nothing.setup.run"),
    ("setup", "services.packed.setup"),
    ("sizes", "volumes.c.size"),
}
"""Mistakes of form that the schema does not find: bits behind a prefix, numbers out of all proportion, keys that
need or rule out others."""

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("stack*.yaml"))


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    made = json.loads(schema_text())
    Draft202012Validator.check_schema(made)
    return Draft202012Validator(made)


def data(path: Path) -> Any:
    """What an editor sees of a file; None where it is no YAML mapping."""
    text = decode(path.read_bytes(), str(path))
    tree = parse_yaml(text, str(path))[0] if isinstance(text, str) else None
    return None if tree is None else tree.plain()


def told(errors: list[Any], found: Diagnostic) -> bool:
    """Whether one of the schema's errors is at a finding's place, or at the mapping around it."""
    return any(tuple(e.path) == found.path[: len(e.path)] and len(found.path) - len(e.path) <= 2 for e in errors)


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_file_has_exactly_the_findings_beside_it(path: Path) -> None:
    found = findings(path)
    assert [shown(diagnostic) for diagnostic in found] == expected(path)
    assert any(diagnostic.severity is Severity.ERROR for diagnostic in found)
    for diagnostic in found:
        assert diagnostic.span.file == str(path)
        assert diagnostic.code in TITLES
        assert diagnostic.summary
        assert diagnostic.why, diagnostic
        assert diagnostic.fix, diagnostic


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_the_schema_finds_the_mistakes_of_form(path: Path, schema: Draft202012Validator) -> None:
    content = data(path)
    if content is None:
        pytest.skip("an editor's YAML parser stops here already")
    errors = list(schema.iter_errors(content))
    form = [diagnostic for diagnostic in findings(path) if diagnostic.code in FORM]
    for diagnostic in form:
        where = ".".join(map(str, diagnostic.path))
        assert told(errors, diagnostic) != ((path.stem, where) in BEYOND), where
    if not form:
        assert errors == []


@pytest.mark.parametrize("path", VALID + EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_valid_file_has_no_errors_in_either(path: Path, schema: Draft202012Validator) -> None:
    assert [shown(found) for found in findings(path) if found.severity is Severity.ERROR] == []
    assert list(schema.iter_errors(data(path))) == []
