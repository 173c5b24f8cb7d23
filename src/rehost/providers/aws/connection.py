"""The live half of the AWS adapter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import boto3
from botocore.config import Config

from rehost.providers import s3settings
from rehost.providers.aws import survey
from rehost.providers.aws.catalog import CATALOG
from rehost.providers.aws.kinds import (
    address,
    address_name,
    bucket,
    cache,
    certificate,
    database,
    database_groups,
    instance,
    internet_gateway,
    key_pair,
    listener,
    listener_rule,
    load_balancer,
    nat_gateway,
    placement_group,
    record,
    role,
    route,
    route_table,
    route_table_association,
    secret,
    security_group,
    security_group_rule,
    subnet,
    target_group,
    volume,
    volume_attachment,
    vpc,
    zone,
)
from rehost.providers.aws.kinds.common import Clients
from rehost.providers.aws.texts import Texts
from rehost.providers.base import KindDispatch, RuleBook
from rehost.providers.botoerrors import guarded
from rehost.providers.hosts import host_kinds, pool_for
from rehost.providers.s3 import S3Objects
from rehost.providers.s3wire import Wire
from rehost.stacks.errors import InvalidInput, ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.lift.items import Item, Items
from rehost.stacks.model import Target
from rehost.stacks.ports import Call, Candidate, HostedZone, Identity, Known, Live, Need
from rehost.stacks.sql import role as sql_role

_CLASSES: Sequence[Any] = (
    address.Eip,
    address.EipAssociation,
    address_name.EipDomainName,
    bucket.Bucket,
    cache.ReplicationGroup,
    cache.SubnetGroup,
    certificate.Certificate,
    certificate.CertificateValidation,
    database.Instance,
    database_groups.ParameterGroup,
    database_groups.SubnetGroup,
    instance.Instance,
    internet_gateway.InternetGateway,
    key_pair.KeyPair,
    listener.Listener,
    listener.ListenerCertificate,
    listener_rule.ListenerRule,
    load_balancer.LoadBalancer,
    nat_gateway.NatGateway,
    placement_group.PlacementGroup,
    record.Record,
    role.InstanceProfile,
    role.Role,
    role.RolePolicy,
    route.Route,
    route_table.RouteTable,
    route_table_association.RouteTableAssociation,
    secret.Secret,
    secret.SecretVersion,
    security_group.SecurityGroup,
    security_group_rule.EgressRule,
    security_group_rule.IngressRule,
    subnet.Subnet,
    target_group.TargetGroup,
    target_group.TargetGroupAttachment,
    volume.Volume,
    volume_attachment.VolumeAttachment,
    vpc.Vpc,
    zone.Zone,
)
KINDS: Mapping[str, Any] = {
    **{kind.token: kind for kind in _CLASSES},
    "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration": s3settings.BucketCors,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": s3settings.BucketLifecycle,
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": s3settings.BucketOwnership,
    "aws:s3/bucketPolicy:BucketPolicy": s3settings.BucketPolicy,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": s3settings.BucketPublicAccessBlock,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        s3settings.BucketEncryption
    ),
    "aws:s3/bucketVersioning:BucketVersioning": s3settings.BucketVersioning,
}
LAG_TRIES, LAG_S = 10, 3.0
"""How often a create is repeated that refers to something which was made a moment ago, and after how many
seconds. IAM is the slowest to tell the others."""


class _Noting:
    """A call that remembers whether something was made: then it must not be repeated."""

    def __init__(self, call: Call) -> None:
        self._call, self.noted = call, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def made(self, id_: str) -> None:
        """Journal the id."""
        self.noted = True
        self._call.made(id_)


def _lags(error: ProviderError) -> bool:
    unknown_profile = error.code == "InvalidParameterValue" and "iamInstanceProfile" in error.summary
    return error.reason is Reason.NOT_FOUND or unknown_profile


class AwsConnection(KindDispatch):
    """Clients of one region. Repeats are the engine's: boto3's own are off."""

    def __init__(self, target: Target, environment: Mapping[str, str], book: RuleBook) -> None:
        self.environment = environment
        session = boto3.session.Session(
            aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=environment.get("AWS_SESSION_TOKEN"),
            profile_name=target.options.get("profile"),
            region_name=target.region,
        )
        self._credentials = session.get_credentials()
        if self._credentials is None:
            raise InvalidInput(
                f"there are no AWS credentials for the target {target.name}",
                why="none of the places that AWS's own tools look in has any",
                fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
            )
        endpoint = environment.get("AWS_ENDPOINT_URL") or None
        config = Config(
            retries={"total_max_attempts": 1},
            max_pool_connections=64,
            connect_timeout=10,
            read_timeout=60,
            s3={"addressing_style": "path"} if endpoint else None,
        )
        make: Any = session.client
        self._clients = Clients(lambda service: make(service, endpoint_url=endpoint, config=config))
        self._texts = Texts(self._clients)
        sandbox = environment.get("REHOST_SANDBOX")
        self._endpoint = (
            f"sandbox:{sandbox}" if sandbox else endpoint or session.get_partition_for_region(target.region)
        )
        kinds: dict[str, Any] = {token: kind(self._clients, book.rules(token)) for token, kind in KINDS.items()}
        self._servers = kinds[instance.Instance.token]
        self._hosts = pool_for(environment, "aws", endpoint or "")
        self.kinds = {**kinds, **host_kinds(self._hosts, self._has_server)}
        self.kinds[sql_role.TOKEN] = sql_role.RoleKind(self.sql)

    def _has_server(self, id_: str) -> bool:
        return self._servers.read([Known("", id_, {}, {})])[0] is not None

    def create(self, call: Call, token: str, inputs: Mapping[str, Value]) -> Live:
        """Make the resource and wait until it can be used; what it refers to may be known here only later."""
        first = _Noting(call)
        for _ in range(LAG_TRIES):
            try:
                return super().create(first, token, inputs)
            except ProviderError as error:
                if first.noted or not _lags(error):
                    raise
            call.pause(LAG_S)
        return super().create(call, token, inputs)

    def identify(self, deployment: str) -> Identity:
        """The account of the credentials."""
        del deployment
        return Identity(self._endpoint, self._clients.account)

    def hosted_zones(self, name: str) -> Sequence[HostedZone]:
        """The public zones of the account that a name could be in."""
        return self._texts.hosted_zones(name)

    def add_text(self, call: Call, zone: HostedZone, name: str, text: str) -> None:
        """Add a text to the TXT records of a name."""
        self._texts.add_text(call, zone, name, text)

    def drop_text(self, call: Call, zone: HostedZone, name: str, text: str) -> None:
        """Take a text off the TXT records of a name."""
        self._texts.drop_text(call, zone, name, text)

    def offers(self, need: Need) -> Sequence[Candidate] | None:
        """Images by their owner and name pattern, the newest first; zones of the region by name. Amazon does not
        tell beforehand what there is room for."""
        if need.kind not in ("zones", "image"):
            return None
        ec2 = self._clients["ec2"]
        if need.kind == "zones":
            with guarded("describe_availability_zones"):
                answer = ec2.describe_availability_zones(Filters=[{"Name": "state", "Values": ["available"]}])
            names = sorted(row["ZoneName"] for row in answer["AvailabilityZones"])
            return [Candidate(names, f"the zones of the region: {', '.join(names)}")] if names else []
        architecture = need.requirement["architecture"]
        image = CATALOG.images[need.requirement["image"]]
        filters = [
            {"Name": "name", "Values": [image[architecture]]},
            {"Name": "architecture", "Values": [architecture]},
            {"Name": "state", "Values": ["available"]},
        ]
        with guarded("describe_images"):
            found = ec2.describe_images(Owners=[image["owner"]], Filters=filters)["Images"]
        found.sort(key=lambda row: (row.get("CreationDate", ""), row["Name"]), reverse=True)
        return [Candidate(row["ImageId"], f"{row['ImageId']}: {row['Name']}") for row in found]

    @property
    def clients(self) -> Clients:
        """The clients by service."""
        return self._clients

    def image(self, need: Need) -> str | None:
        """The newest image that meets a need."""
        found = self.offers(need)
        return str(found[0].value) if found else None

    def objects(self, bucket: Mapping[str, Value]) -> S3Objects:
        """The content of a bucket."""
        return S3Objects(Wire.of(self._clients["s3"], self._credentials), str(bucket["bucket"]))

    def survey(self) -> Iterable[tuple[str, str]]:
        """Everything of the kinds that there are, in this region and account."""
        return survey.survey(self.kinds, self._clients)

    def about(self, items: Items) -> Mapping[str, Mapping[str, Any]]:
        """Names of images and public halves of keys."""
        return survey.about(self._clients, items)

    def tidy(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items without root disks."""
        return survey.tidy(items)

    def close(self) -> None:
        """Close the connections."""
        if self._hosts is not None:
            self._hosts.close()
        for client in self._clients.values():
            client.close()
