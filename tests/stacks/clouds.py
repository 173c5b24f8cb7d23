"""The stand-ins inside the test's own process: no sockets, no waiting, and every call can be made to go wrong.

`inventory` asks the stand-in itself, not rehost's state, and leaves out what differs between two deployments of
the same stack: ids, addresses, times, the deployment's mark.
"""

from __future__ import annotations

import base64
import io
import json
import random
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import boto3
import requests
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from moto import mock_aws
from moto.core.models import botocore_stubber
from requests.adapters import BaseAdapter
from werkzeug.test import EnvironBuilder, run_wsgi_app

from rehost.providers.aws.adapter import AwsAdapter
from rehost.providers.botoerrors import guarded
from rehost.providers.hetzner.adapter import HetznerAdapter
from rehost.providers.sandbox import realism
from rehost.providers.sandbox.aws_api import additions
from rehost.providers.sandbox.aws_api.app import AwsApi
from rehost.providers.sandbox.faults import Faults, Rule
from rehost.providers.sandbox.hcloud_api import HcloudApi
from rehost.providers.sandbox.wire import run
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.clock import Clock
from rehost.stacks.load import load
from rehost.stacks.model import Stack
from rehost.stacks.ports import KindRules
from rehost.stacks.state import Passphrase, file_store
from rehost.stacks.validate import errors, validate

REGIONS = {"aws": "eu-central-1", "hetzner": "fsn1"}
_READS = ("Describe", "Get", "List", "Head", "GET ")


_CLIENTS: dict[str, Any] = {}


class Killed(BaseException):
    """Stands for the end of the process, for whoever is still running in it."""


@dataclass
class Trouble:
    """Shares of calls that go wrong, by kind."""

    before: float = 0.0
    """No answer, no effect."""
    after: float = 0.0
    """No answer, although the effect took place."""
    fault: float = 0.0
    """A 500 without effect."""
    throttled: float = 0.0
    retry_after: str = ""
    kill_at: int = 0
    """The number of the call at which the process is killed; 0 is never."""
    kill_after: bool = False
    """Whether that call still has its effect."""
    folder: Path | None = None
    """What survives on disk: kept aside as it is at that moment."""
    seed: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._count = 0
        self.dead = False

    def kill(self) -> None:
        """The process ends here: nothing that it still does counts."""
        assert self.folder is not None
        self.dead = True
        shutil.copytree(self.folder / ".rehost", self.folder / "kept")
        raise Killed

    def restore(self) -> None:
        """The disk as the dead process left it."""
        assert self.folder is not None
        shutil.rmtree(self.folder / ".rehost")
        (self.folder / "kept").rename(self.folder / ".rehost")

    def next(self) -> str:
        """What happens to the next call: a field's name, or nothing. Raises Killed."""
        if self.dead:
            raise Killed
        self._count += 1
        if self._count == self.kill_at:
            if self.kill_after:
                return "kill"
            self.kill()
        roll = self._chance.random()
        for name in ("before", "after", "fault", "throttled"):
            roll -= getattr(self, name)
            if roll < 0:
                return name
        return ""


@dataclass
class Cloud:
    """Both stand-ins. `calls` counts by operation; `writes` are those that change something."""

    provider: str
    trouble: Trouble = field(default_factory=Trouble)
    calls: Counter[str] = field(default_factory=Counter)
    api: HcloudApi = field(
        default_factory=lambda: HcloudApi({"token": "plaza"}, action_seconds=0, rate_limit=10**9)
    )
    lock: threading.RLock = field(default_factory=threading.RLock)
    amazon: Faults | None = None
    """Amazon's stand-in where it is not to be moto alone."""

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "HCLOUD_TOKEN": "token",
            "HCLOUD_ENDPOINT": "http://hcloud.invalid/v1",
            "HETZNER_S3_ACCESS_KEY": "a",
            "HETZNER_S3_SECRET_KEY": "b",
            "HETZNER_S3_ENDPOINT": "https://s3.amazonaws.com",
        }

    @property
    def writes(self) -> int:
        """Calls that were meant to change something."""
        return sum(n for name, n in self.calls.items() if not name.startswith(_READS))

    def client(self, name: str) -> Any:
        """A client of the test's own, without trouble."""
        if name not in _CLIENTS:
            make: Any = boto3.client
            _CLIENTS[name] = make(name, region_name=REGIONS["aws"])
        return _CLIENTS[name]

    def adapter(self) -> Any:
        """The provider's adapter, with its calls led here."""
        return (_Aws if self.provider == "aws" else _Hetzner)(self)

    def deployment(self, folder: Path, stack: Mapping[str, Any] | Stack, **fields: Any) -> Deployment:
        """A deployment of the stack with states in the folder."""
        made = stack if isinstance(stack, Stack) else loaded(stack, folder)
        target = next(t for t in made.targets.values() if t.provider == self.provider)
        fields = {"clock": Clock(pace=PACE if self.amazon else 1000), **fields}
        store = file_store(folder, Passphrase("horse"))
        return Deployment(made, target, self.adapter(), store, self.environment, **fields)

    def inventory(self) -> dict[str, list[Any]]:
        """Everything that is there, in a form that is the same for the same stack."""
        with patch.object(self.api.behaviour, "stale_seconds", 0):
            return self._inventory()

    def _inventory(self) -> dict[str, list[Any]]:
        found = _aws_inventory(self) if self.provider == "aws" else _hetzner_inventory(self)
        return {kind: sorted(rows, key=str) for kind, rows in sorted(found.items()) if rows}


@contextmanager
def cloud(provider: str, trouble: Trouble | None = None, levels: Collection[str] = ()) -> Iterator[Cloud]:
    """An empty provider, as unfriendly as the levels of realism say."""
    # Keys are derived in one round instead of a million and certificates issued at once: what is proven here is
    # neither the cipher nor patience.
    additions.add()
    with (
        mock_aws(),
        patch("rehost.stacks.state.crypt._ROUNDS", 1),
        patch("moto.settings.ACM_VALIDATION_WAIT", -1),
    ):
        made = Cloud(provider, trouble or Trouble())
        if levels:
            _unfriendly(made, levels)
        yield made


PACE = 500
"""Of the engine where stand-ins are unfriendly: it waits long enough for what they hide."""
HASTE = 40
"""How fast the time of unfriendly stand-ins passes."""


def _unfriendly(cloud: Cloud, levels: Collection[str]) -> None:
    """As `sandbox up --realism` makes the stand-ins, on a clock that runs fast, and without pauses for latency."""
    began = time.time()

    def clock() -> float:
        return began + (time.time() - began) * HASTE

    def pause(seconds: float) -> None:
        time.sleep(seconds / HASTE)

    app = AwsApi({"a": "b"}, clock=clock, **realism.switches("aws", levels))
    cloud.amazon = Faults(app, app.dialect, pause=pause, clock=clock)
    for rule in realism.rules("aws", levels):
        cloud.amazon.add(Rule.of(rule))
    cloud.api = HcloudApi({"token": "plaza"}, clock=clock, action_seconds=0.1, rate_limit=10**9)
    for name, value in realism.switches("hcloud", levels).items():
        setattr(cloud.api.behaviour, name, value)


SOURCE = {"serve.py": "import time\n", "requirements.txt": "-r more.txt\n", "more.txt": "boto3\n"}
"""What is in the folder `app` beside every stack file."""


def loaded(data: Mapping[str, Any], folder: Path) -> Stack:
    """The stack, through the loader and all checks."""
    from rehost.providers.registry import adapter

    path = folder / "stack.yaml"
    path.write_text(json.dumps(data))
    for name, text in SOURCE.items():
        (folder / "app").mkdir(exist_ok=True)
        (folder / "app" / name).write_text(text)
    found = load([path], environment={})
    wrong = errors(validate(found, adapter))
    assert found.stack is not None and not wrong, [(d.summary, d.why, d.path) for d in wrong]
    return found.stack


# -- calls ---------------------------------------------------------------------------------------------------


class _Hook:
    """Between boto3 and moto, in the place of moto's own hook: botocore asks all hooks, and it would act twice."""

    def __init__(self, cloud: Cloud, client: Any) -> None:
        self.cloud = cloud
        client.meta.events.unregister("before-send", botocore_stubber)
        client.meta.events.register("before-send", self)

    def __call__(self, event_name: str, request: Any, **_: Any) -> Any:
        operation = event_name.rsplit(".", 1)[-1]
        with self.cloud.lock:
            self.cloud.calls[operation] += 1
            what = self.cloud.trouble.next()
            if what == "before":
                raise ConnectionClosedError(endpoint_url=request.url)
            if what in ("fault", "throttled"):
                return self._refused(request, event_name, throttled=what == "throttled")
            answer = self._answer(event_name, request)
            if what == "kill":
                self.cloud.trouble.kill()
            if what == "after":
                raise ReadTimeoutError(endpoint_url=request.url)
            return answer

    def _answer(self, event_name: str, request: Any) -> Any:
        # Names of buckets are in the host here, where the stand-in does not look for them.
        if self.cloud.amazon is None or ".s3." in event_name:
            return botocore_stubber(event_name, request)
        url = urlsplit(request.url)
        texts = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()
        }
        environ = EnvironBuilder(
            method=request.method, base_url=f"{url.scheme}://{url.netloc}", path=url.path, query_string=url.query,
            headers=texts, data=request.body,
        ).get_environ()  # fmt: skip
        answer = run(self.cloud.amazon, {**environ, "RAW_URI": url.path})
        raw: Any = _Raw(answer.body)
        return AWSResponse(request.url, answer.status, dict(answer.headers), raw)

    def _refused(self, request: Any, event_name: str, *, throttled: bool) -> AWSResponse:
        code = ("SlowDown" if ".s3." in event_name else "Throttling") if throttled else "InternalError"
        error = f"<Error><Code>{code}</Code><Message>not now</Message></Error>"
        if ".ec2." in event_name:
            error = f"<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>"
        elif ".s3." not in event_name:
            error = f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"
        after = self.cloud.trouble.retry_after
        headers = {"Retry-After": after} if throttled and after else {}
        raw: Any = _Raw(error.encode())
        return AWSResponse(request.url, 503 if throttled else 500, headers, raw)


class _Raw(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


class _Wire(BaseAdapter):
    """Between requests and the Hetzner stand-in."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self.cloud = cloud

    def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:  # type: ignore[override]
        path = re.sub(r"/\d+", "/N", request.path_url.split("?")[0].removeprefix("/v1"))
        with self.cloud.lock:
            self.cloud.calls[f"{request.method} {path}"] += 1
            what = self.cloud.trouble.next()
            if what == "before":
                raise requests.ConnectionError("Connection aborted.", request=request)
            if what in ("fault", "throttled"):
                return self._refused(request, throttled=what == "throttled")
            environ = EnvironBuilder(
                method=request.method, base_url="http://hcloud.invalid", path=request.path_url.split("?")[0],
                query_string=request.path_url.partition("?")[2], headers=dict(request.headers), data=request.body,
            ).get_environ()  # fmt: skip
            chunks, status, headers = run_wsgi_app(self.cloud.api, environ)
            if what == "kill":
                self.cloud.trouble.kill()
            if what == "after":
                raise requests.ReadTimeout("Read timed out.", request=request)
        return self._answer(request, int(status.split()[0]), dict(headers), b"".join(chunks))

    def _refused(self, request: Any, *, throttled: bool) -> requests.Response:
        code = "rate_limit_exceeded" if throttled else "server_error"
        after = self.cloud.trouble.retry_after
        headers = {"Retry-After": after} if throttled and after else {}
        body = json.dumps({"error": {"code": code, "message": "not now"}}).encode()
        return self._answer(request, 429 if throttled else 500, headers, body)

    @staticmethod
    def _answer(request: Any, status: int, headers: Mapping[str, str], body: bytes) -> requests.Response:
        response = requests.Response()
        response.status_code, response.request, response.url = status, request, request.url
        response.headers.update(headers)
        response.raw = io.BytesIO(body)
        response._content = body
        return response

    def close(self) -> None:
        """Nothing is open."""


_CONNECTIONS: dict[str, tuple[Any, list[Any]]] = {}
"""One for each provider, since making clients takes longer than a deployment; with what leads to a cloud."""


class _Aws(AwsAdapter):
    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self.cloud = cloud

    def rules(self, token: str) -> KindRules:
        return _unhurried(self.cloud, super().rules(token))

    def connect(self, target: Any, environment: Any) -> Any:
        if "aws" not in _CONNECTIONS:
            made = super().connect(target, environment)
            clients = [made._clients[name] for name in ("ec2", "s3", "route53", "sts")]
            _CONNECTIONS["aws"] = made, [_Hook(self.cloud, client) for client in clients]
        return _led_to("aws", self.cloud)


class _Hetzner(HetznerAdapter):
    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self.cloud = cloud

    def rules(self, token: str) -> KindRules:
        return _unhurried(self.cloud, super().rules(token))

    def connect(self, target: Any, environment: Any) -> Any:
        if "hetzner" not in _CONNECTIONS:
            made = super().connect(target, environment)
            wire = _Wire(self.cloud)
            made._api._session.mount("http://hcloud.invalid", wire)
            _CONNECTIONS["hetzner"] = made, [wire, _Hook(self.cloud, made._objects._client)]
        return _led_to("hetzner", self.cloud)


def _unhurried(cloud: Cloud, rules: KindRules) -> KindRules:
    """Half a minute for every step on a clock that runs a thousand times as fast: a busy machine is no fault. What
    was made is visible at once in a friendly cloud."""
    visible = rules.visible_s if cloud.amazon else 0.0
    return replace(rules, create_s=3e4, update_s=3e4, delete_s=3e4, visible_s=visible)


@dataclass
class _Objects:
    """The content of a bucket, as far as a destroy needs it: the product's own store brings its own transport."""

    client: Any
    bucket: str

    def purge(self) -> None:
        """Remove everything, versions included."""
        with guarded("list_object_versions"):
            page = self.client.list_object_versions(Bucket=self.bucket)
            for row in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                self.client.delete_object(Bucket=self.bucket, Key=row["Key"], VersionId=row["VersionId"])


def _led_to(provider: str, cloud: Cloud) -> Any:
    connection, ways = _CONNECTIONS[provider]
    connection.objects = lambda bucket: _Objects(cloud.client("s3"), str(bucket["bucket"]))
    for way in ways:
        way.cloud = cloud
    return connection


# -- what is there -------------------------------------------------------------------------------------------


def _tags(row: Mapping[str, Any]) -> dict[str, str]:
    return {t["Key"]: t["Value"] for t in row.get("Tags") or row.get("TagSet") or () if t["Key"] != "rehost-id"}


def _aws_inventory(cloud: Cloud) -> dict[str, list[Any]]:
    ec2 = cloud.client("ec2")
    names: dict[str, str] = {}
    found: dict[str, list[Any]] = {}

    def rows(call: str, items: str, id_: str, **arguments: Any) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = getattr(ec2, call)(**arguments)[items]
        for row in listed:
            names[row[id_]] = _tags(row).get("Name", row[id_])
        return listed

    vpcs = [row for row in rows("describe_vpcs", "Vpcs", "VpcId") if not row["IsDefault"]]
    ours = {row["VpcId"] for row in vpcs}
    subnets = [row for row in rows("describe_subnets", "Subnets", "SubnetId") if row["VpcId"] in ours]
    gateways = rows("describe_internet_gateways", "InternetGateways", "InternetGatewayId")
    tables = [r for r in rows("describe_route_tables", "RouteTables", "RouteTableId") if _tags(r)]
    groups = [
        row
        for row in rows("describe_security_groups", "SecurityGroups", "GroupId")
        if row["GroupName"] != "default"
    ]
    instances = [
        instance
        for reservation in ec2.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] != "terminated"
    ]
    for instance in instances:
        names[instance["InstanceId"]] = _tags(instance).get("Name", "")
        names[instance.get("PublicIpAddress", "-")] = f"public address of {names[instance['InstanceId']]}"
        names[instance["PrivateIpAddress"]] = f"private address of {names[instance['InstanceId']]}"
    volumes = rows("describe_volumes", "Volumes", "VolumeId")

    def attribute(vpc: str, name: str) -> Any:
        return ec2.describe_vpc_attribute(VpcId=vpc, Attribute=name)[name[0].upper() + name[1:]]["Value"]

    found["vpc"] = [
        [v["CidrBlock"], _tags(v), *(attribute(v["VpcId"], f"enableDns{n}") for n in ("Support", "Hostnames"))]
        for v in vpcs
    ]
    found["subnet"] = [[s["CidrBlock"], s["AvailabilityZone"], s["VpcId"], _tags(s)] for s in subnets]
    found["gateway"] = [[[a["VpcId"] for a in g["Attachments"]], _tags(g)] for g in gateways]
    found["table"] = [
        [
            t["VpcId"],
            _tags(t),
            sorted([r.get("DestinationCidrBlock", ""), r.get("GatewayId", "")] for r in t["Routes"]),
            sorted(a.get("SubnetId", "") for a in t["Associations"]),
        ]
        for t in tables
    ]
    found["group"] = [[g["GroupName"], g["Description"], g["VpcId"], _tags(g)] for g in groups]
    found["rule"] = [
        [
            rule["GroupId"], rule["IsEgress"], rule["IpProtocol"], rule.get("FromPort"), rule.get("ToPort"),
            rule.get("CidrIpv4"), rule.get("CidrIpv6"), (rule.get("ReferencedGroupInfo") or {}).get("GroupId"),
            rule.get("Description") or None, _tags(rule),
        ]
        for rule in ec2.describe_security_group_rules()["SecurityGroupRules"]
        if rule["GroupId"] in {group["GroupId"] for group in groups}
    ]  # fmt: skip
    found["key"] = [[k["KeyName"], k["KeyFingerprint"], _tags(k)] for k in ec2.describe_key_pairs()["KeyPairs"]]
    found["instance"] = [
        [
            i["InstanceType"], i["ImageId"], i["State"]["Name"], i["SubnetId"], i.get("KeyName"), _tags(i),
            bool(i.get("PublicIpAddress")),
            sorted(g["GroupId"] for n in i["NetworkInterfaces"] for g in n["Groups"]),
            {"user data": _user_data(ec2, i["InstanceId"])},
        ]
        for i in instances
    ]  # fmt: skip
    found["volume"] = [
        [
            v["Size"], v["VolumeType"], v["Encrypted"], v["AvailabilityZone"], _tags(v),
            sorted([a["InstanceId"], a["Device"]] for a in v["Attachments"]),
        ]
        for v in volumes
    ]  # fmt: skip
    route53 = cloud.client("route53")
    for zone in route53.list_hosted_zones()["HostedZones"]:
        tags = route53.list_tags_for_resource(ResourceType="hostedzone", ResourceId=zone["Id"].rsplit("/", 1)[-1])
        found.setdefault("zone", []).append([zone["Name"], zone["Config"], _tags(tags["ResourceTagSet"])])
        for row in route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]:
            if row["Type"] not in ("SOA",):
                values = sorted(item["Value"] for item in row.get("ResourceRecords", []))
                about = [zone["Name"], row["Name"], row["Type"], row.get("TTL"), values]
                found.setdefault("record", []).append(about)
    found |= _aws_edge(cloud) | _buckets(cloud)
    return {kind: _renamed(rows_, names) for kind, rows_ in found.items()}


def _aws_edge(cloud: Cloud) -> dict[str, list[Any]]:
    """What stands before the servers."""
    ec2, elb, acm = (cloud.client(service) for service in ("ec2", "elbv2", "acm"))
    balancers = elb.describe_load_balancers()["LoadBalancers"]
    listeners = []
    for row in balancers:
        for listener in elb.describe_listeners(LoadBalancerArn=row["LoadBalancerArn"])["Listeners"]:
            kinds = [action["Type"] for action in listener["DefaultActions"]]
            listeners.append([row["LoadBalancerName"], listener["Port"], listener["Protocol"], kinds])
    groups = []
    for row in elb.describe_target_groups()["TargetGroups"]:
        health = elb.describe_target_health(TargetGroupArn=row["TargetGroupArn"])["TargetHealthDescriptions"]
        groups.append([row["TargetGroupName"], row["Protocol"], row["Port"], len(health)])
    certificates = []
    for row in acm.list_certificates()["CertificateSummaryList"]:
        shown = acm.describe_certificate(CertificateArn=row["CertificateArn"])["Certificate"]
        certificates.append([shown["DomainName"], sorted(shown["SubjectAlternativeNames"])])
    addresses = [bool(row.get("InstanceId")) for row in ec2.describe_addresses()["Addresses"]]
    spreads = [row["GroupName"] for row in ec2.describe_placement_groups()["PlacementGroups"]]
    return {
        "load balancer": [[row["LoadBalancerName"], row["Type"], row["Scheme"]] for row in balancers],
        "listener": listeners,
        "target group": groups,
        "certificate": certificates,
        "address": addresses,
        "placement group": spreads,
    }


def _user_data(ec2: Any, id_: str) -> str:
    """What a server was made with; a drawn secret is another one each time."""
    coded = ec2.describe_instance_attribute(InstanceId=id_, Attribute="userData")["UserData"].get("Value", "")
    text = base64.b64decode(coded).decode()
    return re.sub(r"-[0-9a-f]{10}\b", "-N", re.sub(r"(key|secret)=\S+", r"\1=", text))


def _buckets(cloud: Cloud) -> dict[str, list[Any]]:
    s3 = cloud.client("s3")
    found = []
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]

        def asked(call: str, name: str = name) -> Any:
            try:
                answer = getattr(s3, call)(Bucket=name)
            except s3.exceptions.ClientError:
                return None
            # Versioning can't be taken away, only suspended.
            return {k: v for k, v in answer.items() if k != "ResponseMetadata" and v != "Suspended"}

        tags = _tags(asked("get_bucket_tagging") or {})
        objects = [row["Key"] for row in s3.list_objects_v2(Bucket=name).get("Contents", [])]
        kinds = ("bucket_versioning", "public_access_block", "bucket_policy", "bucket_cors")
        settings = [asked(f"get_{what}") for what in (*kinds, "bucket_lifecycle_configuration")]
        found.append([name, tags, settings, objects])
    text = re.sub(r"-[0-9a-f]{10}(?=[\"/\\])", "-N", json.dumps(found))
    rows: list[Any] = json.loads(text)
    return {"bucket": rows}


_KINDS = ("placement_groups", "networks", "firewalls", "ssh_keys", "servers", "volumes", "zones", "primary_ips")
_KINDS += ("load_balancers", "certificates", "floating_ips")
_PASSING = {"id", "created", "linux_device", "name_servers", "dns_ptr", "ip", "mac_address", "metadata", "iso"}
_PASSING |= {"certificate", "fingerprint", "not_valid_before", "not_valid_after"}
_PASSING |= {"server_type", "image", "location", "rehost-id", "rehost-deployment", "blocked", "zone", "comment"}


def _hetzner_inventory(cloud: Cloud) -> dict[str, list[Any]]:
    """Through the API itself."""

    def listed(kind: str, path: str = "") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        page: int | None = 1
        while page:
            query = f"per_page=50&page={page}"
            headers = {"Authorization": "Bearer token"}
            environ = EnvironBuilder(path=f"/v1{path or '/' + kind}", query_string=query, headers=headers)
            chunks, status, _ = run_wsgi_app(cloud.api, environ.get_environ())
            assert status.startswith("200"), (kind, status)
            answer = json.loads(b"".join(chunks))
            rows += answer[kind]
            page = answer["meta"]["pagination"]["next_page"]
        return rows

    found = {kind: listed(kind) for kind in _KINDS}
    names: dict[str, str] = {}
    for kind, rows in found.items():
        for row in rows:
            names[str(row["id"])] = f"{kind} {row['name'] if kind != 'primary_ips' else ''}"
    for row in found["servers"]:
        for version in ("ipv4", "ipv6"):
            address = row["public_net"][version]
            if address:
                names[str(address["id"])] = names[address["ip"]] = f"public address of {row['name']}"
        for part in row["private_net"]:
            names[part["ip"]] = f"private address of {row['name']}"

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            kept = {key: plain(item) for key, item in value.items() if key not in _PASSING}
            for key in ("server_type", "image", "location"):
                if isinstance(value.get(key), dict):
                    kept[key] = value[key]["name"]
            return kept
        if isinstance(value, list):
            return sorted((plain(item) for item in value), key=str)
        return value

    for row in found["zones"]:
        sets = listed("rrsets", f"/zones/{row['id']}/rrsets")
        row["sets"] = [{**s, "name": f"{s['name']} {s['type']}"} for s in sets if s["type"] != "SOA"]
    for row in found["servers"]:
        row["public_net"] = {
            "ipv4": bool(row["public_net"]["ipv4"]),
            "ipv6": bool(row["public_net"]["ipv6"]),
            "firewalls": [names[str(firewall["id"])] for firewall in row["public_net"]["firewalls"]],
        }
        row["private_net"] = [names[str(part["network"])] for part in row["private_net"]]
    for row in found["firewalls"]:
        row["applied_to"] = [names[str(part["server"]["id"])] for part in row["applied_to"]]
    for row in found["primary_ips"]:
        row["name"] = ""
    made = {kind: _renamed([plain(row) for row in rows], names) for kind, rows in found.items()}
    return {**made, **_buckets(cloud)}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Ids and addresses replaced by the names of what they belong to, also inside text."""
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return sorted((_renamed(item, names) for item in value), key=str)
    if isinstance(value, int) and not isinstance(value, bool):
        return names.get(str(value), value)
    if isinstance(value, str):
        if value in names:
            return names[value]
        # Bucket names carry a suffix of the deployment, wherever they are written.
        value = re.sub(r"-[0-9a-f]{10}\b", "-N", value)
        return re.sub(r"[a-z]+-[0-9a-f]{8,17}|\d+\.\d+\.\d+\.\d+", lambda m: names.get(m[0], m[0]), value)
    return value
