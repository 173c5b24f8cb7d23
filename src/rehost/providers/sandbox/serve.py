"""The process behind `rehost sandbox up`: serves every stand-in on loopback until its parent pipe or a signal
ends it. Run as a module with the sandbox's folder."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

from werkzeug.serving import make_server


def _app(kind: str, token: str) -> Any:
    if kind == "hcloud":
        from rehost.providers.sandbox.hcloud_api import HcloudApi

        return HcloudApi({token: "sandbox"}, action_seconds=0.1, rate_limit=36_000)
    # The images that the catalog knows, with their real owners and names; read when moto is imported.
    os.environ["MOTO_AMIS_PATH"] = str(Path(__file__).parent / "data" / "amis.json")
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    return DomainDispatcherApplication(create_backend_app)


def part(kind: str, token: str) -> None:
    """Serve one stand-in; says its port on stdout, ends when stdin does."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, _app(kind, token), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    # The pipe closes when the supervisor is gone, however it went.
    sys.stdin.read()
    os._exit(0)


def supervise(folder: Path) -> None:
    """Start the parts, write `sandbox.json` once all answer, wait for the end."""
    token = secrets.token_hex(32)
    parts: dict[str, subprocess.Popen[str]] = {}
    ports: dict[str, int] = {}
    for kind in ("aws", "objects", "hcloud"):
        with (folder / "logs" / f"{kind}.log").open("ab") as log:
            parts[kind] = subprocess.Popen(
                [sys.executable, "-m", __spec__.name if __spec__ else __name__, "part", kind, token],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
    for kind, process in parts.items():
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"the stand-in {kind} did not start; see {folder / 'logs' / f'{kind}.log'}")
        ports[kind] = int(line)
    record = {
        "pid": os.getpid(),
        "environment": {
            "REHOST_SANDBOX": uuid.uuid4().hex[:12],
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['aws']}",
            "AWS_ACCESS_KEY_ID": "AKIASANDBOX000000000",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "HCLOUD_ENDPOINT": f"http://127.0.0.1:{ports['hcloud']}/v1",
            "HCLOUD_TOKEN": token,
            "HETZNER_S3_ENDPOINT": f"http://127.0.0.1:{ports['objects']}",
            "HETZNER_S3_ACCESS_KEY": "sandbox",
            "HETZNER_S3_SECRET_KEY": "sandbox",
        },
    }
    fresh = folder / "sandbox.json.new"
    fresh.write_text(json.dumps(record, indent=1))
    fresh.chmod(0o600)
    fresh.replace(folder / "sandbox.json")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    (folder / "sandbox.json").unlink(missing_ok=True)
    for process in parts.values():
        with contextlib.suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        process.wait(5)


if __name__ == "__main__":
    if sys.argv[1] == "part":
        part(sys.argv[2], sys.argv[3])
    else:
        supervise(Path(sys.argv[2]))
