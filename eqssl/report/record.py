"""Provenance of the numbers: versions, machine, data and settings, read from the details of the cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eqssl.config.plain import flat
from eqssl.config.settings import digest
from eqssl.machine.tracing.tables import section
from eqssl.report.cells import MISSING, Cell

# Not in the list of settings, because it is elsewhere in the report or differs in every cell.
_PER_CELL = {"dataset", "group", "pretext", "seed", "task", "data"}
CELL_COLUMNS = ("settings", "weights", "device", "precision", "images / s", "final loss")


@dataclass(frozen=True)
class Fact:
    """A recorded value: one text if all cells agree, else each text with its cells."""

    name: str
    values: tuple[tuple[str, str], ...]


def facts(records: Sequence[tuple[Cell, Mapping[str, Any]]]) -> list[Fact]:
    """Each key of the records (nested keys are joined by dots) with its value or values."""
    table: dict[str, dict[str, list[Cell]]] = {}
    for cell, record in records:
        for key, value in flat(record):
            table.setdefault(key, {}).setdefault(_text(value), []).append(cell)
    everyone = len(records)
    return [
        Fact(
            key,
            tuple(
                (text, "" if len(cells) == everyone else _which(cells))
                for text, cells in sorted(texts.items())
            ),
        )
        for key, texts in table.items()
    ]


def settings_hash(cells: Sequence[Cell]) -> str:
    """A hash of the training and probe settings of all cells, whatever their order."""
    jobs = sorted((cell.name, digest([cell.job, cell.details.get("probe")])) for cell in cells)
    return digest(jobs)


def versions(cells: Sequence[Cell]) -> list[Fact]:
    """Versions of the software, and the machine on which the probes ran."""
    return facts([(cell, section(cell.details, "versions")) for cell in cells])


def training_settings(cells: Sequence[Cell]) -> list[Fact]:
    """The settings of the training jobs."""
    return facts(
        [(cell, {k: v for k, v in cell.job.items() if k not in _PER_CELL}) for cell in cells if cell.job]
    )


def task_settings(cells: Sequence[Cell]) -> list[Fact]:
    """The settings of each pretext, by its name in `pretexts`."""
    tasks = {cell.pretext: section(cell.job, "task") for cell in cells if cell.job}
    return [
        Fact(pretext, ((", ".join(f"{key}: {_text(value)}" for key, value in flat(task)), ""),))
        for pretext, task in tasks.items()
    ]


def probe_settings(cells: Sequence[Cell]) -> list[Fact]:
    """The settings of the probes."""
    return facts([(cell, section(cell.details, "probe")) for cell in cells if "probe" in cell.details])


def data_facts(cells: Sequence[Cell]) -> list[Fact]:
    """Digest of the index of the shards, shape, mask, licence and origin of images, if they were recorded."""
    records = []
    for cell in cells:
        encoder = section(cell.details, "encoder")
        keys = {"digest of index.json": "data", "image shape": "image_shape", "mask": "mask"}
        record = {name: encoder.get(key) for name, key in keys.items()}
        record |= {key: value for key, value in section(cell.details, "data").items() if key != "digest"}
        records.append((cell, {key: value for key, value in record.items() if value is not None}))
    return facts(records)


def data_digests(cells: Sequence[Cell]) -> list[str]:
    """The different data digests of the cells."""
    return sorted({str(text) for cell in cells if (text := section(cell.details, "encoder").get("data"))})


def code_versions(cells: Sequence[Cell]) -> list[str]:
    """The different combinations of eqssl version, git commit and code digest among the cells."""
    found = set()
    for cell in cells:
        made = section(cell.details, "versions")
        names = {"commit": str(made.get("commit") or "")[:12], "code": made.get("code")}
        extra = ", ".join(f"{name} {text}" for name, text in names.items() if text)
        title = f"eqssl {made['eqssl']}" if made.get("eqssl") else "eqssl"
        if extra or made.get("eqssl"):
            found.add(f"{title} ({extra})" if extra else title)
    return sorted(found)


def classes(cells: Sequence[Cell]) -> int | None:
    """The number of classes; None if it is unknown or differs between cells."""
    counts = {cell.classes for cell in cells}
    return counts.pop() if len(counts) == 1 else None


def cell_texts(cell: Cell) -> list[str]:
    """The texts of a cell for `CELL_COLUMNS`."""
    encoder, pretrain = section(cell.details, "encoder"), section(cell.details, "pretrain")
    loss = pretrain.get("final_loss")
    return [
        digest(cell.job) if cell.job else MISSING,
        str(encoder.get("weights_sha256") or MISSING)[:12],
        str(pretrain.get("device") or MISSING),
        str(pretrain.get("precision") or MISSING),
        _number(pretrain.get("images_per_second"), ",.0f"),
        MISSING if loss is None else _number(loss, ".4g"),
    ]


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else MISSING


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return str(value)


def _which(cells: Sequence[Cell]) -> str:
    """The cells in a few words: how many they are, and of which pretexts."""
    pretexts = sorted({cell.pretext for cell in cells})
    return f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'}: {', '.join(pretexts)}"
