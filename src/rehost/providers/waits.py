"""How long a provider asks to be left alone."""

from __future__ import annotations

from email.utils import parsedate_to_datetime


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for, which holds a number or a date (RFC 9110, section 10.2.3); None
    for one that says neither. `now` is seconds since 1970."""
    text = (value or "").strip()
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except ValueError:
        return None
