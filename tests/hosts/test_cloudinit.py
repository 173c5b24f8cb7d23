"""What a new server is told at its creation."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from rehost.stacks.errors import InvalidInput
from rehost.stacks.hosts.cloudinit import LIMIT, new_key, user_data

OPERATOR = new_key()


def parsed(text: str) -> dict[str, Any]:
    yaml = YAML(typ="safe")
    yaml.version = (1, 1)  # type: ignore[assignment]
    found: dict[str, Any] = yaml.load(text)
    return found


def test_a_server_is_given_its_key_its_user_and_its_packages() -> None:
    host = new_key()
    text = user_data(host, [OPERATOR.public + " ölaf@büro 😀"])
    assert text.startswith("#cloud-config\n")
    config = parsed(text)
    assert config["ssh_keys"] == {"ed25519_private": host.private, "ed25519_public": host.public}
    assert config["ssh_deletekeys"] is True and config["ssh_genkeytypes"] == []
    assert config["users"] == [{"name": "root", "ssh_authorized_keys": [OPERATOR.public + " ölaf@büro 😀"]}]
    assert config["packages"] == ["nftables", "podman", "python3"]
    assert text == user_data(host, [OPERATOR.public + " ölaf@büro 😀"])
    assert host.private not in repr(host)


def test_another_user_may_become_root() -> None:
    config = parsed(user_data(new_key(), [OPERATOR.public], user="debian"))
    assert config["disable_root"] is True
    assert config["users"][0]["name"] == "debian" and "NOPASSWD" in config["users"][0]["sudo"]


@pytest.mark.parametrize("keys", [[], ["no key"], ["ssh-ed25519 AAAA\nssh-rsa BBBB"], [OPERATOR.public] * 400])
def test_what_would_not_work_is_refused(keys: list[str]) -> None:
    with pytest.raises(InvalidInput):
        user_data(new_key(), keys)
    assert LIMIT == 16384


def test_openssh_reads_the_keys(tmp_path: Path) -> None:
    key = new_key()
    path = tmp_path / "key"
    path.write_text(key.private)
    path.chmod(0o600)
    try:
        told = subprocess.run(["ssh-keygen", "-y", "-f", str(path)], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("needs ssh-keygen (apt-get install openssh-client)")
    assert told.stdout.split()[:2] == key.public.split()[:2]
