"""Who only reads needs no lock, and never sees less than was acknowledged before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from folderblobs import FolderBlobs

from rehost.stacks.state import FileStore, Passphrase, SharedStore, Store

NOBODY = Passphrase(None)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: FileStore(folder, NOBODY),
        lambda folder: SharedStore(FolderBlobs(folder / "objects"), folder / "here", NOBODY),
    ],
    ids=["folder", "objects"],
)
def test_a_reader_sees_all_that_was_acknowledged_while_a_writer_folds(
    tmp_path: Path, make: Callable[[Path], Store]
) -> None:
    acknowledged = 0
    problems: list[str] = []
    done = threading.Event()

    def read() -> None:
        store = make(tmp_path)
        while not done.is_set():
            known = acknowledged
            seen = len(store.read("plaza", "here").facts)
            if seen < known:
                problems.append(f"{seen} of {known}")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for number in range(20):
            with make(tmp_path).open("plaza", "here", command="deploy") as session:
                for part in range(2):
                    session.append({"kind": "facts", "facts": {f"{number}-{part}": {"value": 1}}})
                    acknowledged += 1
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert problems == []
