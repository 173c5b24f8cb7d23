"""Every example, on both stand-ins: goes up, stays as it is, leaves nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from clouds import cloud
from ruamel.yaml import YAML
from test_random_stacks import cycle

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/stack.yaml"))


@pytest.mark.parametrize("provider", ["aws", "hetzner"])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_goes_up_stays_as_it_is_and_leaves_nothing(path: Path, provider: str, tmp_path: Path) -> None:
    data: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    (here,) = (target for target in data["targets"].values() if target["provider"] == provider)
    # Sources of services are beside the stack file.
    shutil.copytree(path.parent, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("stack*"))
    with cloud(provider) as there:
        cycle(there, tmp_path, {**data, "targets": {"here": here}})
