"""How rehost comes in to the servers of a stack: whose keys there are, and which way leads to whom. Pure.

Only servers that services run on are entered, and one public server of the stack where the way to the others leads
over it. Host keys and the key that lets rehost in are secrets of the stack: they are drawn once and move with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rehost.stacks.graph import UNKNOWN, Secret, Value, is_unknown, reveal
from rehost.stacks.hosts.cloudinit import KeyPair, public_half, user_data
from rehost.stacks.model import SshKey, Stack

DEPLOY_KEY = "ssh.deploy"
"""The secret that lets rehost in. No secret of a stack file has a dot."""


def host_key(member: str) -> str:
    """The name of the secret that a server is first known by."""
    return f"ssh.host.{member}"


def entered(stack: Stack) -> list[str]:
    """The servers that rehost enters, in the order of the stack."""
    wanted = {member for service in stack.services for member in stack.runs_on(service)}
    over = {jump_of(stack, member) for member in wanted}
    every = (member for group, server in stack.servers.items() for member in server.members(group))
    return [member for member in every if member in wanted or member in over]


def jump_of(stack: Stack, member: str) -> str | None:
    """The public server that the way to a private one leads over: the first of the stack whose firewalls let SSH
    in, or else the first. None where the server itself is public, or none is."""
    if stack.servers[group_of(member)].public:
        return None
    public = [group for group, server in stack.servers.items() if server.public and server.count]
    chosen = next((group for group in public if lets_ssh_in(stack, group)), next(iter(public), None))
    return chosen and stack.servers[chosen].members(chosen)[0]


def group_of(member: str) -> str:
    """The group of a server."""
    return member.rpartition("-")[0]


def lets_ssh_in(stack: Stack, group: str) -> bool:
    """Whether a rule of the group's firewalls is for SSH."""
    rules = [rule for name in stack.servers[group].firewalls for rule in stack.firewalls[name].ingress]
    return any(
        rule.protocol in ("tcp", "any") and any(low <= 22 <= high for low, high in rule.ranges() or [(1, 65535)])
        for rule in rules
    )


def keys(stack: Stack) -> dict[str, SshKey]:
    """The secrets that are needed to come in."""
    members = entered(stack)
    names = [DEPLOY_KEY, *map(host_key, members)] if members else []
    return {name: SshKey() for name in names}


@dataclass(frozen=True)
class Access:
    """Keys and ways of a stack. `secrets` are its values by name; where they are not known yet, so is what is made
    of them."""

    stack: Stack
    secrets: Mapping[str, Value]

    def user_data(self, member: str, user: str) -> Value:
        """What a server is given at its start, so that rehost comes in; None for one that is not entered."""
        if DEPLOY_KEY not in self.stack.secrets or member not in entered(self.stack):
            return None
        host, deploy = self._secret(host_key(member)), self._secret(DEPLOY_KEY)
        if is_unknown(host) or is_unknown(deploy):
            return UNKNOWN
        names = self.stack.servers[group_of(member)].ssh_keys
        operators = [self.stack.ssh_keys[name] for name in names if name in self.stack.ssh_keys]
        pair = KeyPair(public_half(host), host)
        return Secret(user_data(pair, [public_half(deploy), *operators], user=user, packages=()))

    def first_host_key(self, member: str) -> Value:
        """The public host key that a server starts with."""
        private = self._secret(host_key(member))
        return UNKNOWN if is_unknown(private) else public_half(private)

    def deploy_key(self) -> Value:
        """The private key that lets rehost in."""
        private = self._secret(DEPLOY_KEY)
        return UNKNOWN if is_unknown(private) else Secret(private)

    def _secret(self, name: str) -> Value:
        return reveal(self.secrets.get(name, UNKNOWN))
