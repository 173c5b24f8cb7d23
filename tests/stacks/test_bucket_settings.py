"""Encryption and ownership of buckets: settings on the one cloud, named as lost on the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clouds import cloud

from rehost.providers.registry import adapter
from rehost.stacks.fit import Fit
from rehost.stacks.model import Stack

SHOP: dict[str, Any] = {
    "stack": "shop",
    "targets": {
        "aws": {"provider": "aws", "region": "eu-central-1"},
        "hetzner": {"provider": "hetzner", "region": "fsn1"},
    },
    "buckets": {"dumps": {"encrypted": True, "owner_enforced": True}},
}


def test_settings_are_made_put_right_and_taken_back(tmp_path: Path) -> None:
    with cloud("aws") as here:
        made = here.deployment(tmp_path, SHOP)
        assert made.deploy()[1].word == "done"
        s3 = here.client("s3")
        (name,) = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]

        def rules() -> tuple[Any, Any]:
            encryption = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
            ownership = s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
            default = encryption[0]["ApplyServerSideEncryptionByDefault"]
            return default["SSEAlgorithm"], ownership[0]["ObjectOwnership"]

        assert rules() == ("AES256", "BucketOwnerEnforced")
        s3.put_bucket_ownership_controls(
            Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
        )
        s3.delete_bucket_encryption(Bucket=name)
        changed = {step.type.rpartition(":")[2] for step in here.deployment(tmp_path, SHOP).plan().changing}
        assert {"BucketOwnershipControls"} <= changed
        assert here.deployment(tmp_path, SHOP).deploy()[1].word == "done"
        assert rules() == ("AES256", "BucketOwnerEnforced")
        bare = {**SHOP, "buckets": {"dumps": {}}}
        assert here.deployment(tmp_path, bare).deploy()[1].done == {"delete": 2}
        assert here.deployment(tmp_path, bare).plan().empty


def test_what_a_target_has_no_setting_for_is_named() -> None:
    stack = Stack.model_validate(SHOP)
    found = list(adapter("hetzner").fits(stack, stack.targets["hetzner"]))
    lost = [finding.reason for finding in found if finding.fit is Fit.LOST]
    assert any("encrypted" in reason for reason in lost) and any("access lists" in reason for reason in lost)
    assert not any(finding.fit is Fit.LOST for finding in adapter("aws").fits(stack, stack.targets["aws"]))
