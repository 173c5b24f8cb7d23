"""Ways out, addresses, names and records of a platform, as an operator types it, on both stand-ins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from plaza import PROVIDERS, Sandbox, sandbox

STACK = """\
stack: plaza
targets:
  aws: {provider: aws, region: eu-central-1}
  hetzner: {provider: hetzner, region: fsn1}
network:
  way_out: WAY
  subnets: {front: {cidr: 10.0.0.0/24}, back: {cidr: BACK}}
servers:
  door: {public: true, subnet: front}
  db: {count: 2, subnet: back}
static_addresses:
  mail: {ON, reverse: mail.plaza.example}
dns:
  plaza.example:
    - {name: mail, to: static_addresses.mail}
    - {name: "@", mx: 10 mail.plaza.example}
    - {name: "@", txt: v=spf1 mx -all}
    - {name: "@", txt: LONG}
"""


def stack(way: str, back: str, on: str) -> str:
    text = STACK.replace("WAY", way).replace("BACK", back).replace("LONG", "k=" + "x" * 300)
    return text.replace("{ON, ", f"{{on: {on}, " if on else "{")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sandbox(tmp_path_factory.mktemp("plaza")) as made:
        yield made


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_platform_is_reached_and_reaches_out(here: Sandbox, tmp_path: Path, provider: str) -> None:
    folder = here.folder(f"{tmp_path.name}/reach")
    file = folder / "stack.yaml"

    def run(*words: str, code: int = 0) -> str:
        done = here.run(*words, "--on", provider, cwd=folder, **here.variables)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def reached() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for row in json.loads(run("status", "--format", "json"))["addresses"]:
            found.setdefault(row["component"], []).extend(row["values"])
        return found

    file.write_text(stack("servers.door", "10.0.1.0/24", ""))
    run("deploy", "--yes")
    kept = reached()["static_addresses.mail"]
    assert any(value.startswith("mail.plaza.example") for value in kept)
    run("plan", "--detailed-exitcode")
    file.write_text(stack("servers.door", "10.0.3.0/24", "servers.door"))
    planned = run("plan", "--detailed-exitcode", code=2)
    # Amazon makes servers anew in another subnet, Hetzner moves them.
    assert ("another private address" in planned) is (provider == "hetzner")
    run("deploy", "--yes")
    now = reached()
    assert now["static_addresses.mail"] == kept
    assert kept[0] in now["servers.door-1"] or provider == "aws"
    assert all(value.startswith("10.0.3.") for name in ("db-1", "db-2") for value in now[f"servers.{name}"])
    run("plan", "--detailed-exitcode")
    file.write_text(stack("shared", "10.0.3.0/24", "servers.door"))
    run("deploy", "--yes")
    if provider == "hetzner":
        assert reached()["servers.way-out-1"]
    run("destroy", "--yes", "--delete-data", "*")
    assert here.inventory(provider) == []


def test_the_diff_names_what_is_lost_on_the_way(here: Sandbox, tmp_path: Path) -> None:
    folder = here.folder(f"{tmp_path.name}/diff")
    (folder / "stack.yaml").write_text(stack("shared", "10.0.1.0/24", "servers.door"))
    done = here.run("diff", "--from", "aws", "--to", "hetzner", cwd=folder, **here.variables)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "way-out-1 is the only way out: while it is away, db reach no Internet" in said
