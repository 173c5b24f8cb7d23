"""Which files of a service's source a setup reads, as far as its script tells. Pure.

What a program or a folder of the source reads in turn nobody can tell: a script that names one reads all of it.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_SCRIPTS = (".py", ".sh", ".bash", ".js", ".mjs", ".ts", ".rb", ".pl", ".mk")
_ENDS = "();<>|&\n"


def read_by(script: str, files: Mapping[str, Any]) -> list[str]:
    """The files that a script names, with those that they name in turn; empty where it reads all."""
    named: set[str] = set()
    waiting: list[tuple[str, Iterable[tuple[bool, str]]]] = [("", _words(script))]
    while waiting:
        folder, words = waiting.pop()
        for first, word in words:
            for part in (word, word.partition("=")[2]):
                path = posixpath.normpath(posixpath.join(folder, part)) if part else ""
                if path in files:
                    if first or path.endswith(_SCRIPTS) or str(files[path]).startswith("#!"):
                        return []
                    if path not in named:
                        named.add(path)
                        waiting.append((posixpath.dirname(path), _inside(files[path])))
                elif not first and (path == "." or any(known.startswith(f"{path}/") for known in files)):
                    return []
    return sorted(named)


def _inside(content: object) -> Iterator[tuple[bool, str]]:
    """Words of a file: `-r more.txt`, a path in quotes."""
    for word in re.findall(r"[^\s\"\'=,:;()<>\[\]{}]+", content) if isinstance(content, str) else ():
        yield False, word


def _words(script: str) -> list[tuple[bool, str]]:
    """The words of a script, each with whether it is what is run; none where a quote is not closed, of which the
    shell tells whoever runs it."""
    lexer = shlex.shlex(script, posix=True, punctuation_chars=_ENDS)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    first, found = True, []
    try:
        for word in lexer:
            if word.strip(_ENDS):
                found.append((first, word))
                first = False
            else:
                # A file that is read or written follows, and nothing is run.
                first = word[-1] not in "<>"
    except ValueError:
        return []
    return found


_NEEDS = {"pip": "pip3", "pip3": "pip3", "venv": "venv", "npm": "npm", "make": "make", "git": "git", "gcc": "gcc"}


def needed_by(script: str) -> set[str]:
    """Programs that a script needs on its server, of those that its distribution has in a package."""
    return {_NEEDS[word] for _, word in _words(script) if word in _NEEDS}
