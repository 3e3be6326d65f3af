"""Heads and projectors on regular fields, and their plain twins of the same width."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.nn.linear import EquivariantLinear
from eqssl.symmetry.groups import Group
from eqssl.symmetry.gsets import GSet


class VectorBatchNorm(nn.Module):
    """Batch norm of features over G-sets (batch, fields, points), one statistic per field.

    The statistics run over batch and points, so that a permutation of the points changes nothing.
    """

    def __init__(self, fields: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(fields)

    def forward(self, x: Float[Tensor, "batch fields points"]) -> Float[Tensor, "batch fields points"]:
        """Normalise."""
        normalised: Tensor = self.norm(x)
        return normalised


def equivariant_mlp(
    group: Group,
    widths: Sequence[int],
    target: GSet | None = None,
    generator: torch.Generator | None = None,
    source: GSet | None = None,
) -> nn.Sequential:
    """Multi-layer perceptron from fields over `source` to fields over `target` (both regular by default).

    Args:
        group: the group.
        widths: fields of the input, of each hidden layer (regular, batch norm, ReLU) and of the output.
        target: G-set of the output.
        generator: draws the first weights.
        source: G-set of the input.
    """
    regular = GSet.regular(group)
    points = source or regular
    layers: list[nn.Module] = []
    for fields_in, fields_out in pairwise(widths[:-1]):
        layers += [
            EquivariantLinear(points, regular, fields_in, fields_out, bias=False, generator=generator),
            VectorBatchNorm(fields_out),
            nn.ReLU(),
        ]
        points = regular
    last = EquivariantLinear(points, target or regular, widths[-2], widths[-1], generator=generator)
    return nn.Sequential(*layers, last)


def plain_mlp(
    group: Group,
    widths: Sequence[int],
    points: int | None = None,
    generator: torch.Generator | None = None,
    source_points: int | None = None,
) -> nn.Sequential:
    """The unconstrained twin of `equivariant_mlp`: the same widths in numbers, no symmetry.

    It takes and gives the same shapes; `source_points` and `points` are the sizes of the input's and the
    output's last axis (the group's order by default).
    """
    between = [width * group.order for width in widths[1:-1]]
    sizes = [widths[0] * (source_points or group.order), *between, widths[-1] * (points or group.order)]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes[:-1]):
        layers += [_linear(inputs, outputs, False, generator), nn.BatchNorm1d(outputs), nn.ReLU()]
    layers += [_linear(sizes[-2], sizes[-1], True, generator), nn.Unflatten(1, (widths[-1], -1))]
    return nn.Sequential(*layers)


def _linear(inputs: int, outputs: int, bias: bool, generator: torch.Generator | None) -> nn.Linear:
    """Torch's Linear with its own first weights, drawn from a given generator."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)
    with torch.no_grad():
        layer.weight.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
        if bias:
            layer.bias.zero_()
    return layer
