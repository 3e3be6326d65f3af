"""The columns of the file: texts that describe an image, and its features."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.data.loading.pixels import pixel_values, shared_tensor
from eqssl.data.views.normalise import normalise
from eqssl.evaluation.embed.forming import Formed
from eqssl.evaluation.embed.reading import TEXTS

if TYPE_CHECKING:
    from eqssl.encoders import Encoder

METADATA = "eqssl.embedding"
"""Key of the metadata: encoder, settings, origin and code, as JSON."""
Features = Float[np.ndarray, "rows width"]


class Wanted(NamedTuple):
    """Which features are written.

    Attributes:
        regular: whether the regular ones are, beside the invariant ones.
        stages: of how many stages, from the last one back.
    """

    regular: bool = False
    stages: int = 1


def schema_of(widths: Mapping[str, int], splits: bool, about: Mapping[str, Any]) -> pa.Schema:
    """The columns of the file.

    Args:
        widths: numbers per row of each feature column.
        splits: whether there is a column of splits.
        about: the metadata.
    """
    texts = [name for name in TEXTS if splits or name != "split"]
    fields = [pa.field(name, pa.string(), nullable=name != "key") for name in texts]
    number = pa.field("element", pa.float32(), nullable=False)
    fields += [pa.field(name, pa.list_(number, width), nullable=False) for name, width in widths.items()]
    return pa.schema(fields, {METADATA: json.dumps(about, sort_keys=True)})


def rows_of(
    schema: pa.Schema, texts: Sequence[tuple[str | None, ...]], features: Mapping[str, Features]
) -> pa.RecordBatch:
    """Rows of the file.

    Args:
        schema: its columns.
        texts: of each image, in the order of `TEXTS`.
        features: the feature columns.
    """
    described = dict(zip(TEXTS, zip(*texts, strict=True), strict=True))
    columns = [pa.array(described[name], pa.string()) for name in schema.names if name in described]
    for name, values in features.items():
        flat, kind = pa.array(values.reshape(-1)), schema.field(name).type
        columns.append(pa.FixedSizeListArray.from_arrays(flat, type=kind))
    return pa.record_batch(columns, schema=schema)


def features_of(network: Encoder, images: Tensor, wanted: Wanted) -> dict[str, Features]:
    """The feature columns of normalised images, the last stage first.

    Raises:
        ValueError: the encoder has fewer stages.
    """
    stages = network.stages(images)
    if not 1 <= wanted.stages <= len(stages):
        allowed = f"1 to {len(stages)}, those of the encoder"
        raise ValueError(f"--stages: given {wanted.stages}, allowed: {allowed}")
    columns = {}
    for number, regular in enumerate(reversed(stages[-wanted.stages :]), start=1):
        suffix = "" if number == 1 else f"_{number}"
        columns[f"invariant{suffix}"] = network.pool(regular).float().cpu().numpy()
        if wanted.regular:
            columns[f"regular{suffix}"] = regular.flatten(1).float().cpu().numpy()
    return columns


def normalised(network: Encoder, images: Sequence[Formed], place: torch.device) -> Tensor:
    """A batch of images, normalised as in the training."""
    pixels = np.ascontiguousarray(np.stack([image.pixels for image in images]).transpose(0, 3, 1, 2))
    values = pixel_values(shared_tensor(pixels).to(place))
    if values.is_floating_point():
        values = values / 255
    return normalise(values, network.mean, network.std)
