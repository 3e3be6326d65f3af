"""Groups of the plane that act on images: escnn's groups and products, with an exact action on pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from eqssl.config.groups import GROUPS, PlaneGroup, exact_groups
from eqssl.symmetry.constants import constant
from eqssl.symmetry.turning import flip_and_degrees, flip_and_turns, turned_and_mirrored

MAXIMUM_FREQUENCY = 3
"""Band limit of the fields of SO2 and O2; eight angles determine a function of frequencies up to 3."""
SAMPLES = 8
"""Angles at which fields of SO2 and O2 are sampled when they leave an encoder: those of C8 and D8."""


class Group:
    """A group acting on images about their centre.

    Rotations are counter-clockwise, as in `torch.rot90`. Elements, their products and their representations
    are escnn's: `g @ h` is the product, `~g` the inverse, elements are hashable, `elements[0]` is the
    identity. `SO2` and `O2` list the elements of C8 and D8: their band-limited fields are sampled there, so
    everything after an encoder works with finite tables.

    Args:
        name: one of `eqssl.symmetry.group_names()`.
        gspace: escnn's gspace of the group, which defines its filters.
        finite: escnn's gspace of the group whose elements are listed: the finite subgroup that samples SO2
            or O2, else the same group.

    Example:
        >>> from eqssl.symmetry import group
        >>> G = group("C4")
        >>> quarter = G.elements[1]
        >>> G.index(quarter @ quarter), G.index(~quarter)
        (2, 3)
        >>> import torch
        >>> G.act(torch.tensor([[1, 2], [3, 4]]), quarter).tolist()
        [[2, 4], [1, 3]]
    """

    def __init__(self, name: str, gspace: Any, finite: Any) -> None:
        self.name = name
        self.gspace = gspace
        self.elements: tuple[Any, ...] = tuple(finite.fibergroup.elements)
        self._position = {element: i for i, element in enumerate(self.elements)}
        self._matrices = tuple(np.asarray(finite.basespace_action(g), np.float64) for g in self.elements)
        self._moves = tuple(flip_and_turns(matrix) for matrix in self._matrices)

    def __repr__(self) -> str:
        return f"Group({self.name!r}, order={self.order})"

    def __reduce__(self) -> tuple[Callable[[str], Group], tuple[str]]:
        # escnn's objects cannot be pickled; a group is its name
        return group, (self.name,)

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(self.elements)

    @property
    def identity(self) -> Any:
        """The neutral element."""
        return self.elements[0]

    @property
    def is_continuous(self) -> bool:
        """Whether the elements are samples of a continuous group."""
        return GROUPS[self.name].is_continuous

    @property
    def is_exact(self) -> bool:
        """Whether every element maps the pixel grid of a square image to itself."""
        return not self.is_continuous and None not in self._moves

    @property
    def grid_elements(self) -> tuple[Any, ...]:
        """The elements that map the pixel grid of a square image to itself; `act` is exact for them."""
        return tuple(g for g, move in zip(self.elements, self._moves, strict=True) if move is not None)

    def matrix(self, element: Any) -> np.ndarray[Any, Any]:
        """The orthogonal 2 x 2 matrix by which an element moves points (x to the right, y up)."""
        return self._matrices[self.index(element)]

    def index(self, element: Any) -> int:
        """Position of an element in `elements`.

        Raises:
            ValueError: if it is not an element of this group.
        """
        try:
            return self._position[element]
        except KeyError:
            raise ValueError(f"{element!r} is not an element of {self.name}") from None

    def continuous(self, element: Any) -> Any:
        """Escnn's element of the continuous group for a listed element."""
        return self._continuous(*flip_and_degrees(self.matrix(element)))

    def continuous_grid(self, rotations: int) -> list[Any]:
        """Elements of escnn's continuous group at equally spaced angles; O2 adds the reflected ones."""
        flips = (False, True) if self.name == "O2" else (False,)
        return [self._continuous(flip, 360 * i / rotations) for flip in flips for i in range(rotations)]

    def _continuous(self, flip: bool, degrees: float) -> Any:
        if not self.is_continuous:
            allowed = ", ".join(name for name, plane in GROUPS.items() if plane.is_continuous)
            raise ValueError(f"group: given {self.name}, allowed: {allowed}")
        angle = math.radians(degrees)
        parameter = (int(flip), angle) if self.name == "O2" else angle
        return self.gspace.fibergroup.element(parameter, "radians")

    @cached_property
    def product(self) -> Int[Tensor, "order order"]:
        """Multiplication table: `product[i, j]` is the position of `elements[i] @ elements[j]`."""
        return _table([[self.index(g @ h) for h in self.elements] for g in self.elements])

    @cached_property
    def inverse(self) -> Int[Tensor, " order"]:
        """`inverse[i]` is the position of the inverse of `elements[i]`."""
        return _table([self.index(~g) for g in self.elements])

    def act(
        self, images: Shaped[Tensor, "*batch height width"], element: Any
    ) -> Shaped[Tensor, "*batch height width"]:
        """Rotate and reflect images about their centre.

        This is exact if the element maps the pixel grid to itself, else bilinear with zeros outside.

        Args:
            images: any tensor whose last two axes are rows (downwards) and columns; floating point if pixels
                are interpolated.
            element: an element of this group.
        """
        position = self.index(element)
        move = self._moves[position]
        if move is None:
            return turned_and_mirrored(images, self._matrices[position])
        flip, turns = move
        moved = images.flip(-1) if flip else images
        return torch.rot90(moved, turns, (-2, -1))

    def act_each(
        self, images: Shaped[Tensor, "batch channel side side"], indices: Int[Tensor, " batch"]
    ) -> Shaped[Tensor, "batch channel side side"]:
        """Act on each image by its own element.

        Args:
            images: square images.
            indices: for each image, the position of its element in `elements`.

        Raises:
            ValueError: if the images are not square, or an element does not map the pixel grid to itself.
        """
        if None in self._moves:
            raise ValueError(f"act_each: given group {self.name}, allowed: groups that are exact on pixels")
        batch, channels, height, width = images.shape
        if height != width:
            raise ValueError(f"act_each needs square images, given {height} x {width}")
        source = self._pixel_table(height, images.device)[indices]
        return images.flatten(2).gather(2, source[:, None].expand(batch, channels, -1)).view_as(images)

    @lru_cache(maxsize=32)  # noqa: B019 (groups live as long as the process)
    def _pixel_table(self, side: int, device: torch.device) -> Int[Tensor, "order pixels"]:
        """For each element, which pixel each pixel of the moved image comes from. Made once per device."""
        with torch.inference_mode(False):  # see `constant`
            pixels = torch.arange(side * side).view(side, side)
            return torch.stack([self.act(pixels, g).flatten() for g in self.elements]).to(device)

    def act_on_vectors(self, vectors: Int[Tensor, "*batch 2"], element: Any) -> Int[Tensor, "*batch 2"]:
        """Act on displacements (down, right) in the pixel grid, as `act` moves the pixels.

        Raises:
            ValueError: if the element does not map the pixel grid to itself.
        """
        move = self._moves[self.index(element)]
        if move is None:
            raise ValueError(f"{element!r} does not map the pixel grid to itself")
        flip, turns = move
        down, right = vectors.unbind(-1)
        if flip:
            right = -right
        for _ in range(turns):
            down, right = -right, down
        return torch.stack([down, right], -1)


def act_on_regular(
    G: Group, values: Shaped[Tensor, "*batch order"], element: Any
) -> Shaped[Tensor, "*batch order"]:
    """Apply the regular representation, `(rho(g) v)[g * h] = v[h]`, to the last axis (as `G.elements`).

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> G = group("C4")
        >>> act_on_regular(G, torch.tensor([10, 11, 12, 13]), G.elements[1]).tolist()
        [13, 10, 11, 12]
    """
    moved = torch.empty_like(values)
    moved[..., G.product[G.index(element)].to(values.device)] = values
    return moved


def act_on_regular_each(
    G: Group,
    values: Shaped[Tensor, "batch fields order"],
    indices: Int[Tensor, " batch"],
    inverse: bool = False,
) -> Shaped[Tensor, "batch fields order"]:
    """Apply the regular representation of its own element to each row of a batch.

    Args:
        G: the group.
        values: fields over the group.
        indices: for each row, the position of its element in `G.elements`.
        inverse: whether the inverse of the element acts.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> fields = torch.tensor([[[10, 11, 12, 13]], [[20, 21, 22, 23]]])
        >>> act_on_regular_each(group("C4"), fields, torch.tensor([0, 1])).tolist()
        [[[10, 11, 12, 13]], [[23, 20, 21, 22]]]
    """
    source = _sources(G.name, inverse, values.device)[indices]
    return values.gather(2, source[:, None].expand_as(values))


@constant
def _sources(name: str, inverse: bool, device: torch.device) -> Int[Tensor, "order order"]:
    """For each element g, where rho(g) v finds its value at k: at g^-1 k. Made once per device."""
    G = group(name)
    return (G.product if inverse else G.product[G.inverse]).to(device)


def _table(rows: list[Any]) -> Tensor:
    with torch.inference_mode(False):  # see `constant`
        return torch.tensor(rows)


def group_names(exact: bool = False) -> list[str]:
    """The names that `group` takes.

    Args:
        exact: leave out the groups that do not map the pixel grid to itself.

    Example:
        >>> group_names(exact=True)
        ['trivial', 'C2', 'C4', 'D1', 'D2', 'D4']
    """
    return exact_groups() if exact else list(GROUPS)


@cache
def group(name: str) -> Group:
    """The group of a name.

    Raises:
        ValueError: if there is no such group; lists the names that exist.

    Example:
        >>> G = group("D4")
        >>> G.order, G.is_exact
        (8, True)
    """
    if name not in GROUPS:
        raise ValueError(f"group: given {name!r}, allowed: {', '.join(GROUPS)}")
    plane = GROUPS[name]
    listed = PlaneGroup(SAMPLES, plane.mirrored) if plane.is_continuous else plane
    return Group(name, _gspace(plane), _gspace(listed))


def _gspace(plane: PlaneGroup) -> Any:
    """Escnn's gspace of a group. Importing escnn takes seconds, so it waits until a group is needed."""
    from eqssl.symmetry._escnn import gspaces

    if plane.rotations == 1:
        return gspaces.flip2dOnR2() if plane.mirrored else gspaces.trivialOnR2()
    make = gspaces.flipRot2dOnR2 if plane.mirrored else gspaces.rot2dOnR2
    if plane.rotations is None:
        return make(-1, maximum_frequency=MAXIMUM_FREQUENCY)
    return make(plane.rotations)
