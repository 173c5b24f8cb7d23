"""Calls and failures of AWS, in the shapes of its five protocols.

Sources: the smithy protocol specifications; EC2, S3, Route 53 and IAM API references, Common Errors.
"""

from __future__ import annotations

import json
import uuid
from xml.sax.saxutils import escape

from rehost.providers.sandbox.aws_api import stale
from rehost.providers.sandbox.aws_api.operations import call_of
from rehost.providers.sandbox.wire import Answer, Call, Environ

_THROTTLE = {
    "ec2": ("RequestLimitExceeded", 503, "Request limit exceeded."),
    "s3": ("SlowDown", 503, "Please reduce your request rate."),
    "query": ("Throttling", 400, "Rate exceeded"),
    "rest-xml": ("Throttling", 400, "Rate exceeded"),
    "json": ("ThrottlingException", 400, "Rate exceeded"),
    "rest-json": ("ThrottlingException", 429, "Rate exceeded"),
}
_ERROR = {
    "ec2": ("InternalError", 500, "An internal error has occurred"),
    "s3": ("InternalError", 500, "We encountered an internal error. Please try again."),
    "query": ("InternalFailure", 500, "The request processing has failed because of an unknown error"),
    "rest-xml": ("InternalFailure", 500, "The request processing has failed because of an unknown error"),
    "json": ("InternalServiceError", 500, "An error occurred on the server side"),
    "rest-json": ("InternalServiceError", 500, "An error occurred on the server side"),
}


def refusal(call: Call, code: str, status: int, message: str) -> Answer:
    """An error answer in the protocol of a call."""
    request = str(uuid.uuid4())
    if call.protocol in ("json", "rest-json"):
        content = json.dumps({"__type": code, "message": message}).encode()
        headers = [
            ("Content-Type", "application/x-amz-json-1.1"),
            ("x-amzn-ErrorType", code),
            ("x-amzn-RequestId", request),
        ]
        return Answer(status, headers, content)
    error = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    if call.protocol == "ec2":
        text = f"<Response><Errors><Error>{error}</Error></Errors><RequestID>{request}</RequestID></Response>"
    elif call.protocol == "s3":
        text = f"<Error>{error}<RequestId>{request}</RequestId><HostId>sandbox</HostId></Error>"
    else:
        who = "Sender" if status < 500 else "Receiver"
        inner = f"<Error><Type>{who}</Type>{error}</Error><RequestId>{request}</RequestId>"
        text = f"<ErrorResponse>{inner}</ErrorResponse>"
    headers = [
        ("Content-Type", "text/xml" if call.protocol != "s3" else "application/xml"),
        ("x-amz-request-id", request),
    ]
    return Answer(status, headers, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode())


class AwsDialect:
    """Calls are named as the service models name them: `ec2:RunInstances`, `s3:PutObject`."""

    def call(self, environ: Environ) -> Call:
        """The call that a request is, looked up once."""
        known: Call | None = environ.get("rehost.call")
        if known is None:
            known = environ["rehost.call"] = call_of(environ)
        return known

    def failure(self, call: Call, kind: str, code: str, status: int, message: str) -> Answer:
        """A throttled or failed call as that service words it."""
        usual = (_THROTTLE if kind == "throttle" else _ERROR)[call.protocol]
        return refusal(call, code or usual[0], status or usual[1], message or usual[2])

    def born(self, call: Call, environ: Environ, answer: Answer) -> set[str]:
        """Ids, ARNs and names of what a call made."""
        return stale.born(call, environ, answer)

    def veil(self, call: Call, environ: Environ, answer: Answer, hidden: set[str]) -> Answer:
        """A read that does not know of the hidden yet."""
        if stale.asks_for(call, environ, hidden):
            code, status = stale.missing(call, environ, hidden)
            return refusal(call, code, status, "The resource does not exist (yet)")
        return stale.without(call, answer, hidden)
