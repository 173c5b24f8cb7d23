"""A migration's record as one self-contained page: no script, nothing fetched, fit for mail and archive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import Any

from rehost.cli.render.migrate import phase_told, state_of, word_of
from rehost.cli.render.units import count, duration, size

_TONES = {
    **dict.fromkeys(("done", "until", "committed"), "good"),
    **dict.fromkeys(("waiting", "interrupted", "running", "rolled back"), "wait"),
}
_NARROWEST = 0.6
"""Percent of the timeline that even the shortest phase takes, so that it can be seen."""


def record_html(record: Mapping[str, Any], running: bool = False) -> str:
    """The page. All text of the record is escaped."""
    outcome = state_of(record, running)
    title = f"{record['stack']}: {record['from']} to {record['to']}"
    tone = _TONES.get(outcome, "bad")
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<span class="badge {tone}">{escape(word_of(outcome))}</span>',
        f'<p class="soft">{_when(record)}</p>',
        _facts(record),
        *_problem(record),
        *_todo(record["remaining"]),
        *_timeline(record),
        *_buckets(record["buckets"]),
        *_names(record["addresses"]),
        *_checks(record["checks"]),
        f"<footer>Move <code>{escape(record['move'])}</code>, run {int(record['run'])}. The same as data is",
        "in <code>migration.json</code>, the evidence of every object in the files",
        "<code>*.evidence.jsonl</code> beside this page.</footer>",
    ]
    style = files("rehost.cli.render").joinpath("report.css").read_text(encoding="utf-8")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<title>{escape(title)}</title>'
        f"<style>{style}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _when(record: Mapping[str, Any]) -> str:
    began, ended = _moment(record["began"]), _moment(record.get("ended"))
    return f"{began} to {ended}" if ended else f"since {began}"


def _moment(text: str | None) -> str:
    """A time in UTC, and as it was for whoever ran the move."""
    if not text:
        return ""
    utc = datetime.fromisoformat(text)
    local = utc.astimezone()
    told = f"{utc:%Y-%m-%d %H:%M:%S} UTC"
    return told if local.utcoffset() == utc.utcoffset() else f"{told} ({local:%H:%M:%S %Z})"


def _facts(record: Mapping[str, Any]) -> str:
    checks, left = record["checks"], len(record["remaining"])
    passed = sum(1 for row in checks if row["ok"])
    rows = [
        ("took", duration(record["seconds"])),
        ("objects", f"{record['objects']:,}"),
        ("bytes", size(record["bytes"])),
        ("checks passed", f"{passed} of {len(checks)}" if checks else "none asked"),
        ("left to you", count(left, "step") if left else "nothing"),
    ]
    tiles = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in rows)
    return f'<dl class="facts">{tiles}</dl>'


def _problem(record: Mapping[str, Any]) -> Iterator[str]:
    error = record.get("error")
    if error:
        told = "".join(f"<p>{escape(error[name])}</p>" for name in ("why", "fix") if error[name])
        yield "<h2>What stopped it</h2>"
        yield f'<div class="card"><p class="bad"><b>{escape(error["summary"])}</b></p>{told}</div>'
    if record["differences"]:
        yield f"<h2>{count(len(record['differences']), 'difference')}</h2>"
        yield _list(f"<code>{escape(text)}</code>" for text in record["differences"])


def _todo(rows: Iterable[Mapping[str, str]]) -> Iterator[str]:
    told = [f"<b>{escape(row['what'])}</b><br>{escape(row['how'])}" for row in rows]
    if told:
        yield "<h2>What remains to do</h2>"
        yield _list(told, "ol")


def _list(items: Iterable[str], tag: str = "ul") -> str:
    return f"<{tag}>{''.join(f'<li>{item}</li>' for item in items)}</{tag}>"


def _timeline(record: Mapping[str, Any]) -> Iterator[str]:
    """The phases, each where it was in the time of the whole run."""
    began = datetime.fromisoformat(record["began"]).timestamp()
    whole = max(float(record["seconds"]), 0.001)
    rows = []
    for entry in record["phases"]:
        seconds = float(entry.get("seconds") or 0.0)
        start = (datetime.fromisoformat(entry["began"]).timestamp() - began) / whole * 100
        width = max(_NARROWEST, min(100.0, seconds / whole * 100))
        tone = _TONES.get(entry["outcome"], "bad")
        bar = f'<i class="{tone}" style="left:{min(start, 100 - width):.2f}%;width:{width:.2f}%"></i>'
        rows.append(
            f"<tr><td><b>{escape(entry['phase'])}</b></td>"
            f'<td class="n">{duration(seconds)}</td><td class="{tone}">{escape(word_of(entry["outcome"]))}</td>'
            f'<td style="width:40%"><div class="track">{bar}</div></td>'
            f'<td class="soft">{escape(phase_told(entry))}</td></tr>'
        )
    if rows:
        yield "<h2>Timeline</h2>"
        yield f'<div class="wide"><table>{"".join(rows)}</table></div>'


def _buckets(buckets: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if not buckets:
        return
    yield "<h2>Buckets</h2>"
    for name, bucket in buckets.items():
        head = f"{count(bucket.get('objects', 0), 'object')}, {bucket.get('bytes', 0):,} bytes"
        lines = [f"<p><b>{escape(name)}</b> <span class=soft>{head}</span></p>"]
        if "copied" in bucket:
            done = [f"{bucket['copied']:,} copied", f"{bucket['skipped']:,} there already"]
            done += [f"{bucket['removed']:,} removed"] if bucket["removed"] else []
            lines.append(f"<p>{', '.join(done)}; {bucket['read_back']:,} read back</p>")
        if bucket.get("source_digest"):
            same = bucket["source_digest"] == bucket["destination_digest"]
            tone, word = ("good", "the same") if same else ("bad", "not the same")
            lines.append(f'<p>SHA-256 of all objects, as sent and as read back: <b class="{tone}">{word}</b></p>')
            shown = (bucket["source_digest"], bucket["destination_digest"])
            lines += [f"<p><code>{escape(digest)}</code></p>" for digest in dict.fromkeys(shown)]
        lines += [
            f'<p class="wait">{escape(what)} of {count(number, "object")}: not kept by the destination</p>'
            for what, number in (bucket.get("lost") or {}).items()
        ]
        yield f'<div class="card">{"".join(lines)}</div>'


def _names(addresses: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    rows = [
        f"<tr><td><code>{escape(row['name'])}</code></td><td>{escape(row['type'])}</td>"
        f"<td><code>{escape(', '.join(row['before']) or '-')}</code></td>"
        f"<td><code>{escape(', '.join(row['after']) or '-')}</code></td></tr>"
        for row in addresses
        if row["before"] != row["after"]
    ]
    if rows:
        head = "<tr><th>name<th>type<th>before<th>after</tr>"
        yield "<h2>Names</h2>"
        yield f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _checks(checks: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    rows = []
    for row in checks:
        tone, word = ("good", "ok") if row["ok"] else ("bad", "failed")
        asked = row.get("http") or row.get("sql") or ""
        rows.append(
            f'<tr><td class="{tone}">{word}</td><td><code>{escape(asked)}</code></td>'
            f"<td><code>{escape(str(row.get('at', '')))}</code></td><td>{escape(row['said'])}</td></tr>"
        )
    if rows:
        yield "<h2>Checks</h2>"
        yield f'<div class="wide"><table>{"".join(rows)}</table></div>'
