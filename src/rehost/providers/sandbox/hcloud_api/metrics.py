"""Metrics of servers and load balancers. They are made up, the same for the same resource and time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from rehost.providers.sandbox.hcloud_api.errors import Record, invalid
from rehost.providers.sandbox.hcloud_api.resources import Answer, Call, Handler

_SERVERS = {
    "cpu": ("cpu",),
    "disk": ("disk.0.iops.read", "disk.0.iops.write", "disk.0.bandwidth.read", "disk.0.bandwidth.write"),
    "network": (
        "network.0.pps.in",
        "network.0.pps.out",
        "network.0.bandwidth.in",
        "network.0.bandwidth.out",
    ),
}
_BALANCERS = {
    "open_connections": ("open_connections",),
    "connections_per_second": ("connections_per_second",),
    "requests_per_second": ("requests_per_second",),
    "bandwidth": ("bandwidth.in", "bandwidth.out"),
}
_SAMPLES, _MOST = 200, 500
_KEPT_SECONDS = 30 * 86400


def _moment(call: Call, name: str) -> float:
    text = call.query.get(name, "").replace(" ", "+")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(name, "must be a time as of RFC 3339") from None
    if moment.tzinfo is None:
        raise invalid(name, "must have a time zone")
    return moment.timestamp()


def _series(id: int, name: str, start: float, end: float, step: int, since: float) -> list[list[float | str]]:
    seed = sum(name.encode()) + id
    first = math.ceil(max(start, since) / step) * step
    return [
        [moment, f"{(math.sin(moment / 3600 + seed) + 1) * (seed % 7 + 1):.6f}"]
        for moment in range(first, int(end) + 1, step)
    ]


def _metrics(plural: str, series: Mapping[str, tuple[str, ...]]) -> Handler:
    def handler(call: Call, id: int) -> Answer:
        call.project.get(plural, id)
        types = [part for text in call.query.getlist("type") for part in text.split(",")]
        if not types or not set(types) <= series.keys():
            raise invalid("type", f"must be one or more of {', '.join(series)}")
        start, end = _moment(call, "start"), _moment(call, "end")
        if end <= start:
            raise invalid("end", "must be after start")
        step = max(call.number("step", math.ceil((end - start) / _SAMPLES)), math.ceil((end - start) / _MOST))
        since = call.project.clock() - _KEPT_SECONDS
        metrics: Record = {
            "start": datetime.fromtimestamp(start, UTC).isoformat(),
            "end": datetime.fromtimestamp(end, UTC).isoformat(),
            "step": step,
            "time_series": {
                name: {"values": _series(id, name, start, end, step, since)}
                for type_ in types
                for name in series[type_]
            },
        }
        return 200, {"metrics": metrics}

    return handler


ROUTES = (
    ("GET", "/servers/<int:id>/metrics", _metrics("servers", _SERVERS)),
    ("GET", "/load_balancers/<int:id>/metrics", _metrics("load_balancers", _BALANCERS)),
)
