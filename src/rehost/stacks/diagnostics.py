"""What is said about bad input: where, what is wrong, why it matters, and how to put it right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

PathKey = tuple[str | int, ...]
"""The address of a value in a stack, as steps: `("servers", "app", "count")`."""


class Severity(StrEnum):
    """Errors stop; warnings and notes do not."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A place in a file; line and column (in characters) count from 1, 0 where there is none."""

    file: str = ""
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `code` is stable (`unknown-key`), `path` is the address in the stack (`servers.app.image`)."""

    code: str
    summary: str
    why: str = ""
    fix: str = ""
    path: PathKey = ()
    span: Span = Span()
    severity: Severity = Severity.ERROR
    target: str = ""
    """The target that does not accept it, for findings of a provider."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A question with the nearest choice, or all of them, or nothing."""
    known = sorted({choice for choice in choices if choice})
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not near:
        near = [choice for choice in known if choice == word.lower()][:1]
    if near or len(known) == 1:
        return f"did you mean {(near or known)[0]!r}?"
    return f"use one of {', '.join(known)}" if known else ""


TITLES = {
    "address": "A record's value is not an address of its type",
    "ambiguous-name": "A name stands for two things",
    "caches": "A target has no cache of this kind",
    "checks": "A check can't be made",
    "cidr-range": "A network is in a range that a target does not take",
    "cidr-size": "A network or subnet is of a size that a target does not take",
    "cname-apex": "A zone's own name is a CNAME",
    "cname-beside": "A CNAME stands beside other records of its name",
    "cycle": "Components wait for each other",
    "databases": "A target has no database of this kind",
    "description": "A description holds what a target does not take",
    "duplicate-key": "A key stands twice in one mapping",
    "duplicate-record": "Two records have the same name and type",
    "empty": "The file is empty",
    "encoding": "The file is not UTF-8 text",
    "environment": "An environment variable is not set",
    "firewalls": "A server has more firewalls than a target allows",
    "image": "A target does not have this image",
    "key": "A key is not plain text",
    "label": "A target does not take this label",
    "listeners": "A load balancer has more listeners than a target allows",
    "mail": "What is said about a domain's mail is not valid",
    "many-documents": "The file holds several YAML documents",
    "mount": "A service mounts what is no folder",
    "merge": "Something that is no mapping is merged in",
    "missing-key": "A key that has to be there is missing",
    "mixed-listeners": "A target's load balancers can't have these listeners side by side",
    "name": "A name is not of the form that names have",
    "name-length": "A name is longer than a target allows",
    "no-file": "There is no stack file",
    "no-mapping": "The file is not a mapping",
    "no-stack": "The program builds no stack",
    "number": "A number is not a number that can be used",
    "object-storage": "A target has no object storage in this place",
    "one-server": "Something that belongs to one server is on several",
    "option": "A target's provider does not know this option",
    "outside": "A subnet is outside its network",
    "overlap": "Two subnets share addresses",
    "peer": "A firewall rule names no peer",
    "ports": "A firewall rule names ports that have no meaning",
    "private": "A record points to servers without public addresses",
    "private-key": "A private key is in the file",
    "private-traffic": "A target's firewall does not filter private traffic",
    "provider": "There is no such provider",
    "public-cidr": "A network is not in a private range",
    "public-name": "A bucket can't have this public name",
    "python": "The stack program fails",
    "record-name": "A record's name is not valid",
    "record-type": "A target does not take this record",
    "record-value": "A record's value is not valid",
    "redirect": "A redirect leads nowhere, or can't be had at a target",
    "reference": "A reference leads to nothing",
    "region": "A target's provider has no such region",
    "repeated": "Something is named twice",
    "reserved-name": "A target reserves this name",
    "reverse": "A reverse name does not lead to its address, or can't be had at a target",
    "roles": "A role can't be had as it is asked for",
    "rule-direction": "A firewall rule has the key of the other direction",
    "rules": "A firewall has more rules than a target allows",
    "schedule": "A schedule is none, or its time zone is not known",
    "servers": "There are more servers than a target allows",
    "service": "No host could run a service",
    "services": "A target does not run services yet",
    "set": "A --set can't be carried out",
    "several-files": "More than one stack file is in the folder",
    "size": "A target has no server type of this size",
    "source": "A service's source can't be put on servers",
    "ssh-key": "An SSH key is not valid, or not taken by a target",
    "ssh-keys": "A target puts fewer SSH keys on a server",
    "subnets": "There are more subnets than a target allows",
    "tag": "A YAML tag is not known",
    "targets": "A load balancer has more targets than a target allows",
    "too-deep": "The file is nested too deeply",
    "too-large": "The file is too large",
    "too-much": "The file grows out of bounds",
    "ttl": "A target does not take this TTL",
    "unknown-key": "A key is not known",
    "terms": "The terms of a certificate authority are not agreed to",
    "unproven-domain": "Nobody can prove that a certificate's name is the platform's",
    "unreadable": "The file can't be read",
    "user-data": "User data is longer than a target allows",
    "value": "A value is not valid",
    "version": "A target does not have this version",
    "volume-size": "A target has no volumes of this size",
    "volumes": "A server has more volumes than a target allows",
    "way-out": "A way out that nobody needs, or that a target can't lay",
    "yaml": "The file is not valid YAML",
    "zone": "A target does not take this zone",
    "zones": "A target needs more zones for this",
}
"""What each code means, in a line: for tools that list rules."""
