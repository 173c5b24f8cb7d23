"""Reads that lag behind writes, as those of EC2, IAM and others do. S3 and record sets don't lag."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree

from rehost.providers.sandbox.aws_api.operations import model_of
from rehost.providers.sandbox.wire import Answer, Call, Environ, body

_ID = re.compile(r"\b[a-z]{1,10}-[0-9a-f]{8,17}\b")
_ARN = re.compile(r"arn:aws[\w-]*:[^\s<>\"]+")
_ZONE = re.compile(r"/hostedzone/\w+")
_NAMED = re.compile(r"^\w*(Name|Identifier)$")

_EC2_MISSING = {
    "vpc": "InvalidVpcID.NotFound",
    "subnet": "InvalidSubnetID.NotFound",
    "igw": "InvalidInternetGatewayID.NotFound",
    "rtb": "InvalidRouteTableID.NotFound",
    "sg": "InvalidGroup.NotFound",
    "sgr": "InvalidSecurityGroupRuleId.NotFound",
    "i": "InvalidInstanceID.NotFound",
    "vol": "InvalidVolume.NotFound",
    "key": "InvalidKeyPair.NotFound",
    "eipalloc": "InvalidAllocationID.NotFound",
    "nat": "NatGatewayNotFound",
    "eni": "InvalidNetworkInterfaceID.NotFound",
    "snap": "InvalidSnapshot.NotFound",
    "ami": "InvalidAMIID.NotFound",
    "pg": "InvalidPlacementGroup.Unknown",
}


def _lags(call: Call) -> bool:
    return call.protocol != "s3" and call.operation not in (
        "ListResourceRecordSets",
        "GetCallerIdentity",
        "GetChange",
    )


def _asked(call: Call, environ: Environ) -> str:
    """Everything that a request names, as one text."""
    if call.params and call.protocol in ("ec2", "query"):
        return "\n".join(call.params.values())
    return f"{environ.get('PATH_INFO', '')}\n{body(environ).decode('utf-8', 'replace')}"


def born(call: Call, environ: Environ, answer: Answer) -> set[str]:
    """What a write made: ids and ARNs of its answer that its request did not know, and the name it gave."""
    if call.reads or not _lags(call):
        return set()
    text, asked = answer.body.decode("utf-8", "replace"), _asked(call, environ)
    pattern = _ID if call.protocol == "ec2" else _ZONE if call.service == "route53" else _ARN
    found = {name for name in pattern.findall(text) if name not in asked}
    if call.protocol == "query" and call.operation.startswith("Create"):
        found |= {f"{call.service} {key}={value}" for key, value in call.params.items() if _NAMED.match(key)}
    return found


def asks_for(call: Call, environ: Environ, hidden: set[str]) -> bool:
    """Whether a call needs by name or id what is not seen yet. Writes know what they are given, with one exception
    that Amazon documents: a launch with an instance profile made a moment ago."""
    if not _lags(call):
        return False
    if call.operation == "RunInstances":
        profile = call.params.get("IamInstanceProfile.Name") or call.params.get("IamInstanceProfile.Arn", "")
        return bool(profile) and (profile in hidden or f"iam InstanceProfileName={profile}" in hidden)
    if not call.reads:
        return False
    if call.protocol == "ec2":
        # Filters find nothing; what is asked for by id is an error.
        return any(value in hidden for key, value in call.params.items() if not key.startswith("Filter."))
    if call.protocol == "query" and any(f"{call.service} {k}={v}" in hidden for k, v in call.params.items()):
        return True
    asked = _asked(call, environ)
    return any(name in asked for name in hidden if " " not in name)


def missing(call: Call, environ: Environ, hidden: set[str]) -> tuple[str, int]:
    """Code and status of a thing that is not there."""
    if call.operation == "RunInstances":
        return "InvalidParameterValue", 400
    if call.protocol == "ec2":
        id_ = next(v for k, v in call.params.items() if v in hidden and not k.startswith("Filter."))
        return _EC2_MISSING.get(id_.split("-")[0], "InvalidParameterValue"), 400
    model = model_of(call.service)
    for error in model.get("operations", {}).get(call.operation, {}).get("errors", []):
        shape = error["shape"]
        if re.search(r"NoSuch|NotFound|NotExist", shape):
            trait: dict[str, Any] = model["shapes"][shape].get("error", {})
            return str(trait.get("code", shape)), int(trait.get("httpStatusCode", 400))
    return "ResourceNotFoundException", 400


def without(call: Call, answer: Answer, hidden: set[str]) -> Answer:
    """The answer to a list without what is not seen yet."""
    if answer.status != 200 or not call.reads or not _lags(call):
        return answer
    names = {name.partition("=")[2] if name.startswith(f"{call.service} ") else name for name in hidden}
    if call.protocol in ("json", "rest-json"):
        content = json.loads(answer.body or b"{}")
        for key, rows in content.items():
            if isinstance(rows, list):
                content[key] = [
                    r for r in rows if not (isinstance(r, dict) and names & {str(v) for v in r.values()})
                ]
        return Answer(200, answer.headers, json.dumps(content).encode())
    root = ElementTree.fromstring(answer.body)
    if root.tag.startswith("{"):
        ElementTree.register_namespace("", root.tag[1:].partition("}")[0])
    _strip(root, names, 0)
    return Answer(200, answer.headers, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _strip(element: ElementTree.Element, names: set[str], depth: int) -> None:
    """Rows of lists lie two or three levels down; what refers to the unseen is not seen either."""
    for child in list(element):
        if depth >= 1 and any((grandchild.text or "") in names for grandchild in child):
            element.remove(child)
        elif depth < 2:
            _strip(child, names, depth + 1)
