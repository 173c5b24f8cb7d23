"""The way to the Internet of servers without public addresses, where a server of the stack is the gateway. Pure.

Both ends are prepared by a cloud-init boothook, which runs before packages are fetched, at every boot. It leaves
a program and a timer behind that put the rules or the route back when something took them away (a renewed lease, a
reloaded firewall). Facts: cloud-init's documentation of boothooks, nft(8), ip-route(8).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network

from rehost.stacks.diagnostics import Diagnostic, PathKey, Severity, did_you_mean
from rehost.stacks.fit import Finding, Fit
from rehost.stacks.load import Loaded
from rehost.stacks.model import Firewall, Network, Rule, Server, Size, Stack

GROUP = "way-out"
"""The servers that stand in the place of a provider's own gateway."""
NATIVE = "network.way_out"
"""What an adapter that has gateways of its own names among what is native to it."""
_DISK = 10 * 1024**3

_HOOK = """#cloud-boothook
#!/bin/sh
cat > /usr/local/sbin/rehost-way-out <<'REHOST'
#!/bin/sh
{program}
REHOST
chmod 755 /usr/local/sbin/rehost-way-out
cat > /etc/systemd/system/rehost-way-out.service <<'REHOST'
[Unit]
Description=The way out to the Internet
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/rehost-way-out
REHOST
cat > /etc/systemd/system/rehost-way-out.timer <<'REHOST'
[Timer]
OnActiveSec=30
OnUnitInactiveSec=60
[Install]
WantedBy=timers.target
REHOST
systemctl daemon-reload
systemctl enable rehost-way-out.timer
systemctl start --no-block rehost-way-out.timer
{first}
"""
_GATEWAY = """\
sysctl -q -w net.ipv4.ip_forward=1
command -v nft > /dev/null || command -v iptables > /dev/null || {{
  apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install nftables
}}
if command -v nft > /dev/null; then
  nft -f - <<'RULES'
table ip rehost_way_out
delete table ip rehost_way_out
table ip rehost_way_out {{
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr {cidr} ip daddr != {cidr} masquerade
  }}
}}
RULES
else
  rule="POSTROUTING -s {cidr} ! -d {cidr} -j MASQUERADE"
  iptables -t nat -C $rule 2> /dev/null || iptables -t nat -A $rule
fi"""
_CLIENT = """\
if ! ip -4 route show default | grep -q .; then
  device=$(ip -4 -o route get {router} 2> /dev/null | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
  [ -n "$device" ] && [ "$device" != lo ] || exit 1
  ip -4 route replace default via {router} dev "$device" onlink || exit 1
fi
if systemctl -q is-active systemd-resolved; then
  file=/etc/systemd/resolved.conf.d/rehost-way-out.conf
  if [ ! -e $file ]; then
    mkdir -p /etc/systemd/resolved.conf.d
    printf '[Resolve]\\nDNS={resolvers}\\n' > $file
    systemctl restart systemd-resolved
  fi
elif ! grep -q '^nameserver' /etc/resolv.conf 2> /dev/null; then
  for resolver in {resolvers}; do echo "nameserver $resolver"; done >> /etc/resolv.conf
fi"""
_WAIT = """\
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
  /usr/local/sbin/rehost-way-out && break
  sleep 2
done"""


def gateway(cidr: IPv4Network) -> str:
    """User data of the server that others reach the Internet through: it forwards, under its own address."""
    return _HOOK.format(program=_GATEWAY.format(cidr=cidr), first="/usr/local/sbin/rehost-way-out")


def client(router: str, resolvers: Sequence[str]) -> str:
    """User data of a server without a public address, where the provider tells it neither a default route nor who
    resolves names: through the network's own router, before anything else needs it."""
    return _HOOK.format(program=_CLIENT.format(router=router, resolvers=" ".join(resolvers)), first=_WAIT)


def substitute(stack: Stack) -> tuple[Server, Firewall]:
    """The server in the place of a provider's own gateway, and what it lets in: SSH alone."""
    server = Server(
        size=Size.model_construct(cpu=1, memory=512 * 1024**2, disk=_DISK),
        public=True,
        firewalls=(GROUP,),
        ssh_keys=tuple(stack.ssh_keys),
    )
    return server, Firewall(ingress=(Rule(ports=(22,), peers="anywhere", description="SSH"),))


def check_way_out(stack: Stack, loaded: Loaded) -> Iterator[Diagnostic]:
    """Findings about the way out, whatever the target."""
    network = stack.network
    if network is None or network.way_out == "none":
        return
    path: PathKey = ("network", "way_out")
    family, _, name = network.way_out.partition(".")
    if family == "servers":
        yield from _through(stack, loaded, name, path)
    if not stack.confined() and not any(known[:1] == ("servers",) for known in loaded.left_out):
        why = "every server of the stack has a public address of its own"
        fix = "leave way_out away, or take `public` from servers that need none"
        yield Diagnostic("way-out", "nobody needs the way out", why, fix, path, severity=Severity.NOTE)


def _through(stack: Stack, loaded: Loaded, name: str, path: PathKey) -> Iterator[Diagnostic]:
    known = loaded.declared("servers")
    group = name if name in known else name.rpartition("-")[0]
    server = stack.servers.get(group)
    if group not in known:
        public = [f"servers.{each}" for each, wanted in stack.servers.items() if wanted.public]
        fix = did_you_mean(f"servers.{name}", public) or "name a public server, or write shared"
        why = f"the public servers are {', '.join(public)}" if public else "the stack has no public server"
        yield Diagnostic("reference", f"there is no server {name!r}", why, fix, path)
    elif server is not None and not stack.server_named(name):
        why = f"servers.{group} has {server.count} servers"
        yield Diagnostic("reference", f"there is no server {name!r}", why, f"name one of {group}", path)
    elif server is not None and not server.public and ("servers", group, "public") not in loaded.left_out:
        fix = f"set public: true in servers.{group}"
        why = "the way out leads through its public address"
        yield Diagnostic("private", f"servers.{name} has no public address", why, fix, path)


def check_substitute(stack: Stack, native: frozenset[str], title: str) -> Iterator[Diagnostic]:
    """Findings about the server in the place of a gateway that the target has not."""
    if not substituted(stack, native):
        return
    for family in ("servers", "firewalls"):
        if GROUP in getattr(stack, family):
            why = f"{title} has no gateway of its own: a server {GROUP} stands in its place"
            fix = f"rename it, or write way_out: servers.{GROUP}"
            yield Diagnostic("reserved-name", f"{GROUP} is taken", why, fix, (family, GROUP))


def substituted(stack: Stack, native: frozenset[str]) -> bool:
    """Whether a server stands in the place of a gateway."""
    return NATIVE not in native and (stack.network or Network()).way_out in ("shared", "zonal")


def findings(stack: Stack, native: frozenset[str]) -> Iterator[Finding]:
    """What the way out is at a target, and what is lost with it."""
    through = (stack.network or Network()).way_out
    confined = stack.confined()
    if through == "none":
        for name in confined:
            reason = "a server without a public address has no way out to the Internet"
            yield Finding(f"servers.{name}", Fit.OPERATOR, reason, "write network: {way_out: shared}")
        return
    made = substituted(stack, native)
    if made:
        reason = f"a server ({GROUP}-1) that forwards stands in the place of a gateway"
        yield Finding("network", Fit.SUBSTITUTED, reason)
        yield Finding("network", Fit.LOST, f"nobody updates {GROUP}-1 by itself", "update it in time")
    if made or through.startswith("servers."):
        server = f"{GROUP}-1" if made else (stack.way_out() or through)
        reason = f"{server} is the only way out: while it is away, {', '.join(confined)} reach no Internet"
        yield Finding("network", Fit.LOST, reason, "plan for its loss; what is public is not affected")
    if made and through == "zonal":
        yield Finding("network", Fit.LOST, "the gateways of the zones become one server")
