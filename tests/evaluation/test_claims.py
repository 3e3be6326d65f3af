"""Claims of a grid: which pairs decide them, and what counts as an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eqssl.config.claims import claims_of
from eqssl.config.grid import Cell
from eqssl.evaluation.claims import decide, verdicts
from eqssl.evaluation.grid_cells import GridCells, Side
from eqssl.evaluation.paired import Difference, holm, paired_difference

ROOT = Path(__file__).parents[2]
METRICS = ("acc_stored_100", "acc_stored_10")
ACCURACY = {"eq_labels": 0.60, "labels": 0.60, "inv_contrastive": 0.70, "contrastive": 0.65, "random": 0.55}


def grid(accuracy, groups=("trivial", "C4", "D4"), seeds=(0, 1, 2, 3, 4), images=2000, with_images=True):
    """Cells with known chances of being right; the plain network is ten points worse."""
    random = np.random.default_rng(0)
    difficulty = random.random(images)
    numbers, right = {}, {}
    for group in groups:
        for pretext, chance in accuracy.items():
            for seed in seeds:
                cell = Cell(dataset="d", group=group, pretext=pretext, seed=seed)
                level = chance - 0.1 * (group == "trivial") + 0.005 * random.standard_normal()
                noise = 0.2 * random.standard_normal(images)
                correct = (difficulty + noise < np.quantile(difficulty + noise, level)).astype(float)
                right[cell] = dict.fromkeys(METRICS, correct)
                numbers[cell] = dict.fromkeys(METRICS, float(correct.mean()))
    return GridCells("d", numbers, right if with_images else {})


def by_key(params, cells):
    return {verdict.key: verdict for verdict in verdicts(cells, claims_of(params))}


def test_the_pairs_of_each_claim_follow_from_the_settings(params):
    found = {claim.key: set(claim.pretexts) for claim in claims_of(params)}
    assert {("eq_labels", "labels"), ("eq_jigsaw", "jigsaw")} <= found["labels_twin"]
    bases = ("moco", "moco_v3", "byol", "simsiam", "barlow", "vicreg", "swav", "dino")
    joint = {("inv_contrastive", "contrastive"), *((f"inv_{name}", name) for name in bases)}
    assert found["contrast_twin"] == found["contrast_network"] == joint
    assert found["contrast_untrained"] == {(left, "random") for left, _ in joint}
    assert found["labels_beside"] == {("eq_labels_inv_contrastive", "inv_contrastive")}
    page = (ROOT / "docs/claims.md").read_text(encoding="utf-8")
    assert all(f"`{claim.key}` | {claim.text}" in page for claim in claims_of(params))


def test_a_number_that_is_missing_is_not_taken_for_missing_cells(params):
    whole = grid(ACCURACY)
    few = {cell: {"acc_stored_100": numbers["acc_stored_100"]} for cell, numbers in whole.numbers.items()}
    found = by_key(params, GridCells("d", few, whole.right))
    assert found["labels_network"].verdict == "not tested"
    assert found["labels_network"].reason == "its cells have no acc_stored_10"
    assert found["labels_beside"].reason == "the grid lacks a pair of cells for it"
    assert found["labels_twin"].difference is not None


def test_verdicts_say_what_the_data_were_made_with(params):
    found = by_key(params, grid(ACCURACY))
    assert found["contrast_twin"].verdict == "yes"
    assert found["contrast_twin"].difference.mean == pytest.approx(0.05, abs=0.01)
    assert found["labels_network"].verdict == found["contrast_network"].verdict == "yes"
    assert found["contrast_network"].difference.mean == pytest.approx(0.15, abs=0.01)
    assert found["labels_untrained"].difference.mean == pytest.approx(0.05, abs=0.01)
    assert found["labels_twin"].verdict in ("undecided", "no")
    assert found["labels_beside"].verdict == "not tested"
    assert found["labels_beside"].difference is None
    worse = by_key(params, grid({**ACCURACY, "inv_contrastive": 0.60}))
    assert worse["contrast_twin"].verdict == "no"


def test_a_difference_is_the_mean_over_pairs_of_paired_images(params):
    cells = grid(ACCURACY)
    found = by_key(params, cells)["contrast_twin"]
    assert [pair.name for pair in found.pairs] == [
        f"inv_contrastive against contrastive, {group}" for group in ("C4", "D4")
    ]
    rows = []
    for seed in range(5):
        row = np.zeros(2000)
        for group in ("C4", "D4"):
            a, b = (
                cells.right[Cell(dataset="d", group=group, pretext=name, seed=seed)]["acc_stored_100"]
                for name in ("inv_contrastive", "contrastive")
            )
            row += (a - b) / 2
        rows.append(row)
    assert found.difference == paired_difference(np.stack(rows))
    assert found.others["acc_stored_10"] == found.difference  # the same table in this grid
    assert np.mean([pair.difference.mean for pair in found.pairs]) == pytest.approx(found.difference.mean)


def test_p_values_are_corrected_for_the_claims_that_are_tested(params):
    found = [verdict for verdict in by_key(params, grid(ACCURACY)).values() if verdict.adjusted is not None]
    assert len(found) == 6
    assert [verdict.adjusted for verdict in found] == holm([verdict.difference.p for verdict in found])


def test_one_seed_decides_nothing(params):
    found = by_key(params, grid(ACCURACY, seeds=(0,)))
    assert {verdict.verdict for verdict in found.values()} == {"not tested"}
    assert found["contrast_twin"].difference.images == 2000


def test_without_images_the_interval_is_over_seeds_with_the_same_mean(params):
    with_images, without = (by_key(params, grid(ACCURACY, with_images=given)) for given in (True, False))
    for key in ("contrast_twin", "labels_network"):
        assert without[key].difference.mean == pytest.approx(with_images[key].difference.mean)
        assert without[key].difference.images is None
        assert with_images[key].difference.images == 2000


def test_only_seeds_that_all_cells_have_count(params):
    cells = grid(ACCURACY)
    lacking = Cell(dataset="d", group="D4", pretext="contrastive", seed=3)
    numbers = {cell: values for cell, values in cells.numbers.items() if cell != lacking}
    found = by_key(params, GridCells("d", numbers, cells.right))
    assert len(found["contrast_twin"].difference.seeds) == 4
    assert len(found["contrast_untrained"].difference.seeds) == 5
    assert GridCells("d", numbers, {}).difference([(Side("D4", "none"), Side("D4", "random"))], "a") is None


def difference(mean, half):
    return Difference(mean, mean - half, mean + half, 0.5, 0.5, (mean, mean), 100)


@pytest.mark.parametrize(
    ("given", "adjusted", "answer"),
    [
        (difference(0.02, 0.01), 0.04, "yes"),
        (difference(0.002, 0.001), 0.04, "yes"),
        (difference(-0.02, 0.01), 0.04, "no"),
        (difference(0.001, 0.003), 0.6, "no"),
        (difference(0.001, 0.006), 0.6, "undecided"),
        (difference(0.02, 0.03), 0.06, "undecided"),
        (difference(0.02, 0.01), None, "not tested"),
        (None, None, "not tested"),
    ],
)
def test_an_answer_is_what_the_design_says(given, adjusted, answer):
    assert decide(given, adjusted)[0] == answer
