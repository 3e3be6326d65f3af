"""The store of results under DVC: publish a cell, keep the store complete, adopt cells of experiments."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from eqssl.config.plain import shown
from eqssl.config.regular_files import read_text
from eqssl.config.yaml_files import MOST_BYTES, parse_yaml
from eqssl.machine.cell_numbers import read_metrics
from eqssl.machine.experiments import experiment as found_experiment
from eqssl.machine.files import atomic, write_json
from eqssl.machine.finetuned import read_finetuned, with_finetuned
from eqssl.machine.records import read_record

Typed = TypeVar("Typed", dict[str, Any], list[Any], int)
RECORDS = ".snakemake/metadata"


def publish(metrics: Path, encoder: Path, into: Path, model: Path, finetuned: Path | None = None) -> None:
    """Copy the active cell to fixed paths, because DVC compares files by path.

    Nothing is copied unless every file is the one that its record names, and the records belong together.

    Args:
        metrics: the cell's metrics.json, which lies beside predictions.csv; everything but `details` is
            written to `into`/cell.json.
        encoder: the cell's folder: encoder.safetensors, encoder.json, pretrain.json, loss.csv.
        into: folder for the metrics.
        model: folder for the encoder.
        finetuned: the cell's finetune.json, whose accuracies go to cell.json too; None if it has none.

    Raises:
        ValueError: a file is damaged, or belongs to another cell.
        OSError: a file is missing or cannot be written.
    """
    described = read_record(encoder / "encoder.json")
    trained = read_record(encoder / "pretrain.json").check_made_of(encoder=described)
    measured = read_metrics(metrics)
    measured.check_made_of(encoder=described, pretrain=trained)
    numbers = with_finetuned(
        published(measured.values), measured, None if finetuned is None else read_finetuned(finetuned)
    )
    copies = {
        measured.file("predictions.csv"): into / "predictions.csv",
        trained.file("loss.csv"): into / "loss.csv",
        described.file("encoder.safetensors"): model / "encoder.safetensors",
        described.path: model / "encoder.json",
    }
    write_json(into / "cell.json", numbers)
    for source, target in copies.items():
        copy(source, target)


def published(values: Mapping[str, Any]) -> dict[str, Any]:
    """The content of cell.json: the values of metrics.json without its details."""
    return {key: value for key, value in values.items() if key != "details"}


def copy(source: Path, target: Path) -> None:
    """Copy a file atomically. The copy is writable even if DVC made the source a read-only link."""
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)


def own(*roots: str) -> None:
    """Replace links to DVC's cache by copies, before files are rewritten in place.

    Such links exist if DVC's `cache.type` is hardlink or symlink. Snakemake rewrites its records in place,
    and through a link it would change the cache.
    """
    for root in map(Path, roots):
        for file in root.rglob("*") if root.is_dir() else [root]:
            if file.is_file() and (file.is_symlink() or file.stat().st_nlink > 1):
                copy(file.resolve(), file)


def guard(pointers: Iterable[Path]) -> None:
    """Refuse a store that has fewer files than at the last commit.

    DVC records a folder as it is. In a clone that pulled only some cells, `dvc exp run` would record a store
    without the others.

    Args:
        pointers: .dvc files.

    Raises:
        ValueError: a store lost files; names the pointer, both numbers and how to restore it. Or a pointer is
            not one of DVC's; names it.
        OSError: a pointer is not a regular file or cannot be read.
    """
    for pointer in pointers:
        now = _files(read_text(pointer, MOST_BYTES), str(pointer))
        command = ["git", "show", f"HEAD:./{pointer.name}"]
        head = subprocess.run(command, capture_output=True, check=False, cwd=pointer.parent)
        committed = head.stdout.decode("utf-8", "replace") if head.returncode == 0 else ""
        before = _files(committed, f"{pointer} at the last commit")
        if now < before:
            raise ValueError(
                f"{pointer}: holds {now} files, but {before} at the last commit; "
                f"restore it (git checkout {pointer}; dvc pull {pointer}) and run again"
            )


def _files(text: str, name: str) -> int:
    """Number of files according to the text of a .dvc file; 0 if nothing was added yet.

    Raises:
        ValueError: it is not the text of a .dvc file; names the file.
    """
    try:
        values = parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    outs = _typed(values, "", dict, name, {}).get("outs")
    first, *_ = _typed(outs, "outs", list, name, []) or [{}]
    count = _typed(_typed(first, "outs.0", dict, name, {}).get("nfiles"), "outs.0.nfiles", int, name, 0)
    if isinstance(count, bool) or count < 0:
        raise ValueError(f"{name}: outs.0.nfiles: given {shown(count)}, allowed: a number of files")
    return count


def _typed(value: object, key: str, kind: type[Typed], name: str, absent: Typed) -> Typed:
    """A value of a .dvc file, if it has the right type; `absent` where there is none."""
    if value is None:
        return absent
    if not isinstance(value, kind):
        words = {dict: "a table", list: "a list", int: "a number of files"}
        where = f"{name}: {key}" if key else name
        raise ValueError(f"{where}: given {shown(value)}, allowed: {words[kind]}")
    return value


def adopt(experiment: str) -> int:
    """Copy an experiment's results, shards and Snakemake records that are missing in the working directory.

    Args:
        experiment: name of a DVC experiment, or any git revision.

    Returns:
        How many files were copied.

    Raises:
        ValueError: there is no such experiment, or its files are neither in DVC's cache nor in a remote.
    """
    copied = 0
    with found_experiment(experiment) as files:
        for root in ("results", "data/shards", RECORDS):
            if not files.exists(root):
                continue
            for path in files.find(root):
                target = Path(path.lstrip("/"))
                if not target.exists():
                    with atomic(target) as temporary:
                        files.get_file(path, str(temporary))
                    copied += 1
    return copied
