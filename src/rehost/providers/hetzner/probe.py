"""Whether a Hetzner project is ready. It has no call that tells its limits, nor the rights of a token: what counts
is made as often as the stack needs it, and removed.

Ports: outgoing 25 and 465 are closed until Hetzner opens them (docs.hetzner.com, Cloud FAQ: once the first invoice
is paid, by a request for a limit in the console).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rehost.providers import probes
from rehost.providers.hetzner import catalog
from rehost.providers.hetzner import tokens as t
from rehost.providers.hetzner.api import Api
from rehost.providers.probes import LABEL
from rehost.stacks.catalog import HOURS, Sheet
from rehost.stacks.errors import Interrupted, OperatorNeeded, ProviderError, Reason
from rehost.stacks.readiness import Hands, Result, Verdict, Wanted, failed

_OPEN = "ask Hetzner to open it: console, Limits, once the first invoice is paid; or use port 587"
BLOCKED = {25: _OPEN, 465: _OPEN}
LISTS = {
    t.NETWORK: "networks",
    t.SERVER: "servers",
    t.VOLUME: "volumes",
    t.FIREWALL: "firewalls",
    t.BALANCER: "load_balancers",
    t.PRIMARY_IP: "primary_ips",
    t.FLOATING_IP: "floating_ips",
    t.PLACEMENT: "placement_groups",
    t.KEY: "ssh_keys",
    t.ZONE: "zones",
    t.UPLOADED: "certificates",
    t.MANAGED: "certificates",
}
"""Lists of the API by the type of what they list."""
_REMOVE = ("servers", "load_balancers", "volumes", "primary_ips", "floating_ips", "firewalls", "networks",
           "placement_groups")  # fmt: skip
"""What checks make, in the order in which it can go."""
_LEAST_GB = 10
_MORE = "ask for a higher limit in Hetzner's console (Limits), or remove what is not needed"


class HetznerProber:
    """Checks of one project."""

    blocked = BLOCKED

    def __init__(self, wanted: Wanted, api: Api, s3: Callable[[], Any], sheet: Sheet, hands: Hands) -> None:
        self._wanted, self._api, self._s3, self._sheet, self._hands = wanted, api, s3, sheet, hands
        self._labels = {LABEL: wanted.mark}
        self._region = wanted.target.region
        self._bodies: Sequence[tuple[str, str, Callable[[int], dict[str, Any]]]] = (
            (t.NETWORK, "networks", lambda n: {"ip_range": f"10.{200 + n % 50}.0.0/16"}),
            (t.FIREWALL, "firewalls", lambda n: {"rules": []}),
            (t.PLACEMENT, "placement_groups", lambda n: {"type": "spread"}),
            (t.PRIMARY_IP, "primary_ips", self._address),
            (t.FLOATING_IP, "floating_ips", lambda n: {"type": "ipv4", "home_location": self._region}),
            (t.VOLUME, "volumes", lambda n: {"size": _LEAST_GB, "location": self._region}),
            (t.BALANCER, "load_balancers", self._balancer),
            (t.SERVER, "servers", self._server),
        )

    def _address(self, number: int) -> dict[str, Any]:
        return {"type": "ipv4", "location": self._region, "assignee_type": "server", "auto_delete": False}

    def _balancer(self, number: int) -> dict[str, Any]:
        inputs = self._wanted.those(t.BALANCER)[number].inputs
        return {"load_balancer_type": inputs["loadBalancerType"], "location": self._region}

    def _server(self, number: int) -> dict[str, Any]:
        inputs = self._wanted.those(t.SERVER)[number].inputs
        net = (inputs.get("publicNets") or [{}])[0]
        # One without any public address would need a network; IPv6 alone costs nothing.
        return {
            "server_type": inputs["serverType"],
            "image": inputs["image"],
            "location": self._region,
            "start_after_create": False,
            "public_net": {"enable_ipv4": bool(net.get("ipv4Enabled", True)), "enable_ipv6": True},
        }

    def intends(self) -> Sequence[str]:
        """What is made for a moment. Hetzner bills each started hour."""
        lines = []
        for token, plural, _ in self._bodies:
            count = self._count(token)
            if count:
                lines.append(f"{count} {plural.replace('_', ' ')}{self._cost(token, count)}")
        if self._wanted.stack.buckets:
            lines.append("1 bucket with one object (the object storage has a base price for the hour)")
        return lines

    def _count(self, token: str) -> int:
        # One of what is free proves that the token may write, whatever else is there.
        return max(self._wanted.missing.get(token, 0), 1 if token == t.PLACEMENT else 0)

    def _cost(self, token: str, count: int) -> str:
        from rehost.providers.hetzner.prices import charges
        from rehost.stacks.catalog import Bill

        if token in (t.NETWORK, t.FIREWALL, t.PLACEMENT):
            return ""
        bill = Bill.of(c for r in self._wanted.those(token) for c in charges(self._sheet, token, dict(r.inputs)))
        least = "at least " if bill.unknown else ""
        return f" (about {least}EUR {bill.known / HOURS:.4f} for an hour)" if bill.known else " (price unknown)"

    def checks(self) -> Iterator[Result]:
        """Credentials, rights, what can be had of everything, buckets."""
        try:
            self._hands.patiently(lambda: self._api.call("GET", "/locations"))
        except ProviderError as error:
            yield failed("credentials", "HCLOUD_TOKEN", error, "make a token in the project and set HCLOUD_TOKEN")
            return
        yield Result("credentials", "HCLOUD_TOKEN", Verdict.OK, "taken by the API")
        writes = True
        for plural in sorted({LISTS[r.type] for r in self._wanted.resources if r.type in LISTS}):
            try:
                self._hands.patiently(lambda p=plural: self._api.call("GET", f"/{p}", per_page=1))  # type: ignore[misc]
                yield Result("rights", f"list {plural.replace('_', ' ')}", Verdict.OK)
            except ProviderError as error:
                yield failed("rights", f"list {plural.replace('_', ' ')}", error, "use a token of this project")
        for token, plural, body in self._bodies:
            count = self._count(token)
            if count and writes:
                for result in self._made(plural, count, body):
                    writes = writes and result.check != "rights"
                    yield result
                self._remove(plural)
        if self._wanted.stack.buckets:
            try:
                s3 = self._s3()
            except OperatorNeeded as error:
                yield failed("buckets", "keys of the object storage", error)
                return
            place = catalog.storage_location(self._wanted.target)
            yield from probes.bucket(s3, self._wanted.mark, place, self._hands)

    def _made(self, plural: str, count: int, body: Callable[[int], dict[str, Any]]) -> Iterator[Result]:
        what = f"{count} {plural.replace('_', ' ')}"
        for number in range(count):
            name = f"{probes.PREFIX}{self._wanted.mark}-{number}"
            asked = {"name": name, "labels": self._labels, **body(number)}
            try:
                self._hands.patiently(lambda a=asked: self._create(plural, a))  # type: ignore[misc]
            except Interrupted:
                raise
            except ProviderError as error:
                yield self._refused(plural, what, number, asked, error)
                return
        yield Result("quota", what, Verdict.OK, "made and removed")

    def _create(self, plural: str, asked: Mapping[str, Any]) -> None:
        try:
            self._api.call("POST", f"/{plural}", dict(asked))
        except ProviderError as error:
            # A create whose answer was lost is there under its name.
            if error.reason is not Reason.EXISTS:
                raise

    def _refused(
        self, plural: str, what: str, number: int, asked: Mapping[str, Any], error: ProviderError
    ) -> Result:
        if error.reason is Reason.DENIED:
            return failed("rights", f"create {plural}", error, "make a token with the rights to read and write")
        if error.reason is Reason.QUOTA:
            told = f"only {number} more can be had: {error.summary}"
            return Result("quota", what, Verdict.FAILED, told, _MORE)
        if error.code in ("resource_unavailable", "placement_error"):
            type_ = asked.get("server_type")
            told = f"no room for the one numbered {number + 1}" + (f" ({type_})" if type_ else "")
            fix = f"look at `rehost catalog hetzner --region {self._region} --refresh`, and --choose another type"
            return Result("capacity", what, Verdict.FAILED, f"{told}: {error.summary}", fix)
        return failed("quota", what, error)

    def _remove(self, plural: str) -> list[str]:
        selector = f"{LABEL}={self._wanted.mark}"
        rows = self._hands.patiently(lambda: self._api.all(plural, label_selector=selector), heedless=True)
        for row in rows:
            self._hands.patiently(lambda r=row: self._gone(plural, r["id"]), heedless=True, tries=20)  # type: ignore[misc]
        return [f"{plural.removesuffix('s').replace('_', ' ')} {row['name']}" for row in rows]

    def _gone(self, plural: str, id_: int) -> None:
        try:
            self._api.call("DELETE", f"/{plural}/{id_}")
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise

    def clean(self) -> Sequence[str]:
        """Everything with the label goes, and buckets with the name."""
        removed: list[str] = []
        try:
            for plural in _REMOVE:
                removed += self._remove(plural)
            if self._wanted.stack.buckets:
                removed += probes.clean_buckets(self._s3(), self._wanted.mark, self._hands)
        except OperatorNeeded:
            return removed  # without keys there was no bucket
        except ProviderError as error:
            if error.reason is not Reason.DENIED:
                raise
        return removed
