"""Units that are put but kept from running, until somebody lets them go. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rehost.stacks.graph import Graph, Resource, urn_name
from rehost.stacks.hosts.resource import TOKEN
from rehost.stacks.state import State

SERVICES = "services."
FORWARD = "-forward"
"""What names of services end with that pass visitors on in place of held ones."""


def service_of(component: str) -> str:
    """The service that a unit is of, given the unit's component: `web` for `services.web-2`."""
    return component.removeprefix(SERVICES).rpartition("-")[0]


def holding(graph: Graph, hold: Mapping[str, bool], state: State) -> Graph:
    """The graph with its units held or let go as `hold` says by service. What it does not name stays held while
    state says that it is: an ordinary deploy in the middle of a move starts nothing."""
    changed = {}
    for urn, resource in graph.resources.items():
        if resource.type != TOKEN or "held" in resource.inputs:
            continue
        old = state.resources.get(urn)
        held = hold.get(service_of(resource.component), True if old and old.inputs.get("held") else None)
        if held is not None:
            changed[urn] = replace(resource, inputs={**resource.inputs, "held": held})
    kept = _forwarders(graph, hold, state)
    if kept:
        return Graph.of([*{**graph.resources, **changed}.values(), *kept])
    return Graph({**graph.resources, **changed}, graph.edges) if changed else graph


def _forwarders(graph: Graph, hold: Mapping[str, bool], state: State) -> list[Resource]:
    """What passes visitors on for as long as the services in whose place it stands are held."""
    held = {
        service_of(old.component)
        for old in state.resources.values()
        if old.type == TOKEN and old.inputs.get("held")
    }
    kept = []
    for urn, old in state.resources.items():
        service, _, suffix = service_of(old.component).rpartition("-")
        stands = old.type == TOKEN and f"-{suffix}" == FORWARD and hold.get(service, service in held)
        if stands and urn not in graph.resources:
            after = tuple(other for other in old.dependencies if other in graph.resources)
            kept.append(Resource(urn, TOKEN, urn_name(urn), old.inputs, old.component, after))
    return kept
