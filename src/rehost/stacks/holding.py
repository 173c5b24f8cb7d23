"""Units that are put but kept from running, until somebody lets them go. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rehost.stacks.graph import Graph
from rehost.stacks.hosts.resource import TOKEN
from rehost.stacks.state import State

SERVICES = "services."


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
    return Graph({**graph.resources, **changed}, graph.edges) if changed else graph
