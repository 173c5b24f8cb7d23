"""Buckets."""

from __future__ import annotations

from pydantic import Field

from rehost.stacks.model.base import Component, Override


class Bucket(Component):
    """An object store. The real name carries a suffix of the deployment, since bucket names are global."""

    versioning: bool = False
    """Whether former versions of objects are kept."""
    public_read: bool = False
    """Whether everybody may read its objects."""
    override: Override = Field(default_factory=dict)
    """Native properties by provider or target, laid over what rehost writes; reported as lock-in."""
