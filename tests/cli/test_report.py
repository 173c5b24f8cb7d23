"""The page of a migration's record."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from rehost.cli.render.report import record_html

STRANGE = "<script>alert('&')</script>"
BEGAN = "2026-11-20T10:00:00.000Z"


class Page(HTMLParser):
    """Tags, attributes that fetch, and the text of a page; fails for tags that close nothing."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br", "th"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def record(**more: Any) -> dict[str, Any]:
    phases = [
        {
            "phase": "preflight",
            "began": BEGAN,
            "outcome": "done",
            "seconds": 2.0,
            "buckets": {"b": {"objects": 3}},
        },
        {"phase": "verify", "began": "2026-11-20T10:00:02.000Z", "outcome": "unproven", "seconds": 1.0},
    ]
    told = {"copied": 3, "skipped": 0, "removed": 0, "read_back": 3, "lost": {STRANGE: 1}}
    digests = {"source_digest": "aa11", "destination_digest": "bb22"}
    return {
        "stack": STRANGE, "from": "aws", "to": "hetzner", "move": "m1", "run": 1, "outcome": "unproven",
        "began": BEGAN, "ended": "2026-11-20T10:00:03.000Z", "seconds": 3.0, "objects": 3, "bytes": 4096,
        "phases": phases, "buckets": {STRANGE: {"objects": 3, "bytes": 4096, **told, **digests}},
        "addresses": [{"name": "a.example", "type": "A", "before": ["192.0.2.1"], "after": ["192.0.2.2"]}],
        "checks": [{"http": f"https://a.example/{STRANGE}", "at": "192.0.2.2", "ok": False, "said": STRANGE}],
        "differences": [STRANGE], "remaining": [{"what": STRANGE, "how": STRANGE}],
        "error": {"summary": STRANGE, "why": STRANGE, "fix": "", "exit_code": 5}, **more,
    }  # fmt: skip


def test_the_page_says_it_all_fetches_nothing_and_takes_no_orders_from_the_record() -> None:
    page = Page(record_html(record()))
    assert "script" not in page.tags
    assert page.fetched == []
    for told in ("not proven", "192.0.2.2", "aa11", "bb22", "not the same", "0 of 1", "2026-11-20 10:00:03 UTC"):
        assert told in page.text
    assert page.text.count(STRANGE) >= 8


@pytest.mark.parametrize("ended", [None, "2026-11-20T10:00:03.000Z"])
def test_a_run_that_has_hardly_begun_has_a_page_too(ended: str | None) -> None:
    empty = dict.fromkeys(("phases", "addresses", "checks", "differences", "remaining"), ())
    page = Page(record_html(record(**empty, buckets={}, error=None, outcome="running", seconds=0.0, ended=ended)))
    assert "interrupted" in page.text
