"""The store of results that DVC versions: publish a cell, keep the store whole, take over experiments."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from eqssl.machine.files import atomic, read_json, write_json

RECORDS = ".snakemake/metadata"


def publish(metrics: Path, predictions: Path, loss: Path, encoder: Path, into: Path, model: Path) -> None:
    """Copy the active cell to paths that stay the same, since DVC compares by path.

    Args:
        metrics: the cell's metrics.json; all but its `details` goes to `into`/cell.json.
        predictions: CSV of the predictions on the test images.
        loss: CSV of the loss of each epoch.
        encoder: folder of encoder.safetensors and encoder.json.
        into: folder of the published metrics.
        model: folder of the published encoder.

    Raises:
        ValueError: metrics.json is not the metrics of a cell.
    """
    values = read_json(metrics, ("dataset", "group", "pretext", "seed"))
    write_json(into / "cell.json", {key: value for key, value in values.items() if key != "details"})
    copy(predictions, into / "predictions.csv")
    copy(loss, into / "loss.csv")
    for name in ("encoder.safetensors", "encoder.json"):
        copy(encoder / name, model / name)


def copy(source: Path, target: Path) -> None:
    """Copy the bytes atomically, without the read-only mode of a file that DVC has linked to its cache."""
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)


def own(*roots: str) -> None:
    """Turn links into DVC's cache into files of their own, where they are about to be rewritten in place.

    Only with DVC's `cache.type` hardlink or symlink are there any. Snakemake rewrites its records in
    place, which would change the object in the cache too.
    """
    for root in map(Path, roots):
        for file in root.rglob("*") if root.is_dir() else [root]:
            if file.is_symlink() or (file.is_file() and file.stat().st_nlink > 1):
                copy(file.resolve(), file)


def guard(pointers: Iterable[Path]) -> None:
    """Refuse a store that holds fewer files than the last commit's.

    DVC records a folder as it finds it: in a clone that pulled some cells only, `dvc exp run` would
    record a store without the others.

    Args:
        pointers: .dvc files.

    Raises:
        ValueError: names the pointer, both numbers and the way out.
    """
    for pointer in pointers:
        command = ["git", "show", f"HEAD:./{pointer.name}"]
        head = subprocess.run(command, capture_output=True, text=True, check=False, cwd=pointer.parent)
        before = _files(head.stdout) if head.returncode == 0 else 0
        now = _files(pointer.read_text(encoding="utf-8"))
        if now < before:
            raise ValueError(
                f"{pointer}: holds {now} files, but {before} at the last commit; "
                f"restore it (git checkout {pointer}; dvc pull {pointer}) and run again"
            )


def _files(text: str) -> int:
    """Number of files that the text of a .dvc file counts; 0 as long as nothing was added."""
    import yaml

    outs = (yaml.safe_load(text) or {}).get("outs") or [{}]
    return int(outs[0].get("nfiles", 0))


def adopt(experiment: str) -> int:
    """Copy the cells that an experiment made, and Snakemake's records of them, where they are missing here.

    Args:
        experiment: name of an experiment of DVC, or any revision of git.

    Returns:
        the number of files copied.

    Raises:
        ValueError: there is no such experiment, or its files are neither in DVC's cache nor in a remote.
    """
    from dvc.api import DVCFileSystem  # type: ignore[import-untyped]
    from dvc.exceptions import DvcException  # type: ignore[import-untyped]
    from scmrepo.exceptions import SCMError

    copied = 0
    try:
        files = DVCFileSystem(rev=experiment)
        files.repo.get_rev()  # raises for an unknown name, where `exists` would just say no
        for root in ("results", "data/shards", RECORDS):
            if not files.exists(root):
                continue
            for path in files.find(root):
                target = Path(path.lstrip("/"))
                if not target.exists():
                    with atomic(target) as temporary:
                        files.get_file(path, str(temporary))
                    copied += 1
    except (DvcException, SCMError) as error:
        raise ValueError(f"experiment {experiment}: {error}") from None
    return copied
