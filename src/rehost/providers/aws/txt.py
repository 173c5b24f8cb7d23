"""Texts of TXT records as Route 53 takes and tells them (developer guide, TXT record type)."""

from __future__ import annotations

import re

from rehost.stacks.records import strings, text_pieces


def quoted(value: str, type_: str) -> str:
    """A TXT value as the API takes it: quoted strings of at most 255 bytes each."""
    if type_ != "TXT":
        return value
    return " ".join(f'"{_escaped(piece)}"' for piece in strings(value))


def _escaped(piece: str) -> str:
    """Printable ASCII as it is, other bytes as octal numbers (Route 53 developer guide, TXT record type)."""
    plain = piece.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}" for byte in plain.encode())


def unquoted(text: str) -> str:
    """A TXT value without the quotes that it is sent in, as the official provider has it; others stay."""
    pieces = text_pieces(text) if text.startswith('"') else []
    if not pieces:
        return text
    plain = re.sub(rb"\\([0-7]{3}|.)", _unescaped, "".join(pieces).encode(), flags=re.DOTALL)
    return plain.decode(errors="replace")


def _unescaped(match: re.Match[bytes]) -> bytes:
    """A character behind a backslash, or the byte of an octal number: Route 53's form of what is not ASCII."""
    return bytes([int(match[1], 8) & 0xFF]) if len(match[1]) == 3 else match[1]
