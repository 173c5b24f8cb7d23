"""rehost against Terraform with its AWS provider: the same 200 resources, at the same stand-in.

    python benchmarks/terraform.py [--terraform PATH] [--plugins FOLDER] [--resources 200] [--latency SECONDS]

Each tool gets a sandbox of its own and works from the command line: apply, a plan with nothing to do, destroy.
Printed are seconds, the most memory that its processes held together at any moment, and the API calls that the
stand-in counted. The configuration that Terraform is given is what rehost lowers its stack to, one by one.
Leaves with 77 where Terraform or its provider's plugin folder is absent.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehost.providers.aws import tokens
from rehost.providers.aws.adapter import AwsAdapter
from rehost.stacks.graph import Graph, Join, Json, Ref, Secret
from rehost.stacks.legalize import legalize
from rehost.stacks.lower import Lowering, lower
from rehost.stacks.model import Stack
from rehost.stacks.resolve import resolve_facts

SKIPPED = 77
TYPES = {
    tokens.VPC: "aws_vpc",
    tokens.SUBNET: "aws_subnet",
    tokens.GATEWAY: "aws_internet_gateway",
    tokens.TABLE: "aws_route_table",
    tokens.ROUTE: "aws_route",
    tokens.ASSOCIATION: "aws_route_table_association",
    tokens.GROUP: "aws_security_group",
    tokens.INGRESS: "aws_vpc_security_group_ingress_rule",
    tokens.EGRESS: "aws_vpc_security_group_egress_rule",
    tokens.KEY: "aws_key_pair",
    tokens.INSTANCE: "aws_instance",
    tokens.VOLUME: "aws_ebs_volume",
    tokens.ATTACHMENT: "aws_volume_attachment",
    tokens.ZONE: "aws_route53_zone",
    tokens.RECORD: "aws_route53_record",
    tokens.BUCKET: "aws_s3_bucket",
    tokens.VERSIONING: "aws_s3_bucket_versioning",
    tokens.ACCESS: "aws_s3_bucket_public_access_block",
    tokens.POLICY: "aws_s3_bucket_policy",
}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGQwNcWnJqHqYz0zjC7aVf8V3nJr5b8sY7mT1l2k3j4h ops@many.example"


def stack_of(size: int) -> dict[str, Any]:
    """A stack that lowers to about `size` resources: servers with volumes, firewalls, buckets, records."""
    parts = max(1, size // 20)
    return {
        "stack": "many",
        "targets": {"aws": {"provider": "aws", "region": "eu-central-1"}},
        "network": {"cidr": "10.20.0.0/16", "zones": 2},
        "ssh_keys": {"ops": KEY},
        "firewalls": {"web": {"ingress": [{"ports": [80], "from": "anywhere"}]}},
        "servers": {
            f"s{n}": {"public": True, "firewalls": ["web"], "ssh_keys": ["ops"], "image": "ubuntu-24.04"}
            for n in range(parts)
        },
        "volumes": {f"v{n}": {"size": "20GiB", "on": f"s{n}"} for n in range(parts)},
        "buckets": {f"b{n}": {"versioning": True} for n in range(parts)},
        "dns": {"many.example": [{"name": f"r{n}", "a": f"198.51.100.{n % 250}"} for n in range(parts * 9)]},
    }


def graph_of(content: Mapping[str, Any], environment: Mapping[str, str]) -> Graph:
    """What rehost makes of the stack at the stand-in."""
    adapter, stack = AwsAdapter(), Stack.model_validate(content)
    target = stack.targets["aws"]
    legal = legalize(stack, adapter.native).stack
    connection = adapter.connect(target, environment)
    facts = resolve_facts(adapter, legal, target, {}, ask=connection.offers).values()
    connection.close()
    return lower(adapter, Lowering(legal, target, facts, "0" * 32))


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _label(name: str) -> str:
    return "r_" + re.sub(r"[^A-Za-z0-9_]", lambda found: f"_{ord(found[0]):x}_", name)


def configuration(graph: Graph, endpoint: str) -> dict[str, Any]:
    """The same resources in Terraform's JSON syntax."""

    def address(urn: str) -> str:
        resource = graph.resources[urn]
        return f"{TYPES[resource.type]}.{_label(resource.name)}"

    def said(value: Any, plain: bool = False) -> Any:
        match value:
            case Ref():
                return f"${{{address(value.urn)}.{_snake(value.path)}}}"
            case Secret(inner):
                return said(inner)
            case Json(inner):
                return json.dumps(said(inner, plain=True))
            case Join(parts):
                return "".join(said(part) for part in parts)
            case dict():
                return {key if plain else _snake(key): said(item, plain) for key, item in value.items()}
            case list() | tuple():
                return [said(item, plain) for item in value]
        return value.replace("${", "$${") if isinstance(value, str) else value

    made: dict[str, dict[str, Any]] = {}
    for resource in graph.resources.values():
        inputs = {_snake(k): said(v, plain=k in ("tags", "policy")) for k, v in resource.inputs.items()}
        if resource.after:
            inputs["depends_on"] = [address(urn) for urn in resource.after]
        made.setdefault(TYPES[resource.type], {})[_label(resource.name)] = inputs
    services = ("ec2", "s3", "route53", "sts", "iam")
    provider = {
        "region": "eu-central-1",
        "s3_use_path_style": True,
        "endpoints": [dict.fromkeys(services, endpoint)],
    }
    required = {"aws": {"source": "hashicorp/aws"}}
    return {"terraform": {"required_providers": required}, "provider": {"aws": provider}, "resource": made}


@dataclass
class Run:
    """One command: seconds by the clock, MiB that its processes held at once, calls at the stand-in."""

    seconds: float
    memory: float
    calls: int


def _children(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from _children(int(child))


def _watch(pid: int, sums: list[int], over: threading.Event) -> None:
    while not over.wait(0.02):
        with suppress(OSError):
            states = [Path(f"/proc/{process}/status").read_text() for process in _children(pid)]
            held = [re.search(r"VmRSS:\s+(\d+) kB", state) for state in states]
            sums.append(sum(int(found[1]) for found in held if found))


def calls(endpoint: str) -> int:
    """How many API calls the stand-in has answered."""
    with urllib.request.urlopen(f"{endpoint}/_sandbox/calls") as answer:
        return int(sum(json.load(answer)["calls"].values()))


def run(command: list[str], folder: Path, environment: Mapping[str, str], endpoint: str) -> Run:
    """Run a command to its end. Raises SystemExit with its output if it fails."""
    before, began = calls(endpoint), time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    sums = [0]
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, sums, over))
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - began
    over.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{output[-3000:]}")
    return Run(round(seconds, 2), round(max(sums) / 1024, 1), calls(endpoint) - before)


@contextmanager
def sandbox(folder: Path, latency: float) -> Iterator[dict[str, str]]:
    """A sandbox of its own; yields the environment that leads to it."""
    rehost = [sys.executable, "-m", "rehost", "sandbox"]
    environment = {**os.environ, "REHOST_SANDBOX_DIR": str(folder / "sandbox")}
    subprocess.run([*rehost, "up"], cwd=folder, env=environment, check=True, capture_output=True)
    try:
        shown = subprocess.run(
            [*rehost, "env", "--format", "json"], cwd=folder, env=environment, check=True, capture_output=True
        )
        if latency:
            slow = ["--provider", "aws", "--call", "*", "--do", "latency", "--seconds", str(latency)]
            subprocess.run([*rehost, "fault", *slow], cwd=folder, env=environment, check=True, capture_output=True)
        yield {**environment, **json.loads(shown.stdout)}
    finally:
        subprocess.run([*rehost, "down"], cwd=folder, env=environment, check=True, capture_output=True)


def with_rehost(folder: Path, content: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Run]:
    """rehost's three commands."""
    (folder / "stack.yaml").write_text(json.dumps(content))
    rehost, endpoint = [sys.executable, "-m", "rehost"], environment["AWS_ENDPOINT_URL"]
    on = ["--on", "aws", "--sandbox"]
    commands = {
        "apply": [*rehost, "deploy", *on, "--yes"],
        "no-op plan": [*rehost, "plan", *on],
        "destroy": [*rehost, "destroy", *on, "--yes", "--delete-data", "*"],
    }
    return {name: run(command, folder, environment, endpoint) for name, command in commands.items()}


def with_terraform(binary: str, plugins: Path, folder: Path, environment: Mapping[str, str]) -> dict[str, Run]:
    """Terraform's three commands, after an init that is not measured."""
    (folder / "terraform.rc").write_text(
        f'provider_installation {{\n  filesystem_mirror {{ path = "{plugins}" }}\n}}\n'
    )
    settings = {
        **environment,
        "TF_CLI_CONFIG_FILE": str(folder / "terraform.rc"),
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
    }
    subprocess.run([binary, "init", "-input=false"], cwd=folder, env=settings, check=True, capture_output=True)
    endpoint = environment["AWS_ENDPOINT_URL"]
    commands = {
        "apply": [binary, "apply", "-auto-approve", "-input=false", "-no-color"],
        "no-op plan": [binary, "plan", "-input=false", "-no-color", "-detailed-exitcode"],
        "destroy": [binary, "destroy", "-auto-approve", "-input=false", "-no-color"],
    }
    return {name: run(command, folder, settings, endpoint) for name, command in commands.items()}


def main() -> None:
    """Measure both and print a JSON line for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--terraform", default="terraform")
    parser.add_argument("--plugins", type=Path, default=Path.home() / ".terraform.d" / "plugins")
    parser.add_argument("--resources", type=int, default=200)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that every API call takes longer")
    options = parser.parse_args()
    binary = shutil.which(options.terraform)
    if binary is None or not options.plugins.is_dir():
        missing = options.terraform if binary is None else options.plugins
        print(f"skipped: {missing} is not here (see --terraform and --plugins)", file=sys.stderr)
        raise SystemExit(SKIPPED)
    content = stack_of(options.resources)
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = Path(name, "rehost"), Path(name, "terraform")
        ours.mkdir()
        theirs.mkdir()
        with sandbox(ours, options.latency) as environment:
            rehost = with_rehost(ours, content, environment)
        with sandbox(theirs, options.latency) as environment:
            graph = graph_of(content, environment)
            written = configuration(graph, environment["AWS_ENDPOINT_URL"])
            (theirs / "main.tf.json").write_text(json.dumps(written, indent=1))
            terraform = with_terraform(binary, options.plugins, theirs, environment)
    print(json.dumps({"resources": len(graph.resources), "latency": options.latency}))
    for command, mine in rehost.items():
        other = terraform[command]
        shown: dict[str, Any] = {"command": command, "rehost": vars(mine), "terraform": vars(other)}
        shown["ratios"] = {key: round(vars(other)[key] / max(vars(mine)[key], 0.001), 2) for key in vars(mine)}
        print(json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()
