"""Bytes of a file to text, and positions in text to lines and columns."""

from __future__ import annotations

import codecs
import re
import sys
from bisect import bisect_right
from pathlib import Path

from rehost.stacks.diagnostics import Diagnostic, Span

STDIN = Path("-")
MAX_BYTES = 5_000_000
_LINE_END = re.compile(r"\r\n|\n|\r")
# What YAML 1.2 calls printable, section 5.1; everything else needs an escape in a quoted scalar.
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WIDE = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def split_lines(text: str) -> list[str]:
    """Lines as editors count them: ended by LF, CR LF or CR."""
    return _LINE_END.split(text)


class Lines:
    """Finds the line and column of a position in a text."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def span(self, position: int) -> Span:
        """The place of a character, counted from 0."""
        line = bisect_right(self._starts, position)
        return Span(self._name, line, position - self._starts[line - 1] + 1)


def shown_name(path: Path) -> str:
    """What a file is called in findings."""
    return "<stdin>" if path == STDIN else str(path)


def read_bytes(path: Path) -> bytes | Diagnostic:
    """The content of a file or of the standard input, or what keeps it from being read."""
    name = shown_name(path)
    start = Span(name, 1, 1)
    fix = "name a stack file with -f, or make one with `rehost init`"
    try:
        if path == STDIN:
            raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        elif path.is_dir():
            return Diagnostic("no-file", f"{name} is a folder", "a stack is read from a file", fix, span=start)
        elif not path.exists():
            why = "no file of that name is in the folder"
            return Diagnostic("no-file", f"{name} is not there", why, fix, span=start)
        elif not path.is_file():
            why = "a stack is read from a file"
            return Diagnostic("no-file", f"{name} is not a regular file", why, fix, span=start)
        else:
            with path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return Diagnostic("unreadable", f"{name} can't be read", why, "check the name and its rights", span=start)
    if len(raw) > MAX_BYTES:
        return Diagnostic("too-large", f"{name} is larger than 5 MB", "no stack file is", fix, span=start)
    return raw


def decode(raw: bytes, name: str) -> str | Diagnostic:
    """UTF-8 text, with or without a byte order mark, or what is wrong with it."""
    for mark, encoding in _WIDE:
        if raw.startswith(mark):
            return _encoding(f"the file is {encoding}", Span(name, 1, 1))
    if raw[:1] and b"\0" in raw[:2] and len(raw) > 1 and raw[:2] != b"\0\0":
        return _encoding("the file looks like UTF-16 without a byte order mark", Span(name, 1, 1))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig", errors="replace")
        summary = f"byte 0x{raw[error.start]:02x} at offset {error.start} is not UTF-8"
        guess = raw[error.start : error.start + 1].decode("latin-1")
        why = f"stack files are UTF-8; in Latin-1 this byte is {guess!r}" if guess.isprintable() else ""
        return _encoding(summary, Lines(before, name).span(len(before)), why)
    match = UNPRINTABLE.search(text)
    if match:
        return Diagnostic(
            "encoding",
            f"the character U+{ord(match[0]):04X} can't be in a text file",
            "YAML allows no control characters but tabs and line ends",
            "remove it, or write it as an escape in double quotes; is this a text file?",
            span=Lines(text, name).span(match.start()),
        )
    return text


def _encoding(summary: str, span: Span, why: str = "") -> Diagnostic:
    why = why or "stack files are UTF-8 text"
    return Diagnostic("encoding", summary, why, "save the file as UTF-8", span=span)
