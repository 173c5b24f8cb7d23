"""One tree of errors, each with the fields a person or a program needs to act on it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class RehostError(Exception):
    """What went wrong (`summary`), why, and what to do about it. `exit_code` is the documented one."""

    exit_code = 1

    def __init__(self, summary: str, *, why: str = "", fix: str = "", address: str = "") -> None:
        super().__init__(summary)
        self.summary = summary
        self.why = why
        self.fix = fix
        self.address = address

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross process boundaries with all their fields."""
        return _rebuilt, (type(self), self.args, self.__dict__.copy())


def _rebuilt(kind: type[RehostError], args: tuple[Any, ...], fields: dict[str, Any]) -> RehostError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


class InvalidInput(RehostError):
    """The input can't be used as it is."""

    exit_code = 3


class Refused(RehostError):
    """Going on would be unsafe: a lock, a stale plan, protected data, a foreign account."""

    exit_code = 4


class Unproven(RehostError):
    """Data or checks do not agree."""

    exit_code = 5


class Interrupted(RehostError):
    """The operator stopped the run; the same command resumes it."""

    exit_code = 130


class Reason(StrEnum):
    """What a failed provider call means for the caller, whatever the provider's own code for it is."""

    THROTTLED = "throttled"
    """Too many calls: wait and repeat; nothing was done."""
    UNAVAILABLE = "unavailable"
    """The provider had a fault: repeat; nothing was done, or repeating is harmless."""
    UNCERTAIN = "uncertain"
    """No answer: the call may or may not have had its effect, so look before you repeat."""
    BUSY = "busy"
    """The resource is locked by another action or still in use by one that is going away: wait and repeat."""
    NOT_FOUND = "not_found"
    EXISTS = "exists"
    """The natural key or name is taken."""
    CHANGED = "changed"
    """It is no longer what the call was made for (a precondition failed)."""
    DENIED = "denied"
    """Credentials are wrong or do not suffice."""
    QUOTA = "quota"
    """An account limit: the operator has to ask the provider for more."""
    INVALID = "invalid"
    FAILED = "failed"


class ProviderError(RehostError):
    """A provider's answer, translated at the adapter's edge.

    `code` is the provider's own code, `retry_after` seconds to wait when the provider named them.
    """

    def __init__(
        self,
        summary: str,
        *,
        reason: Reason,
        operation: str = "",
        code: str = "",
        status: int = 0,
        retry_after: float | None = None,
        why: str = "",
        fix: str = "",
        address: str = "",
    ) -> None:
        super().__init__(summary, why=why, fix=fix, address=address)
        self.reason = reason
        self.operation = operation
        self.code = code
        self.status = status
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        """Whether repeating the call can help."""
        return self.reason in _RETRYABLE


_RETRYABLE = {Reason.THROTTLED, Reason.UNAVAILABLE, Reason.UNCERTAIN, Reason.BUSY}


class OperatorNeeded(RehostError):
    """A step only a person can take (a delegation at the registrar, a key made in a console)."""

    exit_code = 6
