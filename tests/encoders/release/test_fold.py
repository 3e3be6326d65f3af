"""The released form: what a trained encoder computes, from a plain network."""

import subprocess
import sys

import pytest
import torch
from small_encoders import new, trained_statistics
from torch import nn
from wide_products import one_in

from eqssl.encoders import load_encoder, save_encoder
from eqssl.encoders.base import Encoder, parameter_count
from eqssl.encoders.layers import PlainLayers
from eqssl.encoders.release.exporting import TOLERANCE
from eqssl.encoders.release.fold import release
from eqssl.nn.activation import FourierELU
from eqssl.nn.convolution import GroupConv2d
from eqssl.nn.normalisation import FieldBatchNorm
from eqssl.symmetry import group_names

GROUPS = group_names()
ENCODERS = ["cnn", "resnet18", "resnet50", "wide_resnet16_8"]


def with_history(encoder: Encoder) -> Encoder:
    """Give batch norms statistics, weights and biases that differ from their first values."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in encoder.modules():
            if isinstance(layer, FieldBatchNorm):
                layer.weight.copy_(torch.rand(layer.fields, generator=generator) + 0.5)
                layer.bias.copy_(torch.randn(layer.fields, generator=generator) * 0.3)
    return trained_statistics(encoder)


def outputs(encoder: Encoder, images: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        return [*encoder.stages(images), encoder(images), encoder.invariant(images)]


def error(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    return max(float((f - e).norm() / e.norm()) for f, e in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("group_name", "encoder_name", "downsampling", "fold"),
    one_in(4, GROUPS, ENCODERS, ["pool", "boxed"], [True, False]),
)
def test_a_released_network_computes_what_the_trained_encoder_does(
    group_name: str, encoder_name: str, downsampling: str, fold: bool
):
    encoder = with_history(new(group_name, size=14, name=encoder_name, downsampling=downsampling))
    released = release(encoder, fold)
    # an even and an odd side: `boxed` halves them with different filters
    for side in (14, 13):
        images = torch.randn(3, 1, side, side)
        assert error(outputs(released, images), outputs(encoder, images)) < TOLERANCE
    assert released.is_released
    assert not any(isinstance(layer, GroupConv2d | FieldBatchNorm) for layer in released.modules())


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("group_name", ["D4", "D8", "SO2"])
def test_a_released_network_with_maximum_pooling_computes_the_same(group_name: str, fold: bool):
    encoder = with_history(new(group_name, channels=3, group_pooling="max"))
    images = torch.randn(2, 3, 28, 28)
    assert error(outputs(release(encoder, fold), images), outputs(encoder, images)) < TOLERANCE


def test_a_released_network_of_large_images_computes_the_same():
    encoder = with_history(new("O2", channels=3, size=96, name="resnet18"))
    images = torch.randn(1, 3, 96, 96)
    assert error(outputs(release(encoder), images), outputs(encoder, images)) < TOLERANCE


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("encoder_name", ENCODERS)
@pytest.mark.parametrize("group_name", ["D4", "SO2"])
def test_an_encoder_with_plain_stages_is_released_too(group_name: str, encoder_name: str, fold: bool):
    encoder = with_history(new(group_name, name=encoder_name, equivariant_stages=1))
    released, images = release(encoder, fold), torch.randn(2, 1, 28, 28)
    assert error(outputs(released, images), outputs(encoder, images)) < TOLERANCE
    assert released.stage_groups == encoder.stage_groups


def test_another_encoders_release_is_told_apart():
    """The negative control of the comparison above: other weights give other features."""
    images = torch.randn(2, 1, 28, 28)
    encoder, other = with_history(new("D4")), with_history(new("D4", seed=1))
    assert error(outputs(release(other), images), outputs(encoder, images)) > 1e-2


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("encoder_name", ENCODERS)
@pytest.mark.parametrize("group_name", ["D4", "SO2"])
def test_parameters_are_those_of_a_plain_network(group_name: str, encoder_name: str, fold: bool):
    encoder = new(group_name, name=encoder_name)
    released = release(encoder, fold)
    size = encoder.shape.size
    filters = sum(layer.expand().numel() for layer in encoder.modules() if isinstance(layer, GroupConv2d))
    norms = [layer for layer in encoder.modules() if isinstance(layer, FieldBatchNorm)]
    # each batch norm is a factor and a summand; a convolution before it takes the factor in
    biases = [p for name, p in released.named_parameters() if name.endswith("bias")]
    assert sum(bias.numel() for bias in biases) == size * sum(norm.fields for norm in norms)
    rest = [p for p in released.parameters() if p.ndim == 4]
    assert sum(weight.numel() for weight in rest) == filters
    if not fold:
        assert parameter_count(released) == filters + 2 * size * sum(norm.fields for norm in norms)
    if fold and encoder_name != "wide_resnet16_8":
        assert parameter_count(released) == filters + size * sum(norm.fields for norm in norms)
    # a continuous group's activation samples with a constant matrix, and no other buffer is left
    assert {name.rpartition(".")[2] for name, _ in released.named_buffers()} <= {"matrix"}
    assert any(isinstance(layer, FourierELU) for layer in released.modules()) == (group_name == "SO2")


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("group_name", GROUPS)
def test_a_saved_released_encoder_loads_bit_for_bit(group_name: str, fold: bool, tmp_path):
    released = release(with_history(new(group_name)), fold)
    save_encoder(released, tmp_path, {"pretext": "none"})
    loaded, images = load_encoder(tmp_path), torch.randn(2, 1, 28, 28)
    for found, expected in zip(outputs(loaded, images), outputs(released, images), strict=True):
        assert torch.equal(found, expected)
    assert loaded.is_released
    assert not loaded.training
    assert loaded.group_name == group_name
    assert {type(layer) for layer in loaded.modules()} == {type(layer) for layer in released.modules()}


@pytest.mark.parametrize("group_name", ["D8", "O2"])
def test_loading_and_running_a_released_encoder_needs_no_escnn(group_name: str, tmp_path):
    released, images = release(with_history(new(group_name))), torch.randn(2, 1, 28, 28)
    save_encoder(released, tmp_path, {})
    torch.save(images, tmp_path / "images")
    code = (
        "import sys; sys.modules['escnn'] = None\n"
        "import torch; torch.set_num_threads(1)\n"
        "import eqssl\n"
        f"encoder = eqssl.load_encoder({str(tmp_path)!r})\n"
        f"images = torch.load({str(tmp_path / 'images')!r})\n"
        f"torch.save(encoder.invariant(images), {str(tmp_path / 'features')!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert torch.equal(torch.load(tmp_path / "features"), released.invariant(images))


@pytest.mark.parametrize("training", [True, False])
def test_the_trained_encoder_stays_as_it_was(training: bool):
    encoder = with_history(new("D4", name="resnet18")).train(training)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    released = release(encoder)
    assert encoder.training == training
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    after = encoder.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    # and shares no memory with the released one
    with torch.no_grad():
        for value in released.state_dict().values():
            value.fill_(7)
    assert all(torch.equal(encoder.state_dict()[name], value) for name, value in before.items())


def test_releasing_twice_is_refused():
    released = release(new("C4"))
    with pytest.raises(ValueError, match="given a released network, allowed: a trained one"):
        release(released)


def test_a_released_network_is_frozen_and_has_no_mode():
    released, images = release(with_history(new("D4"))), torch.randn(2, 1, 28, 28)
    assert not released.training
    assert not any(parameter.requires_grad for parameter in released.parameters())
    assert torch.equal(released(images), released.train()(images))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_numbers_that_are_not_finite_reach_the_features(number: float, precision: torch.dtype):
    released, images = release(with_history(new("D4", size=14))), torch.randn(3, 1, 14, 14)
    broken = images.clone()
    broken[1, 0, 5, 5] = number
    with torch.no_grad(), torch.autocast("cpu", precision, enabled=precision == torch.bfloat16):
        expected, found, stages = released(images), released(broken), released.stages(broken)
    for features in (found, *stages):
        assert not features[1].isfinite().any()
        assert features[[0, 2]].isfinite().all()
    assert error([found[[0, 2]]], [expected[[0, 2]]]) < (TOLERANCE if precision == torch.float32 else 2e-2)


def test_layers_of_a_released_network_are_torchs():
    assert not [layer for layer in release(new("D4")).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert isinstance(PlainLayers(8).activation(), nn.ReLU)
