"""Heads and projectors on regular fields, and their plain twins of the same width."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.nn.linear import EquivariantLinear, PairLinear, by_points
from eqssl.symmetry.groups import Group
from eqssl.symmetry.gsets import GSet


class VectorBatchNorm(nn.Module):
    """Batch norm of features over G-sets (batch, fields, points), one statistic per field.

    The statistics are taken over batch and points, so that a permutation of the points does not change them.

    Args:
        fields: number of fields.
        affine: whether each field has a trained scale and shift.

    Example:
        >>> import torch
        >>> VectorBatchNorm(16)(torch.randn(4, 16, 8)).shape
        torch.Size([4, 16, 8])
    """

    def __init__(self, fields: int, affine: bool = True) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(fields, affine=affine)

    def forward(self, x: Float[Tensor, "batch fields points"]) -> Float[Tensor, "batch fields points"]:
        """Normalise."""
        # as rows of fields, because torch's kernels are several times slower on inputs with few points
        rows: Tensor = self.norm(x.transpose(1, 2).flatten(0, 1))
        return rows.unflatten(0, (len(x), -1)).transpose(1, 2)


def equivariant_mlp(
    group: Group,
    widths: Sequence[int],
    target: GSet | None = None,
    generator: torch.Generator | None = None,
    source: GSet | None = None,
    of_pairs: bool = False,
) -> nn.Sequential:
    """Multi-layer perceptron from fields over `source` to fields over `target` (both regular by default).

    Args:
        group: the group.
        widths: fields of the input, of each hidden layer (regular, batch norm, ReLU) and of the output.
        target: G-set of the output.
        generator: draws the first weights.
        source: G-set of the input.
        of_pairs: whether it takes pairs of inputs, as `PairLinear` does.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import assert_equivariant, group
        >>> G = group("D4")
        >>> projector = equivariant_mlp(G, [16, 32, 8]).eval()
        >>> z = torch.randn(4, 16, 8)
        >>> projector(z).shape
        torch.Size([4, 8, 8])
        >>> from eqssl.symmetry import act_on_regular
        >>> g = G.elements[3]
        >>> torch.allclose(projector(act_on_regular(G, z, g)), act_on_regular(G, projector(z), g), atol=1e-5)
        True
    """
    regular = GSet.regular(group)
    sets = [source or regular, *[regular] * (len(widths) - 2), target or regular]

    def linear(i: int, bias: bool) -> nn.Module:
        return EquivariantLinear(sets[i], sets[i + 1], widths[i], widths[i + 1], bias, generator)

    return nn.Sequential(*_layers(linear, [VectorBatchNorm(fields) for fields in widths[1:-1]], of_pairs))


def plain_mlp(
    group: Group,
    widths: Sequence[int],
    points: int | None = None,
    generator: torch.Generator | None = None,
    source_points: int | None = None,
    of_pairs: bool = False,
) -> nn.Sequential:
    """The unconstrained twin of `equivariant_mlp`: the same widths in channels, without symmetry.

    Its inputs and outputs have the same shapes. `source_points` and `points` are the sizes of the input's and
    the output's last axis (the group's order by default).

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> plain_mlp(group("D4"), [16, 32, 8])(torch.randn(4, 16, 8)).shape
        torch.Size([4, 8, 8])
    """
    between = [width * group.order for width in widths[1:-1]]
    sizes = [widths[0] * (source_points or group.order), *between, widths[-1] * (points or group.order)]

    def linear(i: int, bias: bool) -> nn.Module:
        layer = _linear(sizes[i], sizes[i + 1], bias, generator)
        return layer if i else nn.Sequential(_Flatten(), layer)

    layers = _layers(linear, [nn.BatchNorm1d(size) for size in between], of_pairs)
    return nn.Sequential(*layers, nn.Unflatten(1, (widths[-1], -1)))


def _layers(
    linear: Callable[[int, bool], nn.Module], norms: Sequence[nn.Module], of_pairs: bool
) -> list[nn.Module]:
    """Linear layers with norms and ReLUs between them; `linear(i, bias)` makes layer number i."""
    bias = not norms
    layers = [PairLinear(linear(0, False), linear(0, bias)) if of_pairs else linear(0, bias)]
    for i, norm in enumerate(norms, 1):
        layers += [norm, nn.ReLU(), linear(i, i == len(norms))]
    return layers


class _Flatten(nn.Module):
    """Flatten the features of each input."""

    def forward(self, x: Float[Tensor, "batch fields points"]) -> Float[Tensor, "batch points*fields"]:
        """Flatten point by point."""
        return by_points(x)


def _linear(inputs: int, outputs: int, bias: bool, generator: torch.Generator | None) -> nn.Linear:
    """Torch's Linear, with its first weights drawn from the given generator."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)
    with torch.no_grad():
        layer.weight.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
        if bias:
            layer.bias.zero_()
    return layer
