"""Roles behind the SQL port: one suite for the server in memory and for real PostgreSQL, where the database's
owner is no superuser; and what only the real one can show."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from sqlbench import Bench, PostgresBench

from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.sql.grants import Level
from rehost.stacks.sql.port import RoleSeen, RoleSpec, SqlAway

REPORT = RoleSpec("report", password="a long ' one", privileges=Level.READ, mark="m1")
WORKER = RoleSpec("worker", password="worker", privileges=Level.WRITE, mark="m2")
MIGRATOR = RoleSpec("migrator", password="migrator", privileges=Level.OWNER, mark="m3")


def put(bench: Bench, spec: RoleSpec) -> RoleSeen:
    with bench.open(bench.place) as session:
        session.put(spec)
        seen = session.see(spec)
        assert seen is not None
        return seen


def see(bench: Bench, spec: RoleSpec) -> RoleSeen:
    with bench.open(bench.place) as session:
        seen = session.see(spec)
        assert seen is not None
        return seen


def test_a_role_that_is_put_twice_is_as_it_should_be(bench: Bench) -> None:
    bench.table("public.posts")
    spec = replace(REPORT, connection_limit=3, settings={"statement_timeout": "30s"})
    with bench.open(bench.place) as session:
        assert session.see(spec) is None
    for _ in range(2):
        seen = put(bench, spec)
        assert (seen.mark, seen.login, seen.connection_limit) == ("m1", True, 3)
        assert (seen.settings, seen.missing, seen.surplus) == ({"statement_timeout": "30s"}, (), ())
        assert seen.fits is True
    assert bench.lets_in(spec)
    assert bench.may(spec, "select", "public.posts")
    assert not bench.may(spec, "insert", "public.posts")


def test_rights_hold_for_tables_that_are_made_later(bench: Bench) -> None:
    put(bench, REPORT)
    put(bench, WORKER)
    bench.table("public.later")
    assert see(bench, REPORT).missing == ()
    assert bench.may(REPORT, "select", "public.later")
    assert not bench.may(REPORT, "delete", "public.later")
    assert all(bench.may(WORKER, verb, "public.later") for verb in ("select", "insert", "delete"))
    assert not bench.may(WORKER, "alter", "public.later")


def test_an_owner_has_the_tables_and_others_keep_their_rights(bench: Bench) -> None:
    bench.table("public.posts")
    put(bench, MIGRATOR)
    reader = replace(REPORT, creators=("migrator",))
    put(bench, reader)
    bench.table("public.made", owner="migrator")
    assert bench.owner_of("public.posts") == "migrator"
    assert bench.may(MIGRATOR, "alter", "public.posts")
    for table in ("public.posts", "public.made"):
        assert bench.may(reader, "select", table)
        assert not bench.may(reader, "insert", table)
    assert (see(bench, reader).missing, see(bench, reader).surplus) == ((), ())


def test_what_was_changed_behind_our_back_is_seen_and_put_right(bench: Bench) -> None:
    bench.table("public.posts")
    put(bench, REPORT)
    bench.seize("report")
    assert see(bench, REPORT).surplus == ("DELETE on public.posts",)
    assert bench.may(REPORT, "delete", "public.posts")
    assert put(bench, REPORT).surplus == ()
    assert not bench.may(REPORT, "delete", "public.posts")


def test_fewer_privileges_are_taken_away_and_none_leaves_nothing(bench: Bench) -> None:
    bench.table("public.posts")
    put(bench, WORKER)
    less = replace(WORKER, privileges=Level.READ)
    assert "INSERT on public.posts" in see(bench, less).surplus
    put(bench, less)
    assert bench.may(WORKER, "select", "public.posts")
    assert not bench.may(WORKER, "insert", "public.posts")
    seen = put(bench, replace(WORKER, privileges=None))
    assert (seen.missing, seen.surplus) == ((), ())
    assert not bench.may(WORKER, "select", "public.posts")


def test_a_new_password_shuts_the_old_one_out(bench: Bench) -> None:
    put(bench, REPORT)
    rotated = replace(REPORT, password="another")
    assert see(bench, rotated).fits is False
    assert put(bench, rotated).fits is True
    assert bench.lets_in(rotated)
    assert not bench.lets_in(REPORT)


def test_a_role_without_login_lets_nobody_in(bench: Bench) -> None:
    put(bench, REPORT)
    assert put(bench, replace(REPORT, login=False)).login is False
    assert not bench.lets_in(REPORT)


def test_a_role_that_owns_tables_can_be_dropped_and_they_stay(bench: Bench) -> None:
    bench.table("public.posts")
    put(bench, MIGRATOR)
    bench.table("public.made", owner="migrator")
    for _ in range(2):
        with bench.open(bench.place) as session:
            session.drop("migrator")
            assert session.see(MIGRATOR) is None
    assert bench.owner_of("public.posts") == bench.owner_of("public.made") == "shop"


def test_schemas_of_ones_own_are_made_and_others_are_closed(bench: Bench) -> None:
    bench.table("public.posts")
    put(bench, replace(WORKER, schemas=("stats", "Odd name")))
    bench.table("stats.visits")
    assert bench.may(WORKER, "insert", "stats.visits")
    assert not bench.may(WORKER, "select", "public.posts")


def test_a_question_is_answered_and_changes_nothing(bench: Bench) -> None:
    with bench.open(bench.place) as session:
        assert list(session.ask("select 1 + 1", 5.0)) == [(2,)]
        with pytest.raises(ProviderError):
            session.ask("create table public.mischief (id int)", 5.0)
        with pytest.raises(ProviderError):
            session.ask("select nothing from nowhere", 5.0)
        assert list(session.ask("select 3", 5.0)) == [(3,)]


# -- what only a real server shows ----------------------------------------------------------------------------


def test_no_password_reaches_the_servers_log(real: PostgresBench) -> None:
    put(real, REPORT)
    put(real, replace(REPORT, password="horse-battery-staple"))
    log = real.log()
    assert "alter role" in log.lower()
    assert "SCRAM-SHA-256$" in log
    assert "horse-battery-staple" not in log
    assert "a long" not in log


def test_attributes_that_nobody_asked_for_are_seen(real: PostgresBench) -> None:
    put(real, REPORT)
    real.run("alter role report createrole")
    real.run("grant pg_read_all_data to report")
    assert see(real, REPORT).surplus == ("attribute CREATEROLE", "membership in pg_read_all_data")


def test_a_dropped_roles_sessions_end(real: PostgresBench) -> None:
    put(real, WORKER)
    real.table("public.posts")
    with real.enter(WORKER) as busy:
        busy.execute("insert into public.posts default values")
        with real.open(real.place) as session:
            session.drop("worker")
        with pytest.raises(psycopg.OperationalError):
            busy.execute("select 1")


def test_what_a_role_owns_elsewhere_is_named_and_nothing_is_lost(real: PostgresBench) -> None:
    put(real, REPORT)
    real.run("create database other")
    try:
        real.run("grant create on database other to report")
        with real.open(real.place) as session, pytest.raises(ProviderError) as refused:
            session.drop("report")
        assert refused.value.code == "2BP01"
        assert "other" in refused.value.why and refused.value.fix
    finally:
        real.run("drop database other")


def test_who_may_not_make_roles_is_told_what_is_needed(real: PostgresBench) -> None:
    real.run("alter role shop nocreaterole")
    with real.open(real.place) as session, pytest.raises(ProviderError) as refused:
        session.put(REPORT)
    assert refused.value.reason is Reason.DENIED
    assert "CREATEROLE" in refused.value.fix


def test_a_server_that_is_away_is_told_from_one_that_lets_nobody_in(real: PostgresBench) -> None:
    with pytest.raises(ProviderError) as refused, real.open(replace(real.place, password="wrong")):
        pass
    assert refused.value.reason is Reason.DENIED
    with pytest.raises(SqlAway), real.open(replace(real.place, port=1)):
        pass


def test_names_that_need_quotes_and_sequences_of_columns(real: PostgresBench) -> None:
    real.run('create table public."Odd Table" (id int generated always as identity); create sequence public.own')
    real.run('alter table public."Odd Table" owner to shop; alter sequence public.own owner to shop')
    seen = put(real, MIGRATOR)
    assert (seen.missing, seen.surplus) == ((), ())
    assert real.owner_of('public."Odd Table"') == "migrator"
    assert real.owner_of("public.own") == "migrator"


def test_two_at_once_do_not_trip_over_each_other(real: PostgresBench) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for number in range(12):
        real.table(f"public.t{number}")
    specs = [replace(WORKER, name=f"w{number}", mark=str(number)) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        for seen in pool.map(lambda spec: put(real, spec), specs):
            assert (seen.missing, seen.surplus) == ((), ())
