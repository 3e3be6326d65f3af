"""Every layer on fields commutes with every group, also when only a part of a batch is turned."""

from collections.abc import Callable

import pytest
import torch
from moving import act_on_map, relative_error
from torch import Tensor, nn

from eqssl.nn.activation import FourierELU
from eqssl.nn.convolution import GroupConv2d
from eqssl.nn.normalisation import FieldBatchNorm
from eqssl.nn.pooling import Halve, HalveByMaximum
from eqssl.symmetry import Group, group, group_names
from eqssl.symmetry.filter_bases import filter_basis
from eqssl.symmetry.fourier import ROTATIONS, field_size, sampling_matrix

FIELDS = 3


def activation(G: Group) -> nn.Module:
    return FourierELU(sampling_matrix(G, ROTATIONS)) if G.is_continuous else nn.ReLU()


LAYERS: dict[str, Callable[[Group], nn.Module]] = {
    "convolution 3": lambda G: GroupConv2d(filter_basis(G.name, "group", 3), FIELDS, 2, 3),
    "convolution 7": lambda G: GroupConv2d(filter_basis(G.name, "group", 7), FIELDS, 2, 7),
    "boxed convolution": lambda G: GroupConv2d(filter_basis(G.name, "group", 3), FIELDS, 2, 3, "boxed"),
    "batch norm": lambda G: FieldBatchNorm(FIELDS, field_size(G), G.is_continuous),
    "activation": activation,
    "halving": lambda G: Halve(),
    "halving by maximum": lambda G: HalveByMaximum(),
}


def turned_in_part(G: Group, maps: Tensor, g: object) -> Tensor:
    return torch.cat([act_on_map(G, maps[:2], g), maps[2:]])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("side", [8, 9])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("name", group_names())
def test_a_layer_commutes_with_the_elements_of_the_grid(name: str, kind: str, side: int, training: bool):
    G = group(name)
    if kind == "halving by maximum" and G.is_continuous:
        pytest.skip("Fourier coefficients have no maximum")
    layer = LAYERS[kind](G)
    layer(
        torch.randn(8, FIELDS * field_size(G), side, side) + 1
    )  # statistics that are not those of the start
    layer.train(training)
    for dtype, tolerance in [(torch.float32, 1e-5), (torch.float64, 1e-6 if G.is_continuous else 1e-10)]:
        maps = torch.randn(4, FIELDS * field_size(G), side, side, dtype=dtype)
        layer.to(dtype)
        reference = layer(maps)
        for g in G.grid_elements:
            found = layer(turned_in_part(G, maps, g))
            assert relative_error(found, turned_in_part(G, reference, g)) < tolerance


@pytest.mark.parametrize("name", [name for name in group_names() if name != "trivial"])
def test_batch_norm_per_channel_does_not_commute_with_the_group(name: str):
    """The negative control: such a norm treats the channels of a field differently."""
    G = group(name)
    norm = nn.BatchNorm2d(FIELDS * field_size(G)).double()
    maps = torch.randn(4, FIELDS * field_size(G), 8, 8, dtype=torch.float64)
    reference = norm(maps)
    g = next(g for g in G.grid_elements if g != G.identity)
    assert relative_error(norm(turned_in_part(G, maps, g)), turned_in_part(G, reference, g)) > 1e-3
