"""The scheduled job: what was posted today, kept for the newsletter."""

from __future__ import annotations

from plaza.config import Config
from plaza.store import connect, prepare


def make(config: Config) -> None:
    """Write today's digest, anew when it is there already."""
    prepare(config)
    with connect(config) as connection:
        connection.execute(
            """insert into digests (day, posts)
               select current_date, coalesce(jsonb_agg(jsonb_build_object('id', id, 'body', body)), '[]')
               from (select id, body from posts where created >= current_date order by id desc limit 10) as newest
               on conflict (day) do update set posts = excluded.posts, made = now()"""
        )
