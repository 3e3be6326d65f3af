"""Sets of permutations that are closed under a group, for puzzles whose tiles turn with the image.

An element g that moves the slots by p_g turns the permutation s into its conjugate

    g . s = p_g s p_g^-1,          (g . s)[p_g[i]] = p_g[s[i]],

where a permutation is held as an array: slot i shows tile s[i]. A set of labels has to hold whole orbits.
"""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int, UInt8

from eqssl.symmetry.gsets import GSet

Distance = Literal["mean", "min"]
Permutations = UInt8[np.ndarray, "permutations slots"]


@cache
def all_permutations(slots: int) -> Permutations:
    """All permutations of so many slots, in lexicographic order."""
    found = np.array(list(itertools.permutations(range(slots))), dtype=np.uint8)
    found.flags.writeable = False
    return found


def conjugates(slots: GSet, permutations: Permutations) -> UInt8[np.ndarray, "order permutations slots"]:
    """`g . s` for every element g, in the order of the group's elements."""
    moved = np.empty((slots.group.order, *permutations.shape), np.uint8)
    for row, moves in zip(moved, slots.action.numpy(), strict=True):
        row[:, moves] = moves[permutations]
    return moved


def conjugation_orbits(slots: GSet) -> Int[np.ndarray, " permutations"]:
    """For each of all permutations, in lexicographic order, the number of its orbit.

    Orbits are numbered by their first permutations.
    """
    everything = all_permutations(len(slots))
    # in lexicographic order the codes increase, so that a search finds each permutation's place
    places = np.searchsorted(_codes(everything), _codes(conjugates(slots, everything)))
    return np.unique(places.min(0), return_inverse=True)[1]


def choose_permutations(slots: GSet, count: int, distance: Distance, seed: int) -> Permutations:
    """Choose whole orbits of permutations that are far from each other.

    Greedy, as Noroozi & Favaro 2016 (arXiv 1603.09246, algorithm 1) choose permutations: after a first orbit
    at random, always the orbit whose Hamming distances to all permutations of the set, its own included, have
    the largest mean (or minimum); ties are broken at random. Conjugation keeps distances, so those of one
    permutation of an orbit are those of all.

    Args:
        slots: the slots, moved by the group.
        count: how many permutations; the slots' factorial for all of them.
        distance: `mean` or `min`.
        seed: of the first orbit and of ties.

    Returns:
        The permutations, orbit by orbit in the order of the choice.

    Raises:
        ValueError: if there are not so many.
    """
    total = math.factorial(len(slots))
    if not 1 <= count <= total:
        raise ValueError(f"permutations: given {count}, allowed: 1 to {total} of {len(slots)} slots")
    moves = tuple(map(tuple, slots.action.tolist()))
    chosen = _chosen(slots.group.name, moves, count, distance, seed)
    return chosen.copy()


@cache
def _chosen(
    group_name: str, moves: tuple[tuple[int, ...], ...], count: int, distance: Distance, seed: int
) -> Permutations:
    from eqssl.symmetry.groups import group

    slots = GSet(group(group_name), torch.tensor(moves))
    everything, orbit_of = all_permutations(len(slots)), conjugation_orbits(slots)
    sizes = np.bincount(orbit_of)
    first = np.unique(orbit_of, return_index=True)[1]
    members = np.argsort(orbit_of, kind="stable")
    starts = np.cumsum(sizes) - sizes
    score = _Scores(slots, everything[first], sizes, distance)
    # orbits in a random order: of several that are equally good the first one is taken
    order = np.random.Generator(np.random.Philox(key=[seed, count])).permutation(len(sizes))
    free, left = np.ones(len(sizes), bool), count
    rows: list[Permutations] = []
    while left:
        usable = [size for size in np.unique(sizes[free]) if _adds_up(left - size, sizes[free], size)]
        fitting = order[(free & np.isin(sizes, usable))[order]]
        best = int(fitting[0] if not rows else fitting[np.argmax(score.of(fitting))])
        orbit = everything[members[starts[best] : starts[best] + sizes[best]]]
        rows.append(orbit)
        score.add(orbit)
        free[best] = False
        left -= int(sizes[best])
    return np.concatenate(rows)


def _adds_up(count: int, sizes: Int[np.ndarray, " free"], taken: int) -> bool:
    """Whether orbits of these sizes, one of size `taken` less, can make up exactly so many permutations.

    The sizes divide each other (they are indices of stabilisers in a group of order 2^k), so that taking the
    largest first finds a way if there is one; the identity, an orbit of its own, is among the last.
    """
    for size in np.unique(sizes)[::-1]:
        available = int((sizes == size).sum()) - (size == taken)
        count -= size * min(available, max(count, 0) // size)
    return count == 0


class _Scores:
    """How far each orbit is from the permutations chosen so far, and its own from each other.

    Args:
        slots: the slots.
        first: a permutation of each orbit.
        sizes: permutations of each orbit.
        distance: `mean` or `min`.
    """

    def __init__(
        self, slots: GSet, first: Permutations, sizes: Int[np.ndarray, " orbits"], distance: Distance
    ) -> None:
        self.first, self.sizes, self.distance, self.count = first, sizes, distance, 0
        own = (conjugates(slots, first) != first).sum(-1)
        # each other permutation of the orbit is met as often as the stabiliser has elements
        self.sums = own.sum(0) * sizes / slots.group.order
        self.least = np.where(own == 0, len(slots) + 1, own).min(0)

    def add(self, orbit: Permutations) -> None:
        """Count the permutations of an orbit as chosen."""
        for permutation in orbit:
            far = (self.first != permutation).sum(1)
            self.sums += far
            np.minimum(self.least, far, out=self.least)
        self.count += len(orbit)

    def of(self, orbits: Int[np.ndarray, " some"]) -> np.ndarray:
        """What the choice makes large, for some orbits."""
        if self.distance == "min":
            return self.least[orbits]
        return self.sums[orbits] / (self.count + self.sizes[orbits] - 1)


def permutation_labels(slots: GSet, permutations: Int[np.ndarray, "permutations slots"]) -> GSet:
    """Permutations as labels: the G-set of conjugation on them, numbered as they are given.

    Raises:
        ValueError: if the set is not closed, with an example; if one is given twice or is none.
    """
    given = np.asarray(permutations)
    if given.ndim != 2 or not np.array_equal(
        np.sort(given, 1), np.tile(np.arange(len(slots)), (len(given), 1))
    ):
        raise ValueError(f"permutations: each has to name each of the {len(slots)} slots once")
    codes = _codes(given)
    order = np.argsort(codes)
    if len(np.unique(codes)) != len(codes):
        raise ValueError("permutations: one is given twice")
    moved = conjugates(slots, given.astype(np.uint8))
    places = order[np.searchsorted(codes, _codes(moved), sorter=order).clip(max=len(codes) - 1)]
    outside = np.argwhere(codes[places] != _codes(moved))
    if len(outside):
        g, label = outside[0]
        raise ValueError(
            f"permutations: not closed under {slots.group.name}: {slots.group.elements[g]} turns "
            f"{given[label].tolist()} into {moved[g, label].tolist()}"
        )
    return GSet(slots.group, torch.from_numpy(places))


def _codes(permutations: np.ndarray) -> Int[np.ndarray, " ..."]:
    """A number for each permutation, larger for lexicographically later ones."""
    slots = permutations.shape[-1]
    return permutations.astype(np.int64) @ (slots ** np.arange(slots - 1, -1, -1, dtype=np.int64))
