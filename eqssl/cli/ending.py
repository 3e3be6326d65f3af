"""How a command ends: its exit code, and the one line that says what is wrong."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from eqssl.machine.packages import import_failure

FAILED = 1
INTERRUPTED = 130
_PROGRAMS = ("git",)
_REASONS = {
    errno.ENOENT: "there is no such file or folder",
    errno.EISDIR: "is a folder, allowed: a file",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
}


def ended(command: Callable[[], int | None]) -> int:
    """Run a command; report what is wrong with its input on stderr, as `eqssl: error: ...`.

    An error that is none of its input's is a fault of eqssl, and is raised.

    Returns:
        the exit code.
    """
    try:
        code = command()
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
    except (ValueError, OSError, ImportError, MemoryError) as error:
        reason = reason_of(error)
        if reason is None:
            raise
        sys.stdout.flush()
        print(f"eqssl: error: {reason}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("eqssl: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code or 0


def reason_of(error: Exception) -> str | None:
    """What an error says to the person who gave the command; None if it is a fault of eqssl's own code."""
    match error:
        case OSError(errno=int(number), strerror=str(given)) if number:
            name = error.filename2 or error.filename
            if number == errno.ENOENT and name in _PROGRAMS:
                return f"the program {name} is not installed"
            if given != os.strerror(number):  # the words of a library, which may name the file itself
                return given if name is None else f"{os.fsdecode(name)}: {given}"
            text = _REASONS.get(number) or given
            return text if name is None else f"{os.fsdecode(name)}: {text}"
        case ImportError(name=str(module)):
            top = module.partition(".")[0]
            return None if top == "eqssl" else import_failure(error)
        case MemoryError():
            return f"not enough memory: {error}".removesuffix(": ")
    return str(error) or type(error).__name__


def _reader_left() -> int:
    """Drop what is left of the output, of which Python would complain at exit; the code is that of rich."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED
