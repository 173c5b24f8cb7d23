"""A stand-in served in this process, and a clock set by hand."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from rehost.providers.sandbox.faults import Faults

KEY, SECRET = "AKIATESTTESTTEST0000", "a secret of the tests"
TRUST = json.dumps(
    {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
)


class Served:
    """One stand-in on loopback."""

    def __init__(self, faults: Faults, app: Any = None) -> None:
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self.faults, self.app = faults, app
        self._server = make_server("127.0.0.1", 0, faults, threaded=True, request_handler=MotoRequestHandler)
        self.url = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def client(self, service: str, key: str = KEY, secret: str = SECRET, **config: Any) -> Any:
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=self.url,
            region_name="eu-central-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(
                retries={"total_max_attempts": 1}, read_timeout=20, s3={"addressing_style": "path"}, **config
            ),
        )

    def stop(self) -> None:
        self._server.shutdown()


class Hand:
    """A clock that is set by hand; pausing moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def refused(call: Any, **arguments: Any) -> tuple[str, int]:
    """Code and status of a call that has to be refused."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
