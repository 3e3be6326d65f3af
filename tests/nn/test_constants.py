"""Tensors that move with a layer, are saved with it, and belong to it alone."""

import copy
import io
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from eqssl.nn.activation import FourierELU
from eqssl.nn.constants import ModuleWithConstants, constants_of
from eqssl.nn.convolution import GroupConv2d
from eqssl.nn.linear import EquivariantLinear
from eqssl.nn.pooling import Sample
from eqssl.symmetry import GSet, group
from eqssl.symmetry.filter_bases import filter_basis
from eqssl.symmetry.fourier import sampling_matrix


class Layer(ModuleWithConstants):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_constant("table", torch.tensor([1, 0]), saved=True)
        self.register_constant("scale", torch.tensor([0.5, 2.0]))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight * self.scale)[..., self.table]


def layers() -> dict[str, nn.Module]:
    basis, C4, SO2 = filter_basis("C4", "group", 3), group("C4"), group("SO2")
    return {
        "convolution": GroupConv2d(basis, 2, 3, 3),
        "linear": EquivariantLinear(GSet.regular(C4), GSet.regular(C4), 2, 3),
        "activation": FourierELU(sampling_matrix(SO2, 16)),
        "sample": Sample(sampling_matrix(SO2)),
    }


@pytest.mark.parametrize("name", layers())
def test_no_layer_hides_a_constant_among_its_buffers(name: str):
    layer = layers()[name]
    assert isinstance(layer, ModuleWithConstants)
    assert len(constants_of(layer)) >= 1
    assert {name for name, _ in layer.named_buffers()} <= {"running_mean", "running_var"}


def test_constants_take_part_in_a_change_of_type_as_buffers_do():
    layer = Layer().double()
    assert (layer.scale.dtype, layer.table.dtype) == (torch.float64, torch.int64)
    assert layer(torch.ones(1, 2, dtype=torch.float64)).tolist() == [[2.0, 0.5]]
    assert nn.Sequential(Layer()).to("meta")[0].table.device.type == "meta"


def test_saved_constants_are_in_the_state_dict_and_are_loaded():
    layer, other = Layer(), Layer()
    other.table.copy_(torch.tensor([0, 0]))
    network = nn.Sequential(other)
    assert list(network.state_dict()) == ["0.weight", "0.table"]
    network.load_state_dict(nn.Sequential(layer).state_dict())
    assert other.table.tolist() == [1, 0]
    assert other.table is not layer.table


@pytest.mark.parametrize("strict", [True, False])
def test_a_constant_that_is_missing_or_does_not_fit_is_named(strict: bool):
    state = Layer().state_dict()
    del state["table"]
    if strict:
        with pytest.raises(RuntimeError, match=r'Missing key.*"table"'):
            Layer().load_state_dict(state)
    else:
        assert Layer().load_state_dict(state, strict=False).missing_keys == ["table"]
    state["table"] = torch.zeros(3, dtype=torch.int64)
    with pytest.raises(RuntimeError, match=r"size mismatch for table: given \(3,\), allowed: \(2,\)"):
        Layer().load_state_dict(state, strict=strict)
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"scale"'):
        Layer().load_state_dict({**Layer().state_dict(), "scale": torch.ones(2)})


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])  # noqa: S301
def test_a_copy_of_a_layer_has_constants_of_its_own(copied):
    layer = Layer()
    other = copied(layer)
    other.table.zero_()
    assert layer.table.tolist() == [1, 0]
    assert other.scale.tolist() == layer.scale.tolist()


def test_a_file_that_torch_writes_holds_constants():
    file = io.BytesIO()
    torch.save(Layer().state_dict(), file)
    file.seek(0)
    assert torch.load(file)["table"].tolist() == [1, 0]


def test_an_average_of_buffers_leaves_them_alone():
    """As buffers, tables of integers would be averaged and truncated."""
    networks = [nn.Sequential(*layers().values()) for _ in range(2)]
    average = AveragedModel(networks[0], multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    expected = [tensor.clone() for tensor in constants_of(networks[0])]
    for _ in range(3):
        average.update_parameters(networks[1])
    found = constants_of(average)
    assert len(found) == len(expected) > 5
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
