"""What tests of whole sandboxes share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config


def until(done: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Poll a condition; fails when it does not come true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = done()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def lives(pid: int) -> bool:
    """Whether a process runs; one that waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def aws_client(env: dict[str, str], service: str, *, hetzner: bool = False) -> Any:
    """A client of the sandbox with these variables."""
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    if hetzner:
        names = ("HETZNER_S3_ENDPOINT", "HETZNER_S3_ACCESS_KEY", "HETZNER_S3_SECRET_KEY")
    url, key, secret = (env[name] for name in names)
    make: Any = boto3.client
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return make(
        service,
        endpoint_url=url,
        region_name=env["AWS_REGION"],
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=config,
    )
