"""How the images of a batch were turned, and by which element of a group two turns differ."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqssl.symmetry.constants import constant
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
    distance, exists = _distances(G, first, second, angles)
    return distance.argmin(1), exists


def is_relative_element(
    G: Group, positions: Int[Tensor, " batch"], first: Turns, second: Turns, angles: int
) -> tuple[Bool[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """Whether compared elements are those that pairs of turns differ by, up to the spacing of `G.elements`.

    An element is right if it mirrors as t u^-1 does and turns by an angle at most half of the angle between
    two listed elements away. For finite groups this is the element that `relative_element` gives. For SO2
    and O2, whose fields are known at 8 angles, it may be up to 22.5 degrees off, however many angles are
    compared.

    Args:
        G: the group.
        positions: of an element for each pair, in `eqssl.symmetry.interpolation.compared_elements`.
        first: the turns t.
        second: the turns u, of the same images.
        angles: as for `relative_element`.

    Returns:
        Whether it is right, and for which pairs there is a right one.
    """
    distance, exists = _distances(G, first, second, angles)
    rotations = sum(not flip_and_degrees(G.matrix(g))[0] for g in G.elements)
    return distance.gather(1, positions[:, None])[:, 0] <= 180 / rotations, exists


def _distances(
    G: Group, first: Turns, second: Turns, angles: int
) -> tuple[Float[Tensor, "batch elements"], Bool[Tensor, " batch"]]:
    """Degrees between t u^-1 and each compared element, infinite where one mirrors, and which are finite."""
    relative = first.after(second.inverse())
    degrees, mirrored = _places(G.name, angles, relative.degrees.device)
    distance = torch.remainder(relative.degrees[:, None] - degrees.to(relative.degrees) + 180, 360) - 180
    unlike = relative.mirrored[:, None] != mirrored
    return distance.abs().masked_fill(unlike, float("inf")), ~unlike.all(1)


@constant
def _places(
    name: str, angles: int, device: torch.device
) -> tuple[Float[Tensor, " elements"], Bool[Tensor, " elements"]]:
    """Degrees and reflections of the compared elements."""
    places = [flip_and_degrees(matrix) for matrix in compared_elements(group(name), angles)]
    return (
        torch.tensor([degrees for _, degrees in places], device=device),
        torch.tensor([flip for flip, _ in places], device=device),
    )
