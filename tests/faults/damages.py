"""Ways in which a file is damaged, each a function of its path and of the results that it belongs to."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file
from small_results import SHARDS, Results

Damage = Callable[[Results, str, Path], None]
SPLIT_OF = {
    "train.parquet": "val.parquet",
    "val.parquet": "train.parquet",
    "test.parquet": "val.parquet",
    "turned.parquet": "test.parquet",
    "train-00000.tar": "val-00000.tar",
    "val-00001.tar": "train-00001.tar",
    "test-00000.tar": "train-00000.tar",
}
"""A file -> the one of another split."""


def flip_at(path: Path, share: float, bit: int = 0) -> None:
    """Change one bit, at this share of the file's length."""
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1 << bit
    path.write_bytes(content)


def flipped(results: Results, name: str, path: Path) -> None:
    flip_at(path, 0.5)


def half(results: Results, name: str, path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(results: Results, name: str, path: Path) -> None:
    path.write_bytes(b"")


def deleted(results: Results, name: str, path: Path) -> None:
    path.unlink()


def folder(results: Results, name: str, path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(results: Results, name: str, path: Path) -> None:
    """Nobody writes to it, so that reading it would take for ever."""
    path.unlink()
    os.mkfifo(path)


def endless(results: Results, name: str, path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def other_kind(results: Results, name: str, path: Path) -> None:
    """Replace the file by one of another kind; JSON by a list."""
    path.write_text("[1, 2]\n" if path.suffix == ".json" else "epoch,loss\n1,2.5\n")


def other_seed(results: Results, name: str, path: Path) -> None:
    _replace(path, results.twin(name, "C4", 1))


def other_group(results: Results, name: str, path: Path) -> None:
    _replace(path, results.twin(name, "C2", 0))


def _replace(path: Path, twin: Path) -> None:
    if twin.read_bytes() == path.read_bytes():
        pytest.skip("both cells predict the same")
    shutil.copyfile(twin, path)


def other_split(results: Results, name: str, path: Path) -> None:
    shutil.copyfile(path.with_name(SPLIT_OF[name]), path)


def edited(results: Results, name: str, path: Path) -> None:
    """Change one value, and keep the file valid."""
    _EDITS[path.suffix](path)


def _edit_json(path: Path) -> None:
    content = json.loads(path.read_text())
    assert _bump(content)
    path.write_text(json.dumps(content, indent=2, sort_keys=True))


def _bump(values: Any) -> bool:
    """Change the first number in it a little; False if there is none."""
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        if isinstance(value, dict | list):
            if _bump(value):
                return True
        elif isinstance(value, int | float) and not isinstance(value, bool):
            values[key] = value + 1 if isinstance(value, int) else value * (1 + 1e-12) + 1e-12
            return True
    return False


def _edit_lines(path: Path) -> None:
    """Change the last digit, or the class that was predicted last if there is no digit."""
    text = path.read_text()
    digits = [i for i, character in enumerate(text) if character.isdigit()]
    if digits:
        last = digits[-1]
        text = text[:last] + str((int(text[last]) + 1) % 10) + text[last + 1 :]
    else:
        start, _, last_class = text.rstrip("\n").rpartition(",")
        text = f"{start},{'bar' if last_class == 'square' else 'square'}\n"
    path.write_text(text)


def _edit_parquet(path: Path) -> None:
    """Change the label of the first row, which is 0 or 1, or else the number of its last column."""
    table = pq.read_table(path)
    position = table.schema.get_field_index("label") % table.num_columns
    first, *others = table.column(position).to_pylist()
    field = table.schema.field(position)
    changed = table.set_column(position, field, pa.array([1 - first, *others], field.type))
    pq.write_table(changed, path)


def _edit_weights(path: Path) -> None:
    tensors = load_file(path)
    name = min(key for key, tensor in tensors.items() if tensor.is_floating_point())
    save_file({**tensors, name: tensors[name] + 1e-3}, path)


def _edit_tar(path: Path) -> None:
    """Change the label of the first image, which has one digit."""
    with tarfile.open(path) as tar:
        place = next(member.offset_data for member in tar if member.name.endswith(".cls"))
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


_EDITS: dict[str, Callable[[Path], None]] = {
    ".json": _edit_json,
    ".jsonl": _edit_lines,
    ".csv": _edit_lines,
    ".parquet": _edit_parquet,
    ".safetensors": _edit_weights,
    ".tar": _edit_tar,
}

OF_ANY: tuple[Damage, ...] = (
    flipped,
    half,
    empty,
    deleted,
    folder,
    pipe,
    endless,
    other_kind,
    edited,
    other_seed,
)


def damages(name: str) -> list[Damage]:
    """The damages that a file of this name can take."""
    found = list(OF_ANY)
    if name not in SHARDS:
        found.append(other_group)
    if name in SPLIT_OF:
        found.append(other_split)
    return found
