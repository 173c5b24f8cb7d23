"""A managed PostgreSQL as hostile as RDS: its master user is no superuser, files and base backups are out of
reach, TLS is forced, and logical replication takes a parameter and a reboot.

Sources: Amazon RDS user guide, "Understanding the rds_superuser role", "Using SSL with a PostgreSQL DB instance"
(rds.force_ssl is 1 by default from version 15 on), "Performing logical replication for Amazon RDS for PostgreSQL".
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from rehost.providers.sandbox.machines import entrypoint
from rehost.providers.sandbox.machines.world import Managed
from rehost.providers.sandbox.postgres import VERSIONS, PostgresServer

ADMIN = "rdsadmin"
_FORCED_FROM = 15
_ON = ("1", "on", "true", "yes")
_OURS = ("rds.", "shared_buffers", "shared_preload_libraries", "listen_addresses", "port", "unix_socket", "ssl")
"""Parameters that are Amazon's own, or would not fit this machine."""


class ManagedServer:
    """One instance in a folder, with what was last asked of it."""

    def __init__(self, folder: Path, wanted: Managed, address: str, clients: str) -> None:
        self._folder, self._clients = folder, clients
        self.wanted: Managed | None = None
        self.address, self.port = address, wanted.port
        hidden = entrypoint.hidden(wanted.port)
        self.server = PostgresServer(folder, wanted.version, address=address, port=hidden)

    @staticmethod
    def runs(wanted: Managed) -> bool:
        """Whether there is a program for it."""
        return wanted.version in VERSIONS

    def become(self, wanted: Managed) -> None:
        """Make it so. Raises RehostError with what PostgreSQL said, and what psycopg raises."""
        before = self.wanted
        if not wanted.on:
            self.server.stop()
            self.wanted = wanted
            return
        if before is not None and before == wanted and self.server.running:
            return
        self._configure(wanted)
        if not self.server.running:
            self.server.start()
        elif before is not None and before.boots != wanted.boots:
            self.server.restart()
        else:
            # What needs a restart waits for the reboot that somebody asks for.
            self.server.reload()
        if before is None or (before.user, before.password) != (wanted.user, wanted.password):
            self._roles(wanted)
        self.wanted = wanted

    def _admin(self) -> str:
        file = self._folder / "admin"
        if not file.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            file.touch(0o600)
            file.write_text(secrets.token_urlsafe(24))
        return file.read_text()

    def _configure(self, wanted: Managed) -> None:
        self.server.create(self._admin(), superuser=ADMIN, hba=self._hba())
        self.server.configure(settings(wanted), self._hba())

    def _hba(self) -> str:
        return (
            # The sandbox itself.
            f"host all {ADMIN} 127.0.0.1/32 scram-sha-256\n"
            f"host all {ADMIN} all reject\n"
            "host replication all all reject\n"
            f"host all all {self._clients} scram-sha-256\n"
            "host all all 127.0.0.1/32 scram-sha-256\n"
        )

    def _roles(self, wanted: Managed) -> None:
        """The roles of RDS, and the master user, who may much and not all."""
        import psycopg
        from psycopg import sql

        url = self.server.url(ADMIN, self._admin())
        with psycopg.connect(url, autocommit=True) as link:
            there = {row[0] for row in link.execute("select rolname from pg_roles")}
            grants = ["pg_monitor", "pg_signal_backend", "pg_checkpoint", "pg_read_all_settings"]
            if "rds_superuser" not in there:
                for name in ("rds_superuser", "rds_replication", "rds_password", "rds_iam"):
                    link.execute(sql.SQL("create role {}").format(sql.Identifier(name)))
                for name in (*grants, "rds_replication", "rds_password"):
                    command = "grant {} to rds_superuser with admin option"
                    link.execute(sql.SQL(command).format(sql.Identifier(name)))
                # As AWS DMS needs it of its user at a target: "Using a PostgreSQL database as a target".
                link.execute("grant set on parameter session_replication_role to rds_superuser")
            user, password = sql.Identifier(wanted.user), sql.Literal(wanted.password)
            verb = "alter" if wanted.user in there else "create"
            # Amazon's server lets members of rds_replication make slots; here that takes the attribute.
            may = "login createdb createrole inherit replication nosuperuser"
            link.execute(sql.SQL(f"{verb} role {{}} {may} password {{}}").format(user, password))
            link.execute(sql.SQL("grant rds_superuser to {} with admin option").format(user))
            names = {row[0] for row in link.execute("select datname from pg_database")}
            if wanted.database and wanted.database not in names:
                database = sql.Identifier(wanted.database)
                link.execute(sql.SQL("create database {} owner {}").format(database, user))

    def drop(self) -> None:
        """End it and remove all."""
        self.server.drop()


def force_ssl(wanted: Managed) -> bool:
    """Whether clients have to speak TLS."""
    default = "1" if wanted.version >= _FORCED_FROM else "0"
    return wanted.parameters.get("rds.force_ssl", default).lower() in _ON


def settings(wanted: Managed) -> Mapping[str, str | int | bool]:
    """PostgreSQL's settings for the parameters of an instance."""
    given = wanted.parameters
    made: dict[str, str | int | bool] = {
        name: value for name, value in given.items() if not name.startswith(_OURS) and "{" not in value
    }
    logical = given.get("rds.logical_replication", "0").lower() in _ON
    return {
        **made,
        "wal_level": "logical" if logical else "replica",
        "rds.logical_replication": "on" if logical else "off",
        "rds.force_ssl": "1" if force_ssl(wanted) else "0",
    }
