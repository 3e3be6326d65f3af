"""Accelerated networks compute what plain ones do, on every processor, with the switch on and off."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from small_encoders import new, relative, trained_statistics
from torch import Tensor, nn

from eqssl.encoders import load_encoder, save_encoder
from eqssl.encoders.base import Encoder
from eqssl.encoders.release.fold import release
from eqssl.fast_cpu import accelerate, layers, packed, swap, winograd
from eqssl.fast_cpu.layers import FastConv2d
from eqssl.nn.onednn import SWITCH, is_on
from eqssl.nn.plain import PlainConv2d

needs_onednn = pytest.mark.skipif(not is_on(), reason="the operations are for x86")
FORMS = ["packed", "points"]


@pytest.fixture(params=FORMS)
def form(request, monkeypatch: pytest.MonkeyPatch) -> str:
    """Accelerate layers of every size: with packed filters alone, or at points where there are any."""
    monkeypatch.setattr(swap, "FEWEST_NUMBERS", 0)
    monkeypatch.setattr(layers, "FEWEST_NUMBERS", 0)
    for name in ("_FEWEST_PIXELS", "_FEWEST_PRODUCTS"):
        monkeypatch.setattr(winograd, name, 0)
    few = 0 if request.param == "points" else 10**9
    monkeypatch.setattr(winograd, "_FEWEST_CHANNELS", {3: few, 5: few})
    return request.param


def fast(network: nn.Module) -> list[FastConv2d]:
    return [layer for layer in network.modules() if isinstance(layer, FastConv2d)]


def convolution(kernel: int = 3, down: str = "no", bias: bool = True, seed: int = 0) -> PlainConv2d:
    made = PlainConv2d(8, 6, kernel, down, bias).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


def image(side: int = 9, batch: int = 1) -> Tensor:
    made = torch.randn(batch, 8, side, side, generator=torch.Generator().manual_seed(1))
    return made.contiguous(memory_format=torch.channels_last)


def accelerated(plain: PlainConv2d) -> nn.Module:
    return accelerate(nn.Sequential(plain))[0]


@pytest.mark.parametrize("switch", ["0", "1"])
@pytest.mark.parametrize("downsampling", ["pool", "boxed"])
@pytest.mark.parametrize("encoder_name", ["cnn", "resnet18", "resnet50", "wide_resnet16_8"])
@pytest.mark.parametrize("group_name", ["D4", "SO2"])
def test_an_accelerated_network_computes_the_same(
    group_name: str, encoder_name: str, downsampling: str, switch: str, form: str, monkeypatch
):
    monkeypatch.setenv(SWITCH, switch)
    encoder = trained_statistics(new(group_name, size=14, name=encoder_name, downsampling=downsampling))
    plain = release(encoder)
    network = accelerate(copy.deepcopy(plain))
    assert bool(fast(network)) == is_on()
    for side, batch in ((14, 1), (13, 3)):
        images = torch.randn(batch, 1, side, side)
        with torch.no_grad():
            before = images.clone()
            for found, expected in zip(network.stages(images), plain.stages(images), strict=True):
                assert relative(found, expected) < 1e-5
            assert torch.equal(images, before)


@needs_onednn
@torch.no_grad()
@pytest.mark.parametrize("down", ["no", "strided", "boxed"])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("bias", [True, False])
def test_an_accelerated_convolution_is_the_plain_one(kernel: int, down: str, bias: bool, form: str):
    plain = convolution(kernel, down, bias)
    made = accelerated(copy.deepcopy(plain))
    assert type(made) is FastConv2d
    for side, batch in ((8, 1), (9, 1), (4, 3), (8, 1)):
        x = image(side, batch)
        assert relative(made(x), plain(x)) < 1e-5
        assert relative(made(x.contiguous()), plain(x)) < 1e-5


@needs_onednn
@torch.no_grad()
def test_layers_use_the_method_that_is_fast_for_their_size(monkeypatch: pytest.MonkeyPatch):
    taken: list[str] = []
    way, other = winograd.convolve_at_points, packed.convolve
    monkeypatch.setattr(winograd, "convolve_at_points", lambda *a: (taken.append("points"), way(*a))[1])
    monkeypatch.setattr(packed, "convolve", lambda *a: (taken.append("packed"), other(*a))[1])
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    cases = [
        (256, 16, 8, ["points"]),
        (256, 1, 8, ["packed"]),  # few products
        (256, 1, 2, []),  # few pixels
        (64, 4, 16, []),  # few channels, and a map larger than the filter
    ]
    for channels, batch, side, expected in cases:
        made = accelerated(PlainConv2d(channels, channels, 3, "no", bias=False).requires_grad_(False))
        taken.clear()
        made(torch.randn(batch, side, side, channels).permute(0, 3, 1, 2))
        assert taken == expected
    torch.set_num_threads(before)


def test_small_layers_stay_plain():
    network = release(trained_statistics(new("D4")))
    assert not fast(accelerate(network))


def test_the_switch_leaves_a_network_plain(form: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(SWITCH, "0")
    assert type(accelerated(convolution())) is PlainConv2d


@torch.no_grad()
def test_the_switch_turns_off_what_was_accelerated_before(form: str, monkeypatch: pytest.MonkeyPatch):
    plain, x = convolution(), image()
    made = FastConv2d(copy.deepcopy(plain))
    monkeypatch.setenv(SWITCH, "0")
    assert torch.equal(made(x), plain(x))


@torch.no_grad()
def test_a_torch_that_lacks_an_operation_leaves_a_network_plain(form: str, monkeypatch: pytest.MonkeyPatch):
    plain, x = convolution(), image()
    made = FastConv2d(copy.deepcopy(plain))
    monkeypatch.setattr(packed, "problem", lambda: "torch 9 changed it")
    assert torch.equal(made(x), plain(x))
    assert type(accelerated(plain)) is PlainConv2d


@needs_onednn
def test_torch_still_has_the_operations_that_fast_cpu_leans_on():
    """A canary: if it fails, its message says what torch changed and how to run until it is fixed."""
    assert packed.problem() is None, packed.problem()


# ---- where an accelerated layer computes as the plain one


def same_bits(made: nn.Module, plain: nn.Module, x: Tensor) -> bool:
    return torch.equal(made(x), plain(x))


def test_gradients_are_those_of_the_plain_layer(form: str):
    plain = convolution()
    made = FastConv2d(copy.deepcopy(plain))
    x, y = image().requires_grad_(), image().requires_grad_()
    made(x).square().sum().backward()
    plain(y).square().sum().backward()
    assert torch.equal(x.grad, y.grad)


@torch.no_grad()
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_autocast_is_that_of_the_plain_layer(form: str, precision: torch.dtype):
    plain = convolution()
    with torch.autocast("cpu", precision):
        assert same_bits(FastConv2d(copy.deepcopy(plain)), plain, image())


@torch.no_grad()
def test_float64_computes_as_the_plain_layer_does(form: str):
    plain = convolution().double()
    assert same_bits(FastConv2d(copy.deepcopy(plain)), plain, image().double())


@torch.no_grad()
def test_another_device_is_that_of_the_plain_layer(form: str):
    found = FastConv2d(convolution()).to("meta")(image().to("meta"))
    assert (found.device.type, tuple(found.shape)) == ("meta", (1, 6, 9, 9))


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
def test_compiled_transformed_and_traced_layers_use_torchs_operations(form: str):
    plain, x = convolution(), image()
    made = FastConv2d(copy.deepcopy(plain))
    made(x)
    torch._dynamo.reset()
    assert torch.equal(torch.compile(made, fullgraph=True, backend="aot_eager")(x), plain(x))
    assert torch.equal(torch.func.vmap(made)(x[None])[0], plain(x))
    traced = torch.jit.trace(made, x)
    assert "mkldnn" not in str(traced.inlined_graph)
    assert torch.equal(traced(x), plain(x))
    program = torch.export.export(made, (x,))
    assert "mkldnn" not in str(program.graph)
    assert torch.equal(program.module()(x), plain(x))


# ---- filters that change, copies


def write(made: PlainConv2d) -> None:
    made.weight.mul_(-2)


def load(made: PlainConv2d) -> None:
    made.load_state_dict(convolution(seed=3).state_dict())


def replace(made: PlainConv2d) -> None:
    made.weight = nn.Parameter(made.weight * 3, requires_grad=False)


def convert(made: PlainConv2d) -> None:
    made.double().weight.mul_(5)
    made.float()


@torch.no_grad()
@pytest.mark.parametrize("change", [write, load, replace, convert])
def test_an_accelerated_layer_uses_a_changed_filter(change: Callable[[PlainConv2d], None], form: str):
    plain, x = convolution(), image()
    made = FastConv2d(copy.deepcopy(plain))
    before = made(x)
    change(made), change(plain)
    assert relative(made(x), before) > 1e-2
    assert relative(made(x), plain(x)) < 1e-5


def test_an_accelerated_layer_uses_a_filter_made_in_inference_mode(form: str):
    with torch.inference_mode():
        made, x = FastConv2d(convolution()), image()
        before = made(x)
        made.weight.mul_(-1)
        assert relative(made(x) - made.bias[:, None, None], made.bias[:, None, None] - before) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])  # noqa: S301
def test_an_accelerated_layer_that_has_run_is_copied_and_pickled(copied, form: str):
    made, x = FastConv2d(convolution()), image()
    first = made(x)
    twin = copied(made)
    assert torch.equal(twin(x), first)
    twin.weight.zero_()
    assert torch.equal(made(x), first)


@torch.no_grad()
def test_hooks_of_a_layer_stay(form: str):
    plain, seen = convolution(), []
    plain.register_forward_hook(lambda *_: seen.append(1))
    accelerated(plain)(image())
    assert seen == [1]


# ---- released encoders


def saved(encoder: Encoder, folder) -> Encoder:
    save_encoder(encoder, folder, {})
    return load_encoder(folder)


@pytest.mark.parametrize("fold", [True, False])
def test_a_released_encoder_is_accelerated_when_it_is_loaded(fold: bool, form: str, tmp_path):
    released = release(trained_statistics(new("D4")), fold)
    loaded = saved(released, tmp_path / "released")
    assert bool(fast(loaded)) == is_on()
    assert loaded.is_released
    assert not loaded.training
    # saved again, it is the same file
    again = saved(loaded, tmp_path / "again")
    names = ("encoder.safetensors", "encoder.json")
    assert all(
        (tmp_path / "again" / n).read_bytes() == (tmp_path / "released" / n).read_bytes() for n in names
    )
    images = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        assert relative(again(images), released(images)) < 1e-5


def test_a_trained_encoder_is_loaded_as_it_is(form: str, tmp_path):
    assert not fast(saved(trained_statistics(new("D4")), tmp_path))


@torch.no_grad()
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_reach_the_features_of_their_image_alone(number: float, form: str):
    plain = release(trained_statistics(new("D4", size=14)))
    network, images = accelerate(copy.deepcopy(plain)), torch.randn(3, 1, 14, 14)
    broken = images.clone()
    broken[1, 0, 5, 5] = number
    found, expected = network(broken), plain(images)
    assert not found[1].isfinite().any()
    assert relative(found[[0, 2]], expected[[0, 2]]) < 1e-5
