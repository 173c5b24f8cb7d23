"""Whatever is sent, the answer has the API's shape: nothing breaks the stand-in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rehost.providers.sandbox.hcloud_api as package

RULES = json.loads((Path(package.__file__).parent / "data" / "requests.json").read_text())
OPERATIONS = sorted(RULES["requests"])
TEXTS = st.sampled_from(
    [
        "fsn1",
        "cx23",
        "lb11",
        "debian-12",
        "eu-central",
        "10.0.1.0/24",
        "10.0.1.9",
        "0.0.0.0/0",
        "198.51.100.1",
        "plaza.example",
        "a=b",
        "ext4",
        "@",
        '"x"',
        "10 mail.plaza.example.",
        "",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 4800) | st.floats(allow_nan=False) | TEXTS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)


def likely(rule: Any) -> st.SearchStrategy[Any]:
    """Values of the right shape, and others now and then."""
    if isinstance(rule, str) and rule.startswith("@"):
        return likely(RULES["parts"][rule[1:]])
    if isinstance(rule, list):
        return st.lists(likely(rule[0]), max_size=2) | VALUES
    if isinstance(rule, dict):
        fields = {name.rstrip("!"): likely(inner) for name, inner in rule.items() if name != "?"}
        wanted = {name: value for name, value in fields.items() if f"{name}!" in rule}
        others = {name: value for name, value in fields.items() if name not in wanted}
        return st.fixed_dictionaries(wanted, optional=others)
    word = rule.rstrip("?").split(" ")[0]
    if word == "integer":
        return st.integers(1, 100) | st.sampled_from(range(4711, 4760)) | VALUES
    if word == "boolean":
        return st.booleans()
    if word == "object":
        return st.dictionaries(TEXTS, TEXTS, max_size=2)
    return st.sampled_from(word.split("|")) if "|" in word else TEXTS | VALUES


def populated(make_api: Any) -> Any:
    """A project with one of everything."""
    api = make_api()
    network = api.network()["id"]
    api.post("/firewalls", {"name": "web"})
    api.post("/placement_groups", {"name": "spread", "type": "spread"})
    api.server(networks=[network])
    api.done("/volumes", {"name": "data", "size": 10, "location": "fsn1"})
    api.done("/floating_ips", {"type": "ipv4", "home_location": "fsn1"})
    api.done("/zones", {"name": "plaza.example", "mode": "primary"})
    api.done(
        "/load_balancers", {"name": "edge", "load_balancer_type": "lb11", "location": "fsn1", "network": network}
    )
    return api


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_request_is_answered_in_shape(make_api: Any, data: st.DataObject) -> None:
    api = populated(make_api)
    for operation in data.draw(st.lists(st.sampled_from(OPERATIONS), min_size=3, max_size=6)):
        method, path = operation.split(" ")
        kind = path.split("/")[1]
        ids = [str(id_) for id_ in api.app.project("t" * 64).records.get(kind, {})] or ["1"]
        for place in ("{id}", "{id_or_name}"):
            path = path.replace(place, data.draw(st.sampled_from(ids)))
        path = path.replace("{rr_name}", "@").replace(
            "{rr_type}", data.draw(st.sampled_from(["NS", "TXT", "SPF"]))
        )
        body = data.draw(likely(RULES["requests"][operation]))
        response = api.raw(method, path, body)
        assert response.status_code < 500
        api.clock.pass_by(data.draw(st.sampled_from([0.0, 0.5, 5.0])))
    api.settle()
    for kind in ("servers", "networks", "firewalls", "load_balancers", "primary_ips", "zones", "certificates"):
        api.get(f"/{kind}", per_page=50)
    fresh = make_api()
    fresh.app.load(api.app.dump())
    assert fresh.get("/servers") == api.get("/servers")
