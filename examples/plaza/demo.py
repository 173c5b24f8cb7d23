"""The main job on stand-ins: the platform goes up on AWS, people post, a bucket gets its help pages, and all of it
goes to Hetzner as far as a move of buckets goes.

Run by `make demo`. Everything stays on loopback and in the folder named on the command line. Killed at any moment,
the same command goes on; Ctrl-C and failures take the stand-ins down.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import mimetypes
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3

HERE = Path(__file__).parent
POSTS = 240
FIRST_POSTS = 12
LOW_PORT, ELSEWHERE = 443, 8443
"""Where the load balancer answers, and where it does so when a low port can't be had."""
LOCKED = 4
"""Exit code of a command that finds another one at work."""
WAIT_S = 60
SIDES = {
    "aws": ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "hetzner": ("HETZNER_S3_ENDPOINT", "HETZNER_S3_ACCESS_KEY", "HETZNER_S3_SECRET_KEY"),
}


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


def say(text: str) -> None:
    """A line of our own between the commands."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def rehost(folder: Path, *arguments: str) -> None:
    """One command, shown as it would be typed. Its progress is shown in a terminal only."""
    say(f"\n$ rehost {' '.join(arguments)}")
    progress = None if sys.stderr.isatty() else subprocess.PIPE
    for _ in range(WAIT_S):
        run = subprocess.run(
            [sys.executable, "-m", "rehost", *arguments], cwd=folder, stderr=progress, text=True, check=False
        )
        if run.returncode != LOCKED:
            break
        # What a killed demo had started may still be at work.
        time.sleep(1)
    if run.returncode != 0:
        sys.stderr.write(run.stderr or "")
        raise SystemExit(run.returncode)


def running(folder: Path) -> bool:
    """Whether stand-ins of an earlier run are still there."""
    command = [sys.executable, "-m", "rehost", "sandbox", "status"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def bucket(folder: Path, target: str) -> tuple[Any, str]:
    """A client for a side's object storage, and the name of the bucket there."""
    environment = json.loads((folder / ".rehost-sandbox" / "sandbox.json").read_text())["environment"]
    state = json.loads((folder / ".rehost" / "sandbox" / "plaza" / f"{target}.json").read_text())
    rows = state["deployment"]["resources"]
    kinds = (":Bucket::site", ":S3Bucket::site")
    name = next(row["id"] for row in rows if row["urn"].endswith(kinds))
    names = SIDES[target]
    make: Any = boto3.client
    endpoint, key, secret = (environment[variable] for variable in names)
    place = {"endpoint_url": endpoint, "region_name": "eu-central-1"}
    return make("s3", aws_access_key_id=key, aws_secret_access_key=secret, **place), name


def post(folder: Path) -> None:
    """Write as people do, over HTTPS through the load balancer, and look at the timeline."""
    names = json.loads((folder / ".rehost-sandbox" / "machines" / "aws" / "names.json").read_text())
    address = next(at for name, at in names[""].items() if name.startswith("plaza-edge"))
    trust = ssl.create_default_context(cafile=str(folder / ".rehost-sandbox" / "ca.pem"))

    def ask(method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, Any]:
        try:
            plain = socket.create_connection((address, LOW_PORT), 10)
        except OSError:
            plain = socket.create_connection((address, ELSEWHERE), 10)
        client = http.client.HTTPSConnection("plaza.example")
        client.sock = trust.wrap_socket(plain, server_hostname="plaza.example")
        client.request(method, path, body, headers)
        answer = client.getresponse()
        return answer.status, json.load(answer)

    for number in range(1, FIRST_POSTS + 1):
        body = json.dumps({"account": "ann", "body": f"Good morning, number {number}"})
        status, said = ask("POST", "/api/posts", body, **{"Idempotency-Key": f"demo-{number}"})
        if status != 201:
            raise SystemExit(f"a post was answered with {status}: {said}")
    shown = len(ask("GET", "/api/posts")[1]["posts"])
    say(f"\nhttps://plaza.example at {address}: {shown} posts, through its load balancer, out of its database.")


def fill(folder: Path) -> None:
    """Put the site into the bucket, as the platform's own tools would; what is there already stays."""
    client, name = bucket(folder, "aws")
    pages = site()
    present = {row["Key"] for row in client.list_objects_v2(Bucket=name).get("Contents", [])}
    for key, content in pages.items():
        if key not in present:
            kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
            client.put_object(Bucket=name, Key=key, Body=content, ContentType=kind, CacheControl="max-age=300")
    say(f"\nThe bucket on AWS now holds a web site of {len(pages)} files, {sum(map(len, pages.values()))} bytes.")


def count(folder: Path, target: str) -> str:
    """Count and checksum of all files of a side, read with a plain S3 client."""
    client, name = bucket(folder, target)
    whole = hashlib.sha256()
    files = size = 0
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for row in page.get("Contents", []):
            answer = client.get_object(Bucket=name, Key=row["Key"])
            content = answer["Body"].read()
            whole.update(f"{row['Key']} {answer['ContentType']} {hashlib.sha256(content).hexdigest()}\n".encode())
            files, size = files + 1, size + len(content)
    say(f"  {target:<8} {files} files  {size} bytes  sha256 {whole.hexdigest()}")
    return whole.hexdigest()


def demo(folder: Path) -> None:
    """The whole job."""
    rehost(folder, "sandbox", "up")
    rehost(folder, "deploy", "--on", "aws", "--sandbox", "--yes")
    post(folder)
    fill(folder)
    rehost(folder, "diff", "--from", "aws", "--to", "hetzner")
    rehost(folder, "migrate", "--from", "aws", "--to", "hetzner", "--sandbox", "--dry-run")
    rehost(folder, "migrate", "--from", "aws", "--to", "hetzner", "--sandbox", "--until", "verify")
    say("\nBoth buckets, read with a plain S3 client:")
    if count(folder, "aws") != count(folder, "hetzner"):
        raise SystemExit("the two sides differ")
    rehost(folder, "plan", "--on", "hetzner", "--sandbox")


def main() -> None:
    """The demo in the folder of the first argument, and the cleaning up after it."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(exist_ok=True)
    shutil.copy(HERE / "stack.yaml", folder)
    shutil.copytree(HERE / "app", folder / "app", dirs_exist_ok=True)
    os.environ.pop("REHOST_SANDBOX_DIR", None)
    os.environ["PULUMI_CONFIG_PASSPHRASE"] = "of the demo"
    # The platform's programs run with the libraries of this environment.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    if (folder / ".rehost").exists():
        if running(folder):
            say("An earlier demo was not finished: going on with it.")
        else:
            # What the states speak of went away with its stand-ins.
            shutil.rmtree(folder / ".rehost")
    try:
        demo(folder)
    except KeyboardInterrupt:
        say("\nInterrupted: taking the stand-ins down.")
        raise SystemExit(130) from None
    finally:
        rehost(folder, "sandbox", "down")
        shutil.rmtree(folder)
    say("\nNothing is left running, and the demo's folder is removed.")


main()
