"""The columns of the file: texts that describe an image, and its features."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from eqssl.data.loading.pixels import pixel_values, shared_tensor
from eqssl.data.views.normalise import normalise
from eqssl.evaluation.embed.forming import Formed
from eqssl.evaluation.embed.reading import TEXTS
from eqssl.evaluation.feature_columns import Features, feature_array, feature_columns, feature_field

if TYPE_CHECKING:
    from eqssl.encoders import Encoder

METADATA = "eqssl.embedding"
"""Key of the metadata: encoder, settings, origin and code, as JSON."""


class Wanted(NamedTuple):
    """Which features are written.

    Attributes:
        stages: of how many stages, from the last one back.
        regular: whether the regular ones are, beside the invariant ones.
    """

    stages: int = 1
    regular: bool = False


def schema_of(widths: Mapping[str, int], splits: bool, about: Mapping[str, Any]) -> pa.Schema:
    """The columns of the file.

    Args:
        widths: numbers per row of each feature column.
        splits: whether there is a column of splits.
        about: the metadata.
    """
    texts = [name for name in TEXTS if splits or name != "split"]
    fields = [pa.field(name, pa.string(), nullable=name != "key") for name in texts]
    fields += [feature_field(name, width) for name, width in widths.items()]
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
    columns += [feature_array(values, schema.field(name)) for name, values in features.items()]
    return pa.record_batch(columns, schema=schema)


def widths_of(network: Encoder, blank: Tensor, wanted: Wanted) -> dict[str, int]:
    """Numbers per row of each feature column.

    Args:
        network: the encoder.
        blank: an image.
        wanted: which features.

    Raises:
        ValueError: the encoder has fewer stages.
    """
    most = len(network.stages(blank))
    if not 1 <= wanted.stages <= most:
        raise ValueError(f"--stages: given {wanted.stages}, allowed: 1 to {most}, those of the encoder")
    return {name: values.shape[1] for name, values in feature_columns(network, blank, *wanted).items()}


def normalised(network: Encoder, images: Sequence[Formed], place: torch.device) -> Tensor:
    """A batch of images, normalised as in the training."""
    pixels = np.ascontiguousarray(np.stack([image.pixels for image in images]).transpose(0, 3, 1, 2))
    values = pixel_values(shared_tensor(pixels).to(place))
    if values.is_floating_point():
        values = values / 255
    return normalise(values, network.mean, network.std)
