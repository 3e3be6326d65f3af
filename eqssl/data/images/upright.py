"""Turning an image upright, as the orientation that its camera wrote into the file says."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped

from eqssl.data.images.pixels import Decoded


def upright(image: Shaped[np.ndarray, "h w *more"], orientation: int) -> Shaped[np.ndarray, "a b *more"]:
    """An image as it is meant to be seen.

    Args:
        image: rows, columns and anything more.
        orientation: the value of the EXIF or TIFF tag, 1 to 8; any other means nothing, as in every viewer.
    """
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image


def turned_upright(decoded: Decoded, orientation: int) -> Decoded:
    """An image and its alpha as they are meant to be seen."""
    if orientation == 1:
        return decoded
    pixels, alpha = decoded
    return Decoded(
        np.ascontiguousarray(upright(pixels, orientation)),
        None if alpha is None else np.ascontiguousarray(upright(alpha, orientation)),
    )
