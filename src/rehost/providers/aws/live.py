"""What Amazon's price list says now: GetProducts of the Price List Query API, page by page.

The API has endpoints in three regions, each of which knows the prices of all. Attributes and units are those of
the price list itself (offer files of AmazonEC2, AmazonRDS, AmazonElastiCache, AWSELB, AmazonVPC, AmazonS3,
AWSDataTransfer, AWSSecretsManager).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from rehost.providers import figures
from rehost.providers.aws import prices
from rehost.stacks.catalog import HOURS, Offer, Origin, Rate, Sheet
from rehost.stacks.errors import InvalidInput

ENDPOINTS = {"eu": "eu-central-1", "ap": "ap-south-1"}
"""Regions with an endpoint by the first letters of a region's name; us-east-1 for all others."""

_FAMILIES = frozenset({"General purpose", "Compute optimized", "Memory optimized"})
"""Instance families that a stack's needs are about: no accelerators, no storage servers."""
_MIB = 1024**2
Product = Mapping[str, Any]


def endpoint_for(region: str) -> str:
    """The region whose price list endpoint is the nearest to a region."""
    return ENDPOINTS.get(region.partition("-")[0], "us-east-1")


def ask(regions: Sequence[str], environment: Mapping[str, str]) -> dict[str, Sheet]:
    """Sheets of regions. Raises InvalidInput without credentials, ProviderError where the list can't be read."""
    import boto3
    from botocore.config import Config

    session = boto3.session.Session(
        aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=environment.get("AWS_SESSION_TOKEN"),
        profile_name=environment.get("AWS_PROFILE"),
    )
    if session.get_credentials() is None:
        raise InvalidInput(
            "there are no AWS credentials to ask with",
            why="the price list wants signed requests; any account's do (right: pricing:GetProducts)",
            fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        )
    make: Any = session.client
    url = environment.get("AWS_ENDPOINT_URL") or None
    config = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=60)
    sheets = {}
    for region in regions:
        place = endpoint_for(region)
        client = make("pricing", region_name=place, endpoint_url=url, config=config)
        try:
            sheets[region] = sheet(region, partial(products, client), place)
        finally:
            client.close()
    return sheets


def products(client: Any, service: str, wanted: Mapping[str, str]) -> Iterator[Product]:
    """The products of a service whose attributes are as wanted."""
    from rehost.providers.botoerrors import guarded

    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    token: dict[str, str] = {}
    while True:
        with guarded("get_products"):
            answer = client.get_products(
                ServiceCode=service, Filters=filters, FormatVersion="aws_v1", MaxResults=100, **token
            )
        yield from (json.loads(text) for text in answer["PriceList"])
        if not answer.get("NextToken"):
            return
        token = {"NextToken": answer["NextToken"]}


Look = Callable[[str, Mapping[str, str]], Iterator[Product]]


def sheet(region: str, look: Look, place: str) -> Sheet:
    """All that the price list has of a region that a stack may need."""
    origin = Origin(f"AWS Price List API in {place}", figures.day())
    offers = [*_servers(region, look, origin), *_databases(region, look, origin), *_caches(region, look, origin)]
    by_name = sorted(offers, key=lambda offer: (offer.family, offer.name, offer.engine))
    return Sheet(tuple(by_name), tuple(_rates(region, look, origin)))


def dimensions(product: Product) -> list[tuple[float, str, float]]:
    """On-demand prices of a product: the amount from which each holds, its unit, and USD."""
    found = []
    for term in (product.get("terms", {}).get("OnDemand") or {}).values():
        for row in term["priceDimensions"].values():
            usd = row.get("pricePerUnit", {}).get("USD")
            if usd is not None:
                found.append((float(row.get("beginRange") or 0), str(row["unit"]), float(usd)))
    return sorted(found)


def _hourly(product: Product) -> float | None:
    """The price of an hour. 0 stands for what is not sold on demand."""
    found = [usd for above, unit, usd in dimensions(product) if unit == "Hrs" and above == 0]
    return found[0] if len(found) == 1 and found[0] > 0 else None


def _servers(region: str, look: Look, origin: Origin) -> Iterator[Offer]:
    wanted = {
        "regionCode": region,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
        "currentGeneration": "Yes",
        "marketoption": "OnDemand",
    }
    for product in look("AmazonEC2", wanted):
        about = product["product"]["attributes"]
        name = about.get("instanceType", "")
        # What has no size after the dot is a host; metal boots for minutes and is sold whole.
        plain = "." in name and "metal" not in name and about.get("operation", "RunInstances") == "RunInstances"
        if plain and about.get("instanceFamily") in _FAMILIES:
            yield from _offer("servers", name, region, product, origin)


def _databases(region: str, look: Look, origin: Origin) -> Iterator[Offer]:
    wanted = {"regionCode": region, "productFamily": "Database Instance", "locationType": "AWS Region"}
    for title, engine in (("PostgreSQL", "postgres"), ("MySQL", "mysql")):
        for deployment, suffix in (("Single-AZ", ""), ("Multi-AZ", " two zones")):
            named = {**wanted, "databaseEngine": title, "deploymentOption": deployment}
            for product in look("AmazonRDS", named):
                name = product["product"]["attributes"].get("instanceType", "")
                yield from _offer("databases", name, region, product, origin, engine + suffix)


def _caches(region: str, look: Look, origin: Origin) -> Iterator[Offer]:
    wanted = {"regionCode": region, "productFamily": "Cache Instance", "locationType": "AWS Region"}
    for title, engine in (("Valkey", "valkey"), ("Redis", "redis")):
        for product in look("AmazonElastiCache", {**wanted, "cacheEngine": title}):
            name = product["product"]["attributes"].get("instanceType", "")
            yield from _offer("caches", name, region, product, origin, engine)


def _offer(
    family: str, name: str, region: str, product: Product, origin: Origin, engine: str = ""
) -> Iterator[Offer]:
    about, hourly = product["product"]["attributes"], _hourly(product)
    memory = re.match(r"([\d.,]+) GiB", about.get("memory", ""))
    if hourly is None or not about.get("vcpu", "").isdecimal() or memory is None or not name:
        return
    arm = "Graviton" in about.get("physicalProcessor", "")
    yield Offer(
        family,
        name,
        region,
        int(about["vcpu"]),
        int(float(memory[1].replace(",", "")) * 1024) * _MIB,
        architecture="arm64" if arm else "x86_64",
        engine=engine,
        monthly=round(hourly * HOURS, 2),
        origin=origin,
    )


_UNITS = {"Hrs": "hour", "GB-Mo": "GiB-month", "GB": "GB", "Secrets": "month", "HostedZone": "month"}
"""Units of the price list, as ours. Amazon's GB of storage is a GiB."""

_BALANCER = r"^(?!TS-)(\w+-)?LoadBalancerUsage$"
"""Without the trust stores, which are in the same family."""

_WANTED: Sequence[tuple[str, str, Mapping[str, str], str]] = (
    (prices.VOLUME, "AmazonEC2", {"productFamily": "Storage", "volumeApiName": "gp3"}, r"VolumeUsage\.gp3$"),
    (prices.SNAPSHOT, "AmazonEC2", {"productFamily": "Storage Snapshot"}, r"EBS:SnapshotUsage$"),
    (prices.NAT, "AmazonEC2", {"productFamily": "NAT Gateway"}, r"(^|-)NatGateway-Hours$"),
    (
        prices.BALANCER,
        "AWSELB",
        {"productFamily": "Load Balancer-Application"},
        r"^(?!TS-)(\w+-)?LoadBalancerUsage$",
    ),
    (
        prices.NETWORK_BALANCER,
        "AWSELB",
        {"productFamily": "Load Balancer-Network"},
        r"^(?!TS-)(\w+-)?LoadBalancerUsage$",
    ),
    (prices.IPV4, "AmazonVPC", {"group": "VPCPublicIPv4Address"}, r"PublicIPv4:InUseAddress$"),
    (
        prices.DB_STORAGE,
        "AmazonRDS",
        {"productFamily": "Database Storage", "deploymentOption": "Single-AZ"},
        r"RDS:GP3-Storage$",
    ),
    (
        prices.DB_STORAGE_HA,
        "AmazonRDS",
        {"productFamily": "Database Storage", "deploymentOption": "Multi-AZ"},
        r"RDS:Multi-AZ-GP3-Storage$",
    ),
    (prices.SECRET, "AWSSecretsManager", {}, r"SecretsManager-Secrets$"),
    (
        prices.BUCKET,
        "AmazonS3",
        {"productFamily": "Storage", "storageClass": "General Purpose"},
        r"(^|-)TimedStorage-ByteHrs$",
    ),
)
"""Rates by the service, the attributes and the end of the usage type that tell their product."""


def _rates(region: str, look: Look, origin: Origin) -> Iterator[Rate]:
    for what, service, wanted, usage in _WANTED:
        found = _found(look(service, {"regionCode": region, **wanted}), usage)
        for above, unit, usd in found:
            if unit in _UNITS and usd > 0:
                yield Rate(what, region, _UNITS[unit], usd, origin, above)
    out = {"fromRegionCode": region, "transferType": "AWS Outbound", "toLocation": "External"}
    for above, unit, usd in _found(look("AWSDataTransfer", out), r"(^|-)DataTransfer-Out-Bytes$"):
        if unit == "GB":
            yield Rate(prices.EGRESS, region, "GB", usd, origin, above)


def _found(rows: Iterator[Product], usage: str) -> list[tuple[float, str, float]]:
    """The prices of the one product whose usage type fits; none where several differ."""
    found = set()
    for product in rows:
        about = product["product"]["attributes"]
        place = about.get("locationType", "AWS Region")
        if place == "AWS Region" and re.search(usage, about.get("usagetype", "")):
            found.add(tuple(dimensions(product)))
    return list(found.pop()) if len(found) == 1 else []
