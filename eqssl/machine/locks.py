"""Lock files in folders that others might write to: pipes, links and other users' files are refused."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_lock(path: Path) -> BinaryIO:
    """Open a lock file for appending, and create it if it does not exist.

    Another user could put a pipe there, which would block forever when opened, or a link to one of our files.

    Raises:
        OSError: it is not a regular file, or cannot be created; names it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o666)  # less the umask: a group may share a scratch folder
    except OSError:
        _check(path)
        raise
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            _check(path)
    except BaseException:
        os.close(handle)
        raise
    return os.fdopen(handle, "ab")


def try_lock(file: BinaryIO) -> bool:
    """Lock an open file for this process alone; False if another one has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check(path: Path) -> None:
    """Raise an error if something other than a regular file is in the place of a lock."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise OSError(f"{path}: is no regular file, so it cannot be a lock; remove it and start again")


def check_private(folder: Path) -> None:
    """Refuse a folder of locks that does not belong to this user alone.

    Raises:
        OSError: it is a link, belongs to another user, or others may write to it; names it.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise OSError(f"{folder}: is no folder, so it cannot hold locks; remove it and start again")
    if found.st_uid != os.getuid():
        raise OSError(f"{folder}: belongs to another user, so it cannot hold locks")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"{folder}: other users may write to it, so it cannot hold locks; chmod 700 {folder}")


def check_shared(folder: Path, advice: str) -> None:
    """Refuse a folder in which everybody may replace the files of others.

    A group may, because people who share a project write to one scratch folder. In a folder with the sticky
    bit, such as /tmp, a file can be replaced by its owner alone.

    Args:
        folder: the folder.
        advice: what to do about it, for the message.

    Raises:
        OSError: everybody may write to it; names it.
    """
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise OSError(
            f"{folder}: every user may write to it, so what is read from it cannot be trusted; {advice}"
        )
