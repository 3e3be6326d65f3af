"""The claims of a grid: differences of pairs, and what they say. The design is docs/claims.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from eqssl.config.claims import PLAIN_GROUP, Claim
from eqssl.evaluation.grid_cells import GridCells, Side
from eqssl.evaluation.paired import Difference, holm

Answer: TypeAlias = Literal["yes", "no", "undecided", "not tested"]

LEVEL = 0.05
"""A corrected p-value of at most this decides."""
WORTH = 0.005
"""A gain that is surely below half a point counts as none."""
SECONDARY = (
    *(f"acc_{view}_{share}" for view in ("stored", "grid", "angle") for share in (100, 10, 1)),
    "knn_stored",
)


class Pair(NamedTuple):
    """Two cells that differ in one thing.

    Attributes:
        name: for people, such as "inv_byol against byol, D4".
        left, right: group and pretext.
        difference: the accuracy of the first less that of the second.
    """

    name: str
    left: Side
    right: Side
    difference: Difference


class Verdict(NamedTuple):
    """What a grid says of a claim.

    Attributes:
        key: name of the claim.
        claim: the claim in words.
        verdict: the answer.
        reason: why this is the answer.
        metric: the column that decided.
        difference: mean over the pairs; None if there are none.
        adjusted: p-value after Holm's correction; None if it is not tested.
        pairs: the difference of each pair.
        others: metric -> difference in the numbers that decide nothing.
    """

    key: str
    claim: str
    verdict: Answer
    reason: str
    metric: str
    difference: Difference | None
    adjusted: float | None
    pairs: tuple[Pair, ...]
    others: dict[str, Difference]


def verdicts(cells: GridCells, claims: Sequence[Claim]) -> list[Verdict]:
    """The verdict on each claim.

    Args:
        cells: the cells of one data set.
        claims: as `eqssl.config.claims.claims_of` gives them.
    """
    sides = [_sides(cells, claim) for claim in claims]
    found = [cells.difference(pairs, claim.metric) for claim, pairs in zip(claims, sides, strict=True)]
    tested = [number for number, difference in enumerate(found) if _is_tested(difference)]
    values = holm([p for number in tested if (p := _p(found[number])) is not None])
    adjusted = dict(zip(tested, values, strict=True))
    return [
        _verdict(cells, claim, sides[number], found[number], adjusted.get(number))
        for number, claim in enumerate(claims)
    ]


def _sides(cells: GridCells, claim: Claim) -> list[tuple[Side, Side]]:
    """The pairs of a claim that have its number with a common seed in the grid."""
    return [pair for pair in _pairs(cells, claim) if cells.common_seeds([pair], claim.metric)]


def _pairs(cells: GridCells, claim: Claim) -> list[tuple[Side, Side]]:
    """The pairs of a claim in the groups of the grid, be they there or not."""
    groups = [group for group in cells.groups() if group != PLAIN_GROUP]
    return [
        (Side(group, left), Side(group if claim.against == "same" else PLAIN_GROUP, right))
        for left, right in claim.pretexts
        for group in groups
    ]


def _is_tested(difference: Difference | None) -> bool:
    return difference is not None and difference.p is not None and len(difference.seeds) > 1


def _p(difference: Difference | None) -> float | None:
    return None if difference is None else difference.p


def _verdict(
    cells: GridCells,
    claim: Claim,
    sides: Sequence[tuple[Side, Side]],
    difference: Difference | None,
    adjusted: float | None,
) -> Verdict:
    verdict, reason = decide(difference, adjusted)
    there = {Side(cell.group, cell.pretext) for cell in cells.numbers}
    if difference is None and any(there.issuperset(pair) for pair in _pairs(cells, claim)):
        reason = f"its cells have no {claim.metric}"
    pairs = tuple(
        Pair(_name(pair), *pair, alone)
        for pair in sides
        if (alone := cells.difference([pair], claim.metric)) is not None
    )
    secondary = {
        metric: other
        for metric in SECONDARY
        if metric != claim.metric and sides and (other := cells.difference(sides, metric)) is not None
    }
    return Verdict(
        claim.key, claim.text, verdict, reason, claim.metric, difference, adjusted, pairs, secondary
    )


def decide(difference: Difference | None, adjusted: float | None) -> tuple[Answer, str]:
    """The answer to a claim, and why.

    Args:
        difference: of the claim; None if the grid has no pair for it.
        adjusted: its corrected p-value; None if it was not tested.
    """
    if difference is None:
        return "not tested", "the grid lacks a pair of cells for it"
    if adjusted is None:
        return "not tested", "with one seed, nothing is known of another training"
    if adjusted <= LEVEL:
        return ("yes" if difference.mean > 0 else "no"), f"corrected p {_shown(adjusted)}"
    if difference.high < WORTH:
        return "no", f"any gain is below {100 * WORTH:g} points"
    return "undecided", f"corrected p {_shown(adjusted)}"


def _shown(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"{p:.3f}"


def _name(pair: tuple[Side, Side]) -> str:
    left, right = pair
    if left.group == right.group:
        return f"{left.pretext} against {right.pretext}, {left.group}"
    return f"{left.pretext} {left.group} against {right.pretext} {right.group}"
