"""The pages that people look at."""

from __future__ import annotations

from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 15%, transparent); }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 38rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.3rem; }
article { border-top: 1px solid var(--line); padding: .8rem 0; }
header { display: flex; justify-content: space-between; font-size: .85rem; opacity: .75; }
p { margin: .3rem 0; overflow-wrap: anywhere; white-space: pre-line; }
img { max-width: 100%; border-radius: .4rem; margin-top: .4rem; }
nav { padding: 1rem 0; }
"""


def timeline(posts: list[dict[str, Any]]) -> str:
    """The newest posts, and a way to older ones."""
    shown = "\n".join(_post(post) for post in posts) or "<p>Nobody has posted yet.</p>"
    older = f'<nav><a href="/?before={posts[-1]["id"]}">Older posts</a></nav>' if len(posts) > 1 else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Plaza</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head>\n<body><h1>Plaza</h1>\n{shown}\n{older}</body></html>\n"
    )


def _post(post: dict[str, Any]) -> str:
    edited = " · edited" if post["edited"] else ""
    when = escape(post["created"][:16].replace("T", " "))
    picture = f'<img src="{escape(post["picture"]["url"])}" alt="" loading="lazy">' if "picture" in post else ""
    head = f"<header><b>{escape(post['account'])}</b><time>{when} UTC{edited}</time></header>"
    return f'<article id="p{post["id"]}">{head}<p>{escape(post["body"])}</p>{picture}</article>'
