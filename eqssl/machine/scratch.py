"""The scratch folder: files that can be made again, and a folder for each unfinished training.

The folder of a training is named by a fingerprint and used by one process at a time. It is kept outside of
the results, because Snakemake deletes the outputs of a failed job, and DVC deletes its temporary workspaces.
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

from eqssl.machine.locks import check_shared, open_lock

LOCK, WAITING = "lock", "waiting"


def scratch() -> Path:
    """The scratch folder: $EQSSL_SCRATCH, else $DVC_ROOT/.scratch, else ./.scratch."""
    given = os.environ.get("EQSSL_SCRATCH")
    return Path(given) if given else project() / ".scratch"


def project() -> Path:
    """The folder of the project, also in a temporary workspace of DVC's: $DVC_ROOT, else here."""
    return Path(os.environ.get("DVC_ROOT", "."))


def fingerprint(values: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits: a hash of all values that decide the weights."""
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
        with open_lock(self.folder / WAITING) as file:
            return not _try_lock(file, fcntl.LOCK_EX)

    def drop(self) -> None:
        """Remove the folder when the claim ends, unless another process waits for it."""
        self._drop = True

    def end(self) -> None:
        """Let the next process in."""
        if not self._drop:
            return
        with open_lock(self.folder / WAITING) as file:
            # Locked while the folder is removed: a process that arrives now waits, then makes a new folder.
            if _try_lock(file, fcntl.LOCK_EX):
                shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def claimed(folder: Path) -> Iterator[Claim]:
    """Hold a folder for the length of the block. If another process holds it, say so and wait.

    The kernel releases the lock (flock) when the process ends, even if it is killed. Files that interrupted
    writes left behind are removed.

    Raises:
        OSError: every user may write to the folder, or a lock in it is not a regular file; names it.
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
            for place in (folder.parent, folder):
                check_shared(place, f"chmod o-w {place}, or set EQSSL_SCRATCH to a folder of your own")
            file = open_lock(folder / LOCK)
            if not _try_lock(file, fcntl.LOCK_EX):
                _wait(folder, file)
            if os.path.samestat(os.fstat(file.fileno()), (folder / LOCK).stat()):
                return file
        except FileNotFoundError:
            continue  # the previous holder removed the folder in the meantime
        file.close()


def _wait(folder: Path, file: BinaryIO) -> None:
    print(
        f"eqssl: another process trains the same cell ({folder}); waiting for it",
        file=sys.stderr,
        flush=True,
    )
    with open_lock(folder / WAITING) as mark:
        fcntl.flock(mark, fcntl.LOCK_SH)
        fcntl.flock(file, fcntl.LOCK_EX)


def _try_lock(file: BinaryIO, kind: int) -> bool:
    """Take a lock unless another process has it. On a file system without locks, every lock counts as free.

    Two processes that train the same cell write the same states, so the only loss there is time.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    return True
