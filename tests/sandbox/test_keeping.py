"""What the stand-ins know outlives them."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from control_tools import aws_client, until
from rehost.providers.sandbox import control
from rehost.providers.sandbox.aws_api.memory import MotoMemory, StoredContent
from rehost.providers.sandbox.keeping import Gate, Keeping
from served import TRUST, Served

SEED = {"LocationConstraint": "eu-central-1"}


def world(served: Served) -> dict[str, Any]:
    """What a caller sees of every service."""
    ec2, s3, elb = served.client("ec2"), served.client("s3"), served.client("elbv2")
    versions = s3.list_object_versions(Bucket="kept-1")
    return {
        "vpcs": ec2.describe_vpcs()["Vpcs"],
        "instances": ec2.describe_instances()["Reservations"],
        "volumes": ec2.describe_volumes()["Volumes"],
        "addresses": ec2.describe_addresses()["Addresses"],
        "keys": ec2.describe_key_pairs()["KeyPairs"],
        "groups": ec2.describe_security_groups()["SecurityGroups"],
        "versions": [(v["Key"], v["VersionId"], v["ETag"]) for v in versions["Versions"]],
        "markers": [m["Key"] for m in versions["DeleteMarkers"]],
        "parts": [
            (p["PartNumber"], p["ETag"])
            for u in s3.list_multipart_uploads(Bucket="kept-1")["Uploads"]
            for p in s3.list_parts(Bucket="kept-1", Key="m", UploadId=u["UploadId"])["Parts"]
        ],
        "zones": served.client("route53").list_hosted_zones()["HostedZones"],
        "roles": served.client("iam").list_roles()["Roles"],
        "balancers": elb.describe_load_balancers()["LoadBalancers"],
        "groups of targets": elb.describe_target_groups()["TargetGroups"],
        "certificates": served.client("acm").list_certificates()["CertificateSummaryList"],
        "secrets": served.client("secretsmanager").get_secret_value(SecretId="s")["SecretString"],
    }


def fill(served: Served) -> None:
    """A bit of everything."""
    ec2, s3, elb = served.client("ec2"), served.client("s3"), served.client("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"eu-central-1{zone}")
        for n, zone in enumerate("ab")
    ]
    ids = [subnet["Subnet"]["SubnetId"] for subnet in subnets]
    image = ec2.describe_images()["Images"][0]["ImageId"]
    ec2.run_instances(ImageId=image, MinCount=2, MaxCount=2, SubnetId=ids[0], InstanceType="t3.small")
    ec2.create_volume(Size=1, AvailabilityZone="eu-central-1a")
    ec2.allocate_address(Domain="vpc")
    ec2.create_key_pair(KeyName="k")
    s3.create_bucket(Bucket="kept-1", CreateBucketConfiguration=SEED)
    s3.put_bucket_versioning(Bucket="kept-1", VersioningConfiguration={"Status": "Enabled"})
    for n in range(30):
        s3.put_object(Bucket="kept-1", Key=f"k{n % 20}", Body=b"x" * n, Metadata={"n": str(n)})
    s3.delete_object(Bucket="kept-1", Key="k3")
    upload = s3.create_multipart_upload(Bucket="kept-1", Key="m")["UploadId"]
    s3.upload_part(Bucket="kept-1", Key="m", UploadId=upload, PartNumber=1, Body=b"y" * (6 << 20))
    served.client("route53").create_hosted_zone(Name="plaza.example", CallerReference="1")
    served.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    elb.create_load_balancer(Name="lb", Subnets=ids)
    elb.create_target_group(Name="tg", Protocol="HTTP", Port=80, VpcId=vpc)
    served.client("acm").request_certificate(DomainName="plaza.example")
    served.client("secretsmanager").create_secret(Name="s", SecretString="x")


def test_all_of_moto_comes_back_and_content_is_written_once(aws: Served, tmp_path: Path) -> None:
    fill(aws)
    before = world(aws)
    memory = MotoMemory(tmp_path / "objects")
    first = memory.dump()
    memory.kept()
    assert len(first) < 1_000_000
    inodes = {file.name: file.stat().st_ino for file in (tmp_path / "objects").iterdir()}
    aws.client("s3").put_object(Bucket="kept-1", Key="more", Body=b"more")
    memory.dump()
    memory.kept()
    after = {file.name: file.stat().st_ino for file in (tmp_path / "objects").iterdir()}
    assert len(after) == len(inodes) + 1
    assert inodes.items() <= after.items()
    aws.client("s3").delete_object(Bucket="kept-1", Key="more")

    requests.post(f"{aws.url}/moto-api/reset", timeout=10).raise_for_status()
    again = MotoMemory(tmp_path / "objects")
    again.load(first)
    assert world(aws) == before
    s3 = aws.client("s3")
    got = s3.get_object(Bucket="kept-1", Key="k9")
    assert (got["Body"].read(), got["Metadata"]) == (b"x" * 29, {"n": "29"})
    # What was taken up is as alive as before: it changes, goes, and is kept again.
    upload = s3.list_multipart_uploads(Bucket="kept-1")["Uploads"][0]["UploadId"]
    parts = [
        {"PartNumber": 1, "ETag": s3.list_parts(Bucket="kept-1", Key="m", UploadId=upload)["Parts"][0]["ETag"]}
    ]
    s3.complete_multipart_upload(Bucket="kept-1", Key="m", UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.head_object(Bucket="kept-1", Key="m")["ContentLength"] == 6 << 20
    elb = aws.client("elbv2")
    elb.delete_load_balancer(LoadBalancerArn=before["balancers"][0]["LoadBalancerArn"])
    again.dump()
    again.kept()


def test_state_of_another_version_or_a_torn_file_is_refused(tmp_path: Path) -> None:
    memory = MotoMemory(tmp_path)
    with pytest.raises(ValueError, match="moto 0"):
        memory.load(b"rehost sandbox 1, moto 0\nx")
    whole = memory.dump()
    with pytest.raises(ValueError, match="can't be read"):
        memory.load(whole[: len(whole) // 2])


def test_stored_content_behaves_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"content")
    stored = StoredContent(tmp_path / "c")
    stored.seek(3)
    assert (stored.read(2), stored.read()) == (b"te", b"nt")
    stored.seek(0)
    stored.truncate()
    stored.write(b"new")
    stored.seek(0)
    assert (stored.read(), stored.name) == (b"new", "")
    assert (tmp_path / "c").read_bytes() == b"content"


def test_nobody_is_inside_a_closed_gate() -> None:
    gate, inside, alone = Gate(), threading.Event(), threading.Event()
    leave = threading.Event()

    def visit() -> None:
        with gate.open():
            inside.set()
            leave.wait(10)

    def close() -> None:
        with gate.closed():
            alone.set()

    threads = [threading.Thread(target=visit), threading.Thread(target=close)]
    threads[0].start()
    inside.wait(10)
    threads[1].start()
    assert not alone.is_set()
    leave.set()
    for thread in threads:
        thread.join(10)
    assert alone.is_set()


def test_a_change_is_written_soon_and_whole(tmp_path: Path) -> None:
    class Memory:
        value, told = 0, 0

        def dump(self) -> bytes:
            return str(self.value).encode()

        def load(self, kept: bytes) -> None:
            self.value = int(kept)

        def kept(self) -> None:
            self.told += 1

    memory = Memory()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        memory.value += 1
        start_response("200 OK", [])
        return [b"done"]

    keeping = Keeping(app, memory, tmp_path / "state", lambda environ: environ["REQUEST_METHOD"] != "GET")
    assert not keeping.restore()
    keeping.start()

    def call(method: str) -> None:
        environ = {"REQUEST_METHOD": method, "wsgi.input": io.BytesIO()}
        assert b"".join(keeping(environ, lambda *_: None)) == b"done"

    call("POST")
    until(lambda: (tmp_path / "state").exists() and (tmp_path / "state").read_bytes() == b"1")
    call("POST")
    until(lambda: (tmp_path / "state").read_bytes() == b"2")
    other = Memory()
    assert Keeping(app, other, tmp_path / "state", lambda environ: True).restore()
    assert other.value == 2


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "sandbox"
    control.down(tmp_path / "sandbox")


def hetzner(env: dict[str, str], method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {env['HCLOUD_TOKEN']}"}
    answer = requests.request(method, env["HCLOUD_ENDPOINT"] + path, json=body, headers=headers, timeout=20)
    answer.raise_for_status()
    return answer.json()


def test_a_kept_sandbox_comes_back_after_down_and_after_kills(folder: Path) -> None:
    first = control.up(folder, keep=True)
    env = first["environment"]
    aws_client(env, "ec2").create_vpc(CidrBlock="10.77.0.0/16")
    for side in ("AWS", "HETZNER"):
        s3 = aws_client(env, "s3", hetzner=side == "HETZNER")
        s3.create_bucket(Bucket="kept-2", CreateBucketConfiguration=SEED)
        s3.put_object(Bucket="kept-2", Key="k", Body=side.encode())
    hetzner(env, "POST", "/networks", {"name": "n", "ip_range": "10.0.0.0/16"})

    def check() -> None:
        now = control.connection(folder)
        assert now == env
        vpcs = aws_client(env, "ec2").describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.77.0.0/16"]}])["Vpcs"]
        assert len(vpcs) == 1
        for side in ("AWS", "HETZNER"):
            s3 = aws_client(env, "s3", hetzner=side == "HETZNER")
            assert s3.get_object(Bucket="kept-2", Key="k")["Body"].read() == side.encode()
        assert [n["name"] for n in hetzner(env, "GET", "/networks")["networks"]] == ["n"]

    check()
    control.down(folder)
    again = control.up(folder, keep=True)
    check()
    # A part is killed and started again by itself, the supervisor only by the next `up`.
    os.kill(again["parts"]["aws"]["pid"], signal.SIGKILL)
    until(lambda: (control.record(folder) or again)["parts"]["aws"]["restarts"] == 1)
    check()
    os.kill(again["pid"], signal.SIGKILL)
    until(lambda: control.record(folder) is None)
    control.up(folder, keep=True)
    check()
    control.down(folder)
    # Without --keep there is nothing, and what is kept stays where it is.
    fresh = control.up(folder)
    assert fresh["environment"]["REHOST_SANDBOX"] != env["REHOST_SANDBOX"]
    assert not aws_client(fresh["environment"], "s3").list_buckets()["Buckets"]
    control.down(folder)
    control.up(folder, keep=True)
    check()
