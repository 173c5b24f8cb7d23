"""What every request has in common: tokens, limits, paths, bodies, lists."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

TOKEN = "t" * 64
GROUP = {"name": "a", "type": "spread"}


def test_a_wrong_token_and_a_token_that_may_only_read(make_api: Any) -> None:
    api = make_api(tokens={TOKEN: "plaza", "reader": "plaza"}, read_only=["reader"])
    assert api.refused("GET", "/servers", token="nonsense") == (401, "unauthorized")
    assert api.refused("POST", "/placement_groups", GROUP, token="reader") == (403, "forbidden")
    api.post("/placement_groups", GROUP)
    response = api.raw("GET", "/placement_groups", token="reader")
    assert [row["name"] for row in response.get_json()["placement_groups"]] == ["a"]


def test_paths_and_methods_that_do_not_exist(api: Any) -> None:
    assert api.refused("GET", "/nothing") == (404, "not_found")
    assert api.refused("GET", "/servers/word") == (404, "not_found")
    assert api.refused("DELETE", "/servers") == (405, "method_not_allowed")
    assert api.refused("GET", "/datacenters") == (410, "deprecated_api_endpoint")
    response = api.raw("GET", "/actions")
    assert response.status_code == 410
    assert "2025-01-30" in response.get_json()["error"]["details"]["announcement"]
    assert api.refused("GET", "/actions/1") == (404, "not_found")
    assert api.refused("GET", "/servers/1/actions") == (404, "not_found")


def test_bodies_that_are_not_valid_name_every_field(api: Any) -> None:
    assert api.refused("POST", "/servers", "{") == (400, "json_error")
    assert api.refused("POST", "/servers", "[1]") == (400, "json_error")
    assert api.fields("POST", "/servers", {}) == {"name", "image", "server_type"}
    body = {"name": "a", "image": True, "server_type": "cx23", "networks": ["x"], "public_net": {"enable_ipv4": 1}}
    assert api.fields("POST", "/servers", body) == {"image", "networks[0]", "public_net.enable_ipv4"}
    assert api.fields("POST", "/volumes", {"name": "a", "size": 9, "location": "fsn1"}) == {"size"}
    assert api.fields("POST", "/placement_groups", {"name": "a", "type": "pack"}) == {"type"}
    assert api.fields("POST", "/placement_groups", {"name": "", "type": "spread"}) == {"name"}


@pytest.mark.parametrize(
    "labels",
    [{"-a": "b"}, {"a": "b-"}, {"a": "b c"}, {"a/b/c": "d"}, {"a": 1}, {"hetzner.cloud/a": "b"}, {"a": "x" * 64}],
)
def test_labels_that_do_not_obey_the_grammar(api: Any, labels: Any) -> None:
    assert api.fields("POST", "/placement_groups", {**GROUP, "labels": labels}) == {"labels"}


def test_names_are_unique_and_free_again_after_a_rename_or_a_deletion(api: Any) -> None:
    first = api.post("/placement_groups", GROUP)["placement_group"]
    response = api.raw("POST", "/placement_groups", GROUP)
    error = response.get_json()["error"]
    assert (response.status_code, error["code"]) == (409, "uniqueness_error")
    assert error["details"] == {"fields": [{"name": "name"}]}
    api.ok("PUT", f"/placement_groups/{first['id']}", {"name": "b"})
    second = api.post("/placement_groups", GROUP)["placement_group"]
    assert api.refused("PUT", f"/placement_groups/{second['id']}", {"name": "b"}) == (409, "uniqueness_error")
    api.ok("DELETE", f"/placement_groups/{first['id']}")
    api.ok("PUT", f"/placement_groups/{second['id']}", {"name": "b"})


def test_requests_are_limited_and_the_limit_refills_bit_by_bit(make_api: Any) -> None:
    api = make_api(rate_limit=36)
    for _ in range(36):
        response = api.raw("GET", "/actions/1")
    assert response.headers["RateLimit-Limit"] == "36"
    assert response.headers["RateLimit-Remaining"] == "0"
    assert int(response.headers["RateLimit-Reset"]) == int(api.clock() + 3600)
    response = api.raw("GET", "/locations")
    assert (response.status_code, response.get_json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert response.headers["RateLimit-Remaining"] == "0"
    api.clock.pass_by(200.5)
    assert [api.raw("GET", "/locations").status_code for _ in range(3)] == [200, 200, 429]


def test_lists_come_in_pages_with_links_to_the_others(api: Any) -> None:
    for number in range(60):
        api.post("/placement_groups", {"name": f"group-{number:02}", "type": "spread"})
    first = api.get("/placement_groups")
    assert len(first["placement_groups"]) == 25
    assert first["meta"]["pagination"] == {
        "page": 1,
        "per_page": 25,
        "previous_page": None,
        "next_page": 2,
        "last_page": 3,
        "total_entries": 60,
    }
    response = api.raw("GET", "/placement_groups", page=2, per_page=20, sort="name")
    links = response.headers["Link"]
    for relation, page in (("prev", 1), ("next", 3), ("last", 3)):
        assert f'/v1/placement_groups?per_page=20&sort=name&page={page}>; rel="{relation}"' in links
    assert len(api.get("/placement_groups", per_page=1000)["placement_groups"]) == 50
    assert api.get("/placement_groups", page=9)["placement_groups"] == []
    for query in ({"page": 0}, {"per_page": 0}, {"page": "x"}, {"sort": "servers"}, {"sort": "name:up"}):
        assert api.refused("GET", "/placement_groups", **query) == (422, "invalid_input")
    assert "Link" not in api.raw("GET", "/locations").headers


def test_lists_are_sorted_by_several_fields_and_filtered(api: Any) -> None:
    for name, type_ in (("b", "ipv4"), ("a", "ipv6"), ("c", "ipv4")):
        api.post("/primary_ips", {"name": name, "type": type_, "location": "fsn1"})
    api.clock.pass_by(5)
    api.post("/primary_ips", {"name": "d", "type": "ipv4", "location": "hel1"})

    def names(**query: Any) -> list[str]:
        return [row["name"] for row in api.get("/primary_ips", **query)["primary_ips"]]

    assert names(sort=["created:desc", "id:desc"]) == ["d", "c", "a", "b"]
    assert names(sort=["created", "id:desc"]) == ["c", "a", "b", "d"]
    assert names(name="a") == ["a"]
    address = api.get("/primary_ips", name="c")["primary_ips"][0]["ip"]
    assert names(ip=address) == ["c"]
    assert names(name="A") == []


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("env", "ab"),
        ("!env", "c"),
        ("env=prod", "a"),
        ("env==prod", "a"),
        ("env!=prod", "bc"),
        ("env in (prod,test)", "ab"),
        ("env notin (prod, test)", "c"),
        ("env=prod,tier=web", "a"),
        ("env,!tier", "b"),
        ("env in (prod,test),tier", "a"),
        ("example.org/x=1", "c"),
        ("tier=", ""),
    ],
)
def test_label_selectors(api: Any, selector: str, expected: str) -> None:
    rows = {"a": {"env": "prod", "tier": "web"}, "b": {"env": "test"}, "c": {"example.org/x": "1"}}
    for name, labels in rows.items():
        api.post("/placement_groups", {"name": name, "type": "spread", "labels": labels})
    found = api.get("/placement_groups", label_selector=selector)["placement_groups"]
    assert "".join(row["name"] for row in found) == expected


@pytest.mark.parametrize("selector", ["=", "a b", "a in", "a in ()x", "!", "a=b=c", ",", "a>1"])
def test_label_selectors_that_are_not_well_formed(api: Any, selector: str) -> None:
    assert api.refused("GET", "/servers", label_selector=selector) == (422, "invalid_input")


def test_a_new_project_has_limits(make_api: Any) -> None:
    api = make_api(limits={"placement_groups": 1})
    api.post("/placement_groups", GROUP)
    response = api.raw("POST", "/placement_groups", {**GROUP, "name": "b"})
    error = response.get_json()["error"]
    assert (response.status_code, error["code"]) == (403, "resource_limit_exceeded")
    assert error["details"] == {"limits": [{"name": "placement_group_limit"}]}


def test_a_limit_is_seen_before_anything_is_made(make_api: Any) -> None:
    api = make_api(limits={"primary_ips": 3})
    api.server("a")
    order = {"name": "b", "server_type": "cx23", "image": "debian-12"}
    assert api.refused("POST", "/servers", order) == (403, "resource_limit_exceeded")
    edge = {"name": "edge", "load_balancer_type": "lb11", "location": "fsn1"}
    assert api.refused("POST", "/load_balancers", edge) == (403, "resource_limit_exceeded")
    assert [len(api.get(f"/{kind}")[kind]) for kind in ("servers", "load_balancers", "primary_ips")] == [1, 0, 2]
    api.server("b", public_net={"enable_ipv6": False})


def test_fields_that_nobody_knows_are_left_out(api: Any) -> None:
    body = {
        "name": "edge",
        "load_balancer_type": "lb11",
        "location": "fsn1",
        "algorithm": {"type": "round_robin", "x": 1},
    }
    services = [{"protocol": "http", "color": "red", "http": {"more": 1}}]
    shown = api.post("/load_balancers", {**body, "services": services})["load_balancer"]
    assert shown["algorithm"] == {"type": "round_robin"}
    assert "color" not in shown["services"][0]
    assert "more" not in shown["services"][0]["http"]


def test_many_at_once_get_one_name_once(make_api: Any) -> None:
    api = make_api()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.raw("POST", "/placement_groups", GROUP).status_code, range(40)))
        names = [f"group-{number}" for number in range(40)]
        made = list(pool.map(lambda name: api.post("/placement_groups", {**GROUP, "name": name}), names))
    assert sorted(answers) == [201] + [409] * 39
    assert len({row["placement_group"]["id"] for row in made}) == 40


def test_actions_progress_and_can_be_read_together_and_by_kind(api: Any) -> None:
    body = {"name": "app", "server_type": "cx23", "image": "debian-12"}
    answer = api.post("/servers", body)
    ids = [answer["action"]["id"], answer["next_actions"][0]["id"]]
    api.clock.pass_by(0.5)
    rows = {row["id"]: row for row in api.get("/actions", id=[*ids, 999_999])["actions"]}
    assert sorted(rows) == ids
    assert (rows[ids[0]]["status"], rows[ids[0]]["progress"]) == ("running", 50)
    assert rows[ids[1]]["progress"] == 0
    api.clock.pass_by(0.6)
    path = f"/servers/{answer['server']['id']}/actions"
    assert [row["id"] for row in api.get(path, status="success")["actions"]] == ids[:1]
    assert [row["id"] for row in api.get(path, sort="id:desc")["actions"]] == ids[::-1]
    assert api.refused("GET", f"{path}/{ids[0] + 100}") == (404, "not_found")
    assert api.refused("GET", f"/volumes/actions/{ids[0]}") == (404, "not_found")
    assert api.refused("GET", path, status="done") == (422, "invalid_input")


def test_switches_make_actions_fail_and_reads_stale(api: Any) -> None:
    client = api._client
    body = {
        "fail_actions": [{"command": "create_server", "code": "server_error"}],
        "slow_actions": [{"command": "create_volume", "seconds": 50}],
        "stale_seconds": 3,
    }
    assert client.post("/_sandbox/behaviour", json=body).status_code == 200
    wanted = {"name": "app", "server_type": "cx23", "image": "debian-12"}
    assert api.failed("/servers", wanted) == "server_error"
    assert api.get("/servers")["servers"] == []
    assert api.get("/primary_ips")["primary_ips"] == []
    made = api.post("/servers", wanted)["server"]["id"]
    assert api.get("/servers")["servers"] == []
    assert api.get(f"/servers/{made}")["server"]["name"] == "app"
    api.settle()
    assert [row["id"] for row in api.get("/servers")["servers"]] == [made]
    client.post("/_sandbox/behaviour", json={"stale_single_seconds": 3})
    volume = api.post("/volumes", {"name": "data", "size": 10, "location": "fsn1"})
    assert api.refused("GET", f"/volumes/{volume['volume']['id']}") == (404, "not_found")
    api.settle()
    assert api.get(f"/volumes/{volume['volume']['id']}")["volume"]["status"] == "creating"
    inventory = client.get("/_sandbox/inventory").get_json()
    assert inventory["projects"]["plaza"]["servers"] == 1
    assert inventory["calls"]["POST /servers"] == 2


def test_state_is_kept_with_actions_that_run(make_api: Any) -> None:
    api = make_api()
    network = api.network()
    answer = api.post(
        "/servers", {"name": "app", "server_type": "cx23", "image": "debian-12", "networks": [network["id"]]}
    )
    kept = api.app.dump()
    other = make_api()
    other.app.load(kept)
    path = f"/servers/{answer['server']['id']}"
    assert other.get(path) == api.get(path)
    assert other.refused("DELETE", path) == (423, "locked")
    other.settle()
    assert other.get(path)["server"]["status"] == "running"
    assert api.get(path)["server"]["status"] == "initializing"
    assert (
        other.refused("POST", "/servers", {"name": "app", "server_type": "cx23", "image": "debian-12"})[0] == 409
    )
    fresh = other.post("/placement_groups", GROUP)["placement_group"]["id"]
    assert fresh > answer["next_actions"][-1]["id"]
    with pytest.raises(ValueError, match="format"):
        other.app.load({"format": 99})


def test_ids_are_never_given_twice(api: Any) -> None:
    seen: set[int] = set()
    for number, kind in zip(range(20), itertools.cycle(("placement_groups", "networks")), strict=False):
        body = {
            "name": f"n{number}",
            **({"ip_range": "10.0.0.0/16"} if kind == "networks" else {"type": "spread"}),
        }
        id_ = api.post(f"/{kind}", body)[kind.removesuffix("s")]["id"]
        assert id_ not in seen
        seen.add(id_)
        api.ok("DELETE", f"/{kind}/{id_}")
