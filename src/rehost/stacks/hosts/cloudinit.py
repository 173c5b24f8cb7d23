"""How a new server is prepared: the least that is needed before rehost can come in over SSH.

Host keys are made here and given to the server, so that it is known before it answers for the first time. Since
what is given at creation stays readable for every process on the server (the metadata service), the key is only
for the first contact: `renew_host_key` lets the server make one that never left it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from rehost.stacks.errors import InvalidInput
from rehost.stacks.hosts.port import Host, HostError

LIMIT = 16 * 1024
"""Bytes of user data that every provider takes."""
MARK = "# rehost comes in with these"
"""The second line of what is told here, so that it can be told from other parts."""
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
        # What the operator gives beside it is kept, list by list.
        "merge_how": "list(append)+dict(no_replace,recurse_list)+str()",
        "disable_root": user != "root",
        "ssh_pwauth": False,
        "ssh_deletekeys": True,
        "ssh_genkeytypes": [],
        "ssh_keys": {"ed25519_private": host_key.private, "ed25519_public": host_key.public},
        "users": [login],
        **({"package_update": True, "packages": sorted(packages)} if packages else {}),
        "write_files": [{"path": "/etc/ssh/sshd_config.d/10-rehost.conf", "content": _SSHD}],
        "runcmd": [["systemctl", "restart", "ssh"]],
    }
    text = f"#cloud-config\n{MARK}\n" + json.dumps(config, indent=1, ensure_ascii=False) + "\n"
    if len(text.encode()) > LIMIT:
        raise InvalidInput(
            f"the user data is {len(text.encode())} bytes long, at most {LIMIT} are taken",
            fix="authorize fewer keys",
        )
    return text


def renew_host_key(
    host: Host,
    *,
    path: str = "/etc/ssh/ssh_host_ed25519_key",
    service: str = "ssh.service",
    told: Callable[[str], object] = lambda public: None,
) -> str:
    """Let a server make a new host key, over the connection that the first one proved; answers the public half,
    to be pinned from now on. `told` is given it before it is in use, so that it can be written down: asked again
    after a crash in between, the same one is taken up. The connection goes on either way."""
    coming = str(PurePosixPath(path).with_name("rehost_new_host_key"))
    if host.fetch(f"{coming}.pub") is None:
        _run(host, ["rm", "-f", coming])
        _run(host, ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", coming])
    public = (host.fetch(f"{coming}.pub") or b"").decode().strip()
    if not public:
        raise HostError(f"{host.name} has no {coming}.pub")
    told(public)
    for step in (
        ["mv", coming, path],
        ["cp", f"{coming}.pub", f"{path}.pub"],
        ["systemctl", "kill", "--signal=HUP", "--kill-who=main", service],
        ["rm", f"{coming}.pub"],
    ):
        # A run that was stopped may have got so far.
        if step[0] != "mv" or host.fetch(coming) is not None:
            _run(host, step)
    return public


def _run(host: Host, command: Sequence[str]) -> None:
    done = host.run(command)
    if done.code:
        raise HostError(f"{host.name} got no new host key", why=done.stderr.decode("utf-8", "replace").strip())


def public_half(private: str) -> str:
    """The public half of a key in OpenSSH's format."""
    key = load_ssh_private_key(private.encode(), None)
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
