"""Dry runs of EC2, which moto carries out for some calls. Source: EC2 API reference, common parameter DryRun."""

from __future__ import annotations

from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request, settle


@settle("ec2")
def _dry(request: Request) -> None:
    """Whoever may make a call is told so, and nothing is done."""
    if request.get("DryRun").lower() == "true":
        text = "Request would have succeeded, but DryRun flag is set."
        raise Refusal("DryRunOperation", text, 412)
