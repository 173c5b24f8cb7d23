"""A served sandbox, `rehost` as processes of their own, and what the stand-ins say of themselves.

What is there is asked through boto3 and Hetzner's official SDK, never through rehost, in a form that is the same
for two deployments of the same stack: without ids, addresses and times.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from hcloud import Client

from rehost.providers.sandbox.realism import STALE_SECONDS

PROVIDERS = ("aws", "hetzner")
STACK = """\
stack: plaza
targets:
  aws: {provider: aws, region: eu-central-1}
  hetzner: {provider: hetzner, region: fsn1}
network: {cidr: 10.20.0.0/16}
firewalls:
  web: {ingress: [{ports: [80, 443]}, {ports: [22], from: 198.51.100.0/24}]}
servers:
  app: {count: 2, size: {cpu: 2, memory: 4GiB}, public: true, firewalls: [web], labels: {role: web}}
volumes: {data: {size: 20GiB, on: app}}
buckets: {media: {versioning: true}}
dns: {plaza.example: [{name: "@", to: servers.app}, {name: www, cname: plaza.example}]}
"""
_PARTS = {"aws": ("aws",), "hetzner": ("hcloud", "objects")}
_READS = re.compile(r"GET |HEAD |\w+:(Describe|Get|List|Head)")
Inventory = list[tuple[Any, ...]]


@dataclass
class Sandbox:
    """The stand-ins of one folder. Its calls of `rehost` are made in folders below it."""

    path: Path
    realism: str = ""
    expected: dict[str, Inventory] = field(default_factory=dict)
    """What a calm deploy of the stack makes, by provider."""
    total: dict[str, tuple[int, int]] = field(default_factory=dict)
    """How many calls a calm deploy and a calm destroy take."""

    @property
    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / "sandbox" / "sandbox.json").read_text())
        return found

    @property
    def variables(self) -> dict[str, str]:
        """What points any tool at the stand-ins."""
        found: dict[str, str] = self.record["environment"]
        return found

    def environment(self, **changes: str) -> dict[str, str]:
        """Of a process of `rehost`; an empty value takes a variable away."""
        given = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "REHOST_SANDBOX_DIR": str(self.path / "sandbox")}
        return {name: value for name, value in {**given, **changes}.items() if value}

    def run(self, *arguments: str, cwd: Path | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rehost", *arguments],
            cwd=cwd or self.path,
            env=self.environment(**changes),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    @contextmanager
    def started(self, *arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
        """A process under way; what it writes to stderr ends in the file `stderr`."""
        with (cwd / "stderr").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "rehost", *arguments],
                cwd=cwd,
                env=self.environment(),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def folder(self, name: str) -> Path:
        """A folder with the stack and no state."""
        made = self.path / name
        made.mkdir(parents=True)
        (made / "stack.yaml").write_text(STACK)
        return made

    # -- the stand-ins ----------------------------------------------------------------------------------------

    def calls(self, provider: str) -> dict[str, int]:
        """Calls by name since the last `forget`."""
        found: dict[str, int] = {}
        for part in _PARTS[provider]:
            rows = self._ask("GET", part, "/_sandbox/calls")["calls"]
            found |= {name.removeprefix("hcloud:"): number for name, number in rows.items()}
        return found

    def count(self, provider: str) -> int:
        return sum(self.calls(provider).values())

    def writes(self, provider: str) -> dict[str, int]:
        """Those calls that were meant to change something."""
        return {name: number for name, number in self.calls(provider).items() if not _READS.match(name)}

    def forget(self, provider: str) -> None:
        """Count calls from here."""
        for part in _PARTS[provider]:
            self._ask("DELETE", part, "/_sandbox/calls")

    def _ask(self, method: str, part: str, path: str) -> Any:
        request = urllib.request.Request(f"http://{self.record['parts'][part]['address']}{path}", method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as response:
            return json.load(response)

    def fault(self, *arguments: str) -> None:
        """`rehost sandbox fault`, as it is typed."""
        done = self.run("sandbox", "fault", *arguments)
        assert done.returncode == 0, done.stderr

    def calm(self) -> None:
        self.fault("--clear")

    def client(self, service: str, provider: str = "aws", **keys: str) -> Any:
        names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        if provider == "hetzner":
            names = ("HETZNER_S3_ENDPOINT", "HETZNER_S3_ACCESS_KEY", "HETZNER_S3_SECRET_KEY")
        url, key, secret = (self.variables[name] for name in names)
        make: Any = boto3.client
        given = {"aws_access_key_id": key, "aws_secret_access_key": secret, **keys}
        return make(service, endpoint_url=url, region_name="eu-central-1", **given)

    def inventory(self, provider: str) -> Inventory:
        """Everything that is there. A duplicate is a second row, an orphan a row that nobody expects."""
        rows = _amazon(self) if provider == "aws" else _hetzner(self)
        return sorted([*rows, *_buckets(self.client("s3", provider))], key=str)

    def at_rest(self, provider: str) -> Inventory:
        """What is there once no read can be stale any more: when it has not changed for as long as one may be."""
        found, since = self.inventory(provider), time.monotonic()

        def unchanged() -> bool:
            nonlocal found, since
            if (now := self.inventory(provider)) != found:
                found, since = now, time.monotonic()
            return time.monotonic() - since > 2 * STALE_SECONDS

        assert until(unchanged), f"{provider} does not come to rest"
        return found

    def settled(self, provider: str, expected: Inventory) -> None:
        """Insist on what is there, as soon as stale reads can have passed."""
        if until(lambda: self.inventory(provider) == expected, 5):
            return
        found = Counter(map(str, self.inventory(provider)))
        wanted = Counter(map(str, expected))
        assert found == wanted, f"too many: {list(found - wanted)}, missing: {list(wanted - found)}"


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    """Poll for a condition; answers its last value."""
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.005)
    return found


@contextmanager
def sandbox(path: Path, realism: str = "") -> Iterator[Sandbox]:
    """A running sandbox in a folder of its own."""
    here = Sandbox(path, realism)
    started = here.run("sandbox", "up", *(["--realism", realism] if realism else []))
    assert started.returncode == 0, started.stderr
    try:
        yield here
    finally:
        here.run("sandbox", "down")


def _tags(rows: Any) -> dict[str, str]:
    return {row["Key"]: row["Value"] for row in rows or () if row["Key"] != "rehost-id"}


def _amazon(here: Sandbox) -> Iterator[tuple[Any, ...]]:
    ec2, route53 = here.client("ec2"), here.client("route53")
    vpcs = {row["VpcId"] for row in ec2.describe_vpcs()["Vpcs"] if not row["IsDefault"]}
    for vpc in vpcs:
        yield ("vpc", ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlock"])
    for row in ec2.describe_subnets()["Subnets"]:
        if row["VpcId"] in vpcs:
            yield ("subnet", row["CidrBlock"], row["AvailabilityZone"])
    for row in ec2.describe_internet_gateways()["InternetGateways"]:
        yield ("gateway", len(row["Attachments"]), _tags(row["Tags"]))
    for row in ec2.describe_route_tables()["RouteTables"]:
        if row["VpcId"] in vpcs:
            routes = sorted(route.get("DestinationCidrBlock", "") for route in row["Routes"])
            yield ("table", routes, len(row["Associations"]), _tags(row["Tags"]))
    groups = {}
    for row in ec2.describe_security_groups()["SecurityGroups"]:
        if row["VpcId"] in vpcs:
            groups[row["GroupId"]] = row["GroupName"]
            yield ("group", row["GroupName"], row["Description"])
    for row in ec2.describe_security_group_rules()["SecurityGroupRules"]:
        if row["GroupId"] in groups:
            ports = (row["IpProtocol"], row.get("FromPort"), row.get("ToPort"))
            yield (
                "rule", groups[row["GroupId"]], row["IsEgress"], ports, row.get("CidrIpv4"), row.get("CidrIpv6")
            )  # fmt: skip
    servers = {}
    for reservation in ec2.describe_instances()["Reservations"]:
        for row in reservation["Instances"]:
            if row["State"]["Name"] != "terminated":
                servers[row["InstanceId"]] = _tags(row["Tags"])
                yield ("server", row["InstanceType"], row["State"]["Name"], _tags(row["Tags"]))
    for row in ec2.describe_volumes()["Volumes"]:
        at = [servers[attached["InstanceId"]]["Name"] for attached in row["Attachments"]]
        yield ("volume", row["Size"], at, _tags(row.get("Tags")))
    for zone in route53.list_hosted_zones()["HostedZones"]:
        for row in route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]:
            values = [item["Value"] for item in row["ResourceRecords"]]
            yield ("record", zone["Name"], row["Name"], row["Type"], len(values))
            if row["Type"] == "A":
                addresses = {
                    i.get("PublicIpAddress")
                    for r in ec2.describe_instances()["Reservations"]
                    for i in r["Instances"]
                }
                yield ("record points at servers", set(values) <= addresses)


def _hetzner(here: Sandbox) -> Iterator[tuple[Any, ...]]:
    client = Client(here.variables["HCLOUD_TOKEN"], api_endpoint=here.variables["HCLOUD_ENDPOINT"])

    def labels(row: Any) -> dict[str, str]:
        return {name: value for name, value in row.labels.items() if not name.startswith("rehost-")}

    for row in client.placement_groups.get_all():
        yield ("placement group", row.name)
    for row in client.networks.get_all():
        yield ("network", row.name, row.ip_range, sorted(part.ip_range for part in row.subnets))
    for row in client.ssh_keys.get_all():
        yield ("key", row.name)
    for row in client.firewalls.get_all():
        rules = sorted((rule.direction, rule.protocol, rule.port, rule.source_ips) for rule in row.rules)
        yield ("firewall", row.name, rules, len(row.applied_to))
    addresses = set()
    for row in client.servers.get_all():
        addresses.add(row.public_net.ipv4.ip)
        yield ("server", row.name, row.status, row.server_type.name, len(row.private_net), labels(row))
    for row in client.primary_ips.get_all():
        yield ("address", row.type, row.assignee_id is not None)
    for row in client.volumes.get_all():
        yield ("volume", row.name, row.size, row.server.name if row.server else None)
    for zone in client.zones.get_all():
        for row in client.zones.get_rrset_all(zone):
            values = [record.value for record in row.records]
            yield ("record", zone.name, row.name, row.type, len(values))
            if row.type == "A":
                yield ("record points at servers", set(values) <= addresses)


def _buckets(s3: Any) -> Iterator[tuple[Any, ...]]:
    for row in s3.list_buckets()["Buckets"]:
        versioning = s3.get_bucket_versioning(Bucket=row["Name"]).get("Status")
        yield ("bucket", re.sub(r"-[0-9a-f]{10}$", "", row["Name"]), versioning)
