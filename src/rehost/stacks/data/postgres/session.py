"""Connections to one server, all with the same settings, and errors in our own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rehost.stacks.errors import InvalidInput, OperatorNeeded, ProviderError, Reason, RehostError
from rehost.stacks.sql.lock import locked

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]
else:
    Connection = Any

SCHEMES = ("postgres", "postgresql")

# The text of values, and so of hashes, depends on these; row_security makes a hidden row an error.
PINNED = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "client_encoding": "UTF8",
    "search_path": "",
    "row_security": "off",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_read_only": "off",
}
_DEFAULTS = {
    "connect_timeout": "15",
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "application_name": "rehost",
}
_PASSING = ("08", "57P", "40", "55006", "53300")
"""SQLSTATEs of what passes: lost connections, a server that restarts, deadlocks, what is in use, no room."""


def driver() -> Any:
    """psycopg. Raises OperatorNeeded where it is not installed."""
    try:
        import psycopg
    except ImportError as error:
        raise OperatorNeeded(
            "moving a database needs psycopg", fix="pip install 'rehost[postgres]'", why=str(error)
        ) from error
    return psycopg


@dataclass
class Lock:
    """Whether the password that locks a role's other users out is the one that is in force."""

    on: bool = False


@dataclass(frozen=True)
class Server:
    """One database of one server. `side` is `source` or `destination`; the password stays in `url`. `called` names
    it where the URL holds a way there that is another one every time.

    With `shared`, others use the same role: a fence keeps them out by a password that follows from the role's own,
    so that whoever knows that one gets in, and nobody has to keep the other.
    """

    url: str
    side: str
    called: str = ""
    shared: bool = False
    lock: Lock = field(default_factory=Lock, compare=False)

    def __post_init__(self) -> None:
        """Raises InvalidInput for a URL that names no database."""
        parts = urlsplit(self.url)
        if parts.scheme not in SCHEMES:
            raise InvalidInput(f"the {self.side} is no postgres:// URL", fix="postgres://user@host:port/database")
        if not parts.path.strip("/"):
            raise InvalidInput(f"the {self.side} names no database", fix="postgres://user@host:port/database")

    @property
    def name(self) -> str:
        """Where it is, without a password."""
        if self.called:
            return self.called
        parts = urlsplit(self.url)
        return f"{parts.hostname or 'localhost'}:{parts.port or 5432}{parts.path}"

    def options(self) -> dict[str, str]:
        """What libpq is told, with what the URL leaves open. Raises InvalidInput."""
        try:
            told = {**_DEFAULTS, **driver().conninfo.conninfo_to_dict(self.url)}
            return {**told, "password": locked(told["password"])} if self.lock.on else told
        except driver().Error as error:
            raise InvalidInput(f"the URL of the {self.side} can't be read", why=str(error).strip()) from None

    def conninfo(self, **extra: str) -> str:
        """The same as one text."""
        return str(driver().conninfo.make_conninfo(**{**self.options(), **extra}))

    def connect(self, *, replica: bool = False, autocommit: bool = True) -> Connection:
        """A connection with the pinned settings; with `replica`, triggers and foreign keys don't fire."""
        with self.speaking("connect"):
            link: Connection = self._connect()
            link.execute(pinning(replica))
            link.prepare_threshold = None
            link.autocommit = autocommit
        return link

    def _connect(self) -> Connection:
        """A connection with the password that is in force."""
        pg = driver()
        try:
            link: Connection = pg.connect(self.conninfo(), autocommit=True)
        except pg.OperationalError as error:
            if not self.shared or "authentication failed" not in str(error):
                raise
            # Another process may have put the fence up, or taken it down.
            self.lock.on = not self.lock.on
            try:
                link = pg.connect(self.conninfo(), autocommit=True)
            except pg.OperationalError:
                self.lock.on = not self.lock.on
                raise error from None
        return link

    @contextmanager
    def speaking(self, doing: str) -> Iterator[None]:
        """Translate the driver's errors."""
        try:
            yield
        except driver().Error as error:
            raise self.problem(error, doing) from error

    def problem(self, error: Exception, doing: str) -> RehostError:
        """The driver's error as one of ours."""
        pg = driver()
        code = getattr(error, "sqlstate", None) or ""
        text = str(error).strip().splitlines()
        said = text[0] if text else type(error).__name__
        if not code and isinstance(error, pg.OperationalError):
            denied = "authentication failed" in str(error) or "not permitted to log in" in str(error)
            reason = Reason.DENIED if denied or "no pg_hba.conf entry" in str(error) else Reason.UNAVAILABLE
            if "does not exist" in str(error):
                reason, code = Reason.NOT_FOUND, "3D000"
        elif code.startswith(_PASSING):
            reason = Reason.UNAVAILABLE
        elif code in ("42501", "28P01", "28000"):
            reason = Reason.DENIED
        elif code == "3D000":
            reason = Reason.NOT_FOUND
        else:
            reason = Reason.FAILED
        hint = {Reason.DENIED: "check user, password and rights", Reason.UNAVAILABLE: "is the server reachable?"}
        hint[Reason.NOT_FOUND] = (
            "create it first: CREATE DATABASE .. TEMPLATE template0" if code == "3D000" else ""
        )
        return ProviderError(
            f"the {self.side} {self.name}: {said}", reason=reason, operation=doing, code=code,
            why="; ".join(text[1:3]), fix=hint.get(reason, ""),
        )  # fmt: skip


def pinning(replica: bool = False) -> str:
    """The statements that pin a session."""
    settings = {**PINNED, **({"session_replication_role": "replica"} if replica else {})}
    return "; ".join(f"SET {name} = '{value}'" for name, value in settings.items())


def quoted(*names: str) -> str:
    """An SQL name."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"
