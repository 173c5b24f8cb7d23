"""The move of a stack from one target to another: preflight > provision > replicate > verify > cutover > prove.

Each phase can be repeated: what is done is found done. The record is written after every phase, so the same
command goes on after any interruption. The source is only read.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rehost.stacks.data.buckets import Evidence, Report, copy_bucket, verify_bucket
from rehost.stacks.deployment import Deployment
from rehost.stacks.engine.events import Note
from rehost.stacks.errors import Refused, RehostError, Unproven
from rehost.stacks.graph import reveal
from rehost.stacks.ports import ObjectStore
from rehost.stacks.state import ResourceState

PHASES = ("preflight", "provision", "replicate", "verify", "cutover", "prove")


@dataclass
class Migration:
    """One move. `folder` keeps its record (`migration.json`) and the evidence of every bucket."""

    source: Deployment
    target: Deployment
    folder: Path
    parallel: int = 16
    record: dict[str, Any] = field(default_factory=dict)
    _evidence: dict[str, Evidence] = field(default_factory=dict)
    _reports: dict[str, Report] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """All phases. Raises RehostError; Unproven where data or checks do not agree."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.record = {
            "format_version": 1,
            "stack": self.source.stack.stack,
            "from": self.source.target.name,
            "to": self.target.target.name,
            "outcome": "running",
            "phases": [],
        }
        phases: dict[str, Callable[[], dict[str, Any]]] = {
            "preflight": self._preflight,
            "provision": self._provision,
            "replicate": self._replicate,
            "verify": self._verify,
            "cutover": self._cutover,
            "prove": self._prove,
        }
        try:
            for name in PHASES:
                began = self.target.clock.time()
                self.target.emit(Note(began, f"phase {name}"))
                entry: dict[str, Any] = {"phase": name, "began": began}
                self.record["phases"].append(entry)
                self._save()
                entry |= phases[name]()
                entry["seconds"] = round(self.target.clock.time() - began, 3)
            self.record["outcome"] = "done"
        except RehostError as error:
            self.record["outcome"] = "unproven" if isinstance(error, Unproven) else "failed"
            self.record["error"] = error.summary
            raise
        finally:
            for evidence in self._evidence.values():
                evidence.close()
            self._save()
        return self.record

    def _save(self) -> None:
        fresh = self.folder / "migration.json.new"
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(self.record, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.folder / "migration.json")

    def preview(self) -> dict[str, Any]:
        """What a run would do, without doing it."""
        plan = self.target.plan()
        found = self._preflight()
        return {"steps": plan.counts(), "buckets": found["buckets"]}

    def _buckets(self, deployment: Deployment) -> dict[str, ResourceState]:
        state = deployment.store.read(deployment.stack.stack, deployment.target.name)
        return {
            resource.component.removeprefix("buckets."): resource
            for resource in state.resources.values()
            if resource.component.startswith("buckets.") and deployment.adapter.rules(resource.type).holds_data
        }

    def _store(self, deployment: Deployment, name: str) -> ObjectStore:
        return deployment.connection.objects(reveal(self._buckets(deployment)[name].outputs))

    def _preflight(self) -> dict[str, Any]:
        state, live = self.source.status()
        if not state.resources:
            raise Refused(
                f"nothing of this stack is deployed on {self.source.target.name}",
                why="there is nothing to take along",
                fix="check --from, or deploy to the target directly",
            )
        gone = sorted({state.resources[urn].component for urn, now in live.items() if now is None})
        self.target.connection.identify(state.deployment)
        sizes = {}
        for name in self._buckets(self.source):
            infos = list(self._store(self.source, name).list())
            sizes[name] = {"objects": len(infos), "bytes": sum(info.size for info in infos)}
        return {"source_resources": len(live), "missing_at_source": gone, "buckets": sizes}

    def _provision(self) -> dict[str, Any]:
        _, outcome = self.target.deploy(command="migrate")
        if outcome.failed or outcome.interrupted or outcome.waiting:
            problems = [error for _, error in (*outcome.failed, *outcome.waiting)]
            first = problems[0] if problems else RehostError("the run was interrupted")
            error = type(first)(first.summary) if outcome.waiting else RehostError(first.summary)
            error.why, error.fix = first.why, first.fix or "run the same command again"
            error.exit_code = outcome.exit_code
            raise error
        return {"steps": outcome.done}

    def _pause(self, seconds: float) -> bool:
        return self.target.clock.wait(self.target.stop, seconds)

    def _replicate(self) -> dict[str, Any]:
        for name in self._buckets(self.source):
            evidence = self._evidence[name] = Evidence(self.folder / f"{name}.jsonl")
            report = self._reports[name] = copy_bucket(
                self._store(self.source, name),
                self._store(self.target, name),
                evidence,
                parallel=self.parallel,
                pause=self._pause,
            )
            if report.failures:
                raise RehostError(
                    f"{len(report.failures)} object(s) of {name} could not be copied",
                    why="; ".join(report.failures[:3]),
                    fix="run the same command again: it copies the rest",
                )
        return {"buckets": {name: report.as_dict() for name, report in self._reports.items()}}

    def _verify(self) -> dict[str, Any]:
        for name, report in self._reports.items():
            store = self._store(self.target, name)
            verify_bucket(store, self._evidence[name], report, parallel=self.parallel, pause=self._pause)
        told = {name: report.as_dict() for name, report in self._reports.items()}
        wrong = [f"{name}/{text}" for name, report in self._reports.items() for text in report.differences]
        if wrong:
            self.record["differences"] = wrong
            raise Unproven(
                f"{len(wrong)} object(s) at {self.target.target.name} are not what was sent",
                why="; ".join(wrong[:3]),
                fix="somebody else wrote there; remove what is in the way and run the same command again",
            )
        return {"buckets": told}

    def _cutover(self) -> dict[str, Any]:
        """The zone stands at the target since provision, with the new addresses: what is left is the registrar."""
        state, live = self.target.status()
        missing = [urn for urn, now in live.items() if now is None]
        if missing:
            raise Unproven(f"{len(missing)} resource(s) of the target are gone", fix="run the same command again")
        zones = sorted(self.target.stack.dns)
        for zone in zones:
            text = (
                f"{zone}: the zone is ready at {self.target.target.name}; the delegation changes at the registrar"
            )
            self.target.emit(Note(self.target.clock.time(), text))
        return {"zones": zones, "resources": len(state.resources)}

    def _prove(self) -> dict[str, Any]:
        addresses = self._addresses()
        results = []
        for check in self.target.stack.checks:
            results.append(ask(check.http or "", check.status, check.contains, addresses))
        if any(not row["ok"] for row in results):
            self.record["checks"] = results
            failed = next(row for row in results if not row["ok"])
            raise Unproven(f"the check {failed['http']} fails on the new side", why=str(failed["said"]))
        return {"checks": results}

    def _addresses(self) -> dict[str, str]:
        """Address on the new side by host name, for records that point to servers."""
        state = self.target.store.read(self.target.stack.stack, self.target.target.name)
        plan_graph = state.resources.values()
        found: dict[str, str] = {}
        for resource in plan_graph:
            if not resource.component.startswith("dns."):
                continue
            values = resource.outputs.get("records") or resource.outputs.get("values") or []
            first = values[0]["value"] if values and isinstance(values[0], dict) else (values or [""])[0]
            if resource.inputs.get("type") == "A":
                found[resource.component.removeprefix("dns.")] = str(first)
        return found


def ask(url: str, status: int, contains: str, addresses: dict[str, str]) -> dict[str, Any]:
    """One HTTP check, sent to the new side's address whatever the public name says today."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    try:
        link = socket.create_connection((addresses.get(host, host), port), 10)
        if secure:
            link = ssl.create_default_context().wrap_socket(link, server_hostname=host)
        client = http.client.HTTPConnection(host, port)
        client.sock = link
        client.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        answer = client.getresponse()
        text = answer.read(1_000_000).decode("utf-8", "replace")
        client.close()
    except (OSError, http.client.HTTPException) as error:
        return {"http": url, "ok": False, "said": f"{type(error).__name__}: {error}"}
    return {"http": url, "ok": answer.status == status and contains in text, "said": answer.status}
