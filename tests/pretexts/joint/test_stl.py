import math

import pytest
import torch
from entries import build, small_params, stored
from steps import loss_of_views, step
from torch import Tensor

from eqssl import pretexts
from eqssl.config.pretexts import PretextSettings
from eqssl.pretexts.joint.stl import Change, Stl, partners
from eqssl.symmetry import group_names


def stl(group_name: str = "C4", **changes) -> Stl:
    params = small_params(group_name)
    entry = PretextSettings.read({**params.pretexts["stl"].plain(), **changes}, "pretexts.stl")
    pretext = pretexts.build("stl", params.model_copy(update={"pretexts": {"stl": entry}}))
    assert isinstance(pretext, Stl)
    return pretext.double().eval()


def views(count: int, seed: int) -> Tensor:
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_nt_xent(a: list[Tensor], b: list[Tensor], t: float) -> Tensor:
    z, n = [one / one.norm() for one in [*a, *b]], len(a)
    losses = []
    for i in range(2 * n):
        others = torch.stack([(z[i] @ z[k]) / t for k in range(2 * n) if k != i])
        losses.append(torch.logsumexp(others, 0) - (z[i] @ z[(i + n) % (2 * n)]) / t)
    return torch.stack(losses).mean()


def slow_loss(pretext: Stl, first: Tensor, second: Tensor) -> Tensor:
    """One image after the other, from the definition of the paper."""

    def head(name: str, row: Tensor) -> Tensor:
        return getattr(pretext, name)(row[None, :, None]).flatten()

    def matrix(code: Tensor) -> Tensor:
        size = pretext.encoder.fields * pretext.group.order
        if pretext.change.is_whole:
            return (pretext.change.mix.weight @ code).view(size, size) / math.sqrt(size)
        mixed = torch.diag(pretext.change.mix.weight @ code)
        return pretext.change.out.weight @ mixed @ pretext.change.into.weight

    n = len(first)
    y1, y2 = (list(pretext.encoder(pretext.normalised(v)).flatten(1)) for v in (first, second))
    t12 = [head("code", torch.cat([y1[i], y2[i]])) for i in range(n)]
    t21 = [head("code", torch.cat([y2[i], y1[i]])) for i in range(n)]
    whole = n // 2 * 2
    other = [i + 1 if i % 2 == 0 else i - 1 for i in range(whole)] + [n - 2] * (n - whole)
    guess1 = [matrix(t21[other[i]]) @ y2[i] for i in range(n)]
    guess2 = [matrix(t12[other[i]]) @ y1[i] for i in range(n)]
    p = [[head("projector", y) for y in rows] for rows in (y1, y2)]
    e = [[head("predicted_projector", y) for y in rows] for rows in ([*y1, *y2], [*guess1, *guess2])]
    even, odd = range(0, whole, 2), range(1, whole, 2)
    q = [[head("code_projector", codes[i]) for codes in (t12, t21) for i in half] for half in (even, odd)]
    return slow_nt_xent(*p, 0.2) + slow_nt_xent(*e, 0.2) + 0.1 * slow_nt_xent(*q, 0.2)


@pytest.mark.parametrize("rank", [5, None])
@pytest.mark.parametrize("count", [2, 3, 6, 7])
def test_the_loss_equals_a_slow_loop_over_images_with_its_gradients(count: int, rank: int | None):
    pretext = stl(rank=rank, code=8, hidden=16, embedding=8)
    found = loss_of_views(pretext, views(count, 1), views(count, 2))
    found.backward()
    gradients = [parameter.grad.clone() for parameter in pretext.parameters()]
    pretext.zero_grad()
    expected = slow_loss(pretext, views(count, 1), views(count, 2))
    expected.backward()
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    for one, other in zip(gradients, pretext.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", group_names())
def test_every_group_trains_every_weight_on_even_and_odd_batches(name: str):
    for count in (4, 5):
        pretext = build("stl", name).train()
        loss, scalars = pretext(step(stored(count)))
        loss.backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in pretext.parameters())
        assert {"invariance", "equivariance", "transformation"} <= set(scalars)


@pytest.mark.parametrize(
    ("count", "expected"), [(2, [1, 0]), (3, [1, 0, 1]), (4, [1, 0, 3, 2]), (5, [1, 0, 3, 2, 3])]
)
def test_an_odd_last_image_joins_the_pair_before_it(count: int, expected: list[int]):
    assert partners(count, torch.device("cpu")).tolist() == expected


def test_both_images_of_a_pair_get_the_same_two_transformations():
    params = small_params("C4")
    settings = params.views.model_copy(update={"turn": "none", "blur": 0.0})
    pretext = pretexts.build("stl", params.model_copy(update={"views": settings}))
    images = stored(1).expand(5, -1, -1, -1)
    first, second = pretext.draw_views(images, torch.Generator().manual_seed(0))
    for view in (first, second):
        assert torch.equal(view[0], view[1])
        assert torch.equal(view[2], view[3])
        assert torch.equal(view[2], view[4])
        assert not torch.equal(view[0], view[2])
    assert not torch.equal(first, second)


def test_the_matrix_is_linear_in_the_code_and_has_few_weights():
    generator = torch.Generator().manual_seed(0)
    codes, rows = (torch.randn(4, size, generator=generator) for size in (6, 10))
    for rank, weights in ((3, 6 * 3 + 2 * 3 * 10), (None, 6 * 10 * 10)):
        change = Change(6, 10, rank, generator)
        assert sum(parameter.numel() for parameter in change.parameters()) == weights
        both = change(codes[:1], rows[:1]) + 2 * change(codes[1:2], rows[:1])
        torch.testing.assert_close(change(codes[:1] + 2 * codes[1:2], rows[:1]), both, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("key", ["temperature", "code", "rank", "transformation"])
def test_bad_settings_are_named(key: str):
    with pytest.raises(ValueError, match=rf"pretexts\.stl\.{key}: given 0"):
        stl(**{key: 0})
