"""Buckets."""

from __future__ import annotations

from pydantic import Field

from rehost.stacks.model.base import Component, Override


class Bucket(Component):
    """An object store. The real name carries a suffix of the deployment, since bucket names are global."""

    versioning: bool = False
    public_read: bool = False
    override: Override = Field(default_factory=dict)
