"""Tags of EC2. Source: EC2 user guide, "Tag restrictions"."""

from __future__ import annotations

import re

from rehost.providers.sandbox.aws_api.strict.rules import Refusal, Request, settle

MOST = 50
_KEY = re.compile(r"(?:TagSpecification\.\d+\.)?Tag\.\d+\.Key")


@settle("ec2")
def _tags(request: Request) -> None:
    """Keys and values of any call that sets tags."""
    operation = request.call.operation
    if not operation.startswith(("Create", "Run", "Allocate", "Import", "Authorize", "Register", "Copy")):
        return
    keys = [(name, value) for name, value in request.call.params.items() if _KEY.fullmatch(name)]
    groups: dict[str, int] = {}
    for name, key in keys:
        value = request.get(name[: -len("Key")] + "Value")
        if key.lower().startswith("aws:"):
            text = f"Value ( {key} ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved"
            raise Refusal("InvalidParameterValue", text)
        if not key or len(key) > 128:
            raise Refusal("InvalidParameterValue", "Tag key exceeds the maximum length of 128 characters")
        if len(value) > 256:
            raise Refusal("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters")
        group = name.partition("Tag.")[0]
        groups[group] = groups.get(group, 0) + 1
    if any(count > MOST for count in groups.values()):
        raise Refusal("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
