"""Open files that a user names, and refuse pipes, devices and folders."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file, or a link to one, for reading. A pipe without a writer would block forever.

    Raises:
        OSError: there is no such file, it is not a regular file, or it cannot be read; names it.
    """
    # O_NONBLOCK: opening returns at once, whatever it is
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        check_regular(path, os.fstat(handle).st_mode)
    except BaseException:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def check_regular(path: str | Path, mode: int) -> None:
    """Refuse anything but a regular file.

    Args:
        path: the file, for the message.
        mode: `st_mode` of the file.

    Raises:
        OSError: it is something else; names the file.
    """
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise OSError(f"{path}: is {kind}, allowed: a regular file")


def read_bytes(path: str | Path, most: int) -> bytes:
    """The content of a file of at most so many bytes.

    Raises:
        ValueError: it is larger; names the file.
        OSError: it is no regular file or cannot be read; names the file.
    """
    with open_regular(path) as file:
        # a file may be of no bytes for `fstat` and endless for `read`, as those below /proc
        too_large = os.fstat(file.fileno()).st_size > most or len(content := file.read(most + 1)) > most
    if too_large:
        raise ValueError(f"{path}: is larger than {most} bytes, which is the most that is read")
    return content


def read_text(path: str | Path, most: int) -> str:
    """The text of a file in UTF-8 of at most `most` bytes.

    Raises:
        ValueError: it is larger, or not UTF-8; names the file.
        OSError: it is not a regular file or cannot be read; names the file.
    """
    content = read_bytes(path, most)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8: byte {error.start}: {error.reason}") from None
