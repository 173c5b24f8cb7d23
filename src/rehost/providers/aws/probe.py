"""Whether an AWS account is ready: the right to every kind of create, by dry runs where the API has them and by
making and removing something free where it has not; limits by Service Quotas, or by making what is counted.

Ports: outgoing 25 is closed for instances until a request to remove the limit is granted (EC2 user guide).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rehost.providers import probes
from rehost.providers.aws import tokens as t
from rehost.providers.aws.prices import charges
from rehost.providers.aws.probe_free import FREE, calls
from rehost.providers.botoerrors import guarded
from rehost.providers.probes import LABEL, PREFIX
from rehost.stacks.catalog import HOURS, Bill, Sheet
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.ports import Need
from rehost.stacks.readiness import Hands, Result, Verdict, Wanted, failed

BLOCKED = {25: "ask for the removal of the email sending limitation (AWS support form), or use port 587"}
_NONE = "0123456789abcdef0"
DRY: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    t.VPC: ("create_vpc", {"CidrBlock": "10.250.0.0/24"}),
    t.SUBNET: ("create_subnet", {"VpcId": f"vpc-{_NONE}", "CidrBlock": "10.250.0.0/25"}),
    t.GATEWAY: ("create_internet_gateway", {}),
    t.TABLE: ("create_route_table", {"VpcId": f"vpc-{_NONE}"}),
    t.GROUP: ("create_security_group", {"GroupName": f"{PREFIX}dry", "Description": "a dry run"}),
    t.VOLUME: ("create_volume", {"Size": 1, "VolumeType": "gp3"}),
    t.ADDRESS: ("allocate_address", {"Domain": "vpc"}),
    t.NAT: ("create_nat_gateway", {"SubnetId": f"subnet-{_NONE}"}),
    t.PLACEMENT: ("create_placement_group", {"GroupName": f"{PREFIX}dry", "Strategy": "spread"}),
    t.KEY: ("import_key_pair", {"KeyName": f"{PREFIX}dry", "PublicKeyMaterial": b"ssh-ed25519 AAAA"}),
}
"""Calls with DryRun by what they would make. EC2 looks at the rights first, whatever else is wrong."""
READS: Mapping[str, tuple[str, str]] = {
    t.BALANCER: ("elbv2", "describe_load_balancers"),
    t.LISTENER: ("elbv2", "describe_target_groups"),
    t.ZONE: ("route53", "list_hosted_zones"),
    t.CERTIFICATE: ("acm", "list_certificates"),
    t.DATABASE: ("rds", "describe_db_instances"),
    t.CACHE: ("elasticache", "describe_replication_groups"),
    t.BUCKET: ("s3", "list_buckets"),
    t.SECRET: ("secretsmanager", "list_secrets"),
}
QUOTAS: Mapping[str, tuple[str, str, str]] = {
    t.VPC: ("vpc", "L-F678F1CE", "networks"),
    t.ADDRESS: ("ec2", "L-0263D0A3", "addresses"),
    t.DATABASE: ("rds", "L-7B6409FD", "databases"),
    t.BALANCER: ("elasticloadbalancing", "L-53DA6B97", "application load balancers"),
}
"""Codes of Service Quotas, and what they count."""
_VCPU = ("ec2", "L-1216C47A")
"""Running on-demand instances of the standard families, in vCPUs."""
_MORE = "ask for a higher quota (Service Quotas in the console), or remove what is not needed"


class AwsProber:
    """Checks of one account in one region."""

    blocked = BLOCKED

    def __init__(
        self,
        wanted: Wanted,
        clients: Mapping[str, Any],
        sheet: Sheet,
        image: Callable[[Need], Any],
        hands: Hands,
    ) -> None:
        self._wanted, self._clients, self._sheet, self._image, self._hands = wanted, clients, sheet, image, hands
        self._mark = wanted.mark

    # -- what it does --------------------------------------------------------------------------------------

    def intends(self) -> Sequence[str]:
        """What is made for a moment; dry runs make nothing."""
        lines = []
        addresses = self._missing(t.ADDRESS)
        if addresses:
            lines.append(f"{addresses} addresses{self._cost(t.ADDRESS)}")
        networks = self._missing(t.VPC) or bool(self._missing(t.INSTANCE))
        if networks:
            lines.append("1 network with a subnet")
        if self._missing(t.INSTANCE):
            about = "where Service Quotas does not tell how many there may be"
            lines.append(f"{self._missing(t.INSTANCE)} instances{self._cost(t.INSTANCE)}, {about}")
        made = [what for token, what in FREE if self._missing(token)]
        lines += [f"1 {what}" for what in dict.fromkeys(made)]
        if self._wanted.stack.buckets:
            lines.append("1 bucket with one object")
        return lines

    def _missing(self, token: str) -> int:
        return self._wanted.missing.get(token, 0)

    def _cost(self, token: str) -> str:
        found = [c for r in self._wanted.those(token) for c in charges(self._sheet, token, dict(r.inputs))]
        bill = Bill.of(found)
        least = "at least " if bill.unknown else ""
        return f" (about {least}USD {bill.known / HOURS:.4f} for an hour)" if bill.known else " (price unknown)"

    def checks(self) -> Iterator[Result]:
        """Credentials, rights, quotas, buckets."""
        try:
            account = self._call("sts", "get_caller_identity")["Account"]
        except ProviderError as error:
            yield failed(
                "credentials", "AWS credentials", error, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
            return
        yield Result("credentials", "AWS credentials", Verdict.OK, f"of the account {account}")
        yield from self._rights()
        yield from self._quotas()
        if self._wanted.stack.buckets:
            yield from probes.bucket(self._clients["s3"], self._mark, self._wanted.target.region, self._hands)

    def _call(self, service: str, operation: str, **given: Any) -> Any:
        def once() -> Any:
            with guarded(operation):
                return getattr(self._clients[service], operation)(**given)

        return self._hands.patiently(once)

    # -- rights --------------------------------------------------------------------------------------------

    def _rights(self) -> Iterator[Result]:
        zone = ""
        for token, (operation, given) in DRY.items():
            if self._wanted.first(token) is None:
                continue
            if token == t.VOLUME:
                zone = zone or self._call("ec2", "describe_availability_zones")["AvailabilityZones"][0]["ZoneName"]
                given = {**given, "AvailabilityZone": zone}
            yield self._dry(operation, given)
        if self._wanted.first(t.INSTANCE) is not None:
            yield self._dry("run_instances", {"MinCount": 1, "MaxCount": 1, **self._launch()})
        for token, (service, operation) in READS.items():
            if self._wanted.first(token) is None:
                continue
            what = f"{service}:{_action(operation)}"
            try:
                self._call(service, operation)
                yield Result("rights", what, Verdict.OK)
            except ProviderError as error:
                yield self._denied(what, error)
        for token, what in FREE:
            if self._wanted.first(token) is not None:
                yield from self._free(token, what)

    def _dry(self, operation: str, given: Mapping[str, Any]) -> Result:
        what = f"ec2:{_action(operation)}"
        try:
            self._call("ec2", operation, DryRun=True, **given)
        except ProviderError as error:
            if error.code == "DryRunOperation":
                return Result("rights", what, Verdict.OK, "by a dry run")
            if error.reason is Reason.DENIED:
                return self._denied(what, error)
            # It got past the rights, and something else was found.
            return Result(
                "rights", what, Verdict.UNPROVEN, f"the dry run ended with {error.code or error.summary}"
            )
        return Result("rights", what, Verdict.UNPROVEN, "the provider took the dry run without a word")

    def _denied(self, what: str, error: ProviderError) -> Result:
        if error.reason is Reason.DENIED:
            return failed("rights", what, error, f"allow {what} in the policy of these credentials")
        return failed("rights", what, error)

    def _launch(self) -> dict[str, Any]:
        first = self._wanted.first(t.INSTANCE)
        assert first is not None
        given: dict[str, Any] = {"InstanceType": str(first.inputs["instanceType"])}
        image = self._image(Need("", "image", {"image": self._neutral()[0], "architecture": self._neutral()[1]}))
        return given | ({"ImageId": image} if image else {})

    def _neutral(self) -> tuple[str, str]:
        server = next(iter(self._wanted.stack.servers.values()))
        return server.image, server.architecture

    def _free(self, token: str, what: str) -> Iterator[Result]:
        """Make something of a service that costs nothing, and remove it."""
        name = f"{PREFIX}{self._mark}-{secrets.token_hex(3)}"
        service, make, given, remove = calls(token, name)
        action = f"{service}:{_action(make)}"
        try:
            made = self._call(service, make, **given)
            yield Result("rights", action, Verdict.OK, f"made and removed a {what}")
            operation, arguments = remove(made)
            self._call(service, operation, **arguments)
        except ProviderError as error:
            yield self._denied(action, error)

    # -- quotas --------------------------------------------------------------------------------------------

    def _quota(self, service: str, code: str) -> float | None:
        try:
            answer = self._call("service-quotas", "get_service_quota", ServiceCode=service, QuotaCode=code)
            return float(answer["Quota"]["Value"])
        except ProviderError:
            return None  # not told here, or not allowed: then it is tried

    def _quotas(self) -> Iterator[Result]:
        for token in (t.DATABASE, t.BALANCER):
            count = self._missing(token)
            if count:
                service, code, what = QUOTAS[token]
                yield self._told(service, code, count, f"{count} {what}", self._there(token))
        if self._missing(t.ADDRESS):
            yield from self._addresses(self._missing(t.ADDRESS))
        if self._missing(t.VPC) or self._missing(t.INSTANCE):
            yield from self._network()

    def _there(self, token: str) -> int:
        service, operation = READS[token]
        rows = self._call(service, operation)
        return len(next((value for value in rows.values() if isinstance(value, list)), ()))

    def _told(self, service: str, code: str, count: int, what: str, there: int) -> Result:
        most = self._quota(service, code)
        if most is None:
            return Result("quota", what, Verdict.UNPROVEN, "Service Quotas does not tell")
        told = f"{there} of {most:g} are in use"
        if there + count > most:
            return Result("quota", what, Verdict.FAILED, told, _MORE)
        return Result("quota", what, Verdict.OK, told)

    def _tags(self, kind: str) -> list[dict[str, Any]]:
        tags = [{"Key": LABEL, "Value": self._mark}, {"Key": "Name", "Value": f"{PREFIX}{self._mark}"}]
        return [{"ResourceType": kind, "Tags": tags}]

    def _addresses(self, count: int) -> Iterator[Result]:
        for number in range(count):
            try:
                self._call("ec2", "allocate_address", Domain="vpc", TagSpecifications=self._tags("elastic-ip"))
            except ProviderError as error:
                yield self._short("addresses", count, number, error)
                break
        else:
            yield Result("quota", f"{count} addresses", Verdict.OK, "made and released")
        self._clean_addresses()

    def _short(self, what: str, count: int, number: int, error: ProviderError) -> Result:
        if error.reason is Reason.QUOTA:
            told = f"only {number} more can be had: {error.summary}"
            return Result("quota", f"{count} {what}", Verdict.FAILED, told, _MORE)
        if error.code == "InsufficientInstanceCapacity":
            fix = "choose another type by name (--choose servers.NAME.type=TYPE), or another region"
            return Result("capacity", f"{count} {what}", Verdict.FAILED, error.summary, fix)
        if error.reason is Reason.DENIED:
            return self._denied(f"ec2: {what}", error)
        return failed("quota", f"{count} {what}", error)

    def _network(self) -> Iterator[Result]:
        """A network can be had, and in it the instances."""
        try:
            vpc = self._call("ec2", "create_vpc", CidrBlock="10.250.0.0/24", TagSpecifications=self._tags("vpc"))[
                "Vpc"
            ]["VpcId"]
        except ProviderError as error:
            yield self._short("networks", max(1, self._missing(t.VPC)), 0, error)
            return
        yield Result("quota", "1 network", Verdict.OK, "made and removed")
        if self._missing(t.INSTANCE):
            yield from self._instances(vpc)
        self._clean_network()

    def _instances(self, vpc: str) -> Iterator[Result]:
        wanted = self._wanted.those(t.INSTANCE)
        sizes = [self._sheet.named("servers", str(r.inputs["instanceType"])) for r in wanted]
        cpus = [offer.cpu or 0 for offer in sizes if offer]
        most = self._quota(*_VCPU)
        if most is not None and len(cpus) == len(wanted):
            used, need = self._vcpus(), sum(cpus)
            told, what = f"{used} of {most:g} vCPUs are in use", f"{need} vCPUs for {len(wanted)} servers"
            verdict = Verdict.OK if used + need <= most else Verdict.FAILED
            yield Result("quota", what, verdict, told, "" if verdict is Verdict.OK else _MORE)
            return
        subnet = self._call(
            "ec2", "create_subnet", VpcId=vpc, CidrBlock="10.250.0.0/24", TagSpecifications=self._tags("subnet")
        )["Subnet"]["SubnetId"]
        for number, resource in enumerate(wanted):
            given = {**self._launch(), "InstanceType": str(resource.inputs["instanceType"])}
            try:
                self._call(
                    "ec2", "run_instances", MinCount=1, MaxCount=1, SubnetId=subnet, **given,
                    TagSpecifications=self._tags("instance"),
                )  # fmt: skip
            except ProviderError as error:
                yield self._short("servers", len(wanted), number, error)
                return
        yield Result("quota", f"{len(wanted)} servers", Verdict.OK, "started and terminated")

    def _vcpus(self) -> int:
        rows = self._call(
            "ec2", "describe_instances", Filters=[{"Name": "instance-state-name", "Values": ["running"]}]
        )
        used = 0
        for reservation in rows["Reservations"]:
            for row in reservation["Instances"]:
                options = row.get("CpuOptions") or {}
                used += int(options.get("CoreCount", 1)) * int(options.get("ThreadsPerCore", 1))
        return used

    # -- cleaning ------------------------------------------------------------------------------------------

    def _heedless(self, service: str, operation: str, **given: Any) -> Any:
        def once() -> Any:
            with guarded(operation):
                return getattr(self._clients[service], operation)(**given)

        try:
            return self._hands.patiently(once, heedless=True, tries=20)
        except ProviderError as error:
            if error.reason in (Reason.NOT_FOUND, Reason.DENIED):
                return {}
            raise

    @property
    def _mine(self) -> list[dict[str, Any]]:
        return [{"Name": f"tag:{LABEL}", "Values": [self._mark]}]

    def _clean_addresses(self) -> list[str]:
        rows = self._heedless("ec2", "describe_addresses", Filters=self._mine).get("Addresses", ())
        for row in rows:
            self._heedless("ec2", "release_address", AllocationId=row["AllocationId"])
        return [f"address {row['PublicIp']}" for row in rows]

    def _clean_network(self) -> list[str]:
        living = ["pending", "running", "stopping", "stopped", "shutting-down"]
        states = [*self._mine, {"Name": "instance-state-name", "Values": living}]

        def instances() -> list[str]:
            answer = self._heedless("ec2", "describe_instances", Filters=states)
            return [row["InstanceId"] for r in answer.get("Reservations", ()) for row in r["Instances"]]

        removed = instances()
        if removed:
            self._heedless("ec2", "terminate_instances", InstanceIds=removed)
            for _ in range(240):
                if not instances():
                    break
                self._hands.clock.wait(self._never, 2.0)
        told = [f"instance {id_}" for id_ in removed]
        for row in self._heedless("ec2", "describe_subnets", Filters=self._mine).get("Subnets", ()):
            self._heedless("ec2", "delete_subnet", SubnetId=row["SubnetId"])
            told.append(f"subnet {row['SubnetId']}")
        for row in self._heedless("ec2", "describe_vpcs", Filters=self._mine).get("Vpcs", ()):
            self._heedless("ec2", "delete_vpc", VpcId=row["VpcId"])
            told.append(f"network {row['VpcId']}")
        return told

    @property
    def _never(self) -> Any:
        from threading import Event

        return Event()

    def clean(self) -> Sequence[str]:
        """Everything with the tag goes, and what has the name where there are no tags to look for."""
        try:
            removed = [*self._clean_addresses(), *self._clean_network()]
            for token, what in FREE:
                if self._wanted.first(token) is not None:
                    removed += self._clean_free(token, what)
            if self._wanted.stack.buckets:
                removed += probes.clean_buckets(self._clients["s3"], self._mark, self._hands)
        except ProviderError as error:
            if error.reason is not Reason.DENIED:
                raise
            return []
        return removed

    def _clean_free(self, token: str, what: str) -> list[str]:
        name = f"{PREFIX}{self._mark}"
        told = []
        if token == t.DATABASE:
            rows = self._heedless("rds", "describe_db_parameter_groups").get("DBParameterGroups", ())
            for row in rows:
                if row["DBParameterGroupName"].startswith(name):
                    group = row["DBParameterGroupName"]
                    self._heedless("rds", "delete_db_parameter_group", DBParameterGroupName=group)
                    told.append(f"{what} {group}")
        elif token == t.BALANCER:
            rows = self._heedless("elbv2", "describe_target_groups").get("TargetGroups", ())
            for row in rows:
                if row["TargetGroupName"].startswith(name):
                    self._heedless("elbv2", "delete_target_group", TargetGroupArn=row["TargetGroupArn"])
                    told.append(f"{what} {row['TargetGroupName']}")
        elif token == t.SECRET:
            rows = self._heedless("secretsmanager", "list_secrets").get("SecretList", ())
            for row in rows:
                if row["Name"].startswith(name):
                    given = {"SecretId": row["ARN"], "ForceDeleteWithoutRecovery": True}
                    self._heedless("secretsmanager", "delete_secret", **given)
                    told.append(f"{what} {row['Name']}")
        return told


def _action(operation: str) -> str:
    """An operation as policies name it: `create_vpc` is CreateVpc."""
    words = {"db": "DB"}
    return "".join(words.get(word, word.capitalize()) for word in operation.split("_"))
