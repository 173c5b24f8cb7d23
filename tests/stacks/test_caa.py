"""CAA records, judged as RFC 8659 and RFC 8657 say."""

from __future__ import annotations

import pytest

from rehost.stacks.acme.caa import Caa, judge

CA, ACCOUNT = {"ca.example"}, "https://ca.example/acct/7"


def records(*texts: str) -> list[Caa]:
    made = []
    for text in texts:
        flags, tag, value = text.split(" ", 2)
        made.append(Caa("plaza.example", int(flags), tag, value))
    return made


@pytest.mark.parametrize(
    ("domain", "texts"),
    [
        ("plaza.example", []),
        ("plaza.example", ["0 iodef mailto:ops@plaza.example"]),
        ("plaza.example", ["0 issue ca.example"]),
        ("plaza.example", ["0 ISSUE CA.example."]),
        ("plaza.example", ["0 issue other.example", "0 issue ca.example"]),
        ("plaza.example", ["0 issue ca.example; validationmethods=dns-01,http-01"]),
        ("plaza.example", [f"0 issue ca.example; accounturi={ACCOUNT}"]),
        ("plaza.example", [f"0 issue ca.example;accounturi={ACCOUNT};validationmethods=dns-01"]),
        ("plaza.example", ["0 issue ca.example; future=thing"]),
        ("plaza.example", ["0 issuewild ;"]),
        ("*.plaza.example", ["0 issue ;", "0 issuewild ca.example"]),
        ("*.plaza.example", ["0 issue ca.example"]),
        ("plaza.example", ["128 issue ca.example"]),
        ("plaza.example", ["0 unheard-of anything", "0 issue ca.example"]),
    ],
)
def test_allowed(domain: str, texts: list[str]) -> None:
    assert judge(domain, records(*texts), CA, ACCOUNT).allowed


@pytest.mark.parametrize(
    ("domain", "texts", "named", "why"),
    [
        ("plaza.example", ["0 issue ;"], "issue", "allows nobody"),
        ("plaza.example", ["0 issue "], "issue", "allows nobody"),
        ("plaza.example", ["0 issue other.example"], "other.example", "this authority is ca.example"),
        ("*.plaza.example", ["0 issue ca.example", "0 issuewild ;"], "issuewild", "allows nobody"),
        ("*.plaza.example", ["0 issue ca.example", "0 issuewild other.example"], "issuewild", "other.example"),
        ("plaza.example", ["0 issue ca.example; accounturi=https://ca.example/acct/8"], "acct/8", "acct/7"),
        ("plaza.example", ["0 issue ca.example; validationmethods=http-01"], "http-01", "by dns-01"),
        ("plaza.example", ["0 issue ca.example; validationmethods"], "issue", "not well-formed"),
        ("plaza.example", ["0 issue %%%"], "%%%", "not well-formed"),
        ("plaza.example", ["128 unheard-of anything", "0 issue ca.example"], "unheard-of", "critical"),
        # Of several, the one that names this authority says more.
        ("plaza.example", ["0 issue a.example", "0 issue ca.example; validationmethods=x"], "ca.example", "by x"),
    ],
)
def test_forbidden_by_a_record_that_is_named(domain: str, texts: list[str], named: str, why: str) -> None:
    verdict = judge(domain, records(*texts), CA, ACCOUNT)
    assert not verdict.allowed
    assert named in str(verdict.record)
    assert why in verdict.why


def test_an_account_that_is_not_made_yet_fits_no_record_that_asks_for_one() -> None:
    verdict = judge("plaza.example", records(f"0 issue ca.example; accounturi={ACCOUNT}"), CA, None)
    assert "not made yet" in verdict.why


def test_an_authority_without_a_name_is_judged_by_the_rest() -> None:
    assert judge("plaza.example", records("0 issue other.example"), (), ACCOUNT).allowed
    assert not judge("plaza.example", records("0 issue ;"), (), ACCOUNT).allowed
