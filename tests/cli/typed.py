"""Commands as a user types them in a folder of a stack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


class CommandLine:
    """A shell in a folder, with a sandbox of its own in it and `variables` around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Programs of services run with the libraries of the tests.
        here = str(Path(sys.executable).parent)
        path = os.pathsep.join([here, os.environ.get("PATH", os.defpath)])
        self.variables = {**os.environ, "PULUMI_CONFIG_PASSPHRASE": "horse", "PATH": path}
        self.variables.pop("REHOST_SANDBOX_DIR", None)

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """One command, which has to leave with `code`."""
        run = subprocess.run(
            [sys.executable, "-m", "rehost", *arguments],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert run.returncode == code, (arguments, run.stdout[-2000:], run.stderr[-3000:])
        return run
