import itertools
import math

import numpy as np
import pytest

from eqssl.symmetry import (
    GSet,
    choose_permutations,
    conjugation_orbits,
    grid_slots,
    group,
    group_names,
    permutation_labels,
)
from eqssl.symmetry.permutation_sets import all_permutations

EXACT = group_names(exact=True)


def slots(name: str, side: int) -> GSet:
    return grid_slots(group(name), side, [(row, column) for row in range(side) for column in range(side)])


def slow_conjugate(moves: list[int], permutation: tuple[int, ...]) -> tuple[int, ...]:
    """Slot p(i) shows tile p(s(i))."""
    found = [0] * len(moves)
    for i, tile in enumerate(permutation):
        found[moves[i]] = moves[tile]
    return tuple(found)


def hamming(a, b) -> int:
    return sum(x != y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("name", "side", "orbits"), [("C4", 2, 10), ("D4", 2, 8), ("C4", 3, 90_832), ("D4", 3, 45_560)]
)
def test_orbits_of_conjugation_have_the_known_number(name: str, side: int, orbits: int):
    found = conjugation_orbits(slots(name, side))
    assert len(found) == math.factorial(side * side)
    assert len(np.unique(found)) == found.max() + 1 == orbits


@pytest.mark.parametrize("side", [2, 3])
@pytest.mark.parametrize("name", EXACT)
def test_burnsides_lemma_gives_the_same_number_of_orbits(name: str, side: int):
    """By Burnside the mean over g of the permutations that commute with p_g: a product over its cycles."""
    X, total = slots(name, side), 0
    for g in X.group.elements:
        moves, seen, cycles = X.permutation(g).tolist(), set(), []
        for start in range(len(moves)):
            length, place = 0, start
            while place not in seen:
                seen.add(place)
                place, length = moves[place], length + 1
            cycles += [length] if length else []
        total += math.prod(k ** cycles.count(k) * math.factorial(cycles.count(k)) for k in set(cycles))
    assert conjugation_orbits(X).max() + 1 == total / X.group.order


@pytest.mark.parametrize("name", EXACT)
def test_orbits_of_small_puzzles_equal_those_of_a_slow_loop(name: str):
    X, everything = slots(name, 2), list(itertools.permutations(range(4)))
    assert [tuple(row) for row in all_permutations(4).tolist()] == everything
    found = conjugation_orbits(X)
    for i, s in enumerate(everything):
        orbit = {slow_conjugate(X.permutation(g).tolist(), s) for g in X.group.elements}
        assert {everything[j] for j in np.flatnonzero(found == found[i])} == orbit


@pytest.mark.parametrize("distance", ["mean", "min"])
@pytest.mark.parametrize(("side", "count"), [(2, 1), (2, 7), (2, 24), (3, 20), (3, 100)])
@pytest.mark.parametrize("name", ["trivial", "C4", "D4"])
def test_chosen_sets_are_closed_reproducible_and_of_the_right_size(
    name: str, side: int, count: int, distance: str
):
    X = slots(name, side)
    found = choose_permutations(X, count, distance, 3)
    assert found.shape == (count, side * side)
    assert len(np.unique(found, axis=0)) == count
    labels = permutation_labels(X, found)
    for g in X.group.elements:
        moves = X.permutation(g).tolist()
        for point, image in enumerate(labels.permutation(g).tolist()):
            assert slow_conjugate(moves, tuple(found[point].tolist())) == tuple(found[image].tolist())
    assert np.array_equal(found, choose_permutations(X, count, distance, 3))
    if 1 < count < 24:
        assert not np.array_equal(found, choose_permutations(X, count, distance, 4))


def fills(count: int, orbits: list[list]) -> bool:
    """Whether some of the orbits together have exactly that many permutations."""
    sums = {0}
    for orbit in orbits:
        sums |= {total + len(orbit) for total in sums}
    return count in sums


@pytest.mark.parametrize("distance", ["mean", "min"])
@pytest.mark.parametrize("name", ["trivial", "C4", "D4"])
def test_each_chosen_orbit_is_the_farthest_of_those_that_fit(name: str, distance: str):
    """Each orbit that was taken was as far as any that fitted, by a slow loop over all pairs."""
    X, everything = slots(name, 2), list(itertools.permutations(range(4)))
    number = conjugation_orbits(X)
    orbits = [[everything[i] for i in np.flatnonzero(number == o)] for o in range(number.max() + 1)]
    for seed, count in [(0, 12), (1, 16), (2, 9)]:
        rows = [tuple(row) for row in choose_permutations(X, count, distance, seed).tolist()]
        taken: list[list] = []
        while rows:
            orbit = next(o for o in orbits if rows[0] in o)
            assert sorted(rows[: len(orbit)]) == sorted(orbit)
            before = [s for other in taken for s in other]

            def score(candidate: list, before: list = before) -> float:
                others = [s for s in before + candidate if s != candidate[0]]
                far = [hamming(candidate[0], s) for s in others]
                if distance == "min":
                    return min(far, default=5)
                return sum(far) / max(len(far), 1)

            fitting = [
                o
                for o in orbits
                if o not in taken and fills(len(rows) - len(o), [p for p in orbits if p not in [*taken, o]])
            ]
            if taken:
                assert score(orbit) == pytest.approx(max(map(score, fitting)))
            taken.append(orbit)
            rows = rows[len(orbit) :]


@pytest.mark.parametrize("name", ["C4", "D4"])
def test_chosen_permutations_are_farther_apart_than_random_orbits(name: str):
    X = slots(name, 3)
    number, everything, random = conjugation_orbits(X), all_permutations(9), np.random.default_rng(0)
    orbits = random.permutation(number.max() + 1)[:20]
    drawn = everything[np.isin(number, orbits)]

    def distances(rows: np.ndarray) -> np.ndarray:
        return (rows[:, None] != rows[None]).sum(-1)[~np.eye(len(rows), dtype=bool)]

    assert distances(choose_permutations(X, 100, "mean", 0)).mean() > distances(drawn).mean() + 0.04
    assert distances(choose_permutations(X, 40, "min", 0)).min() > distances(drawn).min()


def greedy_by_permutations(count: int) -> np.ndarray:
    """The published method (Noroozi & Favaro 2016): one permutation at a time, whatever the orbits."""
    everything, chosen = all_permutations(9)[::37], [0]
    far = np.zeros(len(everything))
    while len(chosen) < count:
        far += (everything != everything[chosen[-1]]).sum(1)
        far[chosen] = -1
        chosen.append(int(far.argmax()))
    return everything[chosen]


@pytest.mark.parametrize("name", ["C4", "D4", "C2", "D1"])
def test_a_set_chosen_permutation_by_permutation_is_not_closed(name: str):
    with pytest.raises(ValueError, match=rf"not closed under {name}: .* turns \[.*\] into \["):
        permutation_labels(slots(name, 3), greedy_by_permutations(30))


@pytest.mark.parametrize(
    ("count", "reason"), [(0, "given 0, allowed: 1 to 24"), (25, "given 25, allowed: 1 to 24")]
)
def test_impossible_sizes_of_a_set_of_permutations_are_refused(count: int, reason: str):
    with pytest.raises(ValueError, match=reason):
        choose_permutations(slots("C4", 2), count, "mean", 0)


@pytest.mark.parametrize("name", EXACT)
def test_whole_orbits_add_up_to_every_size(name: str):
    """The greedy choice never uses up the small orbits that an odd rest needs."""
    for count in range(1, 25):
        assert len(choose_permutations(slots(name, 2), count, "min", 5)) == count


@pytest.mark.parametrize("bad", [[[0, 1, 2, 2]], [[0, 1, 2]], [[0, 1, 2, 3], [0, 1, 2, 3]]])
def test_invalid_and_repeated_permutations_are_refused(bad: list):
    with pytest.raises(ValueError, match="permutations: "):
        permutation_labels(slots("trivial", 2), np.array(bad))
