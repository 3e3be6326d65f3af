"""Whether an encoder was made for the images of some shards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from eqssl.data.shards.index import INDEX_FILE, ShardIndex
from eqssl.machine.records import Record

if TYPE_CHECKING:
    from eqssl.encoders import Encoder


def check_belongs(network: Encoder, record: Record, index: ShardIndex) -> None:
    """Refuse an encoder of other images.

    Args:
        network: the encoder.
        record: its encoder.json.
        index: index of the shards.

    Raises:
        ValueError: names the file, the key and both values.
    """
    shape = network.shape
    pairs = {
        "image_shape": (shape.image, index.image_shape),
        "data": (record.values["data"], index.digest),
        "mean": (shape.mean, index.mean),
        "std": (shape.std, index.std),
        "mask": (shape.mask, index.mask),
    }
    for key, (expected, given) in pairs.items():
        if expected != given:
            texts = (json.dumps(expected), json.dumps(given))
            where = index.folder / INDEX_FILE
            raise ValueError(f"{record.path}: {key}: {texts[0]}, but {where} has {texts[1]}")
