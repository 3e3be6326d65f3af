"""Alignment, uniformity, rank and found turns, against loops over pairs and elements."""

import math

import pytest
import small_encoders
import torch

from eqssl.losses import diagnostics
from eqssl.losses.diagnostics import (
    ROWS,
    alignment,
    spread,
    turn_found,
)
from eqssl.symmetry import act_on_regular, group, group_names
from eqssl.symmetry.interpolation import compared_elements, turning_matrices
from eqssl.symmetry.turning import flip_and_degrees
from eqssl.symmetry.turns import Turns

KINDS = [None, "max", "align", "softmax", "pool"]
ANGLES, TAU = 16, 0.3
EACH = [(name, kind) for name in group_names() for kind in KINDS]


def embeddings(name: str, count: int = 7, fields: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, fields, group(name).order, dtype=torch.float64, generator=generator)


def products(a: torch.Tensor, b: torch.Tensor, name: str) -> list[float]:
    """<a, rho(g) b> of two embeddings, one after the other, each of length 1."""
    a, b = a / a.norm(), b / b.norm()
    return [float((a * (b @ matrix.t())).sum()) for matrix in turning_matrices(name, ANGLES)]


def slow_similarity(a: torch.Tensor, b: torch.Tensor, name: str, kind: str | None) -> float:
    if kind == "pool":
        a, b = a.mean(1), b.mean(1)
        return float((a * b).sum() / (a.norm() * b.norm()))
    if kind is None:
        return float((a * b).sum() / (a.norm() * b.norm()))
    found = products(a, b, name)
    if kind == "softmax":
        return TAU * math.log(sum(math.exp(x / TAU) for x in found) / len(found))
    return max(found)


def others(z: torch.Tensor):
    return [(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j]


def arguments(name: str, kind: str | None):
    return group(name), kind, TAU, ANGLES


@pytest.mark.parametrize(("name", "kind"), EACH)
def test_alignment_is_the_mean_squared_distance_of_pairs(name, kind):
    z1, z2 = embeddings(name), embeddings(name, seed=1)
    expected = [2 - 2 * slow_similarity(a, b, name, kind) for a, b in zip(z1, z2, strict=True)]
    assert float(alignment(z1, z2, *arguments(name, kind))) == pytest.approx(sum(expected) / len(z1))


@pytest.mark.parametrize(("name", "kind"), EACH)
def test_uniformity_and_similarity_are_means_over_different_images(name, kind):
    z = embeddings(name)
    found = [slow_similarity(a, b, name, kind) for a, b in others(z)]
    expected = math.log(sum(math.exp(-2 * (2 - 2 * s)) for s in found) / len(found))
    measured = spread(z, *arguments(name, kind))
    assert float(measured.uniformity) == pytest.approx(expected)
    assert float(measured.similarity) == pytest.approx(sum(found) / len(found))


@pytest.mark.parametrize(("name", "kind"), EACH)
def test_the_rank_is_that_of_products_of_different_images(name, kind):
    z = embeddings(name)
    if kind in (None, "pool"):
        squares = [slow_similarity(a, b, name, kind) ** 2 for a, b in others(z)]
    else:
        squares = [x**2 for a, b in others(z) for x in products(a, b, name)]
    most = z.shape[1] * (1 if kind == "pool" else group(name).order)
    expected = min(most, len(squares) / sum(squares))
    assert float(spread(z, *arguments(name, kind)).rank) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["trivial", "C4", "D4"])
def test_the_rank_estimates_the_participation_ratio_of_the_second_moment_over_the_group(name):
    G, z = group(name), embeddings(name, 1500, 2)
    z[:, 0] *= 3
    unit = (z.flatten(1) / z.flatten(1).norm(dim=1, keepdim=True)).view_as(z)
    turned = torch.cat([act_on_regular(G, unit, g) for g in G.elements]).flatten(1)
    eigenvalues = torch.linalg.eigvalsh(turned.t() @ turned / len(turned))
    assert float(spread(z, G).rank) == pytest.approx(float(1 / (eigenvalues**2).sum()), rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_more_embeddings_than_are_compared_at_a_time_give_the_same_numbers(kind, monkeypatch):
    z = embeddings("C4", 20)
    monkeypatch.setattr(diagnostics, "ROWS", 6)
    in_parts = spread(z, *arguments("C4", kind))
    monkeypatch.setattr(diagnostics, "ROWS", ROWS)
    torch.testing.assert_close(in_parts, spread(z, *arguments("C4", kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_turned_inputs_change_the_numbers_of_the_plain_kind_alone(kind):
    G = group("D4")
    z1, z2 = (embeddings("D4", 9, seed=seed).square() + 0.1 for seed in (0, 1))
    turned = [
        torch.stack([act_on_regular(G, x, G.elements[(step * i) % 8]) for i, x in enumerate(z)])
        for z, step in ((z1, 3), (z2, 5))
    ]
    same = [
        torch.allclose(one, other, atol=1e-10)
        for one, other in zip(
            (alignment(z1, z2, G, kind), *spread(z1, G, kind)),
            (alignment(*turned, G, kind), *spread(turned[0], G, kind)),
            strict=True,
        )
    ]
    assert all(same) if kind is not None else not any(same)


@pytest.mark.parametrize("name", ["trivial", "C4", "O2"])
# softmax of an embedding with itself is below 1
@pytest.mark.parametrize("kind", [None, "max", "align", "pool"])
def test_collapsed_embeddings_are_told_apart_from_spread_ones(name, kind):
    G, z = group(name), torch.randn(1, 8, group(name).order).expand(40, -1, -1)
    collapsed = spread(z, G, kind)
    assert float(collapsed.similarity) == pytest.approx(1, abs=1e-4)
    assert float(collapsed.uniformity) == pytest.approx(0, abs=1e-3)
    assert float(collapsed.rank) <= G.order + 1e-3
    apart = spread(torch.randn(40, 8, G.order), G, kind)
    assert float(apart.similarity) < 0.9
    assert float(apart.uniformity) < -0.3
    assert float(apart.rank) > 3


def test_embeddings_without_length_give_finite_numbers():
    for kind in KINDS:
        found = spread(torch.zeros(5, 2, 4), group("C4"), kind)
        assert all(torch.isfinite(value) for value in found)
        assert float(found.rank) == 0


def test_one_embedding_and_an_unknown_kind_are_refused():
    with pytest.raises(ValueError, match="given 1 embeddings, allowed: at least 2"):
        spread(torch.randn(1, 2, 4), group("C4"))
    with pytest.raises(ValueError, match="kind: given 'mean', allowed: max"):
        spread(torch.randn(3, 2, 4), group("C4"), "mean")


@pytest.mark.parametrize("name", group_names())
def test_numbers_are_in_float32_without_gradient_under_autocast(name):
    G = group(name)
    z1, z2 = embeddings(name).float().requires_grad_(), embeddings(name, seed=1).float()
    expected = (*spread(z1, G), alignment(z1, z2, G))
    with torch.autocast("cpu", torch.bfloat16):
        found = (*spread(z1, G), alignment(z1, z2, G))
    assert all(value.dtype == torch.float32 and not value.requires_grad for value in found)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert all(torch.isfinite(value) for value in spread(z1.bfloat16(), G))


def turns_of(G, positions) -> Turns:
    places = [flip_and_degrees(compared_elements(G, ANGLES)[i]) for i in positions]
    return Turns(torch.tensor([d for _, d in places]), torch.tensor([m for m, _ in places]))


@pytest.mark.parametrize("name", [name for name in group_names() if name != "trivial"])
def test_an_equivariant_encoder_finds_every_turn_and_wrong_turns_are_not_found(name):
    G = group(name)
    encoder = small_encoders.trained_statistics(small_encoders.new(name, width=[32, 32, 64]).double())
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(32, 1, 28, 28, dtype=torch.float64, generator=generator)
    grid = [compared(G, g) for g in G.grid_elements]
    chosen = torch.randint(len(grid), (2, 32), generator=generator).tolist()
    views = [
        torch.stack([G.act(x, G.grid_elements[i]) for x, i in zip(images, row, strict=True)])
        for row in chosen
    ]
    first, second = (turns_of(G, [grid[i] for i in row]) for row in chosen)
    with torch.no_grad():
        z1, z2 = map(encoder, views)
    assert float(turn_found(z1, z2, G, first, second, ANGLES)) == 1
    wrong = turns_of(G, [grid[(i + 1) % len(grid)] for i in chosen[1]])
    assert float(turn_found(z1, z2, G, first, wrong, ANGLES)) == 0


def compared(G, element) -> int:
    """Where a listed element is among the compared ones."""
    places = [flip_and_degrees(matrix) for matrix in compared_elements(G, ANGLES)]
    flip, degrees = flip_and_degrees(G.matrix(element))
    return next(
        i for i, (m, d) in enumerate(places) if m == flip and math.cos(math.radians(d - degrees)) > 1 - 1e-9
    )


def test_pairs_without_a_right_element_are_left_out():
    G, z = group("C4"), embeddings("C4", 4)
    upright = Turns(torch.zeros(4), torch.zeros(4, dtype=torch.bool))
    half = Turns(torch.zeros(4), torch.tensor([True, True, False, False]))
    moved = act_on_regular(G, z, G.elements[1])
    mixed = torch.cat([moved[:3], z[3:]])  # of the last two, which alone count, one fits
    assert float(turn_found(mixed, z, G, half, upright)) == 0.5
    assert float(turn_found(z, z, G, Turns(torch.zeros(4), ~upright.mirrored), upright)) == 0
