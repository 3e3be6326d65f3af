"""Finite sets with a group action, the integer tables behind labels, slots and regular channels."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from eqssl.symmetry.groups import Group


class GSet:
    """A finite set `Y` on which a group acts: `action[g, y] = g . y`.

    Args:
        group: the group.
        action: table of shape (order of the group, size of the set), int64.

    Raises:
        ValueError: if the table is no action: `e . y = y` and `(g h) . y = g . (h . y)` must hold.
    """

    def __init__(self, group: Group, action: Int[Tensor, "order size"]) -> None:
        self.group = group
        self.action = action.to(torch.int64)
        _check_action(group, self.action)

    def __repr__(self) -> str:
        return f"GSet({self.group.name}, size={self.size}, orbits={len(self.orbits())})"

    def __len__(self) -> int:
        return self.size

    @property
    def size(self) -> int:
        """Number of points."""
        return self.action.shape[1]

    @classmethod
    def from_function(
        cls, group: Group, labels: Iterable[Hashable], act: Callable[[Any, Any], Hashable]
    ) -> GSet:
        """Tabulate `act(element, label) -> label` over a set of labels.

        Raises:
            ValueError: if an image is not among the labels, or `act` is no action.

        Example:
            >>> from eqssl.symmetry import group
            >>> G = group("C4")
            >>> GSet.from_function(G, range(4), lambda g, quarter: (quarter + G.index(g)) % 4)
            GSet(C4, size=4, orbits=1)
        """
        names = list(labels)
        position = {name: i for i, name in enumerate(names)}
        if len(position) != len(names):
            raise ValueError("labels: given the same label twice, allowed: each label once")
        rows = []
        for g in group.elements:
            images = [act(g, name) for name in names]
            outside = [
                f"{g} . {n!r} = {i!r}" for n, i in zip(names, images, strict=True) if i not in position
            ]
            if outside:
                raise ValueError(f"the labels are not closed under {group.name}: {outside[0]}")
            rows.append([position[image] for image in images])
        return cls(group, torch.tensor(rows, dtype=torch.int64).view(group.order, len(names)))

    @classmethod
    def regular(cls, group: Group) -> GSet:
        """The group acting on itself from the left; the channels of one regular field."""
        return cls(group, group.product)

    @classmethod
    def fixed(cls, group: Group, size: int) -> GSet:
        """`size` points that no element moves."""
        return cls(group, torch.arange(size).expand(group.order, size))

    def product(self, other: GSet) -> GSet:
        """Pairs `(y, z)`, numbered `y * other.size + z`, both moved together."""
        pairs = self.action[:, :, None] * other.size + other.action[:, None, :]
        return GSet(self.group, pairs.flatten(1))

    @cached_property
    def orbit_of(self) -> Int[Tensor, " size"]:
        """For each point the number of its orbit; orbits are numbered by their first points."""
        return torch.unique(self.action.amin(0), return_inverse=True)[1]

    def orbits(self) -> list[list[int]]:
        """The orbits, each in increasing order."""
        found: dict[int, list[int]] = {}
        for point, number in enumerate(self.orbit_of.tolist()):
            found.setdefault(number, []).append(point)
        return list(found.values())

    def stabiliser(self, point: int) -> list[Any]:
        """The elements that leave a point where it is."""
        fixed = self.action[:, point] == point
        return [g for g, stays in zip(self.group.elements, fixed.tolist(), strict=True) if stays]

    def permutation(self, element: Any) -> Int[Tensor, " size"]:
        """Where an element sends each point."""
        return self.action[self.group.index(element)]

    def act_on_logits(
        self, logits: Shaped[Tensor, "*batch size"], element: Any
    ) -> Shaped[Tensor, "*batch size"]:
        """The permutation representation: `(P(g) v)[g . y] = v[y]`."""
        moved = torch.empty_like(logits)
        moved[..., self.permutation(element).to(logits.device)] = logits
        return moved


def grid_slots(group: Group, side: int, slots: Sequence[tuple[int, int]]) -> GSet:
    """Places of a `side` x `side` grid, given as (row, column), moved as the group moves an image."""

    def move(element: Any, slot: tuple[int, int]) -> tuple[int, int]:
        centred = torch.tensor([2 * slot[0] - (side - 1), 2 * slot[1] - (side - 1)])
        row, column = group.act_on_vectors(centred, element).tolist()
        return (row + side - 1) // 2, (column + side - 1) // 2

    return GSet.from_function(group, slots, move)


def _check_action(group: Group, action: Tensor) -> None:
    if action.ndim != 2 or action.shape[0] != group.order:
        raise ValueError(f"action: given shape {tuple(action.shape)}, allowed: ({group.order}, points)")
    points = torch.arange(action.shape[1])
    if not torch.equal(action[0], points):
        raise ValueError("action: the identity moves a point")
    if not torch.equal(action.sort(1).values, points.expand_as(action)):
        raise ValueError("action: an element is not a permutation of the points")
    # composed[g, h, y] = g . (h . y)
    composed = action[:, action]
    if not torch.equal(composed, action[group.product]):
        raise ValueError("action: (g h) . y differs from g . (h . y)")
