"""One fixed angle for each image of a turned data set, and the turn itself."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import UInt8

from eqssl.data.sources.base import SourceSplit

# One stream of random numbers for each split, so that training and test image 7 are turned differently.
_SALT: dict[SourceSplit, int] = {"train": 20260101, "test": 20260102}


def stored_angle(split: SourceSplit, index: int) -> float:
    """The angle in degrees, uniform in [0, 360), of the image with this number in its split.

    It depends on nothing else: not on the other images, their number or their order.
    """
    return 360.0 * float(np.random.Generator(np.random.Philox(key=[_SALT[split], index])).random())


def turned(image: UInt8[np.ndarray, "s s c"], degrees: float) -> UInt8[np.ndarray, "s s c"]:
    """Turn a square image counter-clockwise about its centre; bilinear, zeros outside."""
    # loading it takes a second, and whoever only reads shards turns nothing
    from scipy.ndimage import affine_transform

    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # maps (row, column) of the result, from the centre, to the place in the given image; rows point down
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    centre = np.full(2, (len(image) - 1) / 2)
    result = np.empty_like(image)
    for channel in range(image.shape[2]):
        values = affine_transform(
            image[:, :, channel].astype(np.float64),
            matrix,
            offset=centre - matrix @ centre,
            order=1,
            mode="grid-constant",
        )
        result[:, :, channel] = np.rint(values)
    return result
