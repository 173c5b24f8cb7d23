"""What a new server is told: several parts for cloud-init in one text. Pure.

Each part begins as cloud-init wants it (`#cloud-boothook`, `#cloud-config`, `#!`). Several make a MIME message,
whose parts of type text/plain cloud-init looks at in the same way.
"""

from __future__ import annotations

from rehost.stacks.graph import Join, Secret, Value

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


def separated(value: Value, first: str) -> Value:
    """The other part of what was combined with a first one; None where there was none, and all of what does not
    begin with that part."""
    if value == first:
        return None
    pieces = list(value.parts) if isinstance(value, Join) else [value]
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    before = f"{_OPENING}\n--{_BOUNDARY}\n{_PLAIN}{first}\n--{_BOUNDARY}\n"
    end = f"\n--{_BOUNDARY}--\n"
    if not text.startswith(before) or not text.endswith(end):
        return value
    left = len(before)
    while left:
        size = min(left, len(pieces[0]))
        pieces[0], left = pieces[0][size:], left - size
        pieces = pieces if pieces[0] else pieces[1:]
    pieces[-1] = pieces[-1].removesuffix(end)
    pieces = [piece for piece in pieces if piece != ""]
    if pieces and isinstance(pieces[0], str):
        pieces[0] = pieces[0].removeprefix(_PLAIN)
        pieces = [piece for piece in pieces if piece != ""]
    return pieces[0] if len(pieces) == 1 else Join(tuple(pieces))


def without(value: Value, mark: str) -> Value:
    """What is told beside the part that has a mark, which is the last one; None where there is nothing else.
    Secret text becomes plain again: what made it secret was in that part."""
    text = value.value if isinstance(value, Secret) else value
    if not isinstance(text, str) or mark not in text:
        return value
    if not text.startswith(_OPENING):
        return None
    parts = text.removesuffix(f"\n--{_BOUNDARY}--\n").split(f"\n--{_BOUNDARY}\n")[1:]
    rest = [part.removeprefix(_PLAIN) for part in parts if mark not in part]
    return combined(*rest)


def _is_message(part: Value) -> bool:
    """Whether a part is a MIME message already, which keeps its own headers."""
    first = part.parts[0] if isinstance(part, Join) else part
    return isinstance(first, str) and first.startswith(_MESSAGES)
