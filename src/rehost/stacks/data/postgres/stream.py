"""The source's changes as it sends them: its replication protocol with the output of `pgoutput`, version 1.

https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from rehost.stacks.data.postgres.lsn import lsn_text
from rehost.stacks.data.postgres.session import Server, driver, pinning, quoted

STATUS_S = 5.0
"""Seconds between two reports of how far we are."""
_PG_EPOCH = 946684800


class _Unchanged:
    """A large value that an update left alone: the log does not have it."""

    def __repr__(self) -> str:
        return "UNCHANGED"

    def __reduce__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = _Unchanged()
Value = str | None | _Unchanged
Row = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction; its changes follow, then Commit. `lsn` is where its commit is in the log."""

    xid: int
    lsn: int


@dataclass(frozen=True, slots=True)
class Commit:
    """`end` is the position behind it; `at` seconds since 1970."""

    end: int
    at: float


@dataclass(frozen=True, slots=True)
class Relation:
    """How a table looks from here on."""

    oid: int
    schema: str
    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """`kind` is I, U, D. `old` is there if the key changed, or where rows are told apart by all of their
    values."""

    kind: str
    oid: int
    old: Row | None
    new: Row | None


@dataclass(frozen=True, slots=True)
class Truncate:
    """Tables that were emptied."""

    oids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Alive:
    """Everything before `end` was sent."""

    end: int


Message = Begin | Commit | Relation | Change | Truncate | Alive


class Stream:
    """One walsender. `confirm` says what never has to be sent again. Raises RehostError."""

    def __init__(self, server: Server, slot: str, publication: str, start: int) -> None:
        self._server = server
        self._confirmed = start
        self._told = 0.0
        pq = driver().pq
        with server.speaking("replicate"):
            # libpq's own connect would keep the whole process waiting, the tunnels in it included.
            self._connection = driver().connect(server.conninfo(replication="database"), autocommit=True)
        self._link = self._connection.pgconn
        self._said(self._link.exec_(pinning().encode()), pq.ExecStatus.COMMAND_OK)
        told = f"START_REPLICATION SLOT {quoted(slot)} LOGICAL {lsn_text(start)} "
        told += f"(proto_version '1', publication_names '{quoted(publication)}')"
        self._said(self._link.exec_(told.encode()), pq.ExecStatus.COPY_BOTH)

    def _said(self, result: Any, wanted: Any) -> None:
        if result.status != wanted and result.status != driver().pq.ExecStatus.TUPLES_OK:
            code = result.error_field(driver().pq.DiagnosticField.SQLSTATE) or b""
            text = result.error_message.decode("utf-8", "replace")
            self.close()
            kind = driver().errors.lookup(code.decode()) if code else driver().OperationalError
            raise self._server.problem(kind(text), "replicate")

    def close(self) -> None:
        """End it; the slot stays."""
        self._connection.close()

    def confirm(self, position: int) -> None:
        """All before `position` is durable at the destination."""
        self._confirmed = max(self._confirmed, position)

    def report(self, *, ask: bool = False) -> None:
        """Tell the source how far we are; with `ask` it answers with Alive."""
        at = int((time.time() - _PG_EPOCH) * 1e6)
        told = struct.pack("!cQQQqB", b"r", self._confirmed, self._confirmed, self._confirmed, at, ask)
        with self._server.speaking("replicate"):
            self._link.put_copy_data(told)
            self._link.flush()
        self._told = time.monotonic()

    def keep(self) -> None:
        """Keep the connection alive without reading."""
        if time.monotonic() - self._told > STATUS_S:
            self.report()

    def read(self, timeout: float) -> Iterator[Message]:
        """What has come, waiting for at most `timeout` seconds."""
        self.keep()
        got = self._next()
        if got is None:
            select.select([self._link.socket], [], [], timeout)
            got = self._next()
        while got is not None:
            yield from self._understood(got)
            got = self._next()

    def _next(self) -> bytes | None:
        with self._server.speaking("replicate"):
            size, data = self._link.get_copy_data(1)
            if size == 0:
                self._link.consume_input()
                size, data = self._link.get_copy_data(1)
            if size > 0:
                return bytes(data)
            if size < 0:
                result = self._link.get_result()
                text = result.error_message if result is not None else self._link.error_message
                raise driver().OperationalError((text or b"the stream ended").decode("utf-8", "replace"))
        return None

    def _understood(self, data: bytes) -> Iterator[Message]:
        if data[:1] == b"k":
            end, _, wanted = struct.unpack_from("!QqB", data, 1)
            if wanted:
                self.report()
            yield Alive(end)
        elif data[:1] == b"w":
            message = decoded(data, 25)
            if message is not None:
                yield message


def decoded(data: bytes, start: int) -> Message | None:
    """One message of pgoutput; None for what needs no answer (origins, types)."""
    kind = data[start : start + 1]
    place = start + 1
    match kind:
        case b"B":
            lsn, _, xid = struct.unpack_from("!QqI", data, place)
            return Begin(xid, lsn)
        case b"C":
            _, _, end, at = struct.unpack_from("!BQQq", data, place)
            return Commit(end, at / 1e6 + _PG_EPOCH)
        case b"I":
            (oid,) = struct.unpack_from("!I", data, place)
            row, _ = _row(data, place + 5)
            return Change("I", oid, None, row)
        case b"U":
            (oid,) = struct.unpack_from("!I", data, place)
            place += 4
            old = None
            if data[place : place + 1] in (b"K", b"O"):
                old, place = _row(data, place + 1)
            row, _ = _row(data, place + 1)
            return Change("U", oid, old, row)
        case b"D":
            (oid,) = struct.unpack_from("!I", data, place)
            old, _ = _row(data, place + 5)
            return Change("D", oid, old, None)
        case b"T":
            count, _ = struct.unpack_from("!IB", data, place)
            return Truncate(struct.unpack_from(f"!{count}I", data, place + 5))
        case b"R":
            return _relation(data, place)
    return None


def _row(data: bytes, place: int) -> tuple[Row, int]:
    (count,) = struct.unpack_from("!H", data, place)
    place += 2
    row: list[Value] = []
    for _ in range(count):
        kind = data[place]
        place += 1
        if kind == 0x74:  # t
            (size,) = struct.unpack_from("!I", data, place)
            place += 4
            row.append(data[place : place + size].decode())
            place += size
        else:
            row.append(None if kind == 0x6E else UNCHANGED)
    return tuple(row), place


def _relation(data: bytes, place: int) -> Relation:
    (oid,) = struct.unpack_from("!I", data, place)
    schema, place = _text(data, place + 4)
    name, place = _text(data, place)
    (count,) = struct.unpack_from("!H", data, place + 1)
    place += 3
    columns = []
    for _ in range(count):
        column, place = _text(data, place + 1)
        columns.append(column)
        place += 8
    return Relation(oid, schema or "pg_catalog", name, tuple(columns))


def _text(data: bytes, place: int) -> tuple[str, int]:
    end = data.index(0, place)
    return data[place:end].decode(), end + 1
