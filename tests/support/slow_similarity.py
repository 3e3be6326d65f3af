"""Similarities of one pair after the other, from the formulas of the method and the regular representation."""

import math

import torch
from torch import Tensor

from eqssl.symmetry import act_on_regular, group


def embeddings(n: int, name: str, seed: int = 0, fields: int = 3, dtype=torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, fields, group(name).order, generator=generator, dtype=dtype)


def turn_each(z: Tensor, name: str, seed: int) -> Tensor:
    """Each embedding turned by its own listed element."""
    G, generator = group(name), torch.Generator().manual_seed(seed)
    drawn = torch.randint(G.order, (len(z),), generator=generator)
    return torch.stack([act_on_regular(G, one, G.elements[int(i)]) for one, i in zip(z, drawn, strict=True)])


def finely_turned(b: Tensor, name: str, angles: int) -> list[Tensor]:
    """One embedding in all compared turns; between the listed angles through its discrete Fourier series."""
    G = group(name)
    if not G.is_continuous:
        return [act_on_regular(G, b, g) for g in G.elements]
    found = []
    steps = angles // 8
    mirror = [g for g in G.elements if torch.linalg.det(torch.tensor(G.matrix(g))) < 0]
    for reflect in [None, *mirror[:1]]:
        start = b if reflect is None else act_on_regular(G, b, reflect)
        for i in range(angles):
            coarse, rest = divmod(i, steps)
            whole = act_on_regular(G, start, _rotation(G, coarse))
            found.append(_shifted(whole, name, rest / steps))
    return found


def _rotation(G, eighths: int):
    """The listed turn by that many times 45 degrees."""
    angle = eighths * math.pi / 4
    wanted = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    (found,) = [g for g in G.elements if torch.allclose(torch.tensor(G.matrix(g)).float(), wanted, atol=1e-6)]
    return found


def _shifted(values: Tensor, name: str, share: float) -> Tensor:
    """Values turned by a share of 45 degrees: each frequency gets its phase."""
    G = group(name)
    result = torch.zeros_like(values)
    turns = [_rotation(G, i) for i in range(8)]
    flips = (
        [None]
        if G.order == 8
        else [None, next(g for g in G.elements if torch.linalg.det(torch.tensor(G.matrix(g))) < 0)]
    )
    for flip in flips:
        # going around on the left: r^i s is where a turn takes r^(i-1) s
        places = [G.index(r if flip is None else r @ flip) for r in turns]
        ring = values[..., places]
        coefficients = torch.fft.fft(ring)
        frequency = torch.fft.fftfreq(8, 1 / 8).to(values)
        phase = torch.exp(-2j * math.pi * frequency * share / 8)
        phase[4] = math.cos(math.pi * share)  # the highest frequency has no sine on eight points
        result[..., places] = torch.fft.ifft(coefficients * phase).real
    return result


def slow_similarity(
    a: Tensor, b: Tensor, name: str, kind: str | None, tau: float, angles: int = 64
) -> Tensor:
    """Of one pair, each of shape (fields, |G|)."""
    if kind == "pool":
        a, b = a.mean(-1), b.mean(-1)
        return (a / a.norm()) @ (b / b.norm())
    a, b = a / a.norm(), b / b.norm()
    if kind is None:
        return (a * b).sum()
    products = torch.stack([(a * turned).sum() for turned in finely_turned(b, name, angles)])
    if kind == "softmax":
        return tau * torch.log(torch.exp(products / tau).mean())
    return products.max()
