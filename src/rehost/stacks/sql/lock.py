"""What a fence leaves at a database server, as far as others have to know it."""

from __future__ import annotations

import base64
import hmac

SCHEMA = "rehost_move"
"""What a move keeps at a server, in tables of its own."""
TAKEN = f"select what, role from {SCHEMA}.fence where what in ('login', 'connect')"
"""What the fence has taken from roles, and from whom."""
STANDS = f"select to_regclass('{SCHEMA}.fence') is not null"


def locked(password: str) -> str:
    """The password that a fence gives a role instead of this one."""
    return base64.urlsafe_b64encode(hmac.digest(password.encode(), b"rehost fence", "sha256")).decode().rstrip("=")
