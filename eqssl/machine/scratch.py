"""What can be made anew: the scratch folder, and in it one folder for each unfinished training.

A training's folder is named by a fingerprint and used by one process at a time. It lies outside of the
results, because Snakemake deletes the outputs of a failed job and DVC its temporary workspaces.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

LOCK, WAITING = "lock", "waiting"


def scratch() -> Path:
    """Folder of what can be made anew: $EQSSL_SCRATCH, else $DVC_ROOT/.scratch, else ./.scratch."""
    given = os.environ.get("EQSSL_SCRATCH")
    return Path(given) if given else Path(os.environ.get("DVC_ROOT", ".")) / ".scratch"


def fingerprint(values: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits that name everything that decides the weights."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Claim:
    """A folder that belongs to this process until the claim ends.

    Attributes:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._drop = False

    def is_awaited(self) -> bool:
        """Whether another live process waits for the folder."""
        with (self.folder / WAITING).open("ab") as file:
            return not _try_lock(file, fcntl.LOCK_EX)

    def drop(self) -> None:
        """Remove the folder when the claim ends, unless another process waits for it."""
        self._drop = True

    def end(self) -> None:
        """Let the next process in."""
        if not self._drop:
            return
        with (self.folder / WAITING).open("ab") as file:
            # Held while the folder goes, so that whoever comes now waits, and then starts with a new folder.
            if _try_lock(file, fcntl.LOCK_EX):
                shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def claimed(folder: Path) -> Iterator[Claim]:
    """Hold a folder for the length of the block; wait for another process that holds it, with a message.

    The lock is the kernel's (flock) and ends with its process, however that ends. Leftovers of writes that
    were cut off are removed.
    """
    lock = _acquire(folder)
    claim = Claim(folder)
    try:
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        yield claim
    finally:
        claim.end()
        lock.close()


def _acquire(folder: Path) -> BinaryIO:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = (folder / LOCK).open("ab")
            if not _try_lock(file, fcntl.LOCK_EX):
                _wait(folder, file)
            if os.path.samestat(os.fstat(file.fileno()), (folder / LOCK).stat()):
                return file
        except FileNotFoundError:
            continue  # the process before removed the folder in between
        file.close()


def _wait(folder: Path, file: BinaryIO) -> None:
    print(
        f"eqssl: another process trains the same cell ({folder}); waiting for it",
        file=sys.stderr,
        flush=True,
    )
    with (folder / WAITING).open("ab") as mark:
        fcntl.flock(mark, fcntl.LOCK_SH)
        fcntl.flock(file, fcntl.LOCK_EX)


def _try_lock(file: BinaryIO, kind: int) -> bool:
    """Take a lock unless another process has it. A file system without locks counts as one that nobody holds.

    Two processes that train the same cell write the same states, so that only time is at stake there.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    return True
