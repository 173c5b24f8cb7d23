"""The stack's checks, asked of one deployment whatever the public names say today."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from rehost.stacks.errors import ProviderError
from rehost.stacks.model import Check
from rehost.stacks.ports import Connection
from rehost.stacks.sql.port import Place, SqlAway

TIMEOUT = 10.0
"""Seconds for an answer over http."""
QUERY_TIMEOUT = 60.0
"""Seconds for the answer of a query."""
_MOST = 1_000_000
"""Bytes of an answer that are looked at."""
_SHOWN = 60

TRUST = "REHOST_CA_FILE"
"""The variable that names certificates of authorities that are trusted beside the system's."""
LOW_PORTS = "REHOST_LOW_PORTS"
"""The variable that says how much higher a port below LOW answers where the low one could not be had."""
LOW = 1024
NOTHING: Mapping[str, str] = MappingProxyType({})

Row = dict[str, Any]
"""What became of a check: `check` for people, `at`, `ok`, `said`, and `http`, or `sql` with `query`."""


def answers(
    checks: Sequence[Check],
    text: Callable[[str], str],
    place: Callable[[str], Place],
    connection: Callable[[], Connection],
    addresses: Mapping[str, str],
    environment: Mapping[str, str],
) -> Iterator[Row]:
    """The checks, each with its answer. `text` says what references in an address stand for, `place` where a
    database is, `addresses` where a host name leads to on this side; see TRUST and LOW_PORTS for `environment`."""
    for check in checks:
        if check.sql is None:
            yield ask(text(check.http or ""), check.status, check.contains, addresses, environment)
        else:
            yield ask_sql(connection(), place(check.sql), check.sql, check.query, check.expect)


def ask(
    url: str, status: int, contains: str, addresses: Mapping[str, str], environment: Mapping[str, str] = NOTHING
) -> Row:
    """Ask over HTTP, at the address that `addresses` has for the host. Certificates are verified for the name."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    told: Row = {"check": url, "http": url, "at": addresses.get(host, host)}
    try:
        port = parts.port or (443 if secure else 80)
        trust = ssl.create_default_context()
        if environment.get(TRUST):
            trust.load_verify_locations(environment[TRUST])
        with _connected(told["at"], port, environment) as plain:
            link = trust.wrap_socket(plain, server_hostname=host) if secure else plain
            client = http.client.HTTPConnection(host, port)
            client.sock = link
            client.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
            answer = client.getresponse()
            text = answer.read(_MOST).decode("utf-8", "replace")
            client.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return {**told, "ok": False, "said": f"no answer: {error or type(error).__name__}"}
    if answer.status != status:
        return {**told, "ok": False, "said": f"status {answer.status} instead of {status}"}
    if contains not in text:
        return {**told, "ok": False, "said": f"status {status}, but not the text {contains!r}"}
    return {**told, "ok": True, "said": f"status {status}"}


def _connected(address: str, port: int, environment: Mapping[str, str]) -> socket.socket:
    try:
        return socket.create_connection((address, port), TIMEOUT)
    except ConnectionRefusedError:
        if not environment.get(LOW_PORTS) or port >= LOW:
            raise
        return socket.create_connection((address, port + int(environment[LOW_PORTS])), TIMEOUT)


def ask_sql(connection: Connection, place: Place, name: str, query: str, expect: Any) -> Row:
    """Ask a database, in a transaction that may not write."""
    where = f"{place.address}:{place.port}"
    told: Row = {"check": f"{name}: {query}", "sql": name, "query": query, "at": where}
    try:
        with connection.sql(place) as session:
            rows = session.ask(query, QUERY_TIMEOUT)
    except (SqlAway, ProviderError) as error:
        more = "; ".join(part for part in (error.why, error.fix) if part)
        return {**told, "ok": False, "said": f"no answer: {error.summary}" + (f" ({more})" if more else "")}
    ok, said = judged(rows, expect)
    return {**told, "ok": ok, "said": said}


def judged(rows: Sequence[tuple[Any, ...]], expect: Any) -> tuple[bool, str]:
    """Whether rows are what is expected: one value, the first column of all rows as a list, or whole rows as a
    list of lists. Without an expectation any answer does."""
    if expect is None:
        return True, f"{len(rows)} row(s)" if len(rows) != 1 else _shown(rows[0][0] if rows[0] else "")
    if isinstance(expect, list | tuple):
        whole = any(isinstance(item, list | tuple) for item in expect)
        wanted: list[Any] = [_plain(item) for item in expect]
        got: list[Any] = [_plain(row if whole else row[0]) for row in rows]
    else:
        wanted, got = [_plain(expect)], [_plain(row[0]) for row in rows]
    if got == wanted:
        return True, _shown(expect)
    shown = got[0] if len(got) == 1 and not isinstance(expect, list | tuple) else got
    return False, f"{_shown(shown)} instead of {_shown(expect)}"


def _plain(value: Any) -> Any:
    """A value so that what YAML and a database call the same is the same: numbers as such, all else as text."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        # True would be equal to 1.
        return repr(value), type(value)
    if isinstance(value, int | float | Decimal):
        return Decimal(str(value)).normalize()
    return str(value)


def _shown(value: Any) -> str:
    text = str([*map(str, value)]) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
