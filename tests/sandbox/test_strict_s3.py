"""S3: names, checksums, conditions, and who gets in without credentials."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from rehost.providers.sandbox.aws_api.app import AwsApi
from rehost.providers.sandbox.faults import Faults
from served import KEY, SECRET, Served, refused

HERE = {"LocationConstraint": "eu-central-1"}
OPEN = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False)


@pytest.fixture
def s3(aws: Served) -> Any:
    client = aws.client("s3")
    client.create_bucket(Bucket="box", CreateBucketConfiguration=HERE)
    return client


def public(bucket: str, **more: Any) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [{**statement, **more}]})


@pytest.mark.parametrize(
    "name", ["Ab_x", "ab", "192.168.1.1", "a..b", "xn--foo", "-abc", "abc-", "x" * 64, "one-s3alias"]
)
def test_bucket_names_follow_the_rules(aws: Served, name: str) -> None:
    call = {"Bucket": name, "CreateBucketConfiguration": HERE}
    assert refused(aws.client("s3").create_bucket, **call) == ("InvalidBucketName", 400)


def test_content_that_is_not_what_was_announced_is_refused(s3: Any) -> None:
    wrong = base64.b64encode(hashlib.md5(b"y").digest()).decode()
    put = {"Bucket": "box", "Key": "k", "Body": b"x"}
    assert refused(s3.put_object, ContentMD5=wrong, **put) == ("BadDigest", 400)
    assert refused(s3.put_object, ContentMD5="bm9uZQ==", **put) == ("InvalidDigest", 400)
    sha = base64.b64encode(hashlib.sha256(b"y").digest()).decode()
    assert refused(s3.put_object, ChecksumSHA256=sha, **put) == ("BadDigest", 400)
    assert refused(s3.put_object, ChecksumCRC32="AAAAAA==", **put) == ("BadDigest", 400)
    upload = s3.create_multipart_upload(Bucket="box", Key="m")["UploadId"]
    part = {"Bucket": "box", "Key": "m", "UploadId": upload, "PartNumber": 1, "Body": b"x"}
    assert refused(s3.upload_part, ContentMD5=wrong, **part) == ("BadDigest", 400)
    assert "Contents" not in s3.list_objects_v2(Bucket="box")
    good = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    s3.put_object(ContentMD5=good, **put)
    # A stream that is sent in chunks with its checksum behind it.
    s3.upload_fileobj(io.BytesIO(b"z" * (9 << 20)), "box", "large", ExtraArgs={"ChecksumAlgorithm": "SHA256"})
    assert s3.head_object(Bucket="box", Key="large")["ContentLength"] == 9 << 20


def test_parts_of_a_large_object_are_what_they_are_of_a_small_one(s3: Any) -> None:
    content = bytes(range(256)) * (5 << 12)
    s3.put_object(Bucket="box", Key="large", Body=content, Metadata={"a": "b"}, ContentType="text/x")
    s3.put_object(Bucket="box", Key="small", Body=content[:100_000], Metadata={"a": "b"}, ContentType="text/x")
    for given, first, last in (("bytes=5-9", 5, 9), ("bytes=99990-99999", 99_990, 99_999)):
        large, small = (s3.get_object(Bucket="box", Key=key, Range=given) for key in ("large", "small"))
        assert large["ContentRange"] == f"bytes {first}-{last}/{len(content)}"
        assert large["Body"].read() == small["Body"].read() == content[first : last + 1]
        same = ("ContentLength", "ContentType", "Metadata", "AcceptRanges")
        assert [large.get(name) for name in same] == [small.get(name) for name in same]
        assert large["ResponseMetadata"]["HTTPStatusCode"] == small["ResponseMetadata"]["HTTPStatusCode"] == 206
    tail = s3.get_object(Bucket="box", Key="large", Range=f"bytes={len(content) - 3}-")
    assert tail["Body"].read() == content[-3:]
    assert refused(s3.get_object, Bucket="box", Key="large", Range=f"bytes={len(content)}-") == (
        "InvalidRange",
        416,
    )
    assert refused(s3.get_object, Bucket="box", Key="large", Range="bytes=0-1", IfMatch='"0"')[1] == 412
    out = io.BytesIO()
    s3.download_fileobj("box", "large", out, Config=TransferConfig(multipart_threshold=1 << 20))
    assert out.getvalue() == content


def test_conditional_writes(s3: Any) -> None:
    put = {"Bucket": "box", "Key": "lock", "Body": b"x"}
    s3.put_object(IfNoneMatch="*", **put)
    assert refused(s3.put_object, IfNoneMatch="*", **put) == ("PreconditionFailed", 412)
    assert refused(s3.put_object, IfMatch='"0"', **put) == ("PreconditionFailed", 412)
    etag = s3.head_object(Bucket="box", Key="lock")["ETag"]
    s3.put_object(IfMatch=etag, **put)
    assert refused(s3.put_object, IfMatch=etag, **{**put, "Key": "none"}) == ("NoSuchKey", 404)
    assert refused(s3.delete_object, Bucket="box", Key="lock", IfMatch='"0"')[1] == 412
    upload = s3.create_multipart_upload(Bucket="box", Key="lock")["UploadId"]
    part = s3.upload_part(Bucket="box", Key="lock", UploadId=upload, PartNumber=1, Body=b"y")["ETag"]
    whole = {"Bucket": "box", "Key": "lock", "UploadId": upload}
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    assert refused(s3.complete_multipart_upload, MultipartUpload=parts, IfNoneMatch="*", **whole)[1] == 412
    s3.complete_multipart_upload(MultipartUpload=parts, **whole)
    assert refused(s3.complete_multipart_upload, MultipartUpload=parts, **whole) == ("NoSuchUpload", 404)
    assert refused(s3.list_parts, **whole) == ("NoSuchUpload", 404)


def test_of_many_that_want_a_lock_at_once_one_gets_it(s3: Any) -> None:
    def take(number: int) -> bool:
        try:
            s3.put_object(Bucket="box", Key="lock", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        got = list(pool.map(take, range(24)))
    assert sum(got) == 1
    assert s3.get_object(Bucket="box", Key="lock")["Body"].read() == str(got.index(True)).encode()


def test_a_bucket_with_content_stays_and_keys_have_a_length(s3: Any) -> None:
    s3.put_object(Bucket="box", Key="k" * 1024, Body=b"")
    assert refused(s3.put_object, Bucket="box", Key="k" * 1025, Body=b"") == ("KeyTooLongError", 400)
    assert refused(s3.delete_bucket, Bucket="box") == ("BucketNotEmpty", 409)


def test_a_new_bucket_is_closed_until_it_is_opened(aws: Served, s3: Any) -> None:
    s3.put_object(Bucket="box", Key="page", Body=b"hello")
    url = f"{aws.url}/box/page"
    assert requests.get(url, timeout=10).status_code == 403
    assert refused(s3.put_bucket_policy, Bucket="box", Policy=public("box")) == ("AccessDenied", 403)
    s3.put_public_access_block(Bucket="box", PublicAccessBlockConfiguration=OPEN)
    assert requests.get(url, timeout=10).status_code == 403
    s3.put_bucket_policy(Bucket="box", Policy=public("box"))
    assert requests.get(url, timeout=10).content == b"hello"
    assert requests.head(url, timeout=10).status_code == 200
    # Reading is allowed, nothing else is.
    assert requests.get(f"{aws.url}/box?list-type=2", timeout=10).status_code == 403
    assert requests.put(url, data=b"mine", timeout=10).status_code == 403
    assert requests.delete(url, timeout=10).status_code == 403
    assert requests.get(f"{aws.url}/", timeout=10).status_code == 403
    assert requests.get(f"{aws.url}/nobox/k", timeout=10).status_code == 404
    s3.put_public_access_block(
        Bucket="box", PublicAccessBlockConfiguration={**OPEN, "RestrictPublicBuckets": True}
    )
    assert requests.get(url, timeout=10).status_code == 403
    assert s3.get_object(Bucket="box", Key="page")["Body"].read() == b"hello"


def test_policies_are_read_as_amazon_reads_them(aws: Served, s3: Any) -> None:
    s3.put_object(Bucket="box", Key="open/a", Body=b"a")
    s3.put_object(Bucket="box", Key="shut/b", Body=b"b")
    s3.put_public_access_block(Bucket="box", PublicAccessBlockConfiguration=OPEN)
    s3.put_bucket_policy(Bucket="box", Policy=public("box", Resource="arn:aws:s3:::box/open/*"))
    assert requests.get(f"{aws.url}/box/open/a", timeout=10).status_code == 200
    assert requests.get(f"{aws.url}/box/shut/b", timeout=10).status_code == 403
    both = json.loads(public("box"))
    both["Statement"].append({**both["Statement"][0], "Effect": "Deny", "Resource": "arn:aws:s3:::box/shut/*"})
    s3.put_bucket_policy(Bucket="box", Policy=json.dumps(both))
    assert requests.get(f"{aws.url}/box/open/a", timeout=10).status_code == 200
    assert requests.get(f"{aws.url}/box/shut/b", timeout=10).status_code == 403
    s3.put_bucket_policy(Bucket="box", Policy=public("box", Principal={"AWS": "arn:aws:iam::123456789012:root"}))
    assert requests.get(f"{aws.url}/box/open/a", timeout=10).status_code == 403
    for junk in ("{", "{}", public("box", Resource="arn:aws:s3:::other/*"), public("box", Effect="Maybe")):
        assert refused(s3.put_bucket_policy, Bucket="box", Policy=junk) == ("MalformedPolicy", 400)


def test_access_lists_are_off(s3: Any) -> None:
    put = {"Bucket": "box", "Key": "k", "Body": b""}
    assert refused(s3.put_object, ACL="public-read", **put) == ("AccessControlListNotSupported", 400)
    s3.put_object(ACL="private", **put)


def test_an_object_storage_of_hetzners_is_s3_and_no_more(aws: Served, serve: Any) -> None:
    app = AwsApi({KEY: SECRET}, flavour="objects")
    objects = serve(Faults(app, app.dialect))
    s3 = objects.client("s3")
    s3.create_bucket(Bucket="box-2", CreateBucketConfiguration=HERE)
    assert refused(s3.put_bucket_tagging, Bucket="box-2", Tagging={"TagSet": []}) == ("NotImplemented", 501)
    s3.put_bucket_policy(Bucket="box-2", Policy=public("box-2"))
    s3.put_object(Bucket="box-2", Key="k", Body=b"open")
    assert requests.get(f"{objects.url}/box-2/k", timeout=10).content == b"open"
    assert refused(objects.client("ec2").describe_vpcs)[1] == 403
    assert refused(objects.client("s3", secret="of AWS").list_buckets) == ("SignatureDoesNotMatch", 403)


def test_a_bucket_that_kept_versions_is_emptied_of_deleted_objects(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket="box", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="box", Key="a", Body=b"x")
    s3.delete_object(Bucket="box", Key="a")
    s3.put_bucket_versioning(Bucket="box", VersioningConfiguration={"Status": "Suspended"})
    found = s3.list_object_versions(Bucket="box")
    rows = [*found["Versions"], *found["DeleteMarkers"]]
    every = [{"Key": row["Key"], "VersionId": row["VersionId"]} for row in rows]
    assert "Errors" not in s3.delete_objects(Bucket="box", Delete={"Objects": every})
    s3.delete_bucket(Bucket="box")
