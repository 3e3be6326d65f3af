"""Groups of the plane that act on images: escnn's groups and products, with an exact action on pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

# name -> how escnn makes the gspace (importing escnn takes seconds, so not before a group is asked for).
# The reflection of every group is the mirror image in the vertical axis (left and right change places).
_GSPACES: dict[str, Callable[[Any], Any]] = {
    "trivial": lambda gspaces: gspaces.trivialOnR2(),
    "C2": lambda gspaces: gspaces.rot2dOnR2(2),
    "C4": lambda gspaces: gspaces.rot2dOnR2(4),
    "D1": lambda gspaces: gspaces.flip2dOnR2(),
    "D2": lambda gspaces: gspaces.flipRot2dOnR2(2),
    "D4": lambda gspaces: gspaces.flipRot2dOnR2(4),
}


class Group:
    """A finite group acting on images about their centre.

    Rotations are counter-clockwise, as `torch.rot90`. Elements, their products and their representations
    are escnn's: `g @ h` is the product, `~g` the inverse, elements are hashable, `elements[0]` is the
    identity.

    Args:
        name: one of `eqssl.symmetry.group_names()`.
        gspace: escnn's gspace of the group.
    """

    def __init__(self, name: str, gspace: Any) -> None:
        self.name = name
        self.gspace = gspace
        self.elements: tuple[Any, ...] = tuple(gspace.fibergroup.elements)
        self._position = {element: i for i, element in enumerate(self.elements)}
        self._moves = tuple(_flip_and_turns(gspace.basespace_action(g)) for g in self.elements)

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
    def is_exact(self) -> bool:
        """Whether every element maps the pixel grid of a square image to itself."""
        return True

    def index(self, element: Any) -> int:
        """Position of an element in `elements`.

        Raises:
            ValueError: if it is no element of this group.
        """
        try:
            return self._position[element]
        except KeyError:
            raise ValueError(f"{element!r} is not an element of {self.name}") from None

    @cached_property
    def product(self) -> Int[Tensor, "order order"]:
        """Multiplication table: `product[i, j]` is the position of `elements[i] @ elements[j]`."""
        return torch.tensor([[self.index(g @ h) for h in self.elements] for g in self.elements])

    @cached_property
    def inverse(self) -> Int[Tensor, " order"]:
        """`inverse[i]` is the position of the inverse of `elements[i]`."""
        return torch.tensor([self.index(~g) for g in self.elements])

    def act(
        self, images: Shaped[Tensor, "*batch height width"], element: Any
    ) -> Shaped[Tensor, "*batch height width"]:
        """Turn (and mirror) images about their centre; exact, no pixel is interpolated.

        Args:
            images: any tensor whose last two axes are rows (downwards) and columns.
            element: an element of this group.
        """
        flip, turns = self._moves[self.index(element)]
        moved = images.flip(-1) if flip else images
        return torch.rot90(moved, turns, (-2, -1))

    def act_each(
        self, images: Shaped[Tensor, "batch channel side side"], indices: Int[Tensor, " batch"]
    ) -> Shaped[Tensor, "batch channel side side"]:
        """Act on each image by its own element.

        Args:
            images: square images.
            indices: for each image the position of its element in `elements`.

        Raises:
            ValueError: if the images are not square.
        """
        batch, channels, height, width = images.shape
        if height != width:
            raise ValueError(f"act_each needs square images, given {height} x {width}")
        source = self._pixel_table(height).to(images.device)[indices]
        return images.flatten(2).gather(2, source[:, None].expand(batch, channels, -1)).view_as(images)

    @lru_cache(maxsize=32)  # noqa: B019 (groups live as long as the process)
    def _pixel_table(self, side: int) -> Int[Tensor, "order pixels"]:
        """For each element, the pixel that lands on each place of the moved image."""
        pixels = torch.arange(side * side).view(side, side)
        return torch.stack([self.act(pixels, g).flatten() for g in self.elements])

    def act_on_vectors(self, vectors: Int[Tensor, "*batch 2"], element: Any) -> Int[Tensor, "*batch 2"]:
        """Act on displacements (down, right) in the pixel grid, as `act` moves the pixels."""
        flip, turns = self._moves[self.index(element)]
        down, right = vectors.unbind(-1)
        if flip:
            right = -right
        for _ in range(turns):
            down, right = -right, down
        return torch.stack([down, right], -1)


def act_on_regular(
    G: Group, values: Shaped[Tensor, "*batch order"], element: Any
) -> Shaped[Tensor, "*batch order"]:
    """The regular representation: `(rho(g) v)[g * h] = v[h]` on the last axis, which follows `G.elements`."""
    moved = torch.empty_like(values)
    moved[..., G.product[G.index(element)].to(values.device)] = values
    return moved


def group_names() -> list[str]:
    """Names that `group` takes."""
    return list(_GSPACES)


@cache
def group(name: str) -> Group:
    """The group of that name.

    Raises:
        ValueError: if there is none, naming those that are.

    Example:
        >>> G = group("D4")
        >>> G.order, G.is_exact
        (8, True)
    """
    if name not in _GSPACES:
        raise ValueError(f"group: given {name!r}, allowed: {', '.join(_GSPACES)}")
    from eqssl.symmetry._escnn import gspaces

    return Group(name, _GSPACES[name](gspaces))


def _flip_and_turns(matrix: np.ndarray[Any, Any]) -> tuple[bool, int]:
    """Write an orthogonal matrix of the square grid as `turns` quarter turns after at most one mirroring."""
    exact = np.rint(matrix)
    if not np.allclose(matrix, exact, atol=1e-9):
        raise ValueError(f"{matrix.tolist()} does not map the pixel grid to itself")
    flip = bool(np.linalg.det(exact) < 0)
    rotation = exact @ np.diag([-1.0, 1.0]) if flip else exact
    turns = [(1, 0), (0, 1), (-1, 0), (0, -1)].index((int(rotation[0, 0]), int(rotation[1, 0])))
    return flip, turns
