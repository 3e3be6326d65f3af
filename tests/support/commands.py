"""The command `eqssl` in a process of its own, as a person starts it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_WITHOUT = '''
import sys
from importlib.machinery import PathFinder

HIDDEN = {hidden!r}


class Without(PathFinder):
    """Finds no package of those names, as where they are not installed."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else super().find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, *context):
        found = super().find_distributions(*context)
        return (distribution for distribution in found if distribution.metadata["Name"] not in HIDDEN)


sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
'''


def environment(**variables: str) -> dict[str, str]:
    """The variables of a process that finds this working tree, and no settings of eqssl."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EQSSL", "DVC", "GIT"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), **variables}


def eqssl(*words: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "eqssl", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(**variables),
        check=False,
        timeout=300,
    )


def without(folder: Path, *hidden: str) -> dict[str, str]:
    """Variables of a process for which packages are not installed.

    Args:
        folder: for a file of the test.
        hidden: their names, as Python imports them.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_WITHOUT.format(hidden=set(hidden)))
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def reason(ended: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The one line that a failed command says on stderr, without its beginning."""
    beginning = "eqssl: error: "
    assert (ended.returncode, ended.stdout) == (code, ""), ended.stdout + ended.stderr
    assert ended.stderr.startswith(beginning), ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr.removeprefix(beginning).rstrip("\n")
