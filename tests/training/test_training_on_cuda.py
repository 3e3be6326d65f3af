"""Training on a CUDA device: every pretext, no step that waits for the device, and an encoder for a CPU."""

from pathlib import Path

import pytest
import torch

from eqssl import load_encoder
from eqssl.config.params import Params
from eqssl.data.loading.batches import Batches, load_split
from eqssl.pretexts import build
from eqssl.training import pretrain
from eqssl.training.loop import Trainer

PARAMS = Params.load(Path(__file__).parents[2] / "params.yaml")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", [name for name in PARAMS.pretexts if name != "random"])
def test_no_step_of_a_pretext_waits_for_the_device(
    name: str, precision: torch.dtype, params, shards, optimisation
):
    device = torch.device("cuda")
    pretext = build(name, params).to(device)
    images = torch.randint(0, 256, (32, *pretext.encoder.image_shape), dtype=torch.uint8, device=device)
    labels = torch.randint(0, 10, (32,), device=device)
    generator = torch.Generator(device).manual_seed(0)
    batches = Batches(load_split(shards, "train"), 32, 0, device)
    trainer = Trainer(pretext.train(), batches, optimisation(), generator, precision, name)
    trainer._update(images, labels)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):
            trainer._update(images, labels)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(map(torch.isfinite, trainer.meter.sums))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("group", ["trivial", "D4", "SO2"])
def test_an_encoder_trained_on_cuda_runs_on_a_cpu(group: str, precision: str, job, shards, tmp_path):
    pretrain(job(group=group, precision=precision), shards, tmp_path / "out", "cuda")
    encoder = load_encoder(tmp_path / "out")
    assert torch.isfinite(encoder(torch.randn(2, 1, 12, 12))).all()
