"""The live half of the Hetzner adapter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from rehost.providers import figures, s3settings
from rehost.providers.base import Kind, KindDispatch, Numbered, RuleBook
from rehost.providers.botoerrors import guarded
from rehost.providers.hetzner import catalog, survey
from rehost.providers.hetzner import tokens as t
from rehost.providers.hetzner.api import ENDPOINT, Api
from rehost.providers.hetzner.kinds import (
    address,
    bucket,
    certificate,
    firewall,
    load_balancer,
    network,
    server,
    simple,
    snapshot,
    volume,
    zone,
)
from rehost.providers.hetzner.live import servers_of
from rehost.providers.hetzner.texts import Texts
from rehost.providers.hosts import host_kinds, pool_for
from rehost.providers.s3 import S3Objects
from rehost.providers.s3wire import Wire
from rehost.stacks.catalog import Offer, Origin
from rehost.stacks.errors import InvalidInput, OperatorNeeded, ProviderError
from rehost.stacks.graph import Value
from rehost.stacks.lift.items import Item, Items
from rehost.stacks.model import Target
from rehost.stacks.ports import Call, Candidate, HostedZone, Identity, Known, Live, Need
from rehost.stacks.sql import role

CLOUD: Mapping[str, Any] = {
    t.PLACEMENT: simple.PlacementGroup,
    t.KEY: simple.SshKey,
    t.NETWORK: network.Network,
    t.SUBNET: network.NetworkSubnet,
    t.NETWORK_ROUTE: network.NetworkRoute,
    t.FIREWALL: firewall.Firewall,
    t.FENCED: firewall.FirewallAttachment,
    t.SERVER: server.Server,
    t.SNAPSHOT: snapshot.Snapshot,
    t.VOLUME: volume.Volume,
    t.ATTACHMENT: volume.VolumeAttachment,
    t.PRIMARY_IP: address.PrimaryIp,
    t.FLOATING_IP: address.FloatingIp,
    t.FLOATING_IP_ASSIGNMENT: address.FloatingIpAssignment,
    t.RDNS: address.Rdns,
    t.BALANCER: load_balancer.LoadBalancer,
    t.BALANCER_NETWORK: load_balancer.LoadBalancerNetwork,
    t.BALANCER_SERVICE: load_balancer.LoadBalancerService,
    t.BALANCER_TARGET: load_balancer.LoadBalancerTarget,
    t.UPLOADED: certificate.UploadedCertificate,
    t.MANAGED: certificate.ManagedCertificate,
    t.ZONE: zone.Zone,
    t.RRSET: zone.ZoneRrset,
}
OBJECTS: Mapping[str, Any] = {
    t.BUCKET: bucket.S3Bucket,
    t.POLICY: s3settings.BucketPolicy,
    t.CORS: s3settings.BucketCors,
    t.LIFECYCLE: bucket.IlmPolicy,
    t.VERSIONING: s3settings.BucketVersioning,
}


class _ObjectClients(Mapping[str, Any]):
    """The S3 client, made when a bucket is first touched: its keys are made by hand in the console."""

    def __init__(self, target: Target, environment: Mapping[str, str]) -> None:
        self._target, self._environment = target, environment

    @cached_property
    def credentials(self) -> Any:
        """The pair of keys, as boto3 holds it. Raises OperatorNeeded where there is none."""
        from botocore.credentials import Credentials

        key, secret = (self._environment.get(f"HETZNER_S3_{name}_KEY") for name in ("ACCESS", "SECRET"))
        if not key or not secret:
            raise OperatorNeeded(
                "there are no keys for Hetzner Object Storage",
                why="they can be made in Hetzner's console only (Object Storage, Manage credentials)",
                fix="make a pair and set HETZNER_S3_ACCESS_KEY and HETZNER_S3_SECRET_KEY",
            )
        return Credentials(key, secret)

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        keys = self.credentials
        place = catalog.storage_location(self._target)
        endpoint = self._environment.get("HETZNER_S3_ENDPOINT") or f"https://{place}.your-objectstorage.com"
        config = Config(
            retries={"total_max_attempts": 1},
            max_pool_connections=64,
            connect_timeout=10,
            read_timeout=60,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        )
        make: Any = boto3.session.Session(keys.access_key, keys.secret_key, region_name=place).client
        return make("s3", endpoint_url=endpoint, config=config)

    def __getitem__(self, name: str) -> Any:
        if name != "s3":
            raise KeyError(name)
        return self._client

    def __iter__(self) -> Iterator[str]:
        return iter(["s3"])

    def __len__(self) -> int:
        return 1


class HetznerConnection(KindDispatch):
    """One project of the Cloud API, and the object storage beside it."""

    def __init__(self, target: Target, environment: Mapping[str, str], book: RuleBook) -> None:
        self.environment = environment
        self._region = target.region
        token = environment.get("HCLOUD_TOKEN")
        if not token:
            raise InvalidInput(
                f"there is no Hetzner token for the target {target.name}",
                why="HCLOUD_TOKEN is not set",
                fix="make a token with read and write rights in the project and set HCLOUD_TOKEN",
            )
        endpoint = environment.get("HCLOUD_ENDPOINT") or ENDPOINT
        sandbox = environment.get("REHOST_SANDBOX")
        self._name = f"sandbox:{sandbox}" if sandbox else endpoint
        self._api = Api(endpoint, token)
        self._texts = Texts(self._api)
        self._objects = _ObjectClients(target, environment)
        self.kinds: dict[str, Kind] = {
            kind: Numbered(make(self._api, book.rules(kind)), book.rules(kind)) for kind, make in CLOUD.items()
        }
        self.kinds |= {kind: make(self._objects, book.rules(kind)) for kind, make in OBJECTS.items()}
        self._hosts = pool_for(environment, "hetzner", endpoint, environment.get("HETZNER_S3_ENDPOINT", ""))
        self.kinds |= host_kinds(self._hosts, self._has_server)
        self.kinds[role.TOKEN] = role.RoleKind(self.sql)

    def _has_server(self, id_: str) -> bool:
        return self.kinds[t.SERVER].read([Known("", id_, {}, {})])[0] is not None

    def identify(self, deployment: str) -> Identity:
        """The API has no call that names the project: the anchor of the deployment is looked for."""
        selector = f"rehost-deployment={deployment or 'none'}"
        found = self._api.all("placement_groups", label_selector=selector)
        return Identity(self._name, "", bool(found))

    @property
    def api(self) -> Api:
        """The project."""
        return self._api

    def s3(self) -> Any:
        """The client of the object storage. Raises OperatorNeeded where its keys are missing."""
        return self._objects["s3"]

    def hosted_zones(self, name: str) -> Sequence[HostedZone]:
        """The zones of the project that a name could be in."""
        return self._texts.hosted_zones(name)

    def add_text(self, call: Call, zone: HostedZone, name: str, text: str) -> None:
        """Add a text to the TXT records of a name."""
        self._texts.add_text(call, zone, name, text)

    def drop_text(self, call: Call, zone: HostedZone, name: str, text: str) -> None:
        """Take a text off the TXT records of a name."""
        self._texts.drop_text(call, zone, name, text)

    @cached_property
    def _servers(self) -> list[Offer]:
        origin = Origin("Hetzner Cloud API", figures.day())
        return servers_of(self._api.all("server_types"), self._region, origin)

    def offers(self, need: Need) -> Sequence[Candidate] | None:
        """Server types with their prices and what there is room for; the rest is in the catalog."""
        if need.kind != "server_type":
            return None
        fitting = [offer for offer in self._servers if figures.fits(offer, need.requirement)]
        return [figures.candidate(offer, "EUR") for offer in figures.cheapest_first(fitting)]

    def create(self, call: Call, token: str, inputs: Mapping[str, Value]) -> Live:
        """Make the resource. Where there is no room for a server's type, the next one is named."""
        try:
            return super().create(call, token, inputs)
        except ProviderError as error:
            if token == t.SERVER and error.code in ("resource_unavailable", "placement_error") and not error.fix:
                error.fix = self._instead(str(inputs.get("serverType")))
            raise

    def _instead(self, type_: str) -> str:
        """What to do without room for a type: the cheapest one that is as large and that there is room for."""
        known = next((offer for offer in self._servers if offer.name == type_), None)
        if known is None:
            return ""
        asked = {"cpu": known.cpu, "architecture": known.architecture}
        larger = [
            offer
            for offer in figures.cheapest_first(self._servers)
            if offer.name != type_
            and offer.available is not False
            and figures.fits(offer, asked)
            and (offer.memory or 0) >= (known.memory or 0)
            and (offer.disk or 0) >= (known.disk or 0)
        ]
        if not larger:
            return "wait, or choose another region: nothing else there is as large"
        told = figures.candidate(larger[0], "EUR").summary
        return f"wait, or take the next type by name: --choose servers.GROUP.type={larger[0].name} ({told})"

    def objects(self, bucket: Mapping[str, Value]) -> S3Objects:
        """The content of a bucket."""
        return S3Objects(Wire.of(self._objects["s3"], self._objects.credentials), str(bucket["bucket"]))

    def survey(self) -> Iterable[tuple[str, str]]:
        """Everything of the kinds that there are, in this project and, with keys, its object storage."""
        return survey.survey(self._api, self._buckets)

    def _buckets(self) -> list[str]:
        try:
            client = self._objects["s3"]
        except OperatorNeeded:
            return []
        with guarded("list_buckets"):
            return [str(row["Name"]) for row in client.list_buckets()["Buckets"]]

    def about(self, items: Items) -> Mapping[str, Mapping[str, Any]]:
        """Everything is in the resources themselves."""
        del items
        return {}

    def tidy(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items without what Hetzner adds by itself."""
        return survey.tidy(items)

    def close(self) -> None:
        """Close the connections."""
        if self._hosts is not None:
            self._hosts.close()
        self._api.close()
