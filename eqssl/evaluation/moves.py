"""How test images are moved: each has its own element of D4 and its own angle."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from eqssl.config.masks import Mask, views_refusal
from eqssl.data.views.normalise import cut_disc
from eqssl.symmetry import group
from eqssl.symmetry.turning import turn


def draw_moves(count: int, seed: int) -> tuple[Int[np.ndarray, " count"], Float[np.ndarray, " count"]]:
    """An element of D4 (its position) and an angle in [0, 360) for each image, from seed and number.

    Image i draws from the Philox stream of key (seed, i), so the order and the number of the images do not
    matter.
    """
    elements, angles = np.empty(count, np.int64), np.empty(count, np.float32)
    for image in range(count):
        # another counter than that of the angles of stored images, which use streams of such keys too
        random = np.random.Generator(np.random.Philox(key=[seed, image], counter=[0, 0, 0, 1]))
        elements[image] = random.integers(8)
        angles[image] = 360 * random.random()
    # rounding to float32 may give 360
    return elements, np.where(angles < 360, angles, np.float32(0))


def view_of(
    images: Shaped[Tensor, "b c s s"],
    view: str,
    elements: Int[Tensor, " b"],
    angles: Float[Tensor, " b"],
    mask: Mask = "disc",
) -> Tensor:
    """A view of test images (stored, moved on the grid, or turned by an angle).

    Args:
        images: as they are loaded: uint8, or float32 in [0, 255].
        view: "stored"; "grid" (each image moved by its element of D4, exact); "angle" (each image turned
            counter-clockwise by its angle, bilinear).
        elements: positions of elements in `group("D4").elements`.
        angles: degrees.
        mask: of the data set; `disc` cuts the view to the disc.

    Returns:
        uint8; float32 in [0, 1] for "angle" and for images that are no uint8.

    Raises:
        ValueError: images without a mask are to be turned by any angle.
    """
    reason = views_refusal(mask, [view])
    if reason:
        raise ValueError(f"features.views: given {view!r} with images of mask 'none': {reason}")
    if images.is_floating_point():
        images = images / 255
    if view == "grid":
        images = group("D4").act_each(images, elements)
    elif view == "angle":
        images = turn(images if images.is_floating_point() else images.float() / 255, angles)
    return cut_disc(images) if mask == "disc" else images
