"""Relative location as equivariant labels: which of eight neighbours of the centre is this patch?"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from pydantic import Field, model_validator
from torch import Tensor

from eqssl.nn.heads import equivariant_mlp, plain_mlp
from eqssl.pretexts.base import Pretext, TaskSettings
from eqssl.symmetry import GSet, grid_slots, group, group_names

SIDE = 3
SLOTS = [(row, column) for row in range(SIDE) for column in range(SIDE)]
CENTRE = SLOTS.index((1, 1))
OUTER = [slot for slot in SLOTS if slot != SLOTS[CENTRE]]


class RelativeLocationSettings(TaskSettings):
    """Settings of the task. Sizes are pixels of the image after it was resized to `3 * cell`.

    Attributes:
        head: `equivariant`, or `plain` for the twin without symmetry.
        margin: share of the image's side that is cut off on every side before it is resized; the corners
            of a disc would tell where a patch comes from.
        cell: side of one of the nine cells.
        patch: side of a patch; cell - patch must be even, so that the patch can lie in the cell's middle.
        jitter: largest shift of a patch from the middle of its cell, in pixels, down and right alike.
        gray: probability that an image with colours loses them; chromatic aberration tells locations.
        hidden: channels (fields x |G|) of the head's hidden layer.
    """

    head: Literal["equivariant", "plain"]
    margin: Annotated[float, Field(ge=0, lt=0.5)]
    cell: Annotated[int, Field(ge=2)]
    patch: Annotated[int, Field(ge=2)]
    jitter: Annotated[int, Field(ge=0)]
    gray: Annotated[float, Field(ge=0, le=1)]
    hidden: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        free = self.cell - self.patch
        if free < 0 or free % 2:
            raise ValueError(
                f"patch: given {self.patch} in a cell of {self.cell}, allowed: cell minus an even number"
            )
        if self.jitter > free // 2:
            raise ValueError(
                f"jitter: given {self.jitter}, allowed: at most {free // 2} (half of cell - patch)"
            )
        return self


class Task(Pretext):
    """Tell the slot of a patch beside the centre (Doersch et al. 2015, arXiv 1505.05192), equivariantly.

    The labels are the eight outer slots of a 3 x 3 grid, moved by the group as it moves the image. With
    t(x, y) the pair (centre patch, patch of slot y) of image x, and P the permutation representation:

        (A)  t(g x, g . y) = g t(x, y)          (B)  logits(g u) = P(g) logits(u)

    so the loss does not change when the image is turned (Mukuta & Harada, arXiv 2303.04427). The plain twin
    has the same encoder, corruption and widths, and a head without symmetry, which fails (B).

    Against shortcuts: a gap between patches and a shift of each (which turns with the image), loss of
    colours, and each patch standardised by itself.
    """

    Settings = RelativeLocationSettings

    @classmethod
    def refusal(cls, settings: RelativeLocationSettings, group_name: str) -> str | None:
        """Square cells have no place to go to under a turn by 45 degrees."""
        if group(group_name).is_exact:
            return None
        exact = ", ".join(group_names(exact=True))
        return (
            f"a turn off the pixel grid takes square cells to places where there are none; allowed: {exact}"
        )

    def build(
        self, settings: RelativeLocationSettings, classes: int, generator: torch.Generator | None
    ) -> None:
        """Create the labels and the head."""
        self.settings = settings
        self.labels: GSet = grid_slots(self.group, SIDE, OUTER)
        self.slots: GSet = grid_slots(self.group, SIDE, SLOTS)
        widths = [2 * self.encoder.fields, self.fields_of(settings.hidden), 1]
        if settings.head == "equivariant":
            self.head = equivariant_mlp(self.group, widths, self.labels, generator)
        else:
            self.head = plain_mlp(self.group, widths, len(self.labels), generator)

    def draw_shifts(self, batch: int, generator: torch.Generator) -> Int[Tensor, "batch slots 2"]:
        """Random shifts (down, right) of the nine patches from the middle of their cells, in pixels."""
        high = self.settings.jitter
        return torch.randint(
            -high, high + 1, (batch, len(SLOTS), 2), generator=generator, device=generator.device
        )

    def act_on_shifts(
        self, shifts: Int[Tensor, "batch slots 2"], element: Any
    ) -> Int[Tensor, "batch slots 2"]:
        """The shifts of the turned image: each goes to its slot's new place and turns as the pixels do."""
        moved = torch.empty_like(shifts)
        moved[:, self.slots.permutation(element)] = self.group.act_on_vectors(shifts, element)
        return moved

    def resized(
        self, images: Float[Tensor, "batch channel side side"]
    ) -> Float[Tensor, "batch channel grid grid"]:
        """The middle of the images, resized to the grid of cells; commutes with the group."""
        cut = int(self.settings.margin * images.shape[-1])
        middle = images[..., cut : images.shape[-2] - cut, cut : images.shape[-1] - cut]
        side = SIDE * self.settings.cell
        return F.interpolate(middle, (side, side), mode="bilinear", antialias=True, align_corners=False)

    def patches(
        self, images: Float[Tensor, "batch channel side side"], shifts: Int[Tensor, "batch slots 2"]
    ) -> Float[Tensor, "batch slots channel patch patch"]:
        """All nine patches of each image, row by row, each with mean 0 and variance 1."""
        grid = self.resized(images)
        size, cell = self.settings.patch, self.settings.cell
        # made there: tensors of Python numbers would be copied to the device, which waits for it
        place = torch.arange(SIDE, device=grid.device)
        corners = torch.cartesian_prod(place, place) * cell + (cell - size) // 2 + shifts
        inside = torch.arange(size, device=grid.device)
        rows = corners[:, :, 0, None, None, None] + inside[:, None]
        columns = corners[:, :, 1, None, None, None] + inside
        image = torch.arange(len(grid), device=grid.device).view(-1, 1, 1, 1, 1)
        channel = torch.arange(grid.shape[1], device=grid.device).view(1, 1, -1, 1, 1)
        return standardised(grid[image, channel, rows, columns])

    def corrupt(
        self,
        images: Float[Tensor, "batch channel side side"],
        labels: Int[Tensor, " batch"],
        shifts: Int[Tensor, "batch slots 2"],
    ) -> Float[Tensor, "batch 2 channel patch patch"]:
        """The pair t(x, y): the centre patch and the patch of the label's slot."""
        patches = self.patches(images, shifts)
        outer = patches[:, [i for i in range(len(SLOTS)) if i != CENTRE]]
        return torch.stack([patches[:, CENTRE], outer[torch.arange(len(images)), labels]], 1)

    def logits(self, pairs: Float[Tensor, "batch 2 channel patch patch"]) -> Float[Tensor, "batch 8"]:
        """Logits over the eight slots for pairs of patches."""
        features = self.encoder(pairs.flatten(0, 1)).unflatten(0, (-1, 2))
        scores: Tensor = self.head(features.flatten(1, 2)).squeeze(1)
        return scores

    def loss(
        self,
        images: UInt8[Tensor, "batch channel side side"],
        labels: Int[Tensor, " batch"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Cross-entropy over all eight neighbours of each image, whose centre is encoded once."""
        source = without_colours(images.float() / 255, self.settings.gray, generator)
        patches = self.patches(source, self.draw_shifts(len(images), generator))
        features = self.encoder(patches.flatten(0, 1)).unflatten(0, (len(images), -1))
        centre = features[:, CENTRE : CENTRE + 1]
        outer = torch.cat([features[:, :CENTRE], features[:, CENTRE + 1 :]], 1)
        pairs = torch.cat([centre.expand_as(outer), outer], 2)
        logits = self.head(pairs.flatten(0, 1)).squeeze(1).float()
        slots = torch.arange(len(OUTER), device=logits.device).repeat(len(images))
        accuracy = (logits.detach().argmax(1) == slots).float().mean()
        return F.cross_entropy(logits, slots), {"accuracy": accuracy}


def standardised(
    patches: Float[Tensor, "*batch channel side side"],
) -> Float[Tensor, "*batch channel side side"]:
    """Each patch with mean 0 and standard deviation 1 over its pixels and channels; a flat one becomes 0."""
    centred = patches - patches.mean((-3, -2, -1), keepdim=True)
    deviation = centred.square().mean((-3, -2, -1), keepdim=True).sqrt()
    # below one step of eight bits there is nothing but rounding
    return centred / deviation.clamp(min=1 / 255)


def without_colours(
    images: Float[Tensor, "batch channel side side"], probability: float, generator: torch.Generator
) -> Float[Tensor, "batch channel side side"]:
    """Replace all channels by their mean, for a random share of the images."""
    if images.shape[1] == 1 or probability == 0:
        return images
    drawn = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < probability
    return torch.where(drawn, images.mean(1, keepdim=True).expand_as(images), images)
