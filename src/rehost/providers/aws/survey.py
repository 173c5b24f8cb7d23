"""What there is in a region of an account, whoever made it: the import ids of all kinds, by listing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from rehost.providers.aws import tokens as t
from rehost.providers.aws.catalog import CATALOG
from rehost.providers.aws.kinds.common import Clients, Ec2Kind, ListedKind, chunks, everything
from rehost.providers.aws.kinds.instance import USUAL_METADATA
from rehost.providers.botoerrors import guarded
from rehost.providers.s3settings import Setting
from rehost.stacks.lift.items import Item, Items

_RULE = "aws:lb/listenerRule:ListenerRule"
_IMAGES = 200
_GP3 = {"iops": 3000, "throughput": 125}
"""What a gp3 volume has at least (EBS user guide)."""
_SERVICE_ROLES = "/aws-service-role/"


def survey(kinds: Mapping[str, Any], clients: Clients) -> Iterator[tuple[str, str]]:
    """Type token and import id of everything. One call or page for each kind, and one for each zone, load
    balancer, listener and target group."""
    for token, kind in kinds.items():
        if not isinstance(kind, Ec2Kind):
            continue
        rows = [row for page in kind.pages([]) for row in kind.unpack(page) if kind.alive(row)]
        for row in rows:
            yield token, kind.id_of(row)
            yield from _ties(token, row)
    for token, kind in kinds.items():
        if isinstance(kind, ListedKind) and token not in (t.LISTENER, _RULE):
            for row in kind.all():
                if not str(row.get("Path", "")).startswith(_SERVICE_ROLES):
                    yield token, str(row.get("DBInstanceIdentifier") or kind.id_of(row))
    yield from _balancing(clients["elbv2"])
    for zone in everything(clients["route53"], "list_hosted_zones", "HostedZones"):
        id_ = str(zone["Id"]).rsplit("/", 1)[-1]
        yield t.ZONE, id_
        for row in everything(
            clients["route53"], "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=id_
        ):
            name = str(row["Name"]).rstrip(".").replace("\\052", "*")
            yield t.RECORD, f"{id_}_{name}_{row['Type']}"
    for row in everything(clients["acm"], "list_certificates", "CertificateSummaryList"):
        yield t.CERTIFICATE, str(row["CertificateArn"])
    with guarded("list_buckets"):
        buckets = [str(row["Name"]) for row in clients["s3"].list_buckets()["Buckets"]]
    for bucket in buckets:
        yield t.BUCKET, bucket
        yield from ((token, bucket) for token, kind in kinds.items() if isinstance(kind, Setting))


def _ties(token: str, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What only ties others together is told by those."""
    if token == t.TABLE:
        for route in row.get("Routes", []):
            if route.get("DestinationCidrBlock") and route.get("GatewayId") != "local":
                yield t.ROUTE, f"{row['RouteTableId']}_{route['DestinationCidrBlock']}"
        for join in row.get("Associations", []):
            if join.get("SubnetId"):
                yield t.ASSOCIATION, f"{join['SubnetId']}/{row['RouteTableId']}"
    elif token == t.VOLUME:
        for join in row.get("Attachments", []):
            yield t.ATTACHMENT, f"{join['Device']}:{row['VolumeId']}:{join['InstanceId']}"
    elif token == t.ADDRESS:
        yield t.ADDRESS_NAME, str(row["AllocationId"])
        if row.get("AssociationId") and row.get("InstanceId"):
            yield t.ADDRESSED, str(row["AssociationId"])


def _balancing(client: Any) -> Iterator[tuple[str, str]]:
    for balancer in everything(client, "describe_load_balancers", "LoadBalancers"):
        arn = balancer["LoadBalancerArn"]
        for listener in everything(client, "describe_listeners", "Listeners", LoadBalancerArn=arn):
            yield t.LISTENER, str(listener["ListenerArn"])
            for rule in everything(client, "describe_rules", "Rules", ListenerArn=listener["ListenerArn"]):
                if not rule.get("IsDefault"):
                    yield _RULE, str(rule["RuleArn"])
    for group in everything(client, "describe_target_groups", "TargetGroups"):
        arn = group["TargetGroupArn"]
        for row in everything(client, "describe_target_health", "TargetHealthDescriptions", TargetGroupArn=arn):
            yield t.TARGET, f"{arn},{row['Target']['Id']},{row['Target'].get('Port', group.get('Port'))}"


def about(clients: Clients, items: Items) -> dict[str, dict[str, Any]]:
    """Neutral names of images, and the public halves of keys."""
    wanted = sorted({str(item.inputs["ami"]) for item in items.of(t.INSTANCE) if item.inputs.get("ami")})
    images: dict[str, Any] = {}
    for chunk in chunks(wanted, _IMAGES):
        with guarded("describe_images"):
            rows = clients["ec2"].describe_images(Filters=[{"Name": "image-id", "Values": chunk}])["Images"]
        for row in rows:
            architecture = str(row.get("Architecture", ""))
            for name, known in CATALOG.images.items():
                if fnmatchcase(str(row.get("Name", "")), known.get(architecture, "")):
                    images[str(row["ImageId"])] = {"name": name, "architecture": architecture}
    with guarded("describe_key_pairs"):
        keys = clients["ec2"].describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    return {"images": images, "keys": {str(row["KeyName"]): row.get("PublicKey", "") for row in keys}}


def tidy(items: Sequence[Item]) -> list[Item]:
    """The items without what belongs to another one (root disks belong to their servers), and without inputs that
    say what is so anyway."""
    roots = {
        (item.outputs.get("rootBlockDevice") or {}).get("volumeId") for item in items if item.type == t.INSTANCE
    }
    kept = []
    for item in items:
        if (item.type == t.VOLUME and item.id in roots) or (
            item.type == t.ATTACHMENT and item.inputs.get("volumeId", item.outputs.get("volumeId")) in roots
        ):
            continue
        kept.append(replace(item, inputs=_plain(item)))
    return kept


def _plain(item: Item) -> dict[str, Any]:
    inputs = dict(item.inputs)
    if item.type == t.INSTANCE:
        options = inputs.get("metadataOptions") or {}
        inputs["metadataOptions"] = {
            key: value for key, value in options.items() if USUAL_METADATA.get(key) != value
        }
    if item.type == t.VOLUME and inputs.get("type") == "gp3":
        for key, value in _GP3.items():
            if inputs.get(key) == value:
                del inputs[key]
    if item.type == t.TARGETS and inputs.get("protocolVersion") == "HTTP1":
        del inputs["protocolVersion"]
    if item.type == t.LISTENER and inputs.get("protocol") not in ("HTTPS", "TLS"):
        inputs.pop("sslPolicy", None)
    if item.type == t.ADDRESS and inputs.get("publicIpv4Pool") == "amazon":
        del inputs["publicIpv4Pool"]
    return inputs
