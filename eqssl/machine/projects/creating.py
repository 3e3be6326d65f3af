"""`eqssl new`: a folder with settings and a Snakefile that includes the rules of the installed package."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from eqssl.machine.projects.files import SHARED, shared

_TEMPLATE = Path(__file__).parent / "template"
_OWN = ("Snakefile", "workflow", "dvc.yaml")
"""Shared files that a project does not copy: it includes them, or has another form of them."""
_COPIED = tuple(name for name in SHARED if name not in _OWN)
_POINTERS = {
    "data/shards.dvc": "outs:\n- path: shards\n",
    "provenance.dvc": "wdir: .snakemake\nouts:\n- path: metadata\n",
    "report.dvc": "outs:\n- path: report\n",
    "results.dvc": "outs:\n- path: results\n",
}
_CODE = "    deps:\n    - Snakefile\n    - eqssl\n    - workflow\n"
_NO_CODE = "    # DVC cannot see the code of the installed package: ask Snakemake, which can, each time\n"


def create(folder: Path) -> list[str]:
    """Make the folder of a project. It appears whole or not at all.

    Args:
        folder: a new or an empty folder.

    Returns:
        The names of its files, in order.

    Raises:
        ValueError: something else is there.
        OSError: it cannot be written, or the installed package lacks a file.
    """
    _check_empty(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as place:
        made = Path(place) / "project"
        made.mkdir()
        _fill(made)
        made.rename(folder)
    return sorted(_files(folder))


def _check_empty(folder: Path) -> None:
    """Refuse to write into a folder that holds something.

    Raises:
        ValueError: names it.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"{folder}: is a file or a link, allowed: a new or an empty folder")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: holds files, allowed: a new or an empty folder")


def _fill(made: Path) -> None:
    for name in _COPIED:
        _copy(shared(name), made / name)
    for file in sorted(_TEMPLATE.iterdir()):
        _copy(file, made / file.name)
    for name, text in _POINTERS.items():
        (made / name).write_text(text, encoding="utf-8")
    (made / "dvc.yaml").write_text(_stages(shared("dvc.yaml").read_text(encoding="utf-8")), encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    """Copy content alone: the installed package may be read-only."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, target)


def _stages(text: str) -> str:
    """dvc.yaml of a project: it has no folder of code to depend on, so Snakemake is asked each time."""
    if text.count(_CODE) != 1:
        raise ValueError("dvc.yaml: its stage does not depend on Snakefile, eqssl and workflow alone")
    return text.replace(_CODE, f"{_NO_CODE}    always_changed: true\n")


def _files(folder: Path) -> Iterator[str]:
    return (str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
