"""Every example, on both stand-ins: goes up, stays as it is, leaves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clouds import cloud
from ruamel.yaml import YAML
from test_random_stacks import cycle

EXAMPLES = [
    path
    for path in sorted((Path(__file__).parents[2] / "examples").glob("*/stack.yaml"))
    # Services run on served stand-ins only: tests/cli/test_running_examples.py.
    if "\nservices:" not in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("provider", ["aws", "hetzner"])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_goes_up_stays_as_it_is_and_leaves_nothing(path: Path, provider: str, tmp_path: Path) -> None:
    data: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    (here,) = (target for target in data["targets"].values() if target["provider"] == provider)
    with cloud(provider) as there:
        cycle(there, tmp_path, {**data, "targets": {"here": here}})
