"""How the images of a batch were turned, and by which element of a group two turns differ."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqssl.symmetry.groups import Group, group
from eqssl.symmetry.interpolation import compared_elements
from eqssl.symmetry.turning import flip_and_degrees


class Turns(NamedTuple):
    """A turn of each image of a batch: it is mirrored left to right or not, then turned.

    Attributes:
        degrees: counter-clockwise.
        mirrored: whether the image is mirrored first.
    """

    degrees: Float[Tensor, " batch"]
    mirrored: Bool[Tensor, " batch"]

    def after(self, other: Turns) -> Turns:
        """The turns `self @ other`, of which `other` comes first."""
        # a reflection after a turn is the opposite turn after the reflection
        moved = torch.where(self.mirrored, -other.degrees, other.degrees)
        return Turns(torch.remainder(self.degrees + moved, 360), self.mirrored ^ other.mirrored)

    def inverse(self) -> Turns:
        """What takes the turns back."""
        return Turns(
            torch.remainder(torch.where(self.mirrored, self.degrees, -self.degrees), 360), self.mirrored
        )


def relative_element(
    G: Group, first: Turns, second: Turns, angles: int
) -> tuple[Int[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """The element g that is nearest to t u^-1, for each pair of turns t and u of one image x.

    Near is measured by the angle between two turns that both mirror or both do not.

    The embeddings of the turned images are then rho(t) z(x) and rho(u) z(x), so `<z(t x), rho(g) z(u x)>` is
    largest at g = t u^-1.

    Args:
        G: the group.
        first: the turns t.
        second: the turns u, of the same images.
        angles: of SO2 and O2, at how many angles embeddings are compared.

    Returns:
        The positions of the elements in `eqssl.symmetry.interpolation.compared_elements`, and for which pairs
        there is one: in a group without reflections, none is near a turn that mirrors. Positions of the other
        pairs mean nothing.

    Example:
        >>> from eqssl.symmetry import group
        >>> first = Turns(torch.tensor([90.0, 0.0]), torch.tensor([False, True]))
        >>> second = Turns(torch.tensor([0.0, 0.0]), torch.tensor([False, False]))
        >>> position, exists = relative_element(group("C4"), first, second, 64)
        >>> int(position[0]), exists.tolist()
        (1, [True, False])
    """
    relative = first.after(second.inverse())
    degrees, mirrored = _places(G.name, angles, relative.degrees.device)
    distance = torch.remainder(relative.degrees[:, None] - degrees.to(relative.degrees) + 180, 360) - 180
    unlike = relative.mirrored[:, None] != mirrored
    return distance.abs().masked_fill(unlike, float("inf")).argmin(1), ~unlike.all(1)


@cache
def _places(
    name: str, angles: int, device: torch.device
) -> tuple[Float[Tensor, " elements"], Bool[Tensor, " elements"]]:
    """Degrees and reflections of the compared elements. Cached: a copy in each step would wait."""
    places = [flip_and_degrees(matrix) for matrix in compared_elements(group(name), angles)]
    return (
        torch.tensor([degrees for _, degrees in places], device=device),
        torch.tensor([flip for flip, _ in places], device=device),
    )
