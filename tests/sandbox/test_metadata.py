"""What a server of Amazon's is told about itself: the second version of the protocol, and nothing of the first."""

from __future__ import annotations

from rehost.providers.sandbox.machines.metadata import LONGEST_S, Metadata, Told

TTL = "x-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "x-aws-ec2-metadata-token"
TEXTS = {
    "meta-data/instance-id": "i-1",
    "meta-data/iam/info": "{}",
    "meta-data/iam/security-credentials/app": "keys",
}


def service(told: Told | None) -> Metadata:
    return Metadata(lambda: told, lambda peer, here: True)


def test_questions_need_a_token() -> None:
    here = service(Told(TEXTS))
    assert here.answer("GET", "/latest/meta-data/instance-id", {})[0] == 401
    status, headers, token = here.answer("PUT", "/latest/api/token", {TTL: "60"})
    assert (status, headers[TTL]) == (200, "60")
    asked = {TOKEN: token}
    assert here.answer("GET", "/latest/meta-data/instance-id", asked) == (200, {}, "i-1")
    assert here.answer("GET", "/latest/meta-data/instance-id", {TOKEN: "another"})[0] == 401
    assert here.answer("GET", "/latest/meta-data/iam/security-credentials/", asked)[2] == "app"
    assert here.answer("GET", "/latest/meta-data/", asked)[2].split() == ["iam/", "instance-id"]
    for path in ("/latest/meta-data/none", "/", "/elsewhere", "/latest-data/x"):
        assert here.answer("GET", path, asked)[0] == 404, path
    assert here.answer("POST", "/latest/meta-data/instance-id", asked)[0] == 405


def test_a_token_has_a_life_that_is_a_number_of_seconds() -> None:
    here = service(Told(TEXTS))
    for wrong in ("", "0", "-1", "soon", str(LONGEST_S + 1)):
        assert here.answer("PUT", "/latest/api/token", {TTL: wrong})[0] == 400, wrong
    assert here.answer("GET", "/latest/api/token", {TTL: "60"})[0] == 405
    token = here.answer("PUT", "/latest/api/token", {TTL: str(LONGEST_S)})[2]
    here._tokens[token] -= LONGEST_S + 1
    assert here.answer("GET", "/latest/meta-data/instance-id", {TOKEN: token})[0] == 401


def test_nobody_is_answered_through_a_proxy_or_where_it_is_switched_off() -> None:
    assert service(Told(TEXTS)).answer("PUT", "/latest/api/token", {TTL: "60", "x-forwarded-for": "1"})[0] == 403
    assert service(Told(TEXTS, on=False)).answer("PUT", "/latest/api/token", {TTL: "60"})[0] == 403
    assert service(None).answer("PUT", "/latest/api/token", {TTL: "60"})[0] == 403


def test_the_first_version_is_there_where_it_is_allowed() -> None:
    here = service(Told(TEXTS, tokens=False))
    assert here.answer("GET", "/latest/meta-data/iam/security-credentials/app", {})[2] == "keys"
    assert here.answer("GET", "/latest/meta-data/instance-id", {TOKEN: "another"})[0] == 401
