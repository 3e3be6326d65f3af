"""Encoders under compilation, autocast, copying, averaging, many processes and CUDA graphs."""

import copy
import io
import pickle
import shutil

import pytest
import torch
from small_encoders import gradients, new, relative, statistics, trained_statistics
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from wide_products import one_in

from eqssl.encoders.base import Encoder
from eqssl.encoders.release.fold import release
from eqssl.nn.convolution import GroupConv2d

GROUPS = ["D4", "C8", "SO2"]


def equal_states(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def train_step(encoder: nn.Module, images: Tensor, rate: float = 0.05) -> None:
    encoder.zero_grad()
    encoder(images).square().mean().backward()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter -= rate * parameter.grad


# ---- torch.compile


def check_compiled(backend: str, group_name: str, encoder_name: str, training: bool) -> None:
    torch._dynamo.reset()
    eager = trained_statistics(new(group_name, name=encoder_name, size=14)).train(training)
    copied = copy.deepcopy(eager)
    compiled = torch.compile(copied, fullgraph=True, backend=backend)
    images = torch.randn(4, 1, 14, 14)
    expected, found = eager(images), compiled(images)
    assert relative(found, expected) < 1e-5
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    (found * weights).sum().backward()
    assert relative(gradients(copied), gradients(eager)) < 1e-5
    assert relative(statistics(copied), statistics(eager)) < 1e-5
    if not training:
        with torch.no_grad():
            assert relative(compiled(images), eager(images)) < 1e-5
            # the compiled network keeps no filter of earlier weights
            for network in (eager, copied):
                for parameter in network.parameters():
                    parameter.mul_(1.5)
            assert relative(compiled(images), eager(images)) < 1e-5


@pytest.mark.parametrize(
    ("compiled", "group_name", "training"),
    one_in(3, ["eager cnn", "aot_eager cnn", "eager resnet18"], GROUPS, [True, False]),
)
def test_a_compiled_encoder_is_one_graph_and_computes_the_same(
    compiled: str, group_name: str, training: bool
):
    backend, encoder_name = compiled.split()
    check_compiled(backend, group_name, encoder_name, training)


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("group_name", GROUPS)
@pytest.mark.parametrize(
    ("backend", "encoder_name"), [("aot_eager", "resnet18"), ("inductor", "cnn"), ("inductor", "resnet18")]
)
def test_an_encoder_in_generated_code_computes_the_same(
    backend: str, encoder_name: str, group_name: str, training: bool
):
    if backend == "inductor" and shutil.which("g++") is None:
        pytest.skip("inductor needs a compiler")
    check_compiled(backend, group_name, encoder_name, training)


def test_no_part_of_an_encoder_breaks_the_graph():
    for training in (True, False):
        torch._dynamo.reset()
        encoder = trained_statistics(new("D4", name="wide_resnet16_8", downsampling="boxed")).train(training)
        explained = torch._dynamo.explain(encoder)(torch.randn(2, 1, 28, 28))
        assert (explained.graph_count, explained.graph_break_count) == (1, 0)


@pytest.mark.parametrize(("group_name", "training"), one_in(2, GROUPS, [True, False]))
def test_a_batch_of_another_size_is_compiled_too(group_name: str, training: bool):
    torch._dynamo.reset()
    encoder = trained_statistics(new(group_name, size=14)).train(training)
    copied = copy.deepcopy(encoder)
    compiled = torch.compile(copied, fullgraph=True, backend="aot_eager")
    for batch in (4, 6, 3):
        images = torch.randn(batch, 1, 14, 14)
        expected, found = encoder(images), compiled(images)
        assert relative(found, expected) < 1e-5
        expected.square().sum().backward()
        found.square().sum().backward()
        assert relative(gradients(copied), gradients(encoder)) < 1e-4


def test_a_released_network_compiles_too():
    torch._dynamo.reset()
    released, images = release(trained_statistics(new("SO2"))), torch.randn(2, 1, 28, 28)
    compiled = torch.compile(released, fullgraph=True, backend="aot_eager")
    assert relative(compiled(images), released(images)) < 1e-5


# ---- autocast


@pytest.mark.parametrize("encoder_name", ["cnn", "resnet18"])
@pytest.mark.parametrize("group_name", GROUPS)
@pytest.mark.parametrize("training", [True, False])
def test_bfloat16_autocast_is_near_float32(group_name: str, encoder_name: str, training: bool):
    encoder = trained_statistics(new(group_name, name=encoder_name)).train(training)
    images = torch.randn(4, 1, 28, 28)
    expected = encoder(images)
    with torch.autocast("cpu", torch.bfloat16):
        found = encoder(images)
    assert bool(found.isfinite().all())
    assert relative(found.float(), expected) < 2e-2
    found.float().square().mean().backward()
    assert bool(gradients(encoder).isfinite().all())
    assert all(parameter.grad.dtype == torch.float32 for parameter in encoder.parameters())


@pytest.mark.parametrize("group_name", GROUPS)
def test_filters_are_expanded_in_full_precision_under_autocast(group_name: str):
    layers = [layer for layer in new(group_name).modules() if isinstance(layer, GroupConv2d)]
    for layer in layers:
        expected = layer.expand()
        with torch.autocast("cpu", torch.bfloat16):
            found = layer.expand()
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)


# ---- copies


def pickled(encoder: Encoder) -> Encoder:
    return pickle.loads(pickle.dumps(encoder))  # noqa: S301 - its own bytes


def saved_by_torch(encoder: Encoder) -> Encoder:
    file = io.BytesIO()
    torch.save(encoder, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled, saved_by_torch])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("group_name", GROUPS)
def test_copies_of_an_encoder_are_equal_bit_for_bit(copied, training: bool, group_name: str):
    encoder, images = trained_statistics(new(group_name, name="resnet18")), torch.randn(4, 1, 28, 28)
    with torch.no_grad():
        encoder(images)  # a filter may be kept now, which no copy shall share
    found = copied(encoder.train(training))
    assert found.training == training
    assert torch.equal(found(images), encoder(images))
    assert equal_states(found, encoder)
    before = encoder.state_dict()["stem.0.0.weight"].clone()
    train_step(found.train(), images)
    assert torch.equal(encoder.state_dict()["stem.0.0.weight"], before)
    with torch.no_grad():
        assert not torch.equal(found.eval()(images), encoder.eval()(images))


def test_a_copy_of_a_compiled_encoders_module_is_an_encoder():
    encoder = trained_statistics(new("D4"))
    compiled = torch.compile(encoder, backend="eager")
    assert equal_states(copy.deepcopy(compiled._orig_mod), encoder)


# ---- averages of weights


def fresh_with_state(group_name: str, state: dict[str, Tensor]) -> Encoder:
    """A new encoder with the same state, which has never had other weights."""
    encoder = new(group_name, seed=5)
    encoder.load_state_dict(state)
    return encoder.eval()


def multiplied_in_place(average: Encoder, encoder: Encoder) -> None:
    for own, other in zip(average.parameters(), encoder.parameters(), strict=True):
        own.data.mul_(0.9).add_(other.data, alpha=0.1)


def assigned(average: Encoder, encoder: Encoder) -> None:
    for own, other in zip(average.parameters(), encoder.parameters(), strict=True):
        own.data = 0.9 * own.data + 0.1 * other.data


def interpolated(average: Encoder, encoder: Encoder) -> None:
    own = [parameter.detach() for parameter in average.parameters()]
    torch._foreach_lerp_(own, [parameter.detach() for parameter in encoder.parameters()], 0.1)


def loaded(average: Encoder, encoder: Encoder) -> None:
    old, new_state = average.state_dict(), encoder.state_dict()
    mixed = {
        name: 0.9 * value + 0.1 * new_state[name] if name.endswith("weight") else value
        for name, value in old.items()
    }
    average.load_state_dict(mixed)


@pytest.mark.parametrize("update", [multiplied_in_place, assigned, interpolated, loaded])
@pytest.mark.parametrize("group_name", GROUPS)
def test_an_average_computes_with_the_weights_it_has_now(update, group_name: str):
    encoder, images = trained_statistics(new(group_name)).train(), torch.randn(4, 1, 28, 28)
    average, seen = copy.deepcopy(encoder).eval(), []
    for _ in range(3):
        train_step(encoder, images)
        with torch.no_grad():
            update(average, encoder)
            found = average(images)
            assert torch.equal(found, fresh_with_state(group_name, average.state_dict())(images))
            assert torch.equal(found, average(images))
        seen.append(found)
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"multi_avg_fn": get_ema_multi_avg_fn(0.9)},
        {"multi_avg_fn": get_ema_multi_avg_fn(0.9), "use_buffers": True},
    ],
)
@pytest.mark.parametrize("group_name", GROUPS)
def test_torchs_averaged_model_computes_with_the_weights_it_has_now(options: dict, group_name: str):
    encoder, images = trained_statistics(new(group_name)).train(), torch.randn(4, 1, 28, 28)
    average = AveragedModel(encoder, **options).eval()
    for step in range(3):
        train_step(encoder, images)
        average.update_parameters(encoder)
        with torch.no_grad():
            found = average(images)
            assert torch.equal(found, fresh_with_state(group_name, average.module.state_dict())(images))
            # the first update is a copy
            assert torch.equal(found, encoder.eval()(images)) == (step == 0)
        encoder.train()


def test_an_average_in_inference_mode_computes_with_the_weights_it_has_now():
    encoder, images = trained_statistics(new("D4")), torch.randn(4, 1, 28, 28)
    average = copy.deepcopy(encoder)
    with torch.inference_mode():
        average(images)
    with torch.no_grad():
        for parameter in average.parameters():
            parameter.data.mul_(1.1)
    with torch.inference_mode():
        found = average(images)
    with torch.no_grad():
        assert torch.equal(found, fresh_with_state("D4", average.state_dict())(images))
    # what inference mode kept does no harm where gradients are wanted again
    average(images).sum().backward()
