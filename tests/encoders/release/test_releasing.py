"""`eqssl release`: every form computes what the trained encoder does, in a process of its own."""

from __future__ import annotations

import json

import pytest
import small_encoders
import torch

import eqssl
from eqssl.cli import main
from eqssl.encoders import save_encoder
from eqssl.encoders.release import releasing
from eqssl.encoders.release.exporting import write_program
from eqssl.encoders.release.fold import release
from eqssl.machine.files import sha256
from eqssl.report.releasing import write_release

FILES = {"README.md", "config.json", "model.safetensors", "model.pt2", "model.onnx"}
EXTRA = {"dataset": "small", "pretext": "random", "seed": 3, "group": "D4"}


def trained_in(folder, group="D4", seed=0, **changes):
    network = small_encoders.trained_statistics(small_encoders.new(group, 1, 12, seed, **changes))
    save_encoder(network, folder, EXTRA)
    return network


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A trained encoder, its folder, its release, and the differences that were found."""
    folder = tmp_path_factory.mktemp("release")
    network = trained_in(folder / "trained")
    found = write_release(folder / "trained", folder / "out")
    return network, folder, found


def test_all_forms_are_written_and_agree(released):
    _, folder, found = released
    assert {path.name for path in (folder / "out").iterdir()} == FILES
    assert set(found) == FILES - {"README.md", "config.json"}
    assert all(0 <= difference <= 1e-5 for difference in found.values())
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    described = json.loads((folder / "out/config.json").read_text())
    for name in found:
        assert described["files"][name] == sha256(folder / "out" / name)
    assert described["released_from"] == sha256(folder / "trained/encoder.safetensors")


@pytest.mark.parametrize("shape", [(1, 1, 12, 12), (5, 1, 12, 12), (2, 1, 16, 16)])
def test_the_released_folder_is_loaded_like_any_encoder(released, shape):
    network, folder, _ = released
    encoder, images = eqssl.load_encoder(folder / "out"), torch.randn(shape)
    assert encoder.is_released
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), network(images), rtol=1e-4, atol=1e-6)
    for name in ("config.json", "model.safetensors"):
        assert eqssl.load_encoder(folder / "out" / name).image_shape == (1, 12, 12)


def test_no_file_holds_a_path_of_this_machine_or_a_pickle(released):
    _, folder, _ = released
    for path in (folder / "out").iterdir():
        content = path.read_bytes()
        for place in (str(folder), str(releasing.PACKAGE), torch.__path__[0]):
            assert place.encode() not in content, path.name
        assert b"\x80\x02" + b"ctorch" not in content


def test_a_form_that_computes_something_else_is_found(released, tmp_path):
    network, folder, _ = released
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / "out" / name).read_bytes())
    other = small_encoders.trained_statistics(small_encoders.new("D4", 1, 12, seed=1))
    write_program(release(other), tmp_path / "model.pt2")
    found = releasing._differences(tmp_path, releasing._samples(network))
    assert found["model.safetensors"] <= 1e-5 < 1e-2 < found["model.pt2"]


def test_a_change_of_the_weights_is_refused(released, tmp_path):
    _, folder, _ = released
    (tmp_path / "config.json").write_bytes((folder / "out/config.json").read_bytes())
    content = bytearray((folder / "out/model.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"model\.safetensors: SHA-256 is .* but config\.json states"):
        eqssl.load_encoder(tmp_path)


def test_an_earlier_release_is_replaced_and_anything_else_is_left_alone(released, tmp_path):
    _, folder, _ = released
    assert main(["release", str(folder / "trained"), "--out", str(tmp_path / "out"), "--no-onnx"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES - {"model.onnx"}
    trained_in(tmp_path / "second", seed=1)
    write_release(tmp_path / "second", tmp_path / "out", onnx=False)
    described = json.loads((tmp_path / "out/config.json").read_text())
    assert described["released_from"] == sha256(tmp_path / "second/encoder.safetensors")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds something else"):
        write_release(folder / "trained", tmp_path / "mine")
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"
    assert {path.name for path in tmp_path.iterdir()} == {"out", "second", "mine"}
    with pytest.raises(ValueError, match="--licence: given 'mit\\\\nextra: 1', allowed: a name of the hub"):
        write_release(folder / "trained", tmp_path / "other", licence="mit\nextra: 1")


def test_a_failure_leaves_the_earlier_release_as_it_was(released, tmp_path):
    _, folder, _ = released
    write_release(folder / "trained", tmp_path / "out", onnx=False)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    trained_in(tmp_path / "damaged", seed=1)
    (tmp_path / "damaged/encoder.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="SHA-256"):
        write_release(tmp_path / "damaged", tmp_path / "out", onnx=False)
    with pytest.raises(ValueError, match="released"):
        write_release(tmp_path / "out", tmp_path / "again", onnx=False)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert not (tmp_path / "again").exists()


@pytest.mark.slow
@pytest.mark.parametrize("group", ["trivial", "C4", "C8", "SO2", "O2"])
@pytest.mark.parametrize("name", ["cnn", "resnet18"])
def test_every_group_and_architecture_can_be_released(tmp_path, group, name):
    trained_in(tmp_path / "trained", group, name=name)
    assert max(write_release(tmp_path / "trained", tmp_path / "out").values()) <= 1e-5
