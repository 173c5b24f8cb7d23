"""Amazon's resources to components."""

from __future__ import annotations

from collections.abc import Mapping

from rehost.providers.aws import tokens as t
from rehost.providers.aws.lift import edge, managed, network, rules, servers, storage
from rehost.providers.aws.lift.job import AwsJob
from rehost.stacks.bucketuse import region
from rehost.stacks.lift.draft import Draft, LiftJob
from rehost.stacks.lift.issued import issued
from rehost.stacks.lift.services import roles, services

OVERRIDABLE: Mapping[str, str] = {
    t.VPC: "network",
    t.GROUP: "firewalls",
    t.INSTANCE: "servers",
    t.VOLUME: "volumes",
    t.ADDRESS: "static_addresses",
    t.CERTIFICATE: "certificates",
    t.BALANCER: "load_balancers",
    t.DATABASE: "databases",
    t.CACHE: "caches",
    t.BUCKET: "buckets",
}
_NO_FORM = {
    t.ADDRESS_NAME: "it is that of an address that is not lifted; it stays as it is",
    t.NAT: "the way out of the stack leads through others; what leads through it stays as it is",
    "aws:iam/role:Role": "a stack file has no roles; servers keep their instance profile as an override",
    "aws:iam/rolePolicy:RolePolicy": "a stack file has no roles",
    "aws:iam/instanceProfile:InstanceProfile": "a stack file has no roles",
    "aws:secretsmanager/secret:Secret": "its value is not read; give it to the stack as a secret with from_env",
    "aws:secretsmanager/secretVersion:SecretVersion": "values of secrets are not read",
    "aws:lb/listenerRule:ListenerRule": "a stack file has no rules by path or host; it stays as it is",
    "aws:lb/listenerCertificate:ListenerCertificate": "a listener has one certificate here; it stays as it is",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        "a stack file does not say how buckets are encrypted; it stays as it is"
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": (
        "a stack file does not say whose objects are; it stays as it is"
    ),
}


def lift(job: LiftJob) -> Draft:
    """The components that Amazon's resources are."""
    made = AwsJob(job)
    network.lift(made)
    servers.group(made)
    network.routes(made)
    rules.lift(made)
    servers.keys(made)
    servers.lift(made)
    servers.volumes(made)
    servers.addresses(made)
    issued(made)
    edge.certificates(made)
    edge.load_balancers(made)
    managed.lift(made)
    storage.buckets(made)
    storage.zones(made)
    # Texts refer to all that was lifted so far: only now is it known what they stand for.
    texts = made.texts()
    roles(made.items, made.draft, lambda item: made.name_of(item.inputs.get("databaseId"), t.DATABASE), texts)
    services(made.items, made.draft, made.member, texts, region(job.target.region))
    servers.roles(made)
    managed.stored_secrets(made)
    for later in made.later:
        later(texts)
    for item in made.items.of(*_NO_FORM):
        if item.key not in made.draft.known and item.key not in made.draft.claims.values():
            made.draft.leave(item, _NO_FORM[item.type])
    return made.draft
