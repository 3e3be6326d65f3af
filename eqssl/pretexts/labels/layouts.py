"""Where patches lie in an image, and how the group moves their places: cells of a grid, or a ring."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from eqssl.config.label_tasks import PatchSettings
from eqssl.pretexts.labels.patches import cut, draw_shifts, middle_of, standardised
from eqssl.symmetry import Group, GSet, grid_slots

STEPS = 8
"""Places of the ring, 45 degrees apart."""


class Layout(ABC):
    """Patches of an image and their places.

    Args:
        G: the group.
        settings: sizes of cells and patches.

    Attributes:
        slots: the places of all patches, moved as the group moves the image.
        side: side in pixels to which an image is resized before patches are cut from it.
    """

    slots: GSet
    side: int

    def __init__(self, G: Group, settings: PatchSettings) -> None:
        self.group, self.settings = G, settings

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

    Args:
        G: the group.
        settings: sizes of cells and patches.
        cells: number of cells along a side.
    """

    def __init__(self, G: Group, settings: PatchSettings, cells: int) -> None:
        super().__init__(G, settings)
        self.cells, self.side = cells, cells * settings.cell
        self.slots = grid_slots(G, cells, [(row, column) for row in range(cells) for column in range(cells)])

    def places(self, like: Tensor) -> Float[Tensor, "slots 2"]:
        """The centres of the cells."""
        cells = torch.arange(self.cells, dtype=like.dtype, device=like.device) - (self.cells - 1) / 2
        return torch.cartesian_prod(cells, cells) * self.settings.cell

    def draw_shifts(self, batch: int, generator: torch.Generator) -> Shaped[Tensor, "batch slots 2"]:
        """Whole pixels, each way up to `jitter`."""
        return draw_shifts(batch, len(self.slots), self.settings.jitter, generator)

    def turned_shifts(
        self, shifts: Shaped[Tensor, "batch slots 2"], element: Any
    ) -> Shaped[Tensor, "batch slots 2"]:
        """Shifts by whole pixels stay shifts by whole pixels."""
        return self.group.act_on_vectors(shifts, element)

    def patches(
        self, images: Float[Tensor, "batch channel side side"], shifts: Shaped[Tensor, "batch slots 2"]
    ) -> Float[Tensor, "batch slots channel patch patch"]:
        """Square patches."""
        grid = middle_of(images, self.settings.margin, self.side)
        size = self.settings.patch
        corners = self.places(grid) + (self.side - size) / 2
        return standardised(cut(grid, corners.to(shifts.dtype) + shifts, size))


class Ring(Layout):
    """Eight patches on a ring about the centre, 45 degrees apart, counter-clockwise, and the centre's own.

    The patches are discs, sampled between pixels (bilinear), so that they keep their shape under any turn.
    The layout is exact for elements that map the pixel grid to itself, and for others up to interpolation.
    """

    centre = STEPS

    def __init__(self, G: Group, settings: PatchSettings) -> None:
        super().__init__(G, settings)
        self.side = 3 * settings.cell
        self.slots = GSet.from_function(G, range(STEPS + 1), lambda g, slot: _moved_slot(G, g, slot))

    def places(self, like: Tensor) -> Float[Tensor, "slots 2"]:
        """The places of the ring, then the centre."""
        angle = torch.arange(STEPS, dtype=like.dtype, device=like.device) * (2 * math.pi / STEPS)
        ring = torch.stack([-angle.sin(), angle.cos()], -1) * self.settings.cell
        return F.pad(ring, (0, 0, 0, 1))

    def draw_shifts(self, batch: int, generator: torch.Generator) -> Shaped[Tensor, "batch slots 2"]:
        """Uniform in the disc of radius `jitter`, which no turn changes."""
        shape, device = (batch, STEPS + 1), generator.device
        radius = self.settings.jitter * torch.rand(shape, generator=generator, device=device).sqrt()
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
        side, size = self.side, self.settings.patch
        canvas = middle_of(images, self.settings.margin, side)
        offset = torch.arange(size, dtype=canvas.dtype, device=canvas.device) - (size - 1) / 2
        places = shifts.to(canvas.dtype) + self.places(canvas)
        window = torch.stack(torch.meshgrid(offset, offset, indexing="xy"), -1)  # (right, down) of each pixel
        # all patches of an image below each other, in units in which the canvas reaches from -1 to 1
        where = (places.flip(-1)[:, :, None, None] + window).flatten(1, 2) * (2 / side)
        found = F.grid_sample(canvas, where, mode="bilinear", padding_mode="zeros", align_corners=False)
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
