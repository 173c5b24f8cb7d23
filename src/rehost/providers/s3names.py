"""Bucket settings in the words of S3, as every provider's resources have them."""

from __future__ import annotations

from rehost.stacks.graph import Value
from rehost.stacks.model import CorsRule


def cors_rule(rule: CorsRule) -> dict[str, Value]:
    """A CORS rule with the property names of the official AWS provider."""
    made: dict[str, Value] = {
        "allowedOrigins": list(rule.origins),
        "allowedMethods": list(rule.methods),
        "maxAgeSeconds": rule.max_age,
    }
    if rule.headers:
        made["allowedHeaders"] = list(rule.headers)
    if rule.expose:
        made["exposeHeaders"] = list(rule.expose)
    return made
