"""What an authority answers, as the engine knows it: what may be repeated, what it means, what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rehost.stacks.errors import InvalidInput, ProviderError, Reason

PATIENCE_S = 120.0
"""A limit that is over sooner is waited for; beyond that the run ends and says until when."""
_LIMIT_FIX = (
    "wait until then and run the same command again; the order that is open goes on. For trials use the "
    "authority's staging directory (acme.directory), which has limits of its own"
)
_MEANING: dict[str, tuple[Reason, str]] = {
    "badNonce": (Reason.UNAVAILABLE, ""),
    "serverInternal": (Reason.UNAVAILABLE, ""),
    "rateLimited": (Reason.QUOTA, _LIMIT_FIX),
    "badPublicKey": (Reason.INVALID, "give the certificate another kind of key (`key:`)"),
    "externalAccountRequired": (
        Reason.INVALID,
        "ask the authority for a key id and an HMAC key, and give them as acme.external_account",
    ),
    "userActionRequired": (Reason.DENIED, "the terms of the authority have changed: read and accept them there"),
    "unauthorized": (Reason.DENIED, "check acme.external_account, and that the account was not deactivated"),
    "accountDoesNotExist": (Reason.DENIED, ""),
    "invalidContact": (Reason.INVALID, "give another address as acme.email"),
    "unsupportedContact": (Reason.INVALID, "give another address as acme.email"),
    "rejectedIdentifier": (Reason.INVALID, "this authority does not issue for such a name: take it off the list"),
    "caa": (Reason.DENIED, "allow the authority in the zone's CAA records"),
    "dns": (Reason.FAILED, "look at the zone's name servers: the authority could not ask them"),
    "malformed": (Reason.INVALID, ""),
}


class Refusal(ProviderError):
    """An authority refused; `code` is its own word."""


def lacking() -> InvalidInput:
    """What is said where the libraries for ACME and DNS are not installed."""
    return InvalidInput(
        "certificates through ACME need the extra `acme`",
        why="the libraries that speak ACME and DNS are not installed",
        fix="pip install 'rehost[acme]'",
    )


@contextmanager
def translated(operation: str, waited: Any = None) -> Iterator[None]:
    """Errors of the ACME library and its transport. `waited` answers what Retry-After said last, in seconds."""
    try:
        import acme.errors
        import acme.messages
    except ImportError:
        raise lacking() from None
    try:
        yield
    except acme.messages.Error as error:
        raise told(error, operation, waited() if waited else None) from error
    except (acme.errors.ClientError, acme.errors.NonceError) as error:
        raise ProviderError(
            "the certificate authority answers in an unexpected way",
            reason=Reason.UNAVAILABLE,
            operation=operation,
            why=str(error),
        ) from error
    except OSError as error:
        raise ProviderError(
            "the certificate authority does not answer",
            reason=Reason.UNCERTAIN,
            operation=operation,
            why=str(error),
            fix="check acme.directory and the way to it",
        ) from error


def told(error: Any, operation: str = "", retry_after: float | None = None) -> ProviderError:
    """An error of the protocol (`acme.messages.Error`)."""
    code = str(error.code or str(error.typ).rpartition(":")[2])
    reason, fix = _MEANING.get(code, (Reason.FAILED, ""))
    details = [str(error.detail or error.description or error.typ)]
    details += [f"{part.identifier.value}: {part.detail}" for part in error.subproblems or () if part.identifier]
    why = "; ".join(details)
    summary = f"the certificate authority refuses ({code})"
    if code == "rateLimited":
        summary = "the certificate authority's rate limit is reached"
        if retry_after is not None:
            why += f"; it may be asked again in {_span(retry_after)}"
            if retry_after <= PATIENCE_S:
                reason, fix = Reason.THROTTLED, ""
    return Refusal(
        summary, reason=reason, operation=operation, code=code, why=why, fix=fix, retry_after=retry_after
    )


def _span(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
