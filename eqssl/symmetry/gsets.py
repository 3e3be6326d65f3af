"""Finite sets with a group action: integer tables for labels, slots and the channels of regular fields."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
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
        ValueError: if the table is not an action: `e . y = y` and `(g h) . y = g . (h . y)` must hold.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> G = group("C2")
        >>> labels = GSet(G, torch.tensor([[0, 1, 2], [1, 0, 2]]))
        >>> labels.orbits()
        [[0, 1], [2]]
        >>> labels.act_on_logits(torch.tensor([0.5, 0.0, -1.0]), G.elements[1]).tolist()
        [0.0, 0.5, -1.0]
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
        """Tabulate a function `act(element, label) -> label`.

        Args:
            group: the group.
            labels: distinct, hashable labels; label number i becomes point i.
            act: where an element sends a label.

        Raises:
            ValueError: if a label is given twice or sent outside the labels, or `act` is not an action.

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
    def from_generators(cls, group: Group, images: Mapping[Any, Sequence[int]]) -> GSet:
        """Extend an action from generators to the whole group by `(s g) . y = s . (g . y)`.

        Args:
            group: the group.
            images: for each generator, where it sends each point.

        Raises:
            ValueError: if an entry is not a permutation or not of this group, if two products of generators
                are the same element and move the points differently, or if the generators do not generate
                the group; the message names the elements.

        Example:
            >>> from eqssl.symmetry import group
            >>> G = group("C4")
            >>> GSet.from_generators(G, {G.elements[1]: [1, 2, 3, 0]})
            GSet(C4, size=4, orbits=1)
        """
        points = len(next(iter(images.values()), []))
        steps = {group.elements[group.index(s)]: _permutation(s, row, points) for s, row in images.items()}
        known = {group.identity: list(range(points))}
        waiting = [group.identity]
        while waiting:
            g = waiting.pop()
            for s, step in steps.items():
                row = [step[y] for y in known[g]]
                if s @ g not in known:
                    known[s @ g] = row
                    waiting.append(s @ g)
                elif known[s @ g] != row:
                    raise ValueError(f"generators: two words for {s @ g} move the points differently")
        missing = [g for g in group.elements if g not in known]
        if missing:
            raise ValueError(f"generators: no word gives {', '.join(map(str, missing))} of {group.name}")
        table = torch.tensor([known[g] for g in group.elements], dtype=torch.int64)
        return cls(group, table.view(group.order, points))

    @classmethod
    def cosets(cls, group: Group, subgroup: Group) -> GSet:
        """The cosets G/H with `g . (x H) = (g x) H`: the transitive set in which H fixes a point.

        Cosets are numbered by their first elements in `group.elements`, see `coset_representatives`.

        Raises:
            ValueError: if the second group is not a subgroup of the first.
        """
        representatives = coset_representatives(group, subgroup)
        members = group.product[:, subgroup_positions(group, subgroup)]
        number = torch.empty(group.order, dtype=torch.int64)
        for point, first in enumerate(representatives):
            number[members[first]] = point
        return cls(group, number[group.product[:, representatives]])

    @classmethod
    def regular(cls, group: Group) -> GSet:
        """The group acting on itself from the left; the channels of one regular field."""
        return cls(group, group.product)

    @classmethod
    def fixed(cls, group: Group, size: int) -> GSet:
        """`size` points that no element moves."""
        return cls(group, torch.arange(size).expand(group.order, size))

    @classmethod
    def sum(cls, first: GSet, *others: GSet) -> GSet:
        """The disjoint union: the points of the first set, then those of the next, each moved as before.

        Raises:
            ValueError: if the sets belong to different groups.
        """
        sets = [first, *others]
        groups = {gset.group.name for gset in sets}
        if len(groups) > 1:
            raise ValueError(f"sum: given sets of {', '.join(sorted(groups))}, allowed: sets of one group")
        starts = itertools.accumulate([gset.size for gset in sets[:-1]], initial=0)
        moved = [gset.action + start for gset, start in zip(sets, starts, strict=True)]
        return cls(first.group, torch.cat(moved, 1))

    def product(self, other: GSet) -> GSet:
        """The pairs `(y, z)`, numbered `y * other.size + z`, with `g . (y, z) = (g . y, g . z)`."""
        pairs = self.action[:, :, None] * other.size + other.action[:, None, :]
        return GSet(self.group, pairs.flatten(1))

    def restricted(self, subgroup: Group) -> GSet:
        """The same points under a subgroup. Its elements are matched by how they move the plane.

        Raises:
            ValueError: if an element of the subgroup is not in this set's group; names it.
        """
        return GSet(subgroup, self.action[subgroup_positions(self.group, subgroup)])

    @cached_property
    def orbit_of(self) -> Int[Tensor, " size"]:
        """The number of each point's orbit. Orbits are numbered in the order of their first points."""
        return torch.unique(self.action.amin(0), return_inverse=True)[1]

    def orbits(self) -> list[list[int]]:
        """The orbits, each in increasing order."""
        found: dict[int, list[int]] = {}
        for point, number in enumerate(self.orbit_of.tolist()):
            found.setdefault(number, []).append(point)
        return list(found.values())

    def stabiliser(self, point: int) -> list[Any]:
        """The elements that fix a point."""
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
    """Cells of a `side` x `side` grid, given as (row, column), which move as an image does.

    Example:
        >>> from eqssl.symmetry import group
        >>> corners = [(0, 0), (0, 2), (2, 2), (2, 0)]
        >>> slots = grid_slots(group("C4"), 3, corners)
        >>> slots.permutation(slots.group.elements[1]).tolist()
        [3, 0, 1, 2]
    """

    def move(element: Any, slot: tuple[int, int]) -> tuple[int, int]:
        centred = torch.tensor([2 * slot[0] - (side - 1), 2 * slot[1] - (side - 1)])
        row, column = group.act_on_vectors(centred, element).tolist()
        return (row + side - 1) // 2, (column + side - 1) // 2

    return GSet.from_function(group, slots, move)


def coset_representatives(group: Group, subgroup: Group) -> list[int]:
    """Position of the first element of each coset x H in `group.elements`, in increasing order.

    Raises:
        ValueError: if the second group is not a subgroup of the first.

    Example:
        >>> from eqssl.symmetry import group
        >>> coset_representatives(group("D4"), group("C4"))
        [0, 4]
    """
    first = group.product[:, subgroup_positions(group, subgroup)].amin(1)
    return [int(position) for position in first.unique()]


def subgroup_positions(group: Group, subgroup: Group) -> list[int]:
    """Positions of a subgroup's elements in a group. Elements are equal if they move the plane alike.

    Raises:
        ValueError: if an element is not in the group; names it.

    Example:
        >>> from eqssl.symmetry import group
        >>> subgroup_positions(group("C4"), group("C2"))
        [0, 2]
    """
    found = []
    for h in subgroup.elements:
        same = [np.allclose(group.matrix(g), subgroup.matrix(h), atol=1e-9) for g in group.elements]
        if not any(same):
            raise ValueError(f"{subgroup.name} is no subgroup of {group.name}, which has no element {h}")
        found.append(same.index(True))
    return found


def _permutation(element: Any, row: Sequence[int], points: int) -> list[int]:
    if sorted(row) != list(range(points)):
        raise ValueError(f"generators: {element} is given {list(row)}, no permutation of {points} points")
    return list(row)


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
