"""Settings of label tasks: one class for each."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from eqssl.config.groups import GROUPS, exact_groups
from eqssl.config.pretext_base import PretextSettings
from eqssl.config.values import Layers, Probability, Seed

RING_PLACES = 8
"""Patches on the ring of a relative location, beside the one in the centre."""


class LabelSettings(PretextSettings):
    """Settings of every label task.

    Attributes:
        head: `equivariant`, or `plain` for the twin with the same corruption and widths and no symmetry.
        hidden: channels (fields x |G|) of the head's hidden layer, or of several (at most 16), one
            after the other.
    """

    head: Literal["equivariant", "plain"]
    hidden: Layers

    @property
    def is_plain(self) -> bool | None:
        """Whether the head has no symmetry."""
        return self.head == "plain"


class TurnSettings(LabelSettings):
    """Settings of the tasks whose labels are turns.

    Attributes:
        labels: `group`: every element of the encoder's group is a label; `rotations`: the four quarter turns
            are, for every group of the pixel grid.
    """

    labels: Literal["group", "rotations"]

    def refusal(self, group: str) -> str | None:
        """A turn off the grid blurs the image, which tells it from one on the grid."""
        if group == "trivial" and self.labels == "group":
            return "there is only one label; allowed: labels: rotations, or another group"
        if GROUPS[group].is_exact:
            return None
        exact = ", ".join(exact_groups())
        return f"interpolation would tell turns off the pixel grid from others; allowed: {exact}"


class OrientationSettings(TurnSettings):
    """How was this image turned? With quarter turns on a plain encoder of the trivial group it is RotNet."""

    implementation: ClassVar[str] = "eqssl.pretexts.labels.orientation:Orientation"

    task: Literal["orientation"]


class RelativeTurnSettings(TurnSettings):
    """By which element was the second view turned against the first?"""

    implementation: ClassVar[str] = "eqssl.pretexts.labels.relative_turn:RelativeTurn"

    task: Literal["relative_turn"]


class PatchSettings(LabelSettings):
    """Settings of the tasks on patches.

    `cell`, `patch` and `jitter` are relative to each other: cells fill the image without its margin, where
    they are rounded to whole pixels (`eqssl.pretexts.labels.whole_pixels`).

    Attributes:
        margin: share of the image's side that is cut off on every side; the corners of a disc would tell
            where a patch comes from.
        cell: side of a cell of the grid.
        patch: side of a patch, and what the network sees it with in pixels; a gap between neighbours keeps
            lines from going on from one to the next.
        jitter: largest shift of a patch from the middle of its cell.
        gray: probability that all channels of an image become their mean; chromatic aberration and channels
            that do not lie exactly on each other tell locations.
    """

    margin: Annotated[float, Field(ge=0, lt=0.5)]
    cell: Annotated[int, Field(ge=2, le=4096)]
    patch: Annotated[int, Field(ge=2, le=4096)]
    jitter: Annotated[int, Field(ge=0, le=4096)]
    gray: Probability

    @model_validator(mode="after")
    def _fits(self) -> Self:
        reason = self.misfit()
        if reason:
            raise ValueError(reason)
        return self

    def misfit(self) -> str | None:
        """Why patches do not fit into the square cells of a grid; None if they do."""
        free = self.cell - self.patch
        if free < 0 or free % 2:
            return f"patch: given {self.patch} in a cell of {self.cell}, allowed: cell minus an even number"
        if self.jitter > free // 2:
            return f"jitter: given {self.jitter}, allowed: at most {free // 2} (half of cell - patch)"
        return None

    def refusal(self, group: str) -> str | None:
        """Turned by 45 degrees, the square cells of a grid have no place to go to."""
        if GROUPS[group].is_exact:
            return None
        exact = ", ".join(exact_groups())
        return (
            f"a turn off the pixel grid takes square cells to places where there are none; allowed: {exact}"
        )


class RelativeLocationSettings(PatchSettings):
    """Which of eight neighbours of the centre is this patch?

    Attributes:
        layout: `grid`: the outer cells of a 3 x 3 grid, for the groups of the pixel grid; `ring`: patches on
            a ring of radius `cell` about the centre, for every group.
    """

    implementation: ClassVar[str] = "eqssl.pretexts.labels.location:RelativeLocation"

    task: Literal["relative_location"]
    layout: Literal["grid", "ring"]

    def misfit(self) -> str | None:
        """Why the patches do not fit into the layout: on the ring neighbours would overlap."""
        if self.layout == "grid":
            return super().misfit()
        apart = 2 * self.cell * math.sin(math.pi / RING_PLACES)
        if self.patch + 2 * self.jitter <= apart:
            return None
        return (
            f"patches of {self.patch} pixels with jitter {self.jitter} overlap on a ring of radius "
            f"{self.cell} (cell), allowed: patch + 2 jitter at most {apart:.1f}"
        )

    def refusal(self, group: str) -> str | None:
        """A grid needs a group of the pixel grid."""
        reason = None if self.layout == "ring" else super().refusal(group)
        return reason and f"{reason}; or set layout: ring"


class JigsawSettings(PatchSettings):
    """Which permutation of the tiles is this?

    Attributes:
        cells: tiles along a side.
        permutations: how many are labels, at most 10,000; whole orbits under the group are chosen.
        distance: what the choice makes large: the `mean` or the `min` of the Hamming distances.
        set_seed: of the choice.
        draws: permutations of each image in a step, whose tiles are encoded once; at most 1,000.
    """

    implementation: ClassVar[str] = "eqssl.pretexts.labels.jigsaw:Jigsaw"

    task: Literal["jigsaw"]
    cells: Literal[2, 3]
    permutations: Annotated[int, Field(ge=2, le=10_000)]
    distance: Literal["mean", "min"]
    set_seed: Seed
    draws: Annotated[int, Field(ge=1, le=1000)]

    @model_validator(mode="after")
    def _there_are_so_many(self) -> Self:
        total = math.factorial(self.cells**2)
        if self.permutations > total:
            allowed = f"2 to {total}, the orders of {self.cells**2} tiles"
            raise ValueError(f"permutations: given {self.permutations}, allowed: {allowed}")
        return self


# New label tasks go above this line.
