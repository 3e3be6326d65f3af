import copy
import csv
import json

import pytest
import torch
from torch import Tensor

from eqssl.config.encoders import EncoderSettings
from eqssl.encoders import build_encoder
from eqssl.encoders.base import Encoder
from eqssl.training import pretrain
from eqssl.training.compiling import compiled, require_compiler

CPU = torch.device("cpu")


def small() -> Encoder:
    settings = {"name": "cnn", "width": [4, 8], "kernel": 3, "match": "params", "group_pooling": "mean"}
    generator = torch.Generator().manual_seed(0)
    return build_encoder(EncoderSettings.read(settings), "D4", (1, 12, 12), [0.5], [0.25], generator)


def gradients(encoder: Encoder, images: Tensor) -> list[Tensor]:
    encoder.zero_grad()
    encoder.invariant(images).square().sum().backward()
    return [parameter.grad for parameter in encoder.parameters()]


def test_within_the_block_the_compiled_pass_runs_and_after_it_the_encoders_own():
    torch.manual_seed(0)
    encoder, images = small(), torch.randn(6, 1, 12, 12)
    reference = copy.deepcopy(encoder)
    with compiled(encoder, "aot_eager"):
        assert hasattr(encoder.forward, "_torchdynamo_orig_callable")
        found = gradients(encoder, images)
    assert not hasattr(encoder.forward, "_torchdynamo_orig_callable")
    for own, expected in zip(found, gradients(reference, images), strict=True):
        torch.testing.assert_close(own, expected, atol=1e-5, rtol=1e-4)
    # the weights are the same tensors under the same names, and the encoder can be copied again
    assert encoder.state_dict().keys() == reference.state_dict().keys()
    copy.deepcopy(encoder)(images)


def test_an_error_within_the_block_leaves_the_encoder_as_it_was():
    encoder = small()
    with pytest.raises(RuntimeError, match="boom"), compiled(encoder, "aot_eager"):
        raise RuntimeError("boom")
    assert "forward" not in vars(encoder)


def test_a_missing_compiler_is_named_before_anything_is_read(job, shards, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    expected = r"pretrain\.compile: given true, allowed here: false \(no C\+\+ compiler.*g\+\+, clang\+\+"
    with pytest.raises(ValueError, match=expected):
        require_compiler(CPU)
    with pytest.raises(ValueError, match=expected):
        pretrain(job(compile=True), tmp_path / "no shards", tmp_path / "out", "cpu")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_compiled_training_is_near_the_other_and_gives_the_same_bytes_again(job, shards, tmp_path):
    try:
        require_compiler(CPU)
    except ValueError as error:
        pytest.skip(str(error))
    for name, compile in (("plain", False), ("first", True), ("second", True)):
        pretrain(job(epochs=2, compile=compile), shards, tmp_path / name, "cpu")
    losses = {
        name: [float(row["loss"]) for row in csv.DictReader((tmp_path / name / "loss.csv").open())]
        for name in ("plain", "first", "second")
    }
    assert losses["first"] == pytest.approx(losses["plain"], rel=1e-3)
    first, second = ((tmp_path / name / "encoder.safetensors").read_bytes() for name in ("first", "second"))
    assert first == second
    assert json.loads((tmp_path / "first" / "encoder.json").read_text())["job"]["pretrain"]["compile"] is True
