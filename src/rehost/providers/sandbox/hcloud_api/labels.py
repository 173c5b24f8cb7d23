"""Labels and label selectors. Grammar: Hetzner Cloud API reference, Labels and Label Selector."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from rehost.providers.sandbox.hcloud_api.errors import invalid

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"^(?:(?P<prefix>[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?)/)?{_NAME}$")
_VALUE = re.compile(rf"^(?:{_NAME})?$")
_KEY_TEXT = r"[A-Za-z0-9][A-Za-z0-9._/-]*"
_TERM = re.compile(
    rf"^(?P<not>!)?\s*(?P<key>{_KEY_TEXT})$"
    rf"|^(?P<left>{_KEY_TEXT})\s*(?P<sign>==|=|!=)\s*(?P<right>[A-Za-z0-9._-]*)$"
    rf"|^(?P<of>{_KEY_TEXT})\s+(?P<word>in|notin)\s*\((?P<choices>[^()]*)\)$"
)

Labels = Mapping[str, str]


def checked(labels: Any) -> dict[str, str]:
    """Labels that obey the grammar. Raises ApiError."""
    if labels is None:
        return {}
    if not isinstance(labels, dict):
        raise invalid("labels", "must be of type object")
    for key, value in labels.items():
        match = _KEY.match(key)
        if not match:
            raise invalid("labels", f"label key '{key}' is not correctly formatted")
        if (match["prefix"] or "").endswith("hetzner.cloud"):
            raise invalid("labels", f"label key '{key}' uses a reserved prefix")
        if not isinstance(value, str) or not _VALUE.match(value):
            raise invalid("labels", f"label value '{value}' of key '{key}' is not correctly formatted")
    return dict(labels)


def _term(text: str) -> Callable[[Labels], bool]:
    match = _TERM.match(text.strip())
    if not match:
        raise invalid("label_selector", f"label selector '{text}' is not correctly formatted")
    if match["key"]:
        key, wanted = match["key"], not match["not"]
        return lambda labels: (key in labels) == wanted
    if match["left"]:
        left, right = match["left"], match["right"]
        if match["sign"] == "!=":
            return lambda labels: labels.get(left) != right
        return lambda labels: labels.get(left) == right
    of, choices = match["of"], {item.strip() for item in match["choices"].split(",")}
    if match["word"] == "in":
        return lambda labels: labels.get(of) in choices
    return lambda labels: labels.get(of) not in choices


@lru_cache(maxsize=512)
def selector(text: str) -> Callable[[Labels], bool]:
    """What a selector (`k`, `!k`, `k=v`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`, joined by commas)
    matches. Raises ApiError for one that is not well formed."""
    if not text.strip():
        raise invalid("label_selector", "label selector must not be empty")
    terms = [_term(part) for part in re.split(r",(?![^(]*\))", text)]
    return lambda labels: all(term(labels) for term in terms)
