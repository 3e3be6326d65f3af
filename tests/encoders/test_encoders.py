import copy
import json
import pickle
import subprocess
import sys

import pytest
import torch

from eqssl.encoders import create, load_encoder, module_of, names, save_encoder
from eqssl.encoders.base import Encoder, flop_count, parameter_count
from eqssl.params import EncoderSettings
from eqssl.symmetry import act_on_regular, assert_equivariant, equivariance_error, group, group_names

GROUPS = group_names()


def settings(**changes) -> EncoderSettings:
    values = {"name": "cnn", "width": [4, 6, 8], "kernel": 3, "match": "params", "group_pooling": "mean"}
    return EncoderSettings.read({**values, **changes})


def new(group_name: str, channels: int = 1, size: int = 28, seed: int = 0, **changes) -> Encoder:
    generator = torch.Generator().manual_seed(seed)
    shape = (channels, size, size)
    return create(settings(**changes), group_name, shape, [0.3] * channels, [0.4] * channels, generator)


def trained_statistics(encoder: Encoder) -> Encoder:
    """An encoder whose batch norms have seen images, so that eval mode is no special case."""
    encoder.train()
    for _ in range(3):
        encoder(torch.randn(8, *encoder.image_shape, dtype=next(encoder.parameters()).dtype))
    return encoder.eval()


@pytest.mark.parametrize("encoder_name", names())
@pytest.mark.parametrize("size", [28, 32, 33, 10])
@pytest.mark.parametrize("name", GROUPS)
def test_every_stage_is_exactly_equivariant(name: str, size: int, encoder_name: str):
    G, encoder = group(name), trained_statistics(new(name, channels=3, name=encoder_name))
    for dtype, tolerance in [(torch.float32, 1e-5), (torch.float64, 1e-10)]:
        images = torch.randn(2, 3, size, size, dtype=dtype)
        encoder.to(dtype)
        for stage in range(len(encoder.shape.fields)):
            assert_equivariant(lambda x, s=stage: encoder.stages(x)[s], G, images, tolerance)
        assert_equivariant(encoder.invariant, G, images, tolerance, output="invariant")


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "trivial"])
def test_training_mode_is_equivariant_when_only_part_of_a_batch_turns(name: str):
    G, encoder = group(name), new(name).double()

    def act_on_half(images, g):
        return torch.cat([G.act(images[:2], g), images[2:]])

    def act_on_half_of_features(features, g):
        return torch.cat([act_on_regular(G, features[:2], g), features[2:]])

    images = torch.randn(4, 1, 28, 28, dtype=torch.float64)
    error = equivariance_error(encoder, G, images, output=act_on_half_of_features, act=act_on_half)
    assert error < 1e-10


def test_a_plain_network_is_not_equivariant():
    """The negative control: the trivial group's encoder, whose features a quarter turn changes."""
    encoder = trained_statistics(new("trivial"))
    images = torch.randn(2, 1, 28, 28)
    assert equivariance_error(encoder.invariant, group("C4"), images, output="invariant") > 1e-2


def test_batch_norm_per_channel_breaks_the_symmetry():
    encoder = new("C4").double()
    for block in encoder.blocks:
        block[2] = torch.nn.BatchNorm2d(4 * block[2].fields).double()
    trained_statistics(encoder)
    assert equivariance_error(encoder, group("C4"), torch.randn(2, 1, 28, 28, dtype=torch.float64)) > 1e-3


@pytest.mark.parametrize("name", GROUPS)
def test_groups_have_equal_parameters(name: str):
    wide = {"width": [8, 16, 32, 48]}
    target = parameter_count(new("trivial", **wide))
    assert parameter_count(new(name, **wide)) == pytest.approx(target, rel=0.02)


@pytest.mark.parametrize("name", GROUPS)
def test_or_equal_channels(name: str):
    encoder = new(name, match="channels", width=[8, 16])
    assert [fields * group(name).order for fields in encoder.shape.fields] == [8, 16]


def test_operations_are_counted_as_in_a_plain_network():
    encoder = new("trivial", width=[4, 6, 8])
    # two operations for each multiply-add: sides 28, 14, 7
    assert flop_count(encoder) == 2 * 9 * (1 * 4 * 28**2 + 4 * 6 * 14**2 + 6 * 8 * 7**2)


@pytest.mark.parametrize("name", GROUPS)
def test_a_saved_encoder_is_the_same_when_loaded(name: str, tmp_path):
    encoder, images = trained_statistics(new(name)), torch.randn(2, 1, 28, 28)
    save_encoder(encoder, tmp_path, {"pretext": "none"})
    loaded = load_encoder(tmp_path)
    assert torch.equal(loaded(images), encoder(images))
    assert loaded.group is group(name)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    described = json.loads((tmp_path / "encoder.json").read_text())
    assert described["pretext"] == "none"
    assert described["parameters"] == parameter_count(encoder)


def test_saving_twice_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        save_encoder(new("C4"), tmp_path / folder, {})
    for file in ("encoder.safetensors", "encoder.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_loading_needs_no_escnn(tmp_path):
    save_encoder(new("D4"), tmp_path, {})
    code = (
        "import sys, torch; sys.modules['escnn'] = None; import eqssl; "
        f"print(tuple(eqssl.load_encoder({str(tmp_path)!r})(torch.zeros(1, 1, 28, 28)).shape))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(1, ")


def test_loading_leaves_the_global_generator_alone(tmp_path):
    save_encoder(new("C4"), tmp_path, {})
    before = torch.get_rng_state()
    load_encoder(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_damaged_files_are_named(tmp_path):
    save_encoder(new("C4"), tmp_path, {})
    weights, description = tmp_path / "encoder.safetensors", tmp_path / "encoder.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4])
    with pytest.raises(ValueError, match=r"encoder\.safetensors: SHA-256"):
        load_encoder(tmp_path)
    weights.write_bytes(whole)
    description.write_text('{"name": "cnn"}')
    with pytest.raises(ValueError, match=r"encoder\.json: group, order, .*: missing"):
        load_encoder(tmp_path)
    description.write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        load_encoder(tmp_path)


def test_wrong_images_are_refused():
    with pytest.raises(ValueError, match=r"given shape \(2, 3, 28, 28\), allowed: \(batch, 1, side, side\)"):
        new("C4")(torch.zeros(2, 3, 28, 28))
    with pytest.raises(ValueError, match="square"):
        create(settings(), "C4", (1, 28, 32), [0.5], [0.5])


def test_encoders_can_be_copied_and_pickled():
    encoder, images = trained_statistics(new("D4")), torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        expected = encoder(images)
        assert torch.equal(copy.deepcopy(encoder)(images), expected)
        assert torch.equal(pickle.loads(pickle.dumps(encoder))(images), expected)  # noqa: S301


def test_bfloat16_is_as_equivariant_as_bfloat16_can_be():
    encoder = trained_statistics(new("D4"))

    def run(images):
        with torch.autocast("cpu", torch.bfloat16):
            return encoder(images).float()

    assert_equivariant(run, group("D4"), torch.randn(2, 1, 28, 28), 2e-2)


def test_an_unknown_encoder_is_named():
    with pytest.raises(ValueError, match="'vit', allowed: cnn"):
        module_of("vit")
