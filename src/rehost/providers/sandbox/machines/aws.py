"""What the stand-in for AWS says there is."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

from rehost.providers.sandbox.machines import block
from rehost.providers.sandbox.machines.instance import told
from rehost.providers.sandbox.machines.metadata import Told
from rehost.providers.sandbox.machines.world import Balancer, Listener, Machine, Managed, Pair, Target, World
from rehost.providers.sandbox.wire import Call

ON = ("pending", "running")


class Aws:
    """Reads moto's models of all regions."""

    name = "aws"

    def __init__(self, number: int) -> None:
        self._block = number
        self._boots: Counter[str] = Counter()
        self._ready: dict[str, str] = {}
        self._numbers = count(1)
        from moto.ec2.models import elastic_ip_addresses, elastic_network_interfaces

        vars(elastic_ip_addresses)["random_ip"] = self._public
        vars(elastic_network_interfaces)["random_public_ip"] = self._public

    def _public(self) -> str:
        taken = {ip for machine in self._machines() for ip in machine.public}
        while True:
            address = block.public(self._block, self.name, next(self._numbers))
            if address not in taken:
                return address

    def note(self, call: Call) -> None:
        """A call that was answered: what leaves no trace in what there is."""
        if call.name == "ec2:RebootInstances":
            ids = [value for key, value in call.params.items() if key.startswith("InstanceId")]
        elif call.name == "rds:RebootDBInstance":
            ids = [call.params.get("DBInstanceIdentifier", "")]
        else:
            return
        self._boots.update(ids)

    def told(self, ready: dict[str, str]) -> None:
        """Let databases show the state that they are really in."""
        for database in self._databases():
            state = ready.get(database.db_instance_identifier)
            if state and database.status in ("available", "creating", "rebooting", "modifying"):
                database.status = state

    def world(self) -> World:
        """All of it."""
        ranges = [
            (str(vpc.id), str(vpc.cidr_block)) for ec2 in _backends("ec2") for vpc in list(ec2.vpcs.values())
        ]
        balancers = tuple(
            _balancer(elb, row) for elb in _backends("elbv2") for row in list(elb.load_balancers.values())
        )
        databases = [made for row in self._databases() if (made := self._managed(row)) is not None]
        return World(tuple(self._machines()), balancers, tuple(databases), tuple(ranges))

    def _machines(self) -> Iterator[Machine]:
        for ec2 in _backends("ec2"):
            instances = [row for group in list(ec2.reservations.values()) for row in group.instances]
            for row in instances:
                if row.state in ("terminated", "shutting-down"):
                    continue
                nics = list(row.nics.values())
                public = [nic.public_ip for nic in nics if nic.public_ip]
                private = [(str(row.vpc_id), nic.private_ip_address) for nic in nics if nic.private_ip_address]
                name = next((tag["value"] for tag in row.get_tags() if tag["key"] == "Name"), row.id)
                on = row.state in ON
                yield Machine(row.id, name, on, self._boots[row.id], tuple(public), tuple(private))

    def about(self, machine: str) -> Told | None:
        """What an instance is told about itself."""
        for ec2 in _backends("ec2"):
            for group in list(ec2.reservations.values()):
                for row in group.instances:
                    if row.id == machine and row.state in ON:
                        return told(ec2, row)
        return None

    def _databases(self) -> list[Any]:
        return [row for rds in _backends("rds") for row in list(rds.databases.values())]

    def _managed(self, row: Any) -> Managed | None:
        if row.engine != "postgres":
            return None
        parameters = {
            name: str(values["ParameterValue"])
            for group in row.db_parameter_groups()
            for name, values in dict(getattr(group, "parameters", {})).items()
            if values.get("ParameterValue") is not None
        }
        allowed, everybody = _let_in(row)
        id_ = row.db_instance_identifier
        return Managed(
            id_,
            row.address,
            int(row.port),
            int(str(row.engine_version).partition(".")[0]),
            str(row.master_username),
            str(row._master_user_password),
            row.db_name or "",
            row.status not in ("stopped", "stopping"),
            self._boots[id_],
            parameters,
            frozenset(allowed),
            bool(row.publicly_accessible) and everybody,
        )


def _backends(service: str) -> list[Any]:
    from moto import backends
    from moto.core.models import DEFAULT_ACCOUNT_ID

    get: Any = backends.get_backend
    return list(get(service)[DEFAULT_ACCOUNT_ID].values())


def _let_in(row: Any) -> tuple[set[str], bool]:
    """The instances that a database's security groups let through, and whether they let everybody."""
    port, allowed, everybody = int(row.port), set(), False
    for ec2 in _backends("ec2"):
        groups = {group.id: group for vpc in ec2.groups.values() for group in vpc.values()}
        instances = [one for group in list(ec2.reservations.values()) for one in group.instances]
        for id_ in row.vpc_security_group_ids:
            for rule in groups[id_].ingress_rules if id_ in groups else ():
                if rule.ip_protocol not in ("-1", "tcp") or not _covers(rule, port):
                    continue
                source, cidr = str(rule.source_group.get("GroupId")), rule.ip_range.get("CidrIp")
                network = ipaddress.ip_network(cidr) if cidr else None
                everybody = everybody or (network is not None and network.prefixlen == 0)
                for one in instances:
                    nics = list(one.nics.values())
                    members = {group.id for nic in nics for group in nic.group_set}
                    addresses = [ipaddress.ip_address(nic.private_ip_address) for nic in nics]
                    if source in members or (network and any(a in network for a in addresses)):
                        allowed.add(one.id)
    return allowed, everybody


def _covers(rule: Any, port: int) -> bool:
    if rule.from_port in (None, "", "-1", -1):
        return True
    return int(rule.from_port) <= port <= int(rule.to_port)


def _balancer(elb: Any, row: Any) -> Balancer:
    listeners = [_listener(elb, listener) for listener in list(row.listeners.values())]
    return Balancer(row.arn.rpartition("/")[2], (("", row.dns_name),), "", tuple(listeners))


def _listener(elb: Any, listener: Any) -> Listener:
    pairs = [pair for arn in _arns(listener) if (pair := _pair(arn)) is not None]
    protocol, redirect, targets = listener.protocol, None, []
    for action in listener.default_actions:
        data = action.data
        if action.type == "redirect":
            config = data["RedirectConfig"]
            port = str(config.get("Port", "443"))
            redirect = (
                int(port) if port.isdigit() else int(listener.port),
                int(config.get("StatusCode", "HTTP_301")[-3:]),
            )
        arns = [data["TargetGroupArn"]] if data.get("TargetGroupArn") else []
        arns += [row["TargetGroupArn"] for row in (data.get("ForwardConfig") or {}).get("TargetGroups", ())]
        for arn in dict.fromkeys(arns):
            group = elb.target_groups.get(arn)
            targets += _targets(group) if group is not None else []
    tls = tuple(pairs) if protocol in ("HTTPS", "TLS") else ()
    return Listener(int(listener.port), protocol in ("HTTP", "HTTPS"), tls, tuple(targets), redirect)


def _targets(group: Any) -> list[Target]:
    path = group.health_check_path or "" if (group.health_check_protocol or "").startswith("HTTP") else ""
    found = []
    for row in list(group.targets.values()):
        port = int(row["Port"])
        check = str(group.health_check_port or "traffic-port")
        found.append(Target(row["Id"], port, int(check) if check.isdigit() else port, path))
    return found


def _arns(listener: Any) -> list[str]:
    found = [listener.certificate, *listener.certificates]
    arns = [row["CertificateArn"] if isinstance(row, dict) else row for row in found if row]
    return list(dict.fromkeys(map(str, arns)))


def _pair(arn: str) -> Pair | None:
    for acm in _backends("acm"):
        bundle = acm._certificates.get(arn)
        if bundle is None:
            continue
        if bundle.type == "IMPORTED":
            chain = bundle.chain or b""
            return Pair((), (bundle.cert + b"\n" + chain).decode(), bundle.key.decode())
        about = bundle.describe()["Certificate"]
        return Pair(tuple(dict.fromkeys([about["DomainName"], *about.get("SubjectAlternativeNames", ())])))
    return None
