"""What only Amazon's kinds have to do, beyond what every kind does."""

from __future__ import annotations

from typing import Any

import pytest
from bench import Bench

from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.ports import Known

INSTANCE = "aws:ec2/instance:Instance"
pytestmark = pytest.mark.parametrize("provider", ["aws"])


@pytest.mark.parametrize("public", [False, True])
def test_a_static_address_is_no_drift_of_its_server(bench: Bench, public: bool) -> None:
    server = bench.make(INSTANCE, {"associatePublicIpAddress": public})
    address = bench.make("aws:ec2/eip:Eip")
    join = {"allocationId": address.live.id, "instanceId": server.live.id}
    bench.connection.create(bench.call(), "aws:ec2/eipAssociation:EipAssociation", join)
    (read,) = bench.read(server.known)
    assert read is not None
    assert read.outputs["publicIp"] == address.live.outputs["publicIp"]
    assert bench.differences(INSTANCE, server.inputs, read.inputs) == []


def test_a_record_of_another_type_takes_the_place_of_the_old_one(bench: Bench) -> None:
    token = "aws:route53/record:Record"
    made = bench.make(token)
    new = bench.changed(made, {"type": "CNAME", "records": ["other.example"]})
    bench.connection.update(bench.call(), token, made.known, new)
    assert bench.connection.find(token, made.inputs) is None
    assert bench.connection.find(token, new) is not None


def test_a_deleted_secret_of_ours_is_brought_back_under_its_name(bench: Bench) -> None:
    token = "aws:secretsmanager/secret:Secret"
    made = bench.make(token)
    bench.connection.delete(bench.call(), token, made.known)
    again = bench.connection.create(bench.call(), token, {**made.inputs, "description": "anew"})
    assert again.id == made.live.id
    assert again.outputs["description"] == "anew"


def test_a_deleted_secret_of_somebody_else_is_left_alone(bench: Bench) -> None:
    token = "aws:secretsmanager/secret:Secret"
    made = bench.make(token)
    bench.connection.delete(bench.call(), token, made.known)
    stranger = {**made.inputs, "tags": {"rehost-id": "another"}}
    with pytest.raises(ProviderError, match="blocks its name") as error:
        bench.connection.create(bench.call(), token, stranger)
    assert error.value.fix


def test_a_create_waits_for_what_it_refers_to_to_be_known(bench: Bench) -> None:
    """IAM tells EC2 of a new profile some seconds late."""
    inputs = bench.inputs(INSTANCE, {"iamInstanceProfile": "late"})

    class Late(type(bench.call())):  # type: ignore[misc]
        def pause(self, seconds: float) -> None:
            super().pause(seconds)
            role = bench.make("aws:iam/role:Role")
            profile: dict[str, Any] = {"name": "late", "role": role.live.id, "tags": {"rehost-id": "late"}}
            token = "aws:iam/instanceProfile:InstanceProfile"
            if bench.connection.find(token, profile) is None:
                bench.connection.create(bench.call(), token, profile)

    live = bench.connection.create(Late("0" * 32, bench.clock), INSTANCE, inputs)
    assert live.inputs["iamInstanceProfile"] == "late"


def test_what_never_appears_ends_the_create_and_makes_nothing(bench: Bench) -> None:
    inputs = bench.inputs(INSTANCE, {"subnetId": "subnet-0123456789abcdef0"})
    before = bench.clock[0]
    with pytest.raises(ProviderError) as error:
        bench.connection.create(bench.call(), INSTANCE, inputs)
    assert error.value.reason is Reason.NOT_FOUND
    assert 10 < bench.clock[0] - before < 120
    assert bench.connection.find(INSTANCE, inputs) is None


def test_a_change_that_waits_for_the_maintenance_window_is_no_difference(bench: Bench) -> None:
    token = "aws:rds/instance:Instance"
    made = bench.make(token, {"applyImmediately": None})
    new = bench.changed(made, {"instanceClass": "db.m6g.large"})
    live = bench.connection.update(bench.call(), token, made.known, new)
    (read,) = bench.read(Known(made.known.urn, live.id, new, live.outputs))
    assert read is not None
    assert bench.differences(token, new, read.inputs) == []


def test_a_policy_with_another_layout_is_no_difference(bench: Bench) -> None:
    token = "aws:iam/role:Role"
    spread = '{ "Version": "2012-10-17", "Statement": [ {"Effect": "Allow", "Action": "sts:AssumeRole", '
    spread += '"Principal": {"Service": "ec2.amazonaws.com"} } ] }'
    made = bench.make(token, {"assumeRolePolicy": spread})
    (read,) = bench.read(made.known)
    assert read is not None
    assert bench.differences(token, made.inputs, read.inputs) == []


def test_a_pending_certificate_is_waited_for_before_a_listener_takes_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moto.settings.ACM_VALIDATION_WAIT", 10**9)
    certificate = bench.make("aws:acm/certificate:Certificate")
    assert certificate.live.outputs["status"] == "PENDING_VALIDATION"
    assert certificate.live.outputs["domainValidationOptions"][0]["resourceRecordType"] == "CNAME"
    over = {"protocol": "HTTPS", "certificateArn": certificate.live.id, "sslPolicy": "ELBSecurityPolicy-2016-08"}
    inputs = bench.inputs("aws:lb/listener:Listener", over)
    with pytest.raises(ProviderError):
        bench.connection.create(bench.call(), "aws:lb/listener:Listener", inputs)

    class Issuing(type(bench.call())):  # type: ignore[misc]
        def pause(self, seconds: float) -> None:
            super().pause(seconds)
            monkeypatch.setattr("moto.settings.ACM_VALIDATION_WAIT", 0)

    validation, token = (
        {"certificateArn": certificate.live.id},
        "aws:acm/certificateValidation:CertificateValidation",
    )
    assert bench.connection.find(token, validation) is None
    call = Issuing("0" * 32, bench.clock)
    bench.connection.create(call, token, validation)
    assert call.began >= 0, "it did wait"
    live = bench.connection.create(bench.call(), "aws:lb/listener:Listener", inputs)
    assert live.inputs["certificateArn"] == certificate.live.id


@pytest.mark.parametrize(
    ("over", "refusal"),
    [
        ({"certificateBody": "${issued_body}\n${issuer_body}"}, "more than one certificate"),
        ({"certificateChain": "${other_body}"}, "validate the certificate with the certificate chain"),
        (
            {"certificateChain": "${issued_body}\n${issuer_body}"},
            "validate the certificate with the certificate chain",
        ),
    ],
    ids=["together", "another's", "with itself"],
)
def test_a_certificate_is_taken_apart_from_its_issuers_only(
    bench: Bench, over: dict[str, str], refusal: str
) -> None:
    token = "aws:acm/certificate:Certificate"
    given = {"certificateBody": "${issued_body}", "privateKey": "${issued_key}", **over}
    with pytest.raises(ProviderError, match=refusal) as error:
        bench.make(token, {**dict.fromkeys(bench.case(token)["inputs"]), **given})
    assert error.value.reason is Reason.INVALID


def test_a_database_is_not_deleted_without_a_last_snapshot_unless_told_so(bench: Bench) -> None:
    token = "aws:rds/instance:Instance"
    for over, count in ({"skipFinalSnapshot": None}, 1), ({"skipFinalSnapshot": True}, 1):
        made = bench.make(token, over)
        bench.connection.delete(bench.call(), token, made.known)
        rds: Any = bench.connection._clients["rds"]  # type: ignore[attr-defined]
        snapshots = [row["DBSnapshotIdentifier"] for row in rds.describe_db_snapshots()["DBSnapshots"]]
        assert len(snapshots) == count, "it stays when the database goes"
