"""The main job on stand-ins: the example goes up on AWS, its bucket gets a web site, all of it goes to Hetzner.

Run by `make demo`. Everything stays on loopback and in the folder named on the command line. Killed at any
moment, the same command goes on.
"""

from __future__ import annotations

import json
import mimetypes
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3

HERE = Path(__file__).parent
POSTS = 240


def site() -> dict[str, bytes]:
    """A small blog: pages, a style sheet, pictures, a feed and a site map."""
    links = "".join(f'<li><a href="/posts/{n}.html">Post {n}</a></li>' for n in range(1, POSTS + 1))
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><link rel="stylesheet" href="/style.css">'
    pages = {
        "index.html": f"{head}<title>Plaza</title><h1>Plaza</h1><ul>{links}</ul></html>",
        "404.html": f"{head}<title>Not found</title><h1>Nothing here</h1></html>",
        "style.css": "body { font: 1rem/1.5 serif; max-width: 40rem; margin: 2rem auto; }\n",
        "robots.txt": "User-agent: *\nAllow: /\n",
    }
    for n in range(1, POSTS + 1):
        around = (
            f'<a href="/posts/{max(1, n - 1)}.html">Before</a> <a href="/posts/{min(POSTS, n + 1)}.html">After</a>'
        )
        words = " ".join(f"Sentence {m} of post {n}." for m in range(1, 20 + n % 40))
        picture = f'<img src="/pictures/{n % 40}.svg" alt="">'
        pages[f"posts/{n}.html"] = (
            f"{head}<title>Post {n}</title><h1>Post {n}</h1>{picture}<p>{words}</p>{around}</html>"
        )
    for n in range(40):
        circle = f'<circle cx="50" cy="50" r="{10 + n}" fill="hsl({n * 9} 60% 50%)"/>'
        pages[f"pictures/{n}.svg"] = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{circle}</svg>'
        )
    items = "".join(f"<item><title>Post {n}</title></item>" for n in range(POSTS, POSTS - 20, -1))
    pages["feed.xml"] = f'<rss version="2.0"><channel><title>Plaza</title>{items}</channel></rss>'
    places = "".join(f"<url><loc>https://plaza.example/{name}</loc></url>" for name in sorted(pages))
    pages["sitemap.xml"] = f"<urlset>{places}</urlset>"
    return {name: text.encode() for name, text in pages.items()}


def rehost(folder: Path, *arguments: str) -> None:
    """One command, shown as it would be typed."""
    sys.stdout.write(f"\n$ rehost {' '.join(arguments)}\n")
    sys.stdout.flush()
    run = subprocess.run(
        [sys.executable, "-m", "rehost", *arguments], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    if run.returncode != 0:
        sys.stderr.write(run.stderr)
        raise SystemExit(run.returncode)


def fill(folder: Path) -> int:
    """Put the site into the bucket, as the platform's own tools would; what is there already stays."""
    environment = json.loads((folder / ".rehost-sandbox" / "sandbox.json").read_text())["environment"]
    state = json.loads((folder / ".rehost" / "sandbox" / "plaza" / "aws.json").read_text())
    rows = state["deployment"]["resources"]
    bucket = next(row["id"] for row in rows if row["type"] == "aws:s3/bucket:Bucket")
    make: Any = boto3.client
    client = make(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name="eu-central-1",
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    pages = site()
    present = {row["Key"] for row in client.list_objects_v2(Bucket=bucket).get("Contents", [])}
    for name, content in pages.items():
        if name not in present:
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            client.put_object(Bucket=bucket, Key=name, Body=content, ContentType=kind, CacheControl="max-age=300")
    sys.stdout.write(
        f"\nthe bucket on AWS holds a web site of {len(pages)} files, {sum(map(len, pages.values()))} bytes\n"
    )
    return len(pages)


def main() -> None:
    """The demo in the folder of the first argument."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(exist_ok=True)
    shutil.copy(HERE / "stack.yaml", folder)
    os.environ.pop("REHOST_SANDBOX_DIR", None)
    rehost(folder, "sandbox", "up")
    rehost(folder, "deploy", "--on", "aws", "--sandbox", "--yes")
    fill(folder)
    rehost(folder, "migrate", "--from", "aws", "--to", "hetzner", "--sandbox", "--dry-run")
    rehost(folder, "migrate", "--from", "aws", "--to", "hetzner", "--sandbox")
    rehost(folder, "plan", "--on", "hetzner", "--sandbox")
    rehost(folder, "sandbox", "down")
    shutil.rmtree(folder)


main()
