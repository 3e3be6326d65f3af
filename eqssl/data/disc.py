"""The disc inscribed in a square image: the part that stays in the image when it is turned."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Bool


@lru_cache(maxsize=32)
def disc(size: int) -> Bool[np.ndarray, "size size"]:
    """Mask of the pixels inside: (r - m)^2 + (c - m)^2 <= (size / 2)^2 with m = (size - 1) / 2.

    The array is shared and read-only.
    """
    distance = np.arange(size) - (size - 1) / 2
    mask: Bool[np.ndarray, "size size"] = np.add.outer(distance**2, distance**2) <= (size / 2) ** 2
    mask.flags.writeable = False
    return mask
