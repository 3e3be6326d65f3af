"""`eqssl run`: the whole pipeline, safe to kill and to start again.

Snakemake's own lock outlives a killed process and cannot tell a dead owner from a live one. A file lock of
the kernel can: it ends with its process. Every real run holds it shared for its life (`hold`), `eqssl run`
takes it alone for a moment to prove that no other run lives, and only then clears what a dead one left.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import TextIO

SETTINGS = Path("params.yaml")
LOCK = Path(".snakemake/eqssl.lock")
PARENT = "EQSSL_PARENT"
LOCKED = "EQSSL_LOCKED"
PATIENCE = 5.0  # seconds
_held: list[TextIO] = []


def hold() -> None:
    """Mark this process as a live run of the working directory, until it ends.

    Raises:
        ValueError: another process has the directory for itself.
    """
    if os.environ.pop(LOCKED, "") == str(os.getppid()):
        return
    _held.append(_take(fcntl.LOCK_SH))


def prepare(root: Path, jobs_per_gpu: int = 1) -> None:
    """Set the environment of the jobs that this process starts.

    The code of the working tree `root` comes first, also in DVC's temporary workspaces; programs are those
    of this interpreter's environment; and a job ends, after saving what it has, when this process dies.

    Args:
        root: the working tree.
        jobs_per_gpu: how many of them may use one GPU at the same time.
    """
    from eqssl.machine.gpu_places import VARIABLE

    os.environ["PYTHONPATH"] = _before(str(root), os.environ.get("PYTHONPATH", ""))
    os.environ["PATH"] = _before(str(Path(sys.executable).parent), os.environ.get("PATH", ""))
    os.environ[PARENT] = str(os.getpid())
    os.environ[VARIABLE] = str(jobs_per_gpu)


def has_gpu() -> bool:
    """Whether the machine has an NVIDIA GPU, without loading a library that knows."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def run(arguments: Sequence[str], cores: int | None = None) -> int:
    """Run Snakemake here, after clearing the lock that a killed run left.

    Args:
        arguments: targets and options for Snakemake; none stands for the target `all`.
        cores: how many cores; None for all that this process may use.

    Returns:
        Snakemake's exit code; after Ctrl-C or SIGTERM 128 and the number of the signal, as a shell gives it.

    Raises:
        ValueError: there is no Snakefile here, params.yaml cannot be read within bounds, or another run lives
            in this directory.
    """
    from eqssl.config.yaml_files import read_yaml
    from eqssl.machine.provenance import cores as usable_cores

    if not Path("Snakefile").is_file():
        where = "start from the folder of a project (`eqssl new` makes one)"
        raise ValueError(f"Snakefile: there is none in {Path.cwd()}; {where}")
    if SETTINGS.exists():
        read_yaml(SETTINGS)  # one line for what Snakemake would stop at, or never end with
    with _take(fcntl.LOCK_EX) as lock:
        count = str(cores or usable_cores())
        if any(Path(".snakemake/locks").glob("*")):
            told = "eqssl: note: a run that was killed left its lock here and no run lives: clearing it"
            print(told, file=sys.stderr, flush=True)
            code = _snakemake(["--cores", count, "--unlock", "--quiet"], {LOCKED: str(os.getpid())})
            if code:
                return code
        # Snakemake holds it too from here on, so that a killed `eqssl run` leaves no gap.
        fcntl.flock(lock, fcntl.LOCK_SH)
        return _snakemake(["--cores", count, *(arguments or ["all"])])


def _take(kind: int) -> TextIO:
    """The lock of the working directory. A killed run may take a moment to die: wait for it."""
    LOCK.parent.mkdir(exist_ok=True)
    file = LOCK.open("a+", encoding="utf-8")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                message = _refusal(file)
                file.close()
                raise ValueError(message) from None
            time.sleep(0.1)
        else:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            return file


def _refusal(file: TextIO) -> str:
    file.seek(0)
    owner = file.read().strip() or "unknown"
    return (
        f"{Path.cwd()}: a run is live in this directory (process {owner}); "
        "wait until it ends, or stop it (Ctrl-C, or kill -INT), and start again"
    )


def _before(first: str, path: str) -> str:
    """A search path with one folder put first."""
    return os.pathsep.join([first, *(part for part in path.split(os.pathsep) if part and part != first)])


def _snakemake(arguments: list[str], variables: Mapping[str, str] = MappingProxyType({})) -> int:
    """Run Snakemake of this interpreter, with its folder first on PATH; stop it in order on SIGTERM."""
    path = _before(str(Path(sys.executable).parent), os.environ.get("PATH", ""))
    environment = {**os.environ, "PATH": path, **variables}
    command = [sys.executable, "-m", "snakemake", *arguments]
    stopped: list[int] = []
    with subprocess.Popen(command, env=environment, preexec_fn=_beginning()) as process:

        def stop(number: int, _: FrameType | None) -> None:
            stopped.append(number)
            if number == signal.SIGTERM:  # Ctrl-C reaches Snakemake by itself; it cancels its jobs
                _cancel(process.pid)

        previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            code = _exit_code(process.wait())
            return 128 + stopped[0] if stopped and code else code
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _cancel(number: int) -> None:
    """What Ctrl-C does at a terminal: Snakemake starts no further job, and its jobs end too."""
    import psutil  # type: ignore[import-untyped]

    try:
        snakemake = psutil.Process(number)
        jobs = snakemake.children(recursive=True)
        snakemake.send_signal(signal.SIGINT)
        for job in jobs:
            job.terminate()
    except psutil.NoSuchProcess:
        return


def _exit_code(code: int) -> int:
    """The code of a process as a shell gives it: 128 + n for one that signal n ended."""
    return 128 - code if code < 0 else code


def end_with_parent(number: signal.Signals) -> None:
    """Ask the kernel for a signal when the parent dies, if the parent asked for that.

    The parent does so with the environment variable EQSSL_PARENT, its own process number. Without it
    nothing happens: a command that a person sends to the background lives on.
    """
    if os.environ.get(PARENT) == str(os.getppid()):
        request = _death_signal(number)
        if request is not None:
            request()


def _beginning() -> Callable[[], None]:
    """What a new Snakemake does first: tie its life to this process, and heed SIGINT.

    A shell without job control lets the programs that it sends to the background ignore SIGINT.
    """
    request = _death_signal(signal.SIGKILL)

    def begin() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if request is not None:
            request()

    return begin


def _death_signal(number: signal.Signals) -> Callable[[], None] | None:
    """A function that asks for a signal at the parent's death; None where the system has no such thing."""
    if not sys.platform.startswith("linux"):
        return None
    control = ctypes.CDLL(None).prctl
    set_parent_death_signal = 1
    return lambda: control(set_parent_death_signal, int(number), 0, 0, 0)
