from __future__ import annotations

import numpy as np
import pytest
import torch
from feature_cells import AveragingEncoder
from scipy.stats import rankdata
from sklearn.metrics import label_ranking_average_precision_score

from eqssl.data.views.normalise import cut_disc, normalise
from eqssl.evaluation.equivariance import (
    angle_errors,
    equivariance_errors,
    measure,
    pessimistic_ranks,
    retrieval,
    undo,
    undo_table,
)
from eqssl.evaluation.moves import draw_moves
from eqssl.symmetry import group
from eqssl.symmetry.turning import turn

GROUPS = ["trivial", "C2", "C4", "D1", "D2", "D4"]


def images(count=40):
    return torch.randint(0, 256, (count, 1, 12, 12), generator=torch.Generator().manual_seed(2)).to(
        torch.uint8
    )


def seen(encoder, x):
    return encoder.stages(normalise(cut_disc(x), encoder.mean, encoder.std))


@pytest.mark.parametrize("name", GROUPS)
def test_an_equivariant_encoder_has_no_error_and_a_plain_one_has(name):
    exact = equivariance_errors(AveragingEncoder(name), images())
    assert len(exact["stages"]) == 2
    assert max(*exact["stages"], exact["invariant"]) < 1e-6
    plain = equivariance_errors(AveragingEncoder(name, exact=False), images())
    if name == "trivial":
        assert plain["stages"] == [0.0, 0.0]
    else:
        assert min(*plain["stages"], plain["invariant"]) > 0.05


def test_the_error_is_the_largest_over_the_group():
    encoder, x = AveragingEncoder("D4", exact=False), images(300)  # more than one batch
    G = encoder.group
    reference = seen(encoder, x)
    worst, worst_invariant = 0.0, 0.0
    for g in G.elements:
        moved = seen(encoder, G.act(x, g))
        expected = torch.zeros_like(reference[-1])
        for position, h in enumerate(G.elements):
            expected[:, :, G.index(g @ h)] = reference[-1][:, :, position]
        worst = max(worst, float((moved[-1] - expected).norm() / reference[-1].norm()))
        invariant = encoder.pool(reference[-1])
        worst_invariant = max(
            worst_invariant, float((encoder.pool(moved[-1]) - invariant).norm() / invariant.norm())
        )
    errors = equivariance_errors(encoder, x)
    assert errors["stages"][-1] == pytest.approx(worst, rel=1e-4)
    assert errors["invariant"] == pytest.approx(worst_invariant, rel=1e-4)


def test_ranks_count_ties_against_the_query():
    queries = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [3.0, 0.0]])
    gallery = torch.tensor([[5.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    # query 0 and 3: rows 0 and 3 tie; query 1: rows 1 and 2 tie; query 2: all four tie
    assert pessimistic_ranks(queries, gallery).tolist() == [2, 2, 4, 2]


def test_ranks_are_those_of_a_loop():
    generator = torch.Generator().manual_seed(3)
    gallery = torch.randn(50, 8, generator=generator)
    queries = gallery + torch.randn(50, 8, generator=generator)
    expected = []
    for i in range(50):
        scores = [float(torch.cosine_similarity(queries[i], row, dim=0)) for row in gallery]
        expected.append(1 + sum(s >= scores[i] for j, s in enumerate(scores) if j != i))
    assert pessimistic_ranks(queries, gallery).tolist() == expected
    assert max(expected) > 3


def test_negative_similarities_are_ranked_too():
    # torchmetrics takes a similarity below zero for a miss
    queries, gallery = torch.tensor([[-1.0, 0.1], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    assert pessimistic_ranks(queries, gallery).tolist() == [2, 2]
    assert pessimistic_ranks(queries[:1], gallery[:1]).tolist() == [1]


@pytest.mark.parametrize("name", [*GROUPS, "C8", "D8", "O2"])
def test_undo_brings_the_field_back_where_the_element_is_the_group_s(name):
    encoder, x = AveragingEncoder(name), images(4)
    D4, table = group("D4"), undo_table(encoder.group)
    stored = seen(encoder, x)[-1]
    undone = 0
    for row, d in enumerate(D4.elements):
        moved = seen(encoder, D4.act(x, d))[-1]
        back = undo(moved, table[row].expand(4, -1))
        undone += bool(torch.allclose(back, stored, atol=1e-4))
    assert undone == len(encoder.group.grid_elements)


def test_retrieval_is_perfect_for_d4_and_only_for_it():
    results = {name: retrieval(AveragingEncoder(name), images(200), seed=0) for name in GROUPS}
    assert results["D4"] == {"queries": 200, "mrr": 1.0, "hit_rate_1": 1.0, "hit_rate_5": 1.0}
    elements = draw_moves(200, 0)[0]
    D4 = group("D4")
    pixels = torch.arange(9).view(1, 1, 3, 3)
    for name in ("trivial", "C4"):
        G = group(name)
        own = [
            any(torch.equal(D4.act(pixels, D4.elements[e]), G.act(pixels, g)) for g in G.elements)
            for e in elements
        ]
        share = sum(own) / 200
        assert share <= results[name]["hit_rate_1"] < share + 0.2
        assert results[name]["hit_rate_1"] < results[name]["mrr"] < results[name]["hit_rate_5"] + 0.1


@pytest.mark.parametrize("name", ["trivial", "C2", "C4", "D4"])
@pytest.mark.parametrize("copies", [1, 3])
def test_retrieval_is_that_of_numpy_scipy_and_scikit_learn(name, copies):
    """Each image is there `copies` times, so that its features tie with those of its copies."""
    x = images(60).repeat(copies, 1, 1, 1)
    encoder, elements = AveragingEncoder(name, exact=name != "D4"), draw_moves(60 * copies, 4)[0]
    own = list(encoder.group.elements)
    gallery, queries = [], []
    for image, element in zip(x, elements, strict=True):
        mirrored, quarters = divmod(int(element), 4)
        pixels = image[0].numpy()
        moved = np.rot90(pixels[:, ::-1] if mirrored else pixels, quarters).copy()
        field = seen(encoder, torch.from_numpy(moved)[None, None])[-1][0].double().numpy()
        matrix = group("D4").matrix(group("D4").elements[element])
        inside = [i for i, g in enumerate(own) if np.allclose(encoder.group.matrix(g), matrix)]
        if inside:  # the number of each h is at d h
            places = [own.index(own[inside[0]] @ h) for h in own]
            field = field[:, places]
        queries.append(field.ravel() / np.linalg.norm(field))
        stored = seen(encoder, image[None])[-1][0].double().numpy().ravel()
        gallery.append(stored / np.linalg.norm(stored))
    # rounded, so that what is equal but for rounding ties
    scores = np.round(np.array(queries) @ np.array(gallery).T, 5)
    ranks = np.array([rankdata(-row, method="max")[i] for i, row in enumerate(scores)])
    found = retrieval(encoder, x, seed=4)
    assert found["mrr"] == pytest.approx(
        label_ranking_average_precision_score(np.eye(len(x)), scores), abs=2e-3
    )
    assert found["mrr"] == pytest.approx(np.mean(1 / ranks), abs=2e-3)
    assert found["hit_rate_1"] == pytest.approx(np.mean(ranks == 1), abs=0.01)
    assert found["hit_rate_5"] == pytest.approx(np.mean(ranks <= 5), abs=0.01)
    if copies == 3:  # of three equal images each counts as the third
        assert found["hit_rate_1"] == 0 < found["hit_rate_5"]
        assert found["mrr"] <= 1 / 3


def test_features_that_are_equal_but_for_rounding_find_nothing():
    collapsed = torch.ones(50, 8) + 1e-7 * torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    assert pessimistic_ranks(collapsed, collapsed).tolist() == [50] * 50
    apart = torch.ones(50, 8) + 0.01 * torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    assert pessimistic_ranks(apart, apart).tolist() == [1] * 50


def test_measure_gives_group_exactness_counts_and_the_largest_error():
    result = measure(AveragingEncoder("C4"), images(30), seed=0)
    assert (result["group"], result["exact"], result["images"]) == ("C4", True, 30)
    assert result["error"] == max(*result["stages"], result["invariant"]) < 1e-6
    assert result["retrieval"]["queries"] == 30


def test_a_feature_that_is_zero_everywhere_has_no_error():
    encoder = AveragingEncoder("C4")
    encoder.second.zero_()
    errors = equivariance_errors(encoder, images(8))
    assert (errors["stages"][-1], errors["invariant"]) == (0.0, 0.0)


def test_errors_are_told_element_by_element_also_off_the_grid():
    encoder = AveragingEncoder("C8")
    errors = equivariance_errors(encoder, images())
    assert [element["degrees"] for element in errors["elements"]] == [45.0 * i for i in range(8)]
    for element in errors["elements"]:
        assert element["on_grid"] == (element["degrees"] % 90 == 0)
        # between the quarter turns pixels are interpolated, twice for the reference
        assert (element["error"] < 1e-6) == element["on_grid"]
    mirrored = equivariance_errors(AveragingEncoder("D4"), images())["elements"]
    assert [element["mirrored"] for element in mirrored] == [False] * 4 + [True] * 4


def test_a_plain_stage_after_equivariant_ones_promises_nothing():
    class Restricted(AveragingEncoder):
        @property
        def stage_groups(self):
            return ["C4", "trivial"]

    encoder = Restricted("C4")
    encoder.second.normal_()
    errors = equivariance_errors(encoder, images())
    assert errors["stages"][0] < 1e-6
    assert errors["stages"][1] is None
    assert errors["invariant"] is None
    assert max(element["error"] for element in errors["elements"]) == errors["stages"][0]


def test_the_change_with_the_angle_is_that_of_turned_images():
    encoder, x = AveragingEncoder("C4"), images(9)
    found = {entry["degrees"]: entry["error"] for entry in angle_errors(encoder, x)}
    assert sorted(found) == [15.0 * i for i in range(1, 24)]

    def invariant(values):
        return encoder.pool(encoder.stages(normalise(cut_disc(values), encoder.mean, encoder.std))[-1])

    reference = invariant(x)
    for degrees in (30.0, 90.0, 225.0):
        moved = invariant(turn(x.float() / 255, torch.full((9,), degrees)))
        assert found[degrees] == pytest.approx(float((moved - reference).norm() / reference.norm()), abs=1e-5)
    assert found[90.0] < 1e-3 < found[45.0]
