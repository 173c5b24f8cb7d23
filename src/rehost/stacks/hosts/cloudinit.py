"""How a new server is prepared: the least that is needed before rehost can come in over SSH.

Host keys are made here and given to the server, so that it is known before it answers for the first time. Since
what is given at creation stays readable for every process on the server (the metadata service), the key is only
for the first contact: `renew_host_key` lets the server make one that never left it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from rehost.stacks.errors import InvalidInput
from rehost.stacks.hosts.port import Host, HostError

LIMIT = 16 * 1024
"""Bytes of user data that every provider takes."""
PACKAGES = ("nftables", "podman", "python3")
_PUBLIC = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?")
_SSHD = (
    "HostKey /etc/ssh/ssh_host_ed25519_key\n"
    "PasswordAuthentication no\n"
    "KbdInteractiveAuthentication no\n"
    "PermitRootLogin prohibit-password\n"
    "X11Forwarding no\n"
)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An SSH key in OpenSSH's formats."""

    public: str
    private: str = field(repr=False)


def new_key() -> KeyPair:
    """A new Ed25519 key, for a server or for coming in."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return KeyPair(public, private)


def user_data(
    host_key: KeyPair, authorized_keys: Sequence[str], *, user: str = "root", packages: Sequence[str] = PACKAGES
) -> str:
    """Cloud-init's user data for Debian and Ubuntu: user, keys, packages. Pure; it holds the private host key.

    Raises InvalidInput for keys that are none, or when it gets larger than providers take.
    """
    if not authorized_keys:
        raise InvalidInput("nobody could come in: a server needs an authorized key")
    for key in authorized_keys:
        if not _PUBLIC.fullmatch(key.strip()):
            raise InvalidInput(f"{key[:40]!r} is no public SSH key", fix="give the content of a .pub file")
    login: dict[str, object] = {"name": user, "ssh_authorized_keys": [key.strip() for key in authorized_keys]}
    if user != "root":
        login |= {"shell": "/bin/bash", "lock_passwd": True, "sudo": "ALL=(ALL) NOPASSWD:ALL"}
    config = {
        "disable_root": user != "root",
        "ssh_pwauth": False,
        "ssh_deletekeys": True,
        "ssh_genkeytypes": [],
        "ssh_keys": {"ed25519_private": host_key.private, "ed25519_public": host_key.public},
        "users": [login],
        "package_update": True,
        "packages": sorted(packages),
        "write_files": [{"path": "/etc/ssh/sshd_config.d/10-rehost.conf", "content": _SSHD}],
        "runcmd": [["systemctl", "restart", "ssh"]],
    }
    text = "#cloud-config\n" + json.dumps(config, indent=1, ensure_ascii=False) + "\n"
    if len(text.encode()) > LIMIT:
        raise InvalidInput(
            f"the user data is {len(text.encode())} bytes long, at most {LIMIT} are taken",
            fix="authorize fewer keys",
        )
    return text


def renew_host_key(
    host: Host, *, path: str = "/etc/ssh/ssh_host_ed25519_key", service: str = "ssh.service"
) -> str:
    """Let a server make a new host key, over the connection that the first one proved; answers the public half, to
    be pinned from now on. Asked again after a crash it answers a newer one; the connection goes on either way."""
    coming = str(PurePosixPath(path).with_name("rehost_new_host_key"))
    steps = [
        ["rm", "-f", coming, f"{coming}.pub"],
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", coming],
        ["mv", f"{coming}.pub", f"{path}.pub"],
        ["mv", coming, path],
        ["systemctl", "kill", "--signal=HUP", "--kill-who=main", service],
    ]
    for step in steps:
        done = host.run(step)
        if done.code:
            raise HostError(f"{host.name} got no new host key", why=done.stderr.decode("utf-8", "replace").strip())
    public = host.fetch(f"{path}.pub")
    if public is None:
        raise HostError(f"{host.name} has no {path}.pub")
    return public.decode().strip()
