"""What official clients sent and were answered, once more. Each file holds a client's life with the stand-in:
everything made, changed, listed and deleted again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))
RANDOM = ("root_password", "password", "wss_url", "certificate", "fingerprint")


def masked(value: Any) -> Any:
    """An answer without what is made anew each time."""
    if isinstance(value, dict):
        return {
            key: "..." if key in RANDOM and isinstance(item, str) else masked(item) for key, item in value.items()
        }
    return [masked(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_official_clients_are_answered_as_before(make_api: Any, path: Path) -> None:
    recorded = json.loads(path.read_text())
    api = make_api(action_seconds=0.0)
    api.clock.now = recorded["time"]
    for pair in recorded["pairs"]:
        response = api.raw(pair["method"], pair["path"], pair["body"], **parse_qs(pair["query"]))
        name = f"{pair['method']} {pair['path']}"
        assert response.status_code == pair["status"], (name, response.get_json())
        assert masked(response.get_json() if response.data else None) == masked(pair["answer"]), name
    assert not any(api.app.project("t" * 64).records.values())
