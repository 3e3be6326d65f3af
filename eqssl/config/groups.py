"""The groups that an encoder can be equivariant to. Adding one is one line of the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias


@dataclass(frozen=True)
class PlaneGroup:
    """A group of rotations of the plane about the centre of the image.

    Attributes:
        rotations: how many, in equal steps; None for all angles.
        mirrored: whether the mirror image in the vertical axis belongs to it too.
    """

    rotations: int | None
    mirrored: bool = False

    @property
    def is_continuous(self) -> bool:
        """Whether every angle belongs to it."""
        return self.rotations is None

    @property
    def is_exact(self) -> bool:
        """Whether every element maps the pixel grid of a square image to itself: quarter turns do."""
        return self.rotations in (1, 2, 4)


# A name keeps its meaning forever, because results are found by it.
GROUPS = {
    "trivial": PlaneGroup(1),
    "C2": PlaneGroup(2),
    "C4": PlaneGroup(4),
    "C8": PlaneGroup(8),
    "D1": PlaneGroup(1, mirrored=True),
    "D2": PlaneGroup(2, mirrored=True),
    "D4": PlaneGroup(4, mirrored=True),
    "D8": PlaneGroup(8, mirrored=True),
    "SO2": PlaneGroup(None),
    "O2": PlaneGroup(None, mirrored=True),
}

if TYPE_CHECKING:
    GroupName: TypeAlias = str
else:
    GroupName = Literal[tuple(GROUPS)]


def exact_groups() -> list[str]:
    """Names of the groups that map the pixel grid of a square image to itself."""
    return [name for name, group in GROUPS.items() if group.is_exact]
