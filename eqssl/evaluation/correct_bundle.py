"""Which test images were right, for many cells in one file: what is published beside a grid.csv."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from eqssl.config.grid import IDENTITY, Cell
from eqssl.evaluation.correct import MOST_DRAWS, CorrectTable
from eqssl.machine.files import atomic

Shares: TypeAlias = Mapping[str, Float[np.ndarray, " images"]]
"""Metric -> share of the probes that were right about each image."""

SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("pretext", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("draws", pa.uint8(), nullable=False),
        pa.field("counts", pa.list_(pa.field("element", pa.uint8(), nullable=False)), nullable=False),
    ]
)


def write_bundle(path: str | Path, tables: Mapping[Cell, CorrectTable], metrics: tuple[str, ...]) -> None:
    """Write one row for each cell and metric.

    Args:
        path: the file.
        tables: correct.parquet of each cell.
        metrics: which of its columns are kept; a cell need not have all of them.

    Raises:
        ValueError: cells of one data set have other test images; names both files.
    """
    _check_same_images(tables)
    rows = [
        {**cell.plain(), "metric": metric, "draws": table.draws[metric], "counts": table.counts[metric]}
        for cell, table in tables.items()
        for metric in metrics
        if metric in table.counts
    ]
    with atomic(path) as temporary:
        found = pa.Table.from_pylist(rows, schema=SCHEMA)
        pq.write_table(found, temporary, compression="zstd", compression_level=19, write_page_checksum=True)


def read_bundle(path: str | Path) -> dict[Cell, dict[str, Float[np.ndarray, " images"]]]:
    """Read the file.

    Raises:
        ValueError: it is damaged, is another file, or cells of a data set have different numbers of images.
        OSError: it cannot be read.
    """
    path = Path(path)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: damaged: {str(error).splitlines()[0]}") from None
    if not table.schema.equals(SCHEMA):
        raise ValueError(f"{path}: columns: are not those of a bundle of correct predictions")
    found: dict[Cell, dict[str, Float[np.ndarray, " images"]]] = {}
    images: dict[str, int] = {}
    for batch in table.to_batches():
        columns = [batch.column(name).to_pylist() for name in (*IDENTITY, "metric", "draws")]
        for row, (dataset, group, pretext, seed, metric, draws) in enumerate(zip(*columns, strict=True)):
            cell = Cell.read({"dataset": dataset, "group": group, "pretext": pretext, "seed": seed})
            counts = batch.column("counts")[row].values.to_numpy()
            if not 1 <= draws <= MOST_DRAWS or len(counts) != images.setdefault(dataset, len(counts)):
                raise ValueError(f"{path}: {cell}: {metric}: has {len(counts)} images and {draws} probes")
            if (counts > draws).any():
                raise ValueError(f"{path}: {cell}: {metric}: has numbers above the {draws} probes")
            found.setdefault(cell, {})[metric] = counts / draws
    return found


def _check_same_images(tables: Mapping[Cell, CorrectTable]) -> None:
    first: dict[str, CorrectTable] = {}
    for cell, table in tables.items():
        other = first.setdefault(cell.dataset, table)
        if table.keys != other.keys:
            raise ValueError(f"{table.path}: column key: other test images than in {other.path}")
