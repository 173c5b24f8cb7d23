"""Fill a platform with posts and pictures of former years, the same ones every time.

    DATABASE_URL=... MEDIA_BUCKET=... MEDIA_URL=... SESSION_KEY=... python seed.py --posts 2000 --pictures 500

Some pictures are large (over 16 MiB), and those of the first year are referred to by the bucket's own address in
full, given with --old-address. What is there already is left alone.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "app"))

import boto3
from botocore.config import Config as BotoConfig
from plaza.config import Config
from plaza.media import FOREVER
from plaza.store import connect, prepare
from traffic import WORDS, png

MIB = 1024**2
SIZES = ((0.90, 4 * 1024), (0.97, 200 * 1024), (0.994, 2 * MIB), (1.0, 17 * MIB))
"""Shares of pictures and their sizes in bytes, roughly."""
ACCOUNTS = 40
FIRST_DAY = datetime(2023, 3, 1, 9, tzinfo=UTC)


def picture(number: int) -> bytes:
    """The content of one picture: a small PNG, with random bytes after its end where it is to be larger."""
    chance = random.Random(f"picture {number}")
    share = chance.random()
    size = next(size for upto, size in SIZES if share < upto)
    small = png(chance)
    return small + chance.randbytes(max(0, size - len(small)))


def main() -> None:
    """Fill bucket and database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=2000)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--old-address", default="", help="what full addresses of the first year begin with")
    options = parser.parse_args()
    config = Config.from_environment()
    prepare(config)
    with connect(config) as connection:
        found = connection.execute("select count(*) as posts from posts").fetchone()
    if found and found["posts"]:
        sys.stdout.write(f"{found['posts']} posts are there already\n")
        return
    client = boto3.client("s3", config=BotoConfig(max_pool_connections=16))

    def upload(number: int) -> tuple[str, int, str]:
        content, key = picture(number), f"pictures/{number:06}.png"
        client.put_object(
            Bucket=config.bucket, Key=key, Body=content, ContentType="image/png", CacheControl=FOREVER
        )
        return key, len(content), hashlib.sha256(content).hexdigest()

    with ThreadPoolExecutor(16) as pool:
        pictures = list(pool.map(upload, range(options.pictures)))
    chance = random.Random("posts")
    with connect(config) as connection, connection.transaction(), connection.cursor() as cursor:
        with cursor.copy("copy accounts (name) from stdin") as rows:
            for number in range(ACCOUNTS):
                rows.write_row((f"neighbour-{number:02}",))
        with cursor.copy("copy pictures (id, account, key, url, type, bytes, sha256) from stdin") as rows:
            for number, (key, size, sha256) in enumerate(pictures):
                old = options.old_address and number < options.pictures // 5
                url = f"{options.old_address}/{key}" if old else None
                rows.write_row((number + 1, number % ACCOUNTS + 1, key, url, "image/png", size, sha256))
        with cursor.copy("copy posts (account, body, picture, created) from stdin") as rows:
            for number in range(options.posts):
                body = " ".join(chance.choice(WORDS) for _ in range(chance.randint(1, 40)))[:300]
                shown = number % options.pictures + 1 if pictures and number % 4 == 0 else None
                when = FIRST_DAY + timedelta(minutes=number * 37)
                rows.write_row((number % ACCOUNTS + 1, body, shown, when))
        cursor.execute("select setval(pg_get_serial_sequence('pictures', 'id'), %s)", (max(1, len(pictures)),))
    total = sum(size for _, size, _ in pictures)
    sys.stdout.write(f"{options.posts} posts, {len(pictures)} pictures of {total:,} bytes\n")


if __name__ == "__main__":
    main()
