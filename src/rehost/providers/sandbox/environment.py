"""The variables that point tools at a sandbox: those of the providers' own tools, and of common S3 clients."""

from __future__ import annotations

from dataclasses import dataclass

from rehost.providers.sandbox.internet.addresses import RESOLVER

AWS_REGION = "eu-central-1"
MACHINES = "REHOST_SANDBOX_MACHINES"
"""The variable that names the folder of the sandbox's servers."""
ROOT = "ca.pem"
"""The file in a sandbox's folder with the root of all its certificates, which its servers trust."""
TIED = "tied"
"""The file in a sandbox's folder whose lock its supervisor holds for as long as it lives."""


@dataclass(frozen=True)
class Secrets:
    """What a sandbox lets in. `sandbox` is its own name: state that was made in one is of no use in another."""

    sandbox: str
    aws_key: str
    aws_secret: str
    hcloud_token: str
    s3_key: str
    s3_secret: str


def environment(secrets: Secrets, aws: str, objects: str, hcloud: str, internet: str) -> dict[str, str]:
    """The variables for stand-ins at the given addresses (`127.0.0.1:4711`)."""
    return {
        "REHOST_SANDBOX": secrets.sandbox,
        "AWS_ENDPOINT_URL": f"http://{aws}",
        "AWS_ACCESS_KEY_ID": secrets.aws_key,
        "AWS_SECRET_ACCESS_KEY": secrets.aws_secret,
        # A token of another session would be sent along with these keys.
        "AWS_SESSION_TOKEN": "",
        "AWS_REGION": AWS_REGION,
        "AWS_DEFAULT_REGION": AWS_REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "HCLOUD_ENDPOINT": f"http://{hcloud}/v1",
        "HCLOUD_TOKEN": secrets.hcloud_token,
        "HETZNER_S3_ENDPOINT": f"http://{objects}",
        "HETZNER_S3_ACCESS_KEY": secrets.s3_key,
        "HETZNER_S3_SECRET_KEY": secrets.s3_secret,
        "REHOST_DNS": f"{RESOLVER}:{internet.rpartition(':')[2]}",
        "REHOST_ACME_DIRECTORY": f"http://{internet}/directory",
        # Terraform's and Pulumi's minio provider, mc, and rclone (as the remote `hetzner:`).
        "MINIO_ENDPOINT": objects,
        "MINIO_USER": secrets.s3_key,
        "MINIO_PASSWORD": secrets.s3_secret,
        "MC_HOST_hetzner": f"http://{secrets.s3_key}:{secrets.s3_secret}@{objects}",
        "RCLONE_CONFIG_HETZNER_TYPE": "s3",
        "RCLONE_CONFIG_HETZNER_PROVIDER": "Other",
        "RCLONE_CONFIG_HETZNER_ENDPOINT": f"http://{objects}",
        "RCLONE_CONFIG_HETZNER_ACCESS_KEY_ID": secrets.s3_key,
        "RCLONE_CONFIG_HETZNER_SECRET_ACCESS_KEY": secrets.s3_secret,
        "RCLONE_CONFIG_HETZNER_FORCE_PATH_STYLE": "true",
    }
