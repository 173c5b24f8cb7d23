from __future__ import annotations

from pathlib import Path

import pytest
from movers import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Two empty stores and a folder for evidence."""
    return Bench(tmp_path)
