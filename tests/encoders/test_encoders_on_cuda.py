"""Encoders on a CUDA device: the numbers of a CPU, exact symmetry, and no step that waits for the device."""

import copy

import pytest
import torch
from small_encoders import gradients, new, relative, statistics, trained_statistics

from eqssl.encoders.base import Encoder
from eqssl.encoders.release.fold import release
from eqssl.symmetry import act_on_regular, group, group_names

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
ENCODERS = ["cnn", "resnet18"]


@pytest.fixture
def full_float32():
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def step(encoder: Encoder, images: torch.Tensor) -> None:
    encoder.zero_grad()
    features = encoder(images)
    weights = torch.linspace(-1, 1, features[0].numel(), device=images.device, dtype=features.dtype)
    (features * weights.view(features.shape[1:])).sum().backward()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("encoder_name", ENCODERS)
@pytest.mark.parametrize("name", group_names())
def test_an_encoder_on_cuda_computes_what_it_computes_on_a_cpu(name: str, encoder_name: str, training: bool):
    here = trained_statistics(new(name, name=encoder_name).double()).train(training)
    there, images = copy.deepcopy(here).cuda(), torch.randn(4, 1, 28, 28, dtype=torch.float64)
    with torch.no_grad():
        assert relative(there(images.cuda()).cpu(), here(images)) < 1e-10
    step(here, images)
    step(there, images.cuda())
    assert relative(gradients(there).cpu(), gradients(here)) < 1e-9
    assert relative(statistics(there).cpu(), statistics(here)) < 1e-10


@pytest.mark.parametrize("encoder_name", ENCODERS)
@pytest.mark.parametrize("name", [name for name in group_names() if name != "trivial"])
def test_an_encoder_on_cuda_is_exact(name: str, encoder_name: str, full_float32):
    G, encoder = group(name), trained_statistics(new(name, name=encoder_name)).cuda()
    for dtype, tolerance in [(torch.float32, 1e-5), (torch.float64, 1e-6 if G.is_continuous else 1e-10)]:
        encoder.to(dtype)
        images = torch.randn(4, 1, 28, 28, dtype=dtype, device="cuda")
        for training in (False, True):
            with torch.no_grad():
                reference = copy.deepcopy(encoder).train(training)(images)
                for g in G.grid_elements:
                    part = torch.cat([G.act(images[:2], g), images[2:]])
                    found = copy.deepcopy(encoder).train(training)(part)
                    expected = torch.cat([act_on_regular(G, reference[:2], g), reference[2:]])
                    assert relative(found, expected) < tolerance


@pytest.mark.parametrize("encoder_name", ENCODERS)
@pytest.mark.parametrize("name", ["C4", "D4", "C8", "SO2"])
def test_bfloat16_is_equivariant_to_its_precision(name: str, encoder_name: str):
    G, encoder = group(name), trained_statistics(new(name, name=encoder_name)).cuda()
    images = torch.randn(4, 1, 28, 28, device="cuda")
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
        reference = encoder(images)
        for g in G.grid_elements:
            found = encoder(G.act(images, g))
            assert relative(found.float(), act_on_regular(G, reference, g).float()) < 2e-2


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("encoder_name", ENCODERS)
@pytest.mark.parametrize("name", group_names())
def test_no_step_waits_for_the_device(name: str, encoder_name: str, precision: torch.dtype):
    encoder = trained_statistics(new(name, name=encoder_name)).cuda()
    images = torch.randn(4, 1, 28, 28, device="cuda")
    optimiser = torch.optim.SGD(encoder.parameters(), 0.01, momentum=0.9)

    def both() -> None:
        with torch.autocast("cuda", precision, enabled=precision != torch.float32):
            step(encoder.train(), images)
            optimiser.step()
            with torch.no_grad():
                encoder.eval()(images)

    both()
    torch.cuda.set_sync_debug_mode("error")
    try:
        both()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("name", group_names())
def test_a_released_network_on_cuda_computes_the_same(name: str, fold: bool, full_float32):
    encoder = trained_statistics(new(name, name="resnet18")).cuda()
    images = torch.randn(4, 1, 28, 28, device="cuda")
    with torch.no_grad():
        assert relative(release(encoder, fold)(images), encoder(images)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["D4", "C8", "SO2"])
def test_generated_code_on_cuda_computes_the_same(name: str, training: bool, full_float32):
    torch._dynamo.reset()
    eager = trained_statistics(new(name, name="resnet18", size=14)).cuda().train(training)
    copied, images = copy.deepcopy(eager), torch.randn(4, 1, 14, 14, device="cuda")
    expected, features = eager(images), torch.compile(copied, fullgraph=True)(images)
    assert relative(features, expected) < 1e-5
    weights = torch.randn_like(expected)
    (features * weights).sum().backward()
    (expected * weights).sum().backward()
    assert relative(gradients(copied), gradients(eager)) < 1e-5
    assert relative(statistics(copied), statistics(eager)) < 1e-5
