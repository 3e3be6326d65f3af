"""Where patches lie in an image, and how the group moves their places: cells of a grid, or a ring.

Interpolation must not tell where a patch was. If an image is resized before patches are cut from it, the new
pixels lie between the old ones in a pattern that is another one in every place, and a network can read the
place from it: on noise, with both patches of a pair from different images, one told the eight slots of a grid
apart 93 times of 100. So patches of the grid are cut in whole pixels and then resized, each in the same way,
and shifts on the ring are so large that the pattern is another one every time.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from eqssl.config.label_tasks import PatchSettings
from eqssl.pretexts.labels.patches import cut, draw_shifts, middle_of, resized, standardised
from eqssl.pretexts.labels.whole_pixels import whole_pixels
from eqssl.symmetry import Group, GSet, grid_slots

STEPS = 8
"""Places of the ring, 45 degrees apart."""
FREE_RADII = (0.6098, 1.1166, 1.6192, 2.1205)
"""Radii in pixels of the discs of shifts that interpolation tells nothing of: zeros of J1 over 2 pi."""


class Layout(ABC):
    """Patches of an image and their places.

    Args:
        G: the group.
        settings: sizes of cells and patches.
        image_side: side of the images in pixels.

    Attributes:
        slots: the places of all patches, moved as the group moves the image.
        side: side in pixels of what patches are cut from.
        size: side of a patch there.
        tells_places: whether interpolation may tell where a patch was.
    """

    slots: GSet
    side: int
    size: int
    tells_places: bool = False

    def __init__(self, G: Group, settings: PatchSettings, image_side: int) -> None:
        self.group, self.settings, self.image_side = G, settings, image_side

    @abstractmethod
    def canvas(
        self, images: Float[Tensor, "batch channel side side"]
    ) -> Float[Tensor, "batch channel canvas canvas"]:
        """What patches are cut from."""

    @abstractmethod
    def places(self, like: Tensor) -> Float[Tensor, "slots 2"]:
        """Centres (down, right) of the unshifted patches, measured from the image's centre, in pixels.

        Args:
            like: a tensor that has the type and the device of the result.
        """

    @abstractmethod
    def draw_shifts(self, batch: int, generator: torch.Generator) -> Shaped[Tensor, "batch slots 2"]:
        """Random shifts (down, right) of all patches, in pixels."""

    @abstractmethod
    def turned_shifts(
        self, shifts: Shaped[Tensor, "batch slots 2"], element: Any
    ) -> Shaped[Tensor, "batch slots 2"]:
        """Each shift turned as the pixels are."""

    @abstractmethod
    def patches(
        self, images: Float[Tensor, "batch channel side side"], shifts: Shaped[Tensor, "batch slots 2"]
    ) -> Float[Tensor, "batch slots channel patch patch"]:
        """All patches of each image, each with mean 0 and variance 1."""

    def act_on_shifts(
        self, shifts: Shaped[Tensor, "batch slots 2"], element: Any
    ) -> Shaped[Tensor, "batch slots 2"]:
        """The shifts of the turned image: each goes to its slot's new place and turns as the pixels do."""
        moved = torch.empty_like(shifts)
        moved[:, self.slots.permutation(element)] = self.turned_shifts(shifts, element)
        return moved


class Grid(Layout):
    """One patch in each cell of a square grid, in rows; exact for the groups of the pixel grid.

    The settings give sizes relative to each other. In the image they are whole pixels
    (`eqssl.pretexts.labels.whole_pixels`), so that a patch is cut without interpolation.

    Args:
        G: the group.
        settings: sizes of cells and patches.
        image_side: side of the images in pixels.
        cells: number of cells along a side.

    Raises:
        ValueError: the images are too small for so many patches.
    """

    def __init__(self, G: Group, settings: PatchSettings, image_side: int, cells: int) -> None:
        super().__init__(G, settings, image_side)
        self.cells, self.side = cells, image_side
        self.apart, self.size, self.jitter = whole_pixels(settings, cells, image_side)
        self.slots = grid_slots(G, cells, [(row, column) for row in range(cells) for column in range(cells)])

    def places(self, like: Tensor) -> Float[Tensor, "slots 2"]:
        """The centres of the cells."""
        cells = torch.arange(self.cells, dtype=like.dtype, device=like.device) - (self.cells - 1) / 2
        return torch.cartesian_prod(cells, cells) * self.apart

    def canvas(
        self, images: Float[Tensor, "batch channel side side"]
    ) -> Float[Tensor, "batch channel side side"]:
        """The images themselves."""
        return images

    def draw_shifts(self, batch: int, generator: torch.Generator) -> Shaped[Tensor, "batch slots 2"]:
        """Whole pixels of the image, each way up to `jitter`."""
        return draw_shifts(batch, len(self.slots), self.jitter, generator)

    def turned_shifts(
        self, shifts: Shaped[Tensor, "batch slots 2"], element: Any
    ) -> Shaped[Tensor, "batch slots 2"]:
        """Shifts by whole pixels stay shifts by whole pixels."""
        return self.group.act_on_vectors(shifts, element)

    def patches(
        self, images: Float[Tensor, "batch channel side side"], shifts: Shaped[Tensor, "batch slots 2"]
    ) -> Float[Tensor, "batch slots channel patch patch"]:
        """Square patches of whole pixels, each resized in the same way."""
        corners = self.places(images) + (self.side - self.size) / 2
        found = cut(images, corners.to(shifts.dtype) + shifts, self.size)
        return standardised(resized(found, self.settings.patch))


class Ring(Layout):
    """Eight patches on a ring about the centre, 45 degrees apart, counter-clockwise, and the centre's own.

    The patches are discs, sampled between pixels (bilinear), so that they keep their shape under any turn.
    The layout is exact for elements that map the pixel grid to itself, and for others up to interpolation.

    Shifts are uniform in a disc of radius `radius`. The pattern of interpolation repeats with the pixels it
    interpolates between, so what it tells of a place is in the Fourier coefficients of the shifts at whole
    periods for each pixel. That of one period, 2 J1(2 pi R) / (2 pi R) for a radius of R pixels, is zero at
    R = 0.61 and 1.12. The radius is the largest of such radii within `jitter`, and at least the first, if
    neighbours do not overlap then. On small images they would, and the radius is as large as it can be.
    """

    centre = STEPS

    def __init__(self, G: Group, settings: PatchSettings, image_side: int) -> None:
        super().__init__(G, settings, image_side)
        self.side, self.size = 3 * settings.cell, settings.patch
        self.inner = image_side - 2 * int(settings.margin * image_side)
        self.enlarges = self.inner <= self.side
        self.slots = GSet.from_function(G, range(STEPS + 1), lambda g, slot: _moved_slot(G, g, slot))
        # on the canvas, the distance of the pixels that are interpolated between
        pixel = self.side / self.inner if self.enlarges else 1.0
        radii = [radius * pixel for radius in FREE_RADII]
        wanted = max(radius for radius in radii if radius <= max(settings.jitter, radii[0]))
        room = (2 * settings.cell * math.sin(math.pi / STEPS) - settings.patch) / 2
        self.radius = min(wanted, room)
        self.tells_places = wanted > room

    def places(self, like: Tensor) -> Float[Tensor, "slots 2"]:
        """The places of the ring, then the centre."""
        angle = torch.arange(STEPS, dtype=like.dtype, device=like.device) * (2 * math.pi / STEPS)
        ring = torch.stack([-angle.sin(), angle.cos()], -1) * self.settings.cell
        return F.pad(ring, (0, 0, 0, 1))

    def canvas(
        self, images: Float[Tensor, "batch channel side side"]
    ) -> Float[Tensor, "batch channel canvas canvas"]:
        """The images without their margin, resized to three cells along a side."""
        return middle_of(images, self.settings.margin, self.side)

    def draw_shifts(self, batch: int, generator: torch.Generator) -> Shaped[Tensor, "batch slots 2"]:
        """Uniform in the disc of radius `radius`, which no turn changes."""
        shape, device = (batch, STEPS + 1), generator.device
        radius = self.radius * torch.rand(shape, generator=generator, device=device).sqrt()
        angle = 2 * math.pi * torch.rand(shape, generator=generator, device=device)
        return torch.stack([radius * angle.sin(), radius * angle.cos()], -1)

    def turned_shifts(
        self, shifts: Shaped[Tensor, "batch slots 2"], element: Any
    ) -> Shaped[Tensor, "batch slots 2"]:
        """Turned by the element's matrix, which acts on (right, up)."""
        (a, b), (c, d) = self.group.matrix(element).tolist()
        up, right = -shifts[..., 0], shifts[..., 1]
        return torch.stack([-(c * right + d * up), a * right + b * up], -1)

    def patches(
        self, images: Float[Tensor, "batch channel side side"], shifts: Shaped[Tensor, "batch slots 2"]
    ) -> Float[Tensor, "batch slots channel patch patch"]:
        """Discs in squares of zeros."""
        size = self.size
        # interpolated once: where the image would be enlarged first, patches are taken from the image itself
        source = images if self.enlarges else self.canvas(images)
        unit = 2 / self.side * (self.inner / self.image_side if self.enlarges else 1)
        offset = torch.arange(size, dtype=source.dtype, device=source.device) - (size - 1) / 2
        places = shifts.to(source.dtype) + self.places(source)
        window = torch.stack(torch.meshgrid(offset, offset, indexing="xy"), -1)  # (right, down) of each pixel
        # all patches of an image below each other, in units in which the source reaches from -1 to 1
        where = (places.flip(-1)[:, :, None, None] + window).flatten(1, 2) * unit
        found = F.grid_sample(source, where, mode="bilinear", padding_mode="zeros", align_corners=False)
        patches = found.unflatten(2, (STEPS + 1, size)).transpose(1, 2)
        inside = offset.square() + offset[:, None].square() <= (size / 2) ** 2
        return standardised(patches, inside)


def _moved_slot(G: Group, element: Any, slot: int) -> int:
    """Where an element sends a place of the ring; the centre stays."""
    if slot == STEPS:
        return slot
    angle = 2 * math.pi * slot / STEPS
    x, y = G.matrix(element) @ (math.cos(angle), math.sin(angle))
    return round(math.atan2(y, x) * STEPS / (2 * math.pi)) % STEPS
