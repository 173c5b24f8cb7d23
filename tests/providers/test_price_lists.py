"""Price lists in the forms that the providers' APIs have, and sums of what has tiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehost.providers.aws import live as amazon
from rehost.providers.hetzner import live as hetzner
from rehost.stacks.catalog import Bill, Charge, Offer, Origin, Rate, Sheet, tiered


def product(about: dict[str, str], unit: str, *prices: tuple[str, str]) -> dict[str, Any]:
    rows = {
        f"SKU.TERM.{number}": {"unit": unit, "beginRange": begin, "pricePerUnit": {"USD": usd}}
        for number, (begin, usd) in enumerate(prices)
    }
    reserved = {"SKU.OTHER": {"priceDimensions": {"x": {"unit": "Hrs", "pricePerUnit": {"USD": "0.0100000000"}}}}}
    return {
        "product": {"attributes": about},
        "terms": {"OnDemand": {"SKU.TERM": {"priceDimensions": rows}}, "Reserved": reserved},
    }


SIZE = {"vcpu": "2", "memory": "8 GiB", "instanceFamily": "General purpose"}
LISTED = {
    "AmazonEC2": [
        product(
            {**SIZE, "instanceType": "m8g.large", "physicalProcessor": "AWS Graviton4"}, "Hrs", ("0", "0.0897")
        ),
        product({**SIZE, "instanceType": "m7i.large", "physicalProcessor": "Intel Xeon"}, "Hrs", ("0", "0.0000")),
        product({**SIZE, "instanceType": "m7i.metal-24xl"}, "Hrs", ("0", "5")),
        product({**SIZE, "instanceType": "g6.xlarge", "instanceFamily": "GPU instance"}, "Hrs", ("0", "0.8")),
        product({"usagetype": "EUC1-EBS:VolumeUsage.gp3"}, "GB-Mo", ("0", "0.0952")),
        product({"usagetype": "EUC1-NatGateway-Hours"}, "Hrs", ("0", "0.0520")),
        product({"usagetype": "EUC1-NatGateway-Bytes"}, "GB", ("0", "0.0520")),
    ],
    "AWSELB": [
        product({"usagetype": "EUC1-LoadBalancerUsage"}, "Hrs", ("0", "0.0270")),
        product({"usagetype": "EUC1-TS-LoadBalancerUsage"}, "Hrs", ("0", "0.0056")),
        product({"usagetype": "EUC1-LoadBalancerUsage", "locationType": "AWS Outposts"}, "Hrs", ("0", "0.09")),
    ],
    "AWSDataTransfer": [
        product(
            {"usagetype": "EUC1-DataTransfer-Out-Bytes"}, "GB", ("10240", "0.0850000000"), ("0", "0.0900000000")
        )
    ],
}


def look(service: str, wanted: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    assert "eu-central-1" in wanted.values()
    yield from LISTED.get(service, [])


def test_amazons_list_gives_types_and_rates_and_nothing_that_it_does_not_say() -> None:
    sheet = amazon.sheet("eu-central-1", look, "eu-central-1")
    assert [(o.name, o.architecture, o.monthly) for o in sheet.of("servers")] == [("m8g.large", "arm64", 65.48)]
    amounts = {(rate.what, rate.above): rate.amount for rate in sheet.rates}
    assert amounts == {
        ("volume", 0.0): 0.0952,
        ("NAT gateway", 0.0): 0.052,
        ("load balancer", 0.0): 0.027,
        ("network load balancer", 0.0): 0.027,
        ("egress", 0.0): 0.09,
        ("egress", 10240.0): 0.085,
    }
    assert all(item.origin and item.origin.date for item in (*sheet.offers, *sheet.rates))


@pytest.mark.parametrize(
    ("region", "place"),
    [
        ("eu-west-1", "eu-central-1"),
        ("ap-northeast-1", "ap-south-1"),
        ("us-west-2", "us-east-1"),
        ("sa-east-1", "us-east-1"),
    ],
)
def test_the_price_list_is_asked_where_it_is_answered(region: str, place: str) -> None:
    assert amazon.endpoint_for(region) == place


def test_hetzners_types_are_those_of_the_location_with_its_price_and_room() -> None:
    def type_(name: str, **fields: Any) -> dict[str, Any]:
        place = {"name": "fsn1", "available": True, "deprecation": None}
        price = {"location": "fsn1", "price_monthly": {"net": "5.4900000000", "gross": "6.53"}}
        base = {"name": name, "cores": 2, "memory": 4.0, "disk": 40, "architecture": "x86", "cpu_type": "shared"}
        return {**base, "locations": [place], "prices": [price], **fields}

    gone = {"announced": "2026-10-01T00:00:00Z", "unavailable_after": "2027-01-01T00:00:00Z"}
    rows = [
        type_("cx23"),
        type_("full", locations=[{"name": "fsn1", "available": False}]),
        type_("old", locations=[{"name": "fsn1", "available": True, "deprecation": gone}]),
        type_("elsewhere", locations=[{"name": "hel1", "available": True}]),
        type_("free", prices=[{"location": "fsn1", "price_monthly": {"net": "0.0000000000"}}]),
        type_("new", architecture="riscv"),
    ]
    found = {o.name: o for o in hetzner.servers_of(rows, "fsn1", Origin("here", "2026-11-01"))}
    assert found.keys() == {"cx23", "full", "old", "free"}
    assert found["cx23"].monthly == 5.49 and found["cx23"].available is True
    assert found["full"].available is False
    assert found["old"].retired == "2027-01-01"
    assert found["free"].monthly is None and found["free"].origin is None


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_more_never_costs_less_and_a_tier_begins_where_the_last_one_ends(one: float, other: float) -> None:
    rates = [
        Rate("egress", "x", "GB", amount, None, above) for above, amount in ((0, 0.09), (100, 0.05), (500, 0.01))
    ]
    low, high = tiered(rates, min(one, other)), tiered(rates, max(one, other))
    assert low is not None and high is not None and low <= high + 1e-9
    assert tiered(rates, 100) == pytest.approx(9.0) and tiered(rates, 600) == pytest.approx(9 + 400 * 0.05 + 1)


def test_what_is_unknown_stays_so() -> None:
    rates = [Rate("egress", "x", "GB", 0.09), Rate("egress", "x", "GB", None, None, 100)]
    assert tiered(rates, 50) == pytest.approx(4.5) and tiered(rates, 101) is None and tiered([], 1) is None
    bill = Bill.of([Charge("a", 1.5, Origin("s", "2026")), Charge("b", None), Charge("c", 2.0)])
    assert (bill.known, bill.unknown, bill.origins) == (3.5, ("b",), (Origin("s", "2026"),))


def test_a_new_sheet_stands_for_the_families_that_it_has() -> None:
    old = Sheet((Offer("servers", "a", "x"), Offer("caches", "c", "x")), (Rate("zone", "x", "month", 0.5),))
    new = Sheet((Offer("servers", "b", "x"),), (Rate("volume", "x", "GiB-month", 0.1),))
    both = new.over(old)
    assert [offer.name for offer in both.offers] == ["b", "c"]
    assert {rate.what for rate in both.rates} == {"zone", "volume"}
