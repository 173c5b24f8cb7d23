"""Chains of certificates, taken apart for those who want them so and put together again."""

from __future__ import annotations

from typing import Any

import pytest

from rehost.providers.pem import chain_of, leaf_and_issuers
from rehost.stacks.graph import UNKNOWN, Join, Ref, Secret

ONE, TWO, THREE = (
    f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n" for body in ("MII", "MIJ", "MIK")
)


@pytest.mark.parametrize(
    ("chain", "leaf", "issuers"),
    [
        (ONE, ONE, None),
        (ONE + TWO + THREE, ONE, TWO + THREE),
        (Secret(ONE + TWO), Secret(ONE), Secret(TWO)),
        (Join((Secret(ONE), TWO)), Secret(ONE), Secret(TWO)),
        ("no certificate", "no certificate", None),
        (UNKNOWN, UNKNOWN, UNKNOWN),
        (Join((ONE, UNKNOWN)), UNKNOWN, UNKNOWN),
        (Join((ONE, Ref("urn:x", "pem"))), Join((ONE, Ref("urn:x", "pem"))), None),
    ],
)
def test_the_first_and_those_that_follow(chain: Any, leaf: Any, issuers: Any) -> None:
    assert leaf_and_issuers(chain) == (leaf, issuers)


@pytest.mark.parametrize(
    "chain", [ONE, ONE + TWO, Secret(ONE + TWO + THREE), Secret("no certificate"), ONE + TWO[:-1]]
)
def test_together_they_are_the_chain(chain: Any) -> None:
    assert chain_of(*leaf_and_issuers(chain)) == chain


def test_what_an_account_tells_apart_is_put_together_by_lines() -> None:
    assert chain_of(ONE.strip(), TWO) == ONE + TWO
