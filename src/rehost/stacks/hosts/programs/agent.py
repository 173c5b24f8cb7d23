"""The hands of a host: files, commands and looks at the machine.

Called in process for this machine. For another one the text is sent to a Python interpreter there, which then
reads requests, a line of JSON each: {"id": number, "do": function, "with": {...}}. It answers with lines {"id":
number, "answer": ...} or {"id": number, "error": text, "kind": name of the exception}. Bytes are {"b": Base64},
mappings {"d": {...}}. Nothing of it stays on the machine.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


def describe(paths: Sequence[str]) -> dict[str, tuple[str, int, str]]:
    """SHA-256, mode and owner (empty for ourselves) of the files that are there."""
    facts = {}
    for path in paths:
        with contextlib.suppress(*_ABSENT):
            content, found = Path(path).read_bytes(), Path(path).stat()
            owner = "" if found.st_uid == os.geteuid() else _user(found.st_uid)
            facts[path] = (hashlib.sha256(content).hexdigest(), found.st_mode & 0o7777, owner)
    return facts


def tree(folder: str) -> list[str]:
    """Paths of all files below a folder; what goes away meanwhile is not among them."""
    found = []
    for here, folders, files in os.walk(folder):
        paths = [os.path.join(here, name) for name in (*folders, *files)]
        found += [path for path in paths if os.path.islink(path) or not os.path.isdir(path)]
    return sorted(found)


def read(paths: Sequence[str]) -> dict[str, bytes]:
    """Content of the files that are there."""
    contents = {}
    for path in paths:
        with contextlib.suppress(*_ABSENT):
            contents[path] = Path(path).read_bytes()
    return contents


def write(files: Sequence[tuple[str, bytes, int, str]]) -> None:
    """Write files (path, content, mode, owner), each atomically and to the disk, with their folders."""
    for path, content, mode, owner in files:
        folder = Path(path).parent
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".rehost-", dir=folder)
        try:
            with os.fdopen(handle, "wb") as stream:
                if owner:
                    shutil.chown(temporary, owner)
                os.fchmod(stream.fileno(), mode)
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _unless_absent(function: object, path: object, problem: tuple[object, BaseException, object]) -> None:
    if not isinstance(problem[1], FileNotFoundError):
        raise problem[1]


def delete(paths: Sequence[str], keep: str) -> None:
    """Remove files and folders, and the folders that get empty above them, up to the folder `keep`."""
    for path in map(Path, paths):
        if path.is_dir() and not path.is_symlink():
            # Another removal may be at the same folder.
            shutil.rmtree(path, onerror=_unless_absent)
        else:
            with contextlib.suppress(*_ABSENT):
                path.unlink()
        for parent in path.parents:
            if not str(parent).startswith(keep + "/"):
                break
            with contextlib.suppress(OSError):
                parent.rmdir()


def folder(path: str, mode: int, owner: str) -> None:
    """Make a folder; one that is there is left as it is."""
    with contextlib.suppress(FileExistsError):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).mkdir()
        Path(path).chmod(mode)
        if owner:
            shutil.chown(path, owner, owner)


def run(
    command: Sequence[str],
    content: bytes,
    environment: dict[str, str],
    limit: float,
    user: str = "",
    folder: str = "/",
    bare: bool = False,
) -> dict[str, Any]:
    """Run a command in a group of its own, as another user if one is named; then, or where it is to be `bare`,
    with no other variables than the given ones. Raises TimeoutError when it took too long; the group is ended
    then."""
    who: dict[str, Any] = {}
    if user:
        known = pwd.getpwnam(user)
        who = {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}
    with subprocess.Popen(
        list(command),
        env={**({"PATH": os.environ.get("PATH", os.defpath)} if user or bare else os.environ), **environment},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **who,
    ) as process:
        try:
            out, err = process.communicate(content, limit)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise TimeoutError(f"{command[0]} took longer than {limit:g} s and was ended") from None
            raise
    return {"code": process.returncode, "out": out, "err": err}


def made(stage: str, own: Sequence[str], source: str) -> dict[str, Any] | None:
    """What was made in a folder beside the files that a source has of its own: `links` that belong into the
    source, each with what it leads to, and those of them that are not there. None without the folder."""
    if not os.path.isdir(stage):
        return None
    mine = set(own)
    above = {str(parent) for path in own for parent in Path(path).parents}
    links: dict[str, str] = {}
    waiting = [""]
    while waiting:
        here = waiting.pop()
        for entry in os.scandir(os.path.join(stage, here)):
            path = os.path.join(here, entry.name)
            if path in above and entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif path not in mine and path not in above:
                links[os.path.join(source, path)] = entry.path
    wrong = [path for path, target in links.items() if not os.path.islink(path) or os.readlink(path) != target]
    return {"links": links, "wrong": sorted(wrong)}


def link(links: dict[str, str]) -> None:
    """Make links, each in the place of what was there."""
    for path, target in links.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        fresh = f"{path}.rehost-{os.getpid()}-{threading.get_ident()}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        os.symlink(target, fresh)
        os.replace(fresh, path)


def prune(folder: str, keep: str) -> None:
    """Remove all but one entry of a folder, and the folder where that is not there."""
    with contextlib.suppress(*_ABSENT):
        for entry in list(os.scandir(folder)):
            if entry.name != keep:
                shutil.rmtree(entry.path, onerror=_unless_absent)
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def http_ok(address: str, port: int, path: str, limit: float) -> bool:
    """Whether GET answers with 2xx or 3xx."""
    connection = http.client.HTTPConnection(address, port, timeout=limit)
    try:
        connection.request("GET", path, headers={"User-Agent": "rehost", "Connection": "close"})
        return 200 <= connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def tcp_ok(address: str, port: int, limit: float) -> bool:
    """Whether somebody accepts connections."""
    try:
        socket.create_connection((address, port), limit).close()
    except OSError:
        return False
    return True


def connections(ports: Sequence[int]) -> int:
    """Established connections at these local ports, seen from the side that accepted them."""
    count = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
            count += sum(row[3] == "01" and int(row[1].rsplit(":", 1)[1], 16) in ports for row in rows)
    return count


def free(count: int) -> list[int]:
    """Ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def end(pid: int) -> None:
    """End a process that leads a group, with its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)


def which(names: Sequence[str]) -> dict[str, str]:
    """Paths of those of these programs that are installed."""
    found = {name: shutil.which(name) for name in names}
    return {name: path for name, path in found.items() if path}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


FUNCTIONS = {
    function.__name__: function
    for function in (
        describe, tree, read, write, delete, folder, run, made, link, prune, http_ok, tcp_ok, connections, free,
        end, which
    )
}  # fmt: skip


def pack(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, bytes):
        return {"b": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {"d": {key: pack(item) for key, item in value.items()}}
    if isinstance(value, (list, tuple)):
        return [pack(item) for item in value]
    return value


def unpack(value: Any) -> Any:
    """The value that was packed."""
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if isinstance(value, dict):
        if "b" in value:
            return base64.b64decode(value["b"])
        return {key: unpack(item) for key, item in value["d"].items()}
    return value


def answer(line: bytes) -> bytes:
    """The answer to one request, a line as the request is."""
    request = json.loads(line)
    told: dict[str, Any] = {"id": request["id"]}
    try:
        told["answer"] = pack(FUNCTIONS[request["do"]](**unpack(request["with"])))
    except (OSError, LookupError, ValueError) as error:
        told.update(error=str(error), kind=type(error).__name__)
    return json.dumps(told).encode() + b"\n"


def main() -> None:
    """Answer requests, each in a thread of its own, until there are no more."""
    mouth = threading.Lock()

    def work(line: bytes) -> None:
        told = answer(line)
        with mouth, contextlib.suppress(BrokenPipeError):
            sys.stdout.buffer.write(told)
            sys.stdout.buffer.flush()

    for line in sys.stdin.buffer:
        threading.Thread(target=work, args=(line,)).start()


if __name__ == "__main__":
    main()
