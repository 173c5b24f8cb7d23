"""Errors in the API's own shape. Codes and statuses: Hetzner Cloud API reference, Errors."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]


class ApiError(Exception):
    """An error answer."""

    def __init__(self, status: int, code: str, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.details = status, code, message, details

    def body(self) -> Record:
        """The JSON answer."""
        return {"error": {"code": self.code, "message": self.message, "details": self.details}}


def invalid(name: str, message: str) -> ApiError:
    """422 invalid_input with the field at fault."""
    return invalid_fields([(name, message)])


def invalid_fields(problems: list[tuple[str, str]]) -> ApiError:
    """422 invalid_input with all fields at fault."""
    messages: dict[str, list[str]] = {}
    for name, message in problems:
        messages.setdefault(name, []).append(message)
    fields = [{"name": name, "messages": texts} for name, texts in messages.items()]
    names = ", ".join(f"'{name}'" for name in messages)
    return ApiError(422, "invalid_input", f"invalid input in field {names}", {"fields": fields})


def missing(what: str) -> ApiError:
    """404 not_found."""
    return ApiError(404, "not_found", f"{what} not found")


def taken(name: str, message: str) -> ApiError:
    """409 uniqueness_error with the field whose value is taken."""
    return ApiError(409, "uniqueness_error", message, {"fields": [{"name": name}]})


def protected(what: str, against: str = "deletion") -> ApiError:
    """423 protected."""
    return ApiError(423, "protected", f"{what} is protected against {against}")


def refused(code: str, message: str) -> ApiError:
    """422 with the code of an operation."""
    return ApiError(422, code, message)


def limited(name: str, message: str) -> ApiError:
    """403 resource_limit_exceeded with the limit's name."""
    return ApiError(403, "resource_limit_exceeded", message, {"limits": [{"name": name}]})


def removed(announcement: str, message: str) -> ApiError:
    """410 deprecated_api_endpoint with where the removal was announced."""
    page = f"https://docs.hetzner.cloud/changelog#{announcement}"
    return ApiError(410, "deprecated_api_endpoint", message, {"announcement": page})
