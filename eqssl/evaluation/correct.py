"""correct.parquet: which test images the probes of a cell classified correctly, for paired comparisons.

One row for each labelled test image. A column for each accuracy of metrics.json holds how many of its probes
(one for each draw of the labels) were right. Two cells of one data set have the same rows, so their
accuracies can be compared image by image.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float, UInt8

from eqssl.machine.files import atomic

NAME = "correct.parquet"
DRAWS = b"eqssl.draws"
MOST_DRAWS = 255


@dataclass(frozen=True)
class CorrectTable:
    """What correct.parquet says.

    Attributes:
        path: the file.
        keys: keys of the labelled test images.
        counts: metric -> how many probes were right about each image.
        draws: metric -> how many probes there are.
    """

    path: Path
    keys: list[str]
    counts: dict[str, UInt8[np.ndarray, " images"]]
    draws: dict[str, int]

    def shares(self, metric: str) -> Float[np.ndarray, " images"]:
        """Share of the probes that were right about each image; their mean is the accuracy."""
        return self.counts[metric] / self.draws[metric]


def digest_of_keys(keys: Sequence[str]) -> str:
    """SHA-256 of keys in their order, one a line: whether two cells have the same test images."""
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


def write_correct(
    path: str | Path, keys: Sequence[str], correct: Mapping[str, Bool[np.ndarray, "draws images"]]
) -> None:
    """Write the file atomically.

    Args:
        path: the file.
        keys: keys of the labelled test images, in order.
        correct: metric -> whether each draw's probe was right about each image; at most 255 draws.
    """
    columns = {metric: values.sum(axis=0, dtype=np.uint8) for metric, values in correct.items()}
    draws = {metric: len(values) for metric, values in correct.items()}
    fields = [pa.field("key", pa.string(), nullable=False)]
    fields += [pa.field(metric, pa.uint8(), nullable=False) for metric in columns]
    schema = pa.schema(fields, metadata={DRAWS: json.dumps(draws)})
    table = pa.table([pa.array(keys, pa.string()), *map(pa.array, columns.values())], schema=schema)
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_correct(path: str | Path) -> CorrectTable:
    """Read the file.

    Raises:
        ValueError: it is damaged or is another file; names the file, the column and the reason.
        OSError: it cannot be read.
    """
    path = Path(path)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        draws = json.loads((table.schema.metadata or {}).get(DRAWS, b"null"))
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path}: damaged: {str(error).splitlines()[0]}") from None
    names = table.schema.names
    if not isinstance(draws, dict) or names != ["key", *draws]:
        raise ValueError(f"{path}: columns: are not those of a file of correct predictions")
    counts = {metric: _counts(path, metric, table.column(metric), draws[metric]) for metric in draws}
    return CorrectTable(path, table.column("key").to_pylist(), counts, draws)


def _counts(path: Path, metric: str, column: pa.ChunkedArray, draws: object) -> UInt8[np.ndarray, " images"]:
    """A column, after checking its type and range."""
    if column.type != pa.uint8() or column.null_count or not isinstance(draws, int):
        raise ValueError(f"{path}: column {metric}: is {column.type}, should be whole numbers without gaps")
    counts: UInt8[np.ndarray, " images"] = column.to_numpy()
    if not 1 <= draws <= MOST_DRAWS or (counts > draws).any():
        raise ValueError(f"{path}: column {metric}: has numbers above the {draws} probes that it states")
    return counts
