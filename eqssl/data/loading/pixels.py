"""From the file of a stored image to its pixels, to tensors, and to the values that the views take."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eqssl.data.images import stored_image


def decode_into(content: bytes, place: np.ndarray[Any, Any]) -> None:
    """Decode an image file into an array of shape (c, h, w).

    `stored_image` is the only decoder, so the pixels depend neither on how images are read nor on what else
    is installed.

    Raises:
        ValueError: with the reason, also if the image has another shape or type; the caller adds the key.
    """
    place[...] = stored_image(content, place.shape, place.dtype.name).transpose(2, 0, 1)


def shared_tensor(images: np.ndarray[Any, Any]) -> Tensor:
    """A tensor that shares the memory of stored images: uint8, or int16 with the bits of uint16.

    torch has no more than a few operations on uint16. If the array is read-only, never write to the tensor.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(images if images.dtype == np.uint8 else images.view(np.int16))


def pixel_values(stored: Tensor) -> Tensor:
    """The values of stored images, from 0 to 255.

    Args:
        stored: what `shared_tensor` gives, on any device.

    Returns:
        uint8 as it is; 16 bits as float32, divided by 257, so that the largest value is 255 in both.
    """
    if stored.dtype == torch.uint8:
        return stored
    return (stored.int() & 0xFFFF).float() / 257
