"""Sets of permutations that are closed under a group, for puzzles whose tiles turn with the image.

A permutation is an array: slot i shows tile s[i]. An element g that moves the slots by p_g sends s to its
conjugate

    g . s = p_g s p_g^-1,          (g . s)[p_g[i]] = p_g[s[i]],

so a set of labels must consist of whole orbits.
"""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int, Shaped, UInt8

from eqssl.symmetry.gsets import GSet

Distance = Literal["mean", "min"]
Permutations = UInt8[np.ndarray, "permutations slots"]
# a G-set's table as tuples, which can be the key of a cache
Moves = tuple[tuple[int, ...], ...]


@cache
def all_permutations(slots: int) -> Permutations:
    """All permutations of `slots` slots, in lexicographic order."""
    found = np.array(list(itertools.permutations(range(slots))), dtype=np.uint8)
    found.flags.writeable = False
    return found


def conjugates(moves: Moves, permutations: Permutations) -> UInt8[np.ndarray, "order permutations slots"]:
    """`g . s` for every element g, given where each moves the slots."""
    moved = np.empty((len(moves), *permutations.shape), np.uint8)
    for row, places in zip(moved, np.array(moves, np.uint8), strict=True):
        row[:, places] = places[permutations]
    return moved


def conjugation_orbits(slots: GSet) -> Int[np.ndarray, " permutations"]:
    """The number of each permutation's orbit, for all permutations in lexicographic order.

    Orbits are numbered in the order of their first permutations. The array is cached and read-only.

    Example:
        >>> from eqssl.symmetry import grid_slots, group
        >>> slots = grid_slots(group("C4"), 2, [(0, 0), (0, 1), (1, 0), (1, 1)])
        >>> orbits = conjugation_orbits(slots)
        >>> len(orbits), len(set(orbits.tolist()))
        (24, 10)
    """
    return _orbits(_moves(slots))


@cache
def _orbits(moves: Moves) -> Int[np.ndarray, " permutations"]:
    everything = all_permutations(len(moves[0]))
    # codes increase in lexicographic order, so a binary search finds the position of a permutation
    places = np.searchsorted(_codes(everything), _codes(conjugates(moves, everything)))
    number = np.unique(places.min(0), return_inverse=True)[1]
    number.flags.writeable = False
    return number


def _moves(slots: GSet) -> Moves:
    return tuple(map(tuple, slots.action.tolist()))


def choose_permutations(slots: GSet, count: int, distance: Distance, seed: int) -> Permutations:
    """Choose whole orbits of permutations that are far from each other.

    The choice is greedy, as in Noroozi & Favaro 2016 (arXiv 1603.09246, algorithm 1), but with orbits instead
    of single permutations. The first orbit is random. Each further orbit is the one whose Hamming distances
    to all permutations of the set, its own included, have the largest mean (or minimum); ties are broken at
    random. Conjugation preserves distances, so one permutation of an orbit stands for all. An orbit is passed
    over if the orbits left could not fill the rest of `count` exactly.

    Args:
        slots: the slots, moved by the group.
        count: how many permutations to choose, at most `len(slots)!`.
        distance: `mean` or `min`.
        seed: of the first orbit and of ties.

    Returns:
        The permutations, orbit by orbit, in the order in which they were chosen.

    Raises:
        ValueError: if `count` is not between 1 and `len(slots)!`.

    Example:
        >>> from eqssl.symmetry import grid_slots, group, permutation_labels
        >>> slots = grid_slots(group("C4"), 2, [(0, 0), (0, 1), (1, 0), (1, 1)])
        >>> chosen = choose_permutations(slots, 8, "mean", seed=0)
        >>> chosen.shape, permutation_labels(slots, chosen).size
        ((8, 4), 8)
    """
    total = math.factorial(len(slots))
    if not 1 <= count <= total:
        raise ValueError(f"permutations: given {count}, allowed: 1 to {total} of {len(slots)} slots")
    return _chosen(_moves(slots), count, distance, seed).copy()


@cache
def _chosen(moves: Moves, count: int, distance: Distance, seed: int) -> Permutations:
    everything, orbit_of = all_permutations(len(moves[0])), _orbits(moves)
    first, sizes = np.unique(orbit_of, return_index=True, return_counts=True)[1:]
    # a random order of the orbits: of several that are equally good, the first is taken
    order = np.random.Generator(np.random.Philox(key=[seed, count])).permutation(len(sizes))
    sizes = sizes[order]
    score = _Scores(moves, everything[first[order]], sizes, distance)
    members = np.split(np.argsort(orbit_of, kind="stable"), np.cumsum(np.bincount(orbit_of))[:-1])
    free, available, left = np.ones(len(sizes), bool), np.bincount(sizes), count
    rows: list[Permutations] = []
    while left:
        usable = np.array([_adds_up(left - size, available, size) for size in range(len(available))])
        fits = free & usable[sizes]
        best = int(np.argmax(np.where(fits, score.values(), -1.0) if rows else fits))
        rows.append(everything[members[order[best]]])
        score.add(rows[-1])
        free[best] = False
        available[sizes[best]] -= 1
        left -= int(sizes[best])
    return np.concatenate(rows)


def _adds_up(count: int, available: Int[np.ndarray, " sizes"], taken: int) -> bool:
    """Whether `count` is a sum of sizes of the available orbits, without one orbit of size `taken`.

    The sizes are powers of 2 (indices of stabilisers in a group of order 2^k), so taking the largest first
    finds a sum if there is one. With all orbits available, every number up to the factorial is such a sum.
    The size 2^j of an orbit divides the factorial and the size of every larger orbit, hence also the total of
    the smaller orbits. That total is not 0, since the identity is an orbit of its own, so the smaller orbits
    fill every gap below 2^j.
    """
    for size in np.flatnonzero(available)[::-1]:
        count -= size * min(available[size] - (size == taken), max(count, 0) // size)
    return count == 0


class _Scores:
    """Distances of each orbit to the permutations chosen so far, and between its own permutations.

    Args:
        moves: where each element moves the slots.
        first: one permutation of each orbit.
        sizes: how many permutations each orbit has.
        distance: `mean` or `min`.
    """

    def __init__(
        self, moves: Moves, first: Permutations, sizes: Int[np.ndarray, " orbits"], distance: Distance
    ) -> None:
        self.sizes, self.distance, self.count = sizes, distance, 0
        # stored slot by slot: comparing is many times faster than permutation by permutation
        self.tiles = np.ascontiguousarray(first.T)
        own = (conjugates(moves, first) != first).sum(-1)
        # every permutation of the orbit occurs once for each element of the stabiliser
        self.sums = own.sum(0) * sizes / len(moves)
        self.least = np.where(own == 0, len(self.tiles) + 1, own).min(0)

    def add(self, orbit: Permutations) -> None:
        """Add an orbit to the chosen permutations."""
        for permutation in orbit:
            far = np.zeros(len(self.sizes), np.uint8)
            for tiles, tile in zip(self.tiles, permutation, strict=True):
                far += tiles != tile
            if self.distance == "min":
                np.minimum(self.least, far, out=self.least)
            else:
                self.sums += far
        self.count += len(orbit)

    def values(self) -> Shaped[np.ndarray, " orbits"]:
        """The mean or least distance of each orbit. Call it only after `add`: the first orbit is random."""
        if self.distance == "min":
            return self.least
        return self.sums / (self.count + self.sizes - 1)


def permutation_labels(slots: GSet, permutations: Int[np.ndarray, "permutations slots"]) -> GSet:
    """Permutations as labels: the G-set of conjugation on them, numbered in the given order.

    Raises:
        ValueError: if the set is not closed under conjugation (with an example), if a permutation is given
            twice, or if a row is not a permutation.

    Example:
        >>> import numpy as np
        >>> from eqssl.symmetry import grid_slots, group
        >>> slots = grid_slots(group("C2"), 2, [(0, 0), (0, 1), (1, 0), (1, 1)])
        >>> swaps = np.array([[1, 0, 2, 3], [0, 1, 3, 2]])  # the upper two tiles, the lower two tiles
        >>> permutation_labels(slots, swaps).orbits()
        [[0, 1]]
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
    moved = conjugates(_moves(slots), given.astype(np.uint8))
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
    """An integer for each permutation, in lexicographic order."""
    slots = permutations.shape[-1]
    return permutations.astype(np.int64) @ (slots ** np.arange(slots - 1, -1, -1, dtype=np.int64))
