"""Amazon's price list (GetProducts), with the prices of the shipped catalog: what that lacks has no product here.

Shapes as in the Price List Query API's reference and in the offer files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from rehost.providers.sandbox.wire import Environ, body

_PAGE = 40
"""Products of a page, fewer than may be asked for: who reads only the first one is found out."""
_PLACES: dict[str, tuple[str, str, str, str, str]] = {
    "volume": ("AmazonEC2", "Storage", "EBS:VolumeUsage.gp3", "GB-Mo", "gp3"),
    "load balancer": ("AWSELB", "Load Balancer-Application", "LoadBalancerUsage", "Hrs", ""),
    "network load balancer": ("AWSELB", "Load Balancer-Network", "LoadBalancerUsage", "Hrs", ""),
    "NAT gateway": ("AmazonEC2", "NAT Gateway", "NatGateway-Hours", "Hrs", ""),
    "public IPv4 address": ("AmazonVPC", "VpcPublicIPv4Address", "PublicIPv4:InUseAddress", "Hrs", ""),
    "database storage": ("AmazonRDS", "Database Storage", "RDS:GP3-Storage", "GB-Mo", ""),
    "database storage, two zones": ("AmazonRDS", "Database Storage", "RDS:Multi-AZ-GP3-Storage", "GB-Mo", ""),
    "secret": ("AWSSecretsManager", "Secret", "AWSSecretsManager-Secrets", "Secrets", ""),
    "egress": ("AWSDataTransfer", "Data Transfer", "DataTransfer-Out-Bytes", "GB", ""),
}
"""Service, family, usage type, unit and volume type by what our catalog calls it."""
Tiers = list[tuple[float, float]]


def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Answer a signed request."""
    asked = json.loads(body(environ) or b"{}")
    if not environ.get("HTTP_X_AMZ_TARGET", "").endswith(".GetProducts"):
        return _send(start_response, 400, {"__type": "InvalidParameterException", "Message": "unknown operation"})
    wanted = {row["Field"]: row["Value"] for row in asked.get("Filters", ())}
    region = wanted.get("regionCode") or wanted.get("fromRegionCode") or ""
    found = [
        product
        for product in _products(str(asked.get("ServiceCode")), region)
        if all(_has(product, field, value) for field, value in wanted.items())
    ]
    start = int(asked.get("NextToken") or 0)
    page = found[start : start + _PAGE]
    answer: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": [json.dumps(product) for product in page]}
    if start + _PAGE < len(found):
        answer["NextToken"] = str(start + _PAGE)
    return _send(start_response, 200, answer)


def _send(start_response: Any, status: int, answer: dict[str, Any]) -> list[bytes]:
    word = "200 OK" if status == 200 else "400 Bad Request"
    start_response(word, [("Content-Type", "application/x-amz-json-1.1")])
    return [json.dumps(answer).encode()]


def _has(product: dict[str, Any], field: str, value: str) -> bool:
    known = {**product["product"]["attributes"], "productFamily": product["product"]["productFamily"]}
    return bool(known.get(field) == value)


def _products(service: str, region: str) -> Iterator[dict[str, Any]]:
    from rehost.providers.aws.catalog import CATALOG

    sheet = CATALOG.sheet(region)
    if service == "AmazonEC2":
        for offer in sheet.of("servers"):
            hourly = CATALOG.types[offer.name]["hourly"][region]
            about = {
                "instanceType": offer.name,
                "instanceFamily": "General purpose",
                "vcpu": str(offer.cpu),
                "memory": f"{(offer.memory or 0) / 1024**3:g} GiB",
                "physicalProcessor": "AWS Graviton Processor" if offer.architecture == "arm64" else "Intel Xeon",
                "operatingSystem": "Linux",
                "tenancy": "Shared",
                "preInstalledSw": "NA",
                "capacitystatus": "Used",
                "currentGeneration": "Yes",
                "marketoption": "OnDemand",
                "operation": "RunInstances",
                "usagetype": f"BoxUsage:{offer.name}",
            }
            yield _product(service, "Compute Instance", region, about, "Hrs", [(0, hourly)])
    for what, (owner, family, usage, unit, volume) in _PLACES.items():
        rates = [rate for rate in sheet.tiers(what) if rate.amount is not None]
        if owner == service and rates:
            about = {"usagetype": usage, "locationType": "AWS Region"}
            about |= {"volumeApiName": volume} if volume else {}
            about |= {"group": "VPCPublicIPv4Address"} if owner == "AmazonVPC" else {}
            about |= {"deploymentOption": "Multi-AZ" if "Multi" in usage else "Single-AZ"}
            about |= {"fromRegionCode": region, "transferType": "AWS Outbound", "toLocation": "External"}
            tiers = [(rate.above, rate.amount or 0.0) for rate in rates]
            yield _product(service, family, region, about, unit, tiers)


def _product(
    service: str, family: str, region: str, about: dict[str, str], unit: str, tiers: Tiers
) -> dict[str, Any]:
    sku = hashlib.sha256(repr((service, region, sorted(about.items()))).encode()).hexdigest()[:16].upper()
    rows = {
        f"{sku}.JRTCKXETXF.{number}": {
            "unit": unit,
            "beginRange": f"{above:g}",
            "endRange": f"{tiers[number + 1][0]:g}" if number + 1 < len(tiers) else "Inf",
            "pricePerUnit": {"USD": f"{amount:.10f}"},
        }
        for number, (above, amount) in enumerate(tiers)
    }
    return {
        "serviceCode": service,
        "product": {"sku": sku, "productFamily": family, "attributes": {**about, "regionCode": region}},
        "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": {"sku": sku, "priceDimensions": rows}}},
    }
