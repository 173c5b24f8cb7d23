"""People who use the platform while it is moved, and the verdict on what became of what they wrote.

    python traffic.py run --url https://plaza.example --log traffic.jsonl [--clients 8] [--seconds 60]
    python traffic.py verdict --url https://plaza.example --log traffic.jsonl

`run` creates, edits, deletes, uploads and reads through the public names, over pooled connections and with
addresses kept for as long as their TTL says, and writes down every answer. A request without one is sent again
with the same key. `verdict` reads back, by content, all that was acknowledged; it ends with 5 when something
acknowledged is missing or has changed, when something deleted is there again, or something is there twice.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import random
import re
import ssl
import struct
import sys
import threading
import time
import uuid
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from names import Names

PATIENCE_S = 60.0
"""So long a request is sent again before it counts as one whose outcome nobody knows."""
TIMEOUT_S = 5.0
AGAIN_S = 0.1
NOT_PROVEN = 5
TOKEN = re.compile(r"#([0-9a-f]{32})\b")
ACTIONS = {"create": 40, "edit": 20, "delete": 8, "upload": 12, "read": 20}


@dataclass
class Answer:
    """What came back; status 0 is no answer at all."""

    status: int
    body: bytes = b""

    @property
    def json(self) -> Any:
        """The body as JSON; an empty object for anything else."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}


class Client:
    """A browser's way to a site: connections that stay open, addresses that are kept."""

    def __init__(self, names: Names, tls: ssl.SSLContext) -> None:
        self._names, self._tls = names, tls
        self._open: dict[tuple[str, str, int], tuple[http.client.HTTPConnection, tuple[str, int]]] = {}

    def ask(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request, once; a connection that was closed meanwhile is no answer."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        try:
            connection = self._connection(parts.scheme, host, port)
            connection.request(method, path, body, {"Host": parts.netloc, **(headers or {})})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._drop(parts.scheme, host, port)
            return Answer(0)
        if answer.will_close:
            self._drop(parts.scheme, host, port)
        return Answer(answer.status, content)

    def _connection(self, scheme: str, host: str, port: int) -> http.client.HTTPConnection:
        key = (scheme, host, port)
        place = self._names.place(host, port)
        kept = self._open.get(key)
        if kept is not None and kept[1] == place:
            return kept[0]
        self._drop(*key)
        made: http.client.HTTPConnection = http.client.HTTPConnection(*place, timeout=TIMEOUT_S)
        if scheme == "https":
            made.connect()
            made.sock = self._tls.wrap_socket(made.sock, server_hostname=host)
        self._open[key] = made, place
        return made

    def _drop(self, *key: Any) -> None:
        kept = self._open.pop(key, None)
        if kept is not None:
            kept[0].close()


class Log:
    """What was answered, a line each, written as it happens."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def write(self, **entry: Any) -> None:
        """Note one answer."""
        with self._lock:
            self._file.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        """No more."""
        self._file.close()


@dataclass
class Person:
    """One account and the posts that it has; nobody else changes them."""

    name: str
    url: str
    client: Client
    log: Log
    chance: random.Random
    posts: dict[int, str] = field(default_factory=dict)
    picture: tuple[int, str] | None = None

    def act(self) -> None:
        """Do one thing."""
        action = self.chance.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        if action in ("edit", "delete") and not self.posts:
            action = "create"
        getattr(self, f"_{action}")()

    def _create(self) -> None:
        token, picture, self.picture = uuid.UUID(int=self.chance.getrandbits(128)).hex, self.picture, None
        body = self._words(token)
        given: dict[str, Any] = {"account": self.name, "body": body}
        if picture is not None:
            given["picture"] = picture[0]
        answer = self._insist("create", "POST", "/api/posts", given, token=token, body=body, picture=picture)
        if answer.status == 201:
            self.posts[int(answer.json["id"])] = token

    def _edit(self) -> None:
        id_ = self.chance.choice(list(self.posts))
        body = self._words(self.posts[id_])
        self._insist("edit", "PATCH", f"/api/posts/{id_}", {"body": body}, token=self.posts[id_], body=body)

    def _delete(self) -> None:
        id_ = self.chance.choice(list(self.posts))
        self._insist("delete", "DELETE", f"/api/posts/{id_}", {}, token=self.posts.pop(id_))

    def _upload(self) -> None:
        content = png(self.chance)
        sha256 = hashlib.sha256(content).hexdigest()
        headers = {"Content-Type": "image/png", "X-Account": self.name}
        answer = self._insist("upload", "POST", "/api/pictures", content, headers, sha256=sha256)
        if answer.status == 201:
            self.picture = int(answer.json["id"]), sha256

    def _read(self) -> None:
        began = time.time()
        answer = self.client.ask("GET", f"{self.url}{self.chance.choice(('/', '/api/posts'))}")
        self.log.write(at=time.time(), op="read", status=answer.status, seconds=round(time.time() - began, 4))

    def _insist(
        self, op: str, method: str, path: str, given: Any, headers: Mapping[str, str] | None = None, **noted: Any
    ) -> Answer:
        """Send until there is an answer that says what happened; the key makes it happen once."""
        body = given if isinstance(given, bytes) else json.dumps(given).encode()
        sent = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex, **(headers or {})}
        began, tries, unclear = time.time(), 0, False
        while True:
            tries += 1
            answer = self.client.ask(method, f"{self.url}{path}", body, sent)
            if answer.status and answer.status < 500:
                break
            unclear |= answer.status == 0 or answer.json.get("outcome") != "nothing was done"
            if time.time() - began > PATIENCE_S:
                break
            time.sleep(AGAIN_S)
        known = bool(answer.status) and answer.status < 500
        outcome = "acknowledged" if known and answer.status < 400 else "unknown" if unclear else "refused"
        self.log.write(
            at=time.time(),
            began=began,
            op=op,
            status=answer.status,
            outcome=outcome,
            tries=tries,
            **noted,
        )
        return answer

    def _words(self, token: str) -> str:
        count = self.chance.randint(1, 12)
        return f"{' '.join(self.chance.choice(WORDS) for _ in range(count))} #{token}"


WORDS = ("market", "opens", "at", "nine", "everybody", "brings", "a", "table", "some", "bread", "and", "stories")


def png(chance: random.Random) -> bytes:
    """A small picture that no other is equal to."""
    width, height = chance.randint(8, 64), chance.randint(8, 64)
    rows = b"".join(b"\0" + chance.randbytes(width * 3) for _ in range(height))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    )


def run(options: argparse.Namespace) -> int:
    """Be several people until the time is over or the file to wait for is there."""
    log, over = Log(options.log), threading.Event()

    def live(number: int) -> None:
        chance = random.Random(f"{options.seed}/{number}")
        client = Client(options.names, options.tls)
        person = Person(f"person-{options.seed}-{number}", options.url, client, log, chance)
        while not over.is_set():
            person.act()
            over.wait(chance.expovariate(options.rate))

    threads = [threading.Thread(target=live, args=(number,)) for number in range(options.clients)]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + options.seconds
    try:
        while time.monotonic() < ends and not (options.until and options.until.exists()):
            time.sleep(0.1)
    except KeyboardInterrupt:
        pass
    over.set()
    for thread in threads:
        thread.join()
    log.close()
    return 0


@dataclass
class Fate:
    """What is known of one post from the answers."""

    bodies: set[str] = field(default_factory=set)
    """What it may say now: what was acknowledged last, or was sent since without an answer."""
    may_be_missing: bool = False
    may_be_there: bool = True
    picture: str = ""


def fates(entries: list[dict[str, Any]]) -> dict[str, Fate]:
    """By token, from the log in its order: one person's writes follow one another."""
    known: dict[str, Fate] = {}
    for entry in entries:
        token, outcome = entry.get("token"), entry.get("outcome")
        if token is None or outcome == "refused":
            continue
        fate = known.setdefault(token, Fate())
        sure = outcome == "acknowledged"
        if entry["op"] == "delete":
            fate.may_be_missing, fate.may_be_there = True, not sure
            continue
        if entry["op"] == "create":
            fate.may_be_missing = not sure
            fate.picture = entry["picture"][1] if entry.get("picture") else ""
        fate.bodies = {entry["body"]} if sure else fate.bodies | {entry["body"]}
    return known


def pause(entries: list[dict[str, Any]], reads: bool) -> float:
    """The longest time in seconds in which nobody's write (or read) succeeded, from the first to the last."""
    good = sorted(
        entry["at"]
        for entry in entries
        if (entry["op"] == "read") == reads
        and (200 <= entry["status"] < 400 if reads else entry.get("outcome") == "acknowledged")
    )
    return round(max((later - sooner for sooner, later in pairwise(good)), default=0.0), 2)


def verdict(options: argparse.Namespace) -> int:
    """Compare what is there with what was acknowledged."""
    entries = [json.loads(line) for line in options.log.read_text(encoding="utf-8").splitlines()]
    known, client = fates(entries), Client(options.names, options.tls)
    there: dict[str, dict[str, Any]] = {}
    wrong: dict[str, list[str]] = {"missing": [], "changed": [], "risen": [], "twice": [], "picture": []}
    before = ""
    while posts := _page(client, options.url, before):
        for post in posts:
            match = TOKEN.search(post["body"])
            if match and match[1] in there:
                wrong["twice"].append(match[1])
            elif match:
                there[match[1]] = post
        before = str(posts[-1]["id"])
    for token, fate in known.items():
        post = there.get(token)
        if post is None:
            if not fate.may_be_missing:
                wrong["missing"].append(token)
            continue
        if not fate.may_be_there:
            wrong["risen"].append(token)
        elif post["body"] not in fate.bodies:
            wrong["changed"].append(token)
        if fate.picture and not _shows(client, post, fate.picture):
            wrong["picture"].append(token)
    outcomes = Counter(entry["outcome"] for entry in entries if "outcome" in entry)
    told = {
        "acknowledged": outcomes["acknowledged"],
        "unknown": outcomes["unknown"],
        "refused": outcomes["refused"],
        **{f"acknowledged_and_{name}" if name != "twice" else name: len(found) for name, found in wrong.items()},
        "write_pause_s": pause(entries, reads=False),
        "read_pause_s": pause(entries, reads=True),
        "examples": {name: found[:3] for name, found in wrong.items() if found},
    }
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    return NOT_PROVEN if any(wrong.values()) else 0


def _page(client: Client, url: str, before: str) -> list[dict[str, Any]]:
    ends = time.monotonic() + PATIENCE_S
    while True:
        answer = client.ask("GET", f"{url}/api/posts{'?before=' + before if before else ''}")
        if answer.status == 200:
            return list(answer.json["posts"])
        if time.monotonic() > ends:
            raise SystemExit(f"{url} does not answer ({answer.status or 'no connection'}): nothing can be said")
        time.sleep(AGAIN_S)


def _shows(client: Client, post: Mapping[str, Any], sha256: str) -> bool:
    if "picture" not in post:
        return False
    answer = client.ask("GET", post["picture"]["url"])
    return answer.status == 200 and hashlib.sha256(answer.body).hexdigest() == sha256


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "verdict"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=float, default=4.0, help="actions a second of each client")
    parser.add_argument("--seconds", type=float, default=60.0, help="the longest time to go on")
    parser.add_argument("--until", type=Path, help="a file that ends it when it appears")
    parser.add_argument("--seed", default="1", help="the same seed makes the same people")
    parser.add_argument(
        "--resolver", default="", help="host:port of the name server to ask, in place of the system's"
    )
    parser.add_argument("--place", action="append", default=[], help="name=host:port, in place of any look-up")
    parser.add_argument("--ports", default="", help="a JSON object of port maps, address:port to address:port")
    parser.add_argument("--ca", type=Path, help="certificates to trust in place of the system's")
    options = parser.parse_args()
    options.url = options.url.rstrip("/")
    options.tls = ssl.create_default_context(cafile=str(options.ca) if options.ca else None)
    options.names = Names(options.resolver, dict(item.split("=", 1) for item in options.place), options.ports)
    return run(options) if options.what == "run" else verdict(options)


if __name__ == "__main__":
    sys.exit(main())
