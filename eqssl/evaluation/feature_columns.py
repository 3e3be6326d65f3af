"""The feature columns of a Parquet file: what each holds, and how it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

if TYPE_CHECKING:  # the report reads feature files without torch
    from torch import Tensor

    from eqssl.encoders import Encoder

ROW_GROUP = 4096
"""Most rows of a row group."""
_GROUP_BYTES = 2**25
Features = Float[np.ndarray, "rows width"]


def feature_columns(
    network: Encoder, images: Float[Tensor, "n c s s"], stages: int, regular: bool = True
) -> dict[str, Features]:
    """The feature columns of a batch: those of the last stages, the last one first.

    Columns are `invariant`, (n, fields), and `regular`, (n, fields * order), then `invariant_2` and
    `regular_2` of the stage before, and so on.

    Args:
        network: the encoder.
        images: normalised.
        stages: how many.
        regular: whether the regular ones are wanted, beside the invariant ones.
    """
    columns = {}
    for number, values in enumerate(reversed(network.stages(images)[-stages:]), start=1):
        suffix = "" if number == 1 else f"_{number}"
        columns[f"invariant{suffix}"] = network.pool(values).float().cpu().numpy()
        if regular:
            columns[f"regular{suffix}"] = values.flatten(1).float().cpu().numpy()
    return columns


def feature_field(name: str, width: int) -> pa.Field:
    """A column of lists of that many float32, in which nothing is null."""
    number = pa.field("element", pa.float32(), nullable=False)
    return pa.field(name, pa.list_(number, width), nullable=False)


def feature_array(values: Features, field: pa.Field) -> pa.Array:
    """Features as values of such a column."""
    numbers = np.ascontiguousarray(values, np.float32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers), type=field.type)


def rows_of_group(widths: Sequence[int]) -> int:
    """Rows of a row group: 4,096, or fewer if they had more than 32 MiB.

    Args:
        widths: numbers per row of each feature column.
    """
    return max(1, min(ROW_GROUP, _GROUP_BYTES // (4 * sum(widths))))


def parquet_writer(path: Path, schema: pa.Schema, categories: Sequence[str]) -> pq.ParquetWriter:
    """Opens a Parquet file for such columns.

    Args:
        path: the file.
        schema: its columns.
        categories: those with few different values, which are stored as a dictionary. Of floats, it would
            take precedence over the byte-stream split.
    """
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=list(categories),
        use_byte_stream_split=[
            f"{field.name}.list.element" for field in schema if pa.types.is_fixed_size_list(field.type)
        ],
        write_page_checksum=True,
    )
