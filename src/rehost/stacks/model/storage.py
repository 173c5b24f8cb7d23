"""Buckets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from rehost.stacks.model.base import Component, Override, complaint
from rehost.stacks.model.edge import Host

Origin = Annotated[
    str, StringConstraints(pattern=r"^(\*|https?://[a-z0-9*][a-z0-9.*-]*(:\d{1,5})?)$", max_length=255)
]
"""A web origin: scheme, host and port; `*` stands for any part of the host."""


class CorsRule(Component):
    """Web pages of other origins that may use a bucket from a browser."""

    origins: tuple[Origin, ...] = Field(min_length=1, examples=[["https://plaza.example"]])
    """Where the pages come from."""
    methods: tuple[Literal["GET", "HEAD", "PUT", "POST", "DELETE"], ...] = ("GET", "HEAD")
    """What they may do."""
    headers: tuple[str, ...] = ()
    """Request headers that they may send; `*` is all."""
    expose: tuple[str, ...] = ()
    """Response headers that they may read."""
    max_age: int = Field(3600, ge=0, le=86_400)
    """Seconds that a browser may remember the answer."""


class LifecycleRule(Component):
    """What becomes of objects with time."""

    prefix: str = Field("", max_length=1024, examples=["exports/"])
    """Of the keys that it is about; without it all are."""
    expire_days: int | None = Field(None, ge=1, le=36_500)
    """Days after which an object is removed."""
    expire_versions_days: int | None = Field(None, ge=1, le=36_500)
    """Days after which a former version is removed."""

    @model_validator(mode="after")
    def _does_something(self) -> LifecycleRule:
        if self.expire_days is None and self.expire_versions_days is None:
            raise complaint(
                "a lifecycle rule does nothing",
                "it needs a number of days",
                "add expire_days or expire_versions_days",
            )
        return self


class Bucket(Component):
    """An object store. The real name carries a suffix of the deployment, since bucket names are global."""

    versioning: bool = False
    """Whether former versions of objects are kept."""
    public_read: bool = False
    """Whether everybody may read its objects."""
    public_name: Host | None = Field(None, examples=["media.plaza.example"])
    """A name of the stack's own zones that its objects are read under: `https://media.plaza.example/<key>`."""
    encrypted: bool = False
    """Whether the target encrypts its objects where they lie, with keys of its own."""
    owner_enforced: bool = False
    """Whether objects are the bucket's owner's, whoever wrote them, and their access lists say nothing."""
    cors: tuple[CorsRule, ...] = ()
    """Web pages of other origins that may use it from a browser."""
    lifecycle: tuple[LifecycleRule, ...] = ()
    """What becomes of its objects with time."""
    override: Override = Field(default_factory=dict)
    """Native properties by provider or target, laid over what rehost writes; reported as lock-in."""
