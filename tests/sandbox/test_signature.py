"""Only the sandbox's own keys are let in, and the refusals are those that AWS gives."""

from __future__ import annotations

import io

import pytest
import requests

from served import KEY, SECRET, Served, refused


@pytest.mark.parametrize(
    ("service", "operation", "unknown", "wrong"),
    [
        ("ec2", "describe_vpcs", ("AuthFailure", 401), ("AuthFailure", 401)),
        ("sts", "get_caller_identity", ("InvalidClientTokenId", 403), ("SignatureDoesNotMatch", 403)),
        ("route53", "list_hosted_zones", ("InvalidClientTokenId", 403), ("SignatureDoesNotMatch", 403)),
        ("s3", "list_buckets", ("InvalidAccessKeyId", 403), ("SignatureDoesNotMatch", 403)),
        ("acm", "list_certificates", ("UnrecognizedClientException", 400), ("InvalidSignatureException", 400)),
    ],
)
def test_unknown_keys_and_wrong_secrets_are_refused(
    aws: Served, service: str, operation: str, unknown: tuple[str, int], wrong: tuple[str, int]
) -> None:
    assert refused(getattr(aws.client(service, key="AKIANOBODY0000000000"), operation)) == unknown
    assert refused(getattr(aws.client(service, secret="another"), operation)) == wrong
    getattr(aws.client(service), operation)()


def test_odd_keys_queries_and_metadata_are_signed_right(aws: Served) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="odd-names", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for key in ("a b/ü+%.css", "//x", "q?=&", "tilde~*'()!", "日本"):
        s3.put_object(Bucket="odd-names", Key=key, Body=b"x", Metadata={"a_b": "1", "c-d": "two  words"})
        assert s3.get_object(Bucket="odd-names", Key=key)["Body"].read() == b"x"
    assert len(s3.list_objects_v2(Bucket="odd-names", Prefix="a b/ü+")["Contents"]) == 1
    s3.upload_fileobj(io.BytesIO(b"0" * (9 << 20)), "odd-names", "parts")


def test_presigned_urls_work_until_they_are_changed(aws: Served) -> None:
    s3 = aws.client("s3", signature_version="s3v4")
    s3.create_bucket(Bucket="presigned", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_object(Bucket="presigned", Key="k", Body=b"content")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "presigned", "Key": "k"}, ExpiresIn=60)
    assert requests.get(url, timeout=10).content == b"content"
    assert "SignatureDoesNotMatch" in requests.get(url.replace("/k?", "/j?"), timeout=10).text


def test_keys_made_through_iam_and_roles_assumed_through_sts_work(aws: Served) -> None:
    iam = aws.client("iam")
    iam.create_user(UserName="ci")
    made = iam.create_access_key(UserName="ci")["AccessKey"]
    aws.client("ec2", key=made["AccessKeyId"], secret=made["SecretAccessKey"]).describe_vpcs()
    iam.delete_access_key(UserName="ci", AccessKeyId=made["AccessKeyId"])
    assert (
        refused(aws.client("ec2", made["AccessKeyId"], made["SecretAccessKey"]).describe_vpcs)[0] == "AuthFailure"
    )


def test_the_account_is_told_by_sts(aws: Served) -> None:
    assert aws.client("sts", KEY, SECRET).get_caller_identity()["Account"] == "123456789012"


def test_a_call_without_a_signature_is_refused(aws: Served) -> None:
    answer = requests.get(aws.url + "/", timeout=10)
    assert answer.status_code == 403
    assert "AccessDenied" in answer.text
