"""The slow reference of losses: similarity and alignment of one pair, one element after the other."""

import cmath
import math

import torch
from torch import Tensor

from eqssl.symmetry import act_on_regular, group
from eqssl.symmetry.groups import Group
from eqssl.symmetry.turning import flip_and_degrees

KINDS = ["max", "align", "softmax", "pool", None]
GROUPS = ["trivial", "C4", "D4", "SO2", "O2"]
"""Groups for which losses are compared with their slow references."""
DEFAULT_ANGLES = 64


def embeddings(n: int, name: str, seed: int, fields: int = 3, dtype=torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, fields, group(name).order, generator=generator, dtype=torch.float64).to(dtype)


def turn_each(z: Tensor, name: str, seed: int) -> Tensor:
    """Each embedding turned by an element of its own; not all of them by the identity."""
    G, generator = group(name), torch.Generator().manual_seed(seed)
    drawn = torch.randint(G.order, (len(z),), generator=generator)
    drawn[-1] = G.order - 1
    return torch.stack([act_on_regular(G, one, G.elements[int(i)]) for one, i in zip(z, drawn, strict=True)])


def all_turns(b: Tensor, G: Group, angles: int = DEFAULT_ANGLES) -> list[Tensor]:
    """One embedding turned by each element at which embeddings are compared."""
    if not G.is_continuous:
        return [act_on_regular(G, b, g) for g in G.elements]
    mirrored = [g for g in G.elements if flip_and_degrees(G.matrix(g))[0]]
    starts = [b, *(act_on_regular(G, b, g) for g in mirrored[:1])]
    return [_rotated(start, G, 2 * math.pi * i / angles) for start in starts for i in range(angles)]


def _rotated(b: Tensor, G: Group, angle: float) -> Tensor:
    """On each coset of the rotations, the coefficient of frequency k is multiplied by exp(-i k angle)."""
    places = [flip_and_degrees(G.matrix(g)) for g in G.elements]
    turned = torch.empty_like(b)
    for flip in {flip for flip, _ in places}:
        order = sorted((i for i, place in enumerate(places) if place[0] == flip), key=lambda i: places[i][1])
        half = len(order) // 2
        phases = [cmath.exp(-1j * k * angle) for k in range(half)] + [math.cos(half * angle)]
        coefficients = torch.fft.rfft(b[..., order]) * torch.tensor(phases, dtype=torch.complex128)
        turned[..., order] = torch.fft.irfft(coefficients, n=len(order))
    return turned


def slow_similarity(a: Tensor, b: Tensor, G: Group, kind: str | None, tau: float) -> Tensor:
    """One pair, from the formulas of the method."""
    if kind == "pool":
        a, b = a.mean(-1), b.mean(-1)
    a, b = a / a.norm(), b / b.norm()
    if kind in ("pool", None) or G.order == 1:
        return (a * b).sum()
    products = [(a * turned).sum() for turned in all_turns(b, G)]
    if kind == "softmax":
        return tau * torch.log(sum(torch.exp(p / tau) for p in products) / len(products))
    return max(products, key=lambda product: float(product.detach()))


def slow_rows(
    z1: Tensor, z2: Tensor, G: Group, kind: str | None, tau: float
) -> tuple[list[Tensor], list[Tensor]]:
    """The points of both views, image after image, the second aligned. A point is a vector of features."""
    first, second = [], []
    for a, b in zip(z1, z2, strict=True):
        if kind is None or G.order == 1:
            pair = a.flatten()[:, None], b.flatten()[:, None]
        elif kind == "pool":
            pair = a.mean(-1)[:, None], b.mean(-1)[:, None]
        else:
            pair = a, _aligned(a, b, G, kind, tau)
        first += [pair[0][:, h] for h in range(pair[0].shape[1])]
        second += [pair[1][:, h] for h in range(pair[1].shape[1])]
    return first, second


def _aligned(a: Tensor, b: Tensor, G: Group, kind: str, tau: float) -> Tensor:
    turned = all_turns(b, G)
    if kind != "softmax":
        return max(turned, key=lambda one: float((a * one).sum().detach()))
    weights = [torch.exp((a * one).sum() / a.norm() / b.norm() / tau) for one in turned]
    return sum(w * one for w, one in zip(weights, turned, strict=True)) / sum(weights)


def assert_same_with_gradients(loss, slow, *inputs: Tensor) -> None:
    """Both give the same number and the same gradient of each input, which may be zero."""
    found, expected = [[tensor.detach().clone().requires_grad_() for tensor in inputs] for _ in range(2)]
    value, slow_value = loss(*found), slow(*expected)
    torch.testing.assert_close(value, slow_value, rtol=1e-10, atol=1e-10)
    value.backward()
    slow_value.backward()
    for one, other in zip(found, expected, strict=True):
        gradients = [torch.zeros_like(z) if z.grad is None else z.grad for z in (one, other)]
        torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-10)


def assert_bad_arguments_are_refused(loss, arguments: dict, change: dict, reason: str) -> None:
    """The loss takes the arguments, and refuses them after the change with a reason that names it."""
    import pytest

    assert torch.isfinite(loss(**arguments))
    with pytest.raises(ValueError, match=reason):
        loss(**{**arguments, **change})
