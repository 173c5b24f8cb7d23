"""What a new server is told: several parts for cloud-init in one text. Pure.

Each part begins as cloud-init wants it (`#cloud-boothook`, `#cloud-config`, `#!`). Several make a MIME message,
whose parts of type text/plain cloud-init looks at in the same way.
"""

from __future__ import annotations

from rehost.stacks.graph import Join, Value

_BOUNDARY = "==rehost-part=="
_OPENING = f'Content-Type: multipart/mixed; boundary="{_BOUNDARY}"\nMIME-Version: 1.0\n'
_PLAIN = 'Content-Type: text/plain; charset="utf-8"\nContent-Transfer-Encoding: 8bit\n\n'
_MESSAGES = ("Content-Type:", "MIME-Version:")
OVERHEAD = 512
"""Bytes that joining two parts adds, at most."""


def combined(*parts: Value) -> Value:
    """One text of all parts, in their order; None where there is none."""
    given = [part for part in parts if part]
    if len(given) < 2:
        return given[0] if given else None
    pieces: list[Value] = [_OPENING]
    for part in given:
        pieces += [f"\n--{_BOUNDARY}\n", *([] if _is_message(part) else [_PLAIN]), part]
    pieces.append(f"\n--{_BOUNDARY}--\n")
    flat = [inner for piece in pieces for inner in (piece.parts if isinstance(piece, Join) else (piece,))]
    if all(isinstance(piece, str) for piece in flat):
        return "".join(flat)
    return Join(tuple(flat))


def _is_message(part: Value) -> bool:
    """Whether a part is a MIME message already, which keeps its own headers."""
    first = part.parts[0] if isinstance(part, Join) else part
    return isinstance(first, str) and first.startswith(_MESSAGES)
