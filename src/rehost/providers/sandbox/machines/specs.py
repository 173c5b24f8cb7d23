"""A unit as it was meant for a server of the provider, as one that runs as processes here.

Addresses and host names of the provider give way to those of loopback; folders of the server are below the
server's own folder; images that are known here become the program they are made for."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from rehost.providers.sandbox import postgres
from rehost.providers.sandbox.environment import ROOT
from rehost.providers.sandbox.machines import bucketproxy, entrypoint, places
from rehost.providers.sandbox.machines.metadata import PORT
from rehost.stacks import bucketproxy as wanted
from rehost.stacks.errors import InvalidInput
from rehost.stacks.hosts.backend import Layout
from rehost.stacks.hosts.units import UnitSpec, Volume

_POSTGRES = re.compile(r"(?:docker\.io/)?(?:library/)?postgres:(\d+)(?:[.-].*)?")
_NGINX = re.compile(r"(?:docker\.io/)?(?:library/)?nginx:.+")
IMAGES = (*(f"postgres:{version}" for version in postgres.VERSIONS), "nginx in front of a bucket")
"""Images that run here."""


STORAGE = {
    "aws": re.compile(r"https://s3\.[a-z0-9-]+\.amazonaws\.com(?![\w.-])"),
    "hetzner": re.compile(r"https://[a-z0-9-]+\.your-objectstorage\.com(?![\w.-])"),
}
"""The address of each provider's object storage, which is the stand-in's here."""


def adapter(folder: Path, place: places.Place, endpoint: str = "") -> Callable[[UnitSpec], UnitSpec]:
    """What makes units of one server fit for this machine. `endpoint` is where the stand-in for its provider's
    object storage is."""
    storage = STORAGE.get(folder.name) if endpoint else None
    outside = _amazon(place, endpoint) if folder.name == "aws" and endpoint else {}

    def here(text: str, known: Mapping[str, str]) -> str:
        return renamed(storage.sub(endpoint, text) if storage else text, known)

    def adapt(spec: UnitSpec) -> UnitSpec:
        known = places.names(folder, place.networks)
        spec = replace(
            spec,
            command=tuple(here(word, known) for word in spec.command),
            environment={
                "SSL_CERT_FILE": str(folder.parent.parent / ROOT),
                **outside,
                **{key: here(value, known) for key, value in spec.environment.items()},
            },
            volumes=tuple(_inside(folder / place.id, volume) for volume in spec.volumes),
        )
        return _program(spec, folder, place) if spec.image else spec

    return adapt


def _amazon(place: places.Place, endpoint: str) -> dict[str, str]:
    """How SDKs find the stand-in, and what tells a server its keys: what they know by themselves elsewhere."""
    metadata = f"http://{place.address}:{PORT}"
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata,
    }


def renamed(text: str, names: Mapping[str, str]) -> str:
    """A text with what names something at the provider replaced by what stands for it here."""
    if not names:
        return text
    either = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    # No part of a longer name or number is meant.
    return re.sub(rf"(?<![A-Za-z0-9.-])(?:{either})(?![A-Za-z0-9-]|\.[A-Za-z0-9])", lambda m: names[m[0]], text)


def _inside(machine: Path, volume: Volume) -> Volume:
    if volume.named:
        return volume
    return replace(volume, source=f"{machine}/root{volume.source}")


def _program(spec: UnitSpec, folder: Path, place: places.Place) -> UnitSpec:
    match = _POSTGRES.fullmatch(spec.image)
    version = int(match[1]) if match else 0
    before_bucket = bool(_NGINX.fullmatch(spec.image)) and set(wanted.VARIABLES) <= set(spec.environment)
    if version not in postgres.VERSIONS and not before_bucket:
        raise InvalidInput(
            f"the image {spec.image} can't run in the sandbox",
            why=f"images are not pulled here; real programs stand for {', '.join(IMAGES)} only",
            fix="give the service a `source:` and a `command:`, or leave it out of the rehearsal",
        )
    layout = Layout(str(places.units(folder, place.id)))
    work = folder / place.id / "root" / "containers" / spec.name
    inside = {f"{volume.target}": _source(volume, layout, spec.name) for volume in spec.volumes}
    inside["/tmp"] = f"{work}/tmp"
    for made in (work / "bin", work / "tmp", *(Path(source) for source in inside.values())):
        made.mkdir(parents=True, exist_ok=True)
    environment = {key: _within(value, inside) for key, value in spec.environment.items()}
    path, program = os.environ.get("PATH", os.defpath), [_within(word, inside) for word in spec.command]
    if before_bucket:
        _shim(work / "bin" / "nginx", bucketproxy.__file__)
    else:
        shim = _shim(work / "bin" / "docker-entrypoint.sh", entrypoint.__file__)
        if not program or program[0].startswith("-"):
            program.insert(0, "postgres")
        program.insert(0, str(shim))
        path = f"{postgres.program(version, 'psql').parent}:{path}"
        hidden = entrypoint.hidden(spec.ports[0].port) if spec.ports else 0
        local = {"PGHOST": place.address, "PGPORT": str(hidden)} if hidden else {}
        environment = {"PGDATA": f"{work}/data", **local, **environment, "REHOST_POSTGRES": str(version)}
    return replace(
        spec,
        image="",
        user="",
        command=tuple(program),
        environment={**environment, "PATH": f"{work}/bin:{path}", "REHOST_MACHINES": str(folder)},
        ports=tuple(replace(port, target=0) for port in spec.ports),
    )


def _shim(path: Path, program: str) -> Path:
    """What is called as the image's own program is."""
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
    path.chmod(0o755)
    return path


def _source(volume: Volume, layout: Layout, unit: str) -> str:
    return f"{layout.volumes(unit)}/{volume.source}" if volume.named else volume.source


def _within(text: str, inside: Mapping[str, str]) -> str:
    """A text with paths of the container as paths of this machine."""
    either = "|".join(re.escape(path) for path in sorted(inside, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])(?:{either})(?=/|$|[\s;'\"])", lambda m: inside[m[0]], text)
