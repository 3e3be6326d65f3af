"""Linear maps between permutation representations: one free weight per orbit of pairs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from eqssl.nn.constants import ModuleWithConstants
from eqssl.symmetry.gsets import GSet


def pair_orbits(source: GSet, target: GSet) -> Int[Tensor, "target source"]:
    """Number the orbits of the group on pairs (point of the target, point of the source).

    A matrix W commutes with the two permutation representations, W[g y, g x] = W[y, x], iff it is
    constant on these orbits, so their number is the dimension of the space of such maps.

    Example:
        >>> from eqssl.symmetry import GSet, group
        >>> regular = GSet.regular(group("C2"))
        >>> pair_orbits(regular, regular).tolist()
        [[0, 1], [1, 0]]
    """
    return target.product(source).orbit_of.view(target.size, source.size)


class EquivariantLinear(ModuleWithConstants):
    """Linear map from fields over one G-set to fields over another.

        out[b, o, y] = sum over i, x of weight[orbit(y, x), o, i] in[b, i, x]  +  bias[orbit(y), o]

    The matrix is gathered from the free weights, and the map is one matrix product. In the rows and columns
    of the matrix the fields of a point are neighbours. An encoder's features have this order in memory, so
    nothing is copied.

    Args:
        source: G-set of the input's last axis.
        target: G-set of the output's last axis, of the same group.
        in_fields: fields in.
        out_fields: fields out.
        bias: whether each orbit of the target has a free constant.
        generator: draws the first weights, uniform with variance 1 / (3 in_fields |source|), as Linear does.

    Raises:
        ValueError: if the two sets belong to different groups.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import GSet, group
        >>> regular = GSet.regular(group("C4"))
        >>> layer = EquivariantLinear(regular, regular, 16, 32)
        >>> layer(torch.randn(2, 16, 4)).shape, tuple(layer.weight.shape)
        (torch.Size([2, 32, 4]), (4, 32, 16))
    """

    pairs: Tensor
    points: Tensor

    def __init__(
        self,
        source: GSet,
        target: GSet,
        in_fields: int,
        out_fields: int,
        bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if source.group.name != target.group.name:
            raise ValueError(
                f"the sets belong to {source.group.name} and {target.group.name}, not to one group"
            )
        self.in_fields, self.out_fields = in_fields, out_fields
        pairs = pair_orbits(source, target)
        self.register_constant("pairs", pairs)
        self.register_constant("points", target.orbit_of)
        bound = (in_fields * source.size) ** -0.5
        free = torch.rand(int(pairs.max()) + 1, out_fields, in_fields, generator=generator)
        self.weight = nn.Parameter((2 * free - 1) * bound)
        constants = torch.zeros(int(target.orbit_of.max()) + 1, out_fields)
        self.bias = nn.Parameter(constants) if bias else None

    def extra_repr(self) -> str:
        """Fields and free weights, for printing."""
        return f"{self.in_fields}, {self.out_fields}, free weights per pair of fields={len(self.weight)}"

    def matrix(self) -> Float[Tensor, "target out_fields source in_fields"]:
        """The whole matrix of the map."""
        whole = self.weight.index_select(0, self.pairs.flatten()).unflatten(0, self.pairs.shape)
        return whole.transpose(1, 2)

    def forward(self, x: Float[Tensor, "batch in_fields source"]) -> Float[Tensor, "batch out_fields target"]:
        """Apply the map."""
        matrix = self.matrix()
        rows = by_points(x)
        y = F.linear(rows, matrix.flatten(2).flatten(0, 1)).unflatten(1, matrix.shape[:2])
        if self.bias is not None:
            y = y + self.bias.index_select(0, self.points)
        return y.transpose(1, 2)


class PairLinear(nn.Module):
    """Linear map of pairs that share their first half: W [u; v_k] = U u + V v_k, with U u computed once.

    Args:
        first: the map U.
        second: the map V.
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second
        with torch.no_grad():
            # the sum has twice the inputs of either
            for parameter in self.parameters():
                parameter.mul_(0.5**0.5)

    def forward(
        self,
        pairs: tuple[Float[Tensor, "batch in_fields source"], Float[Tensor, "k*batch in_fields source"]],
    ) -> Float[Tensor, "k*batch ..."]:
        """Apply the map to the pairs (u, v_1), all u of the batch first, then to the pairs (u, v_2), ..."""
        u, v = pairs
        of_u, of_v = self.first(u), self.second(v)
        return (of_v.unflatten(0, (-1, len(u))) + of_u).flatten(0, 1)


def by_points(x: Float[Tensor, "batch fields points"]) -> Float[Tensor, "batch points*fields"]:
    """Flatten each input's features point by point; those of an encoder are not copied."""
    return x.transpose(1, 2).flatten(1)
