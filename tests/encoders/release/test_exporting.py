"""`eqssl export`: from a trained encoder's folder to a released one's."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from small_encoders import new, trained_statistics
from wide_products import one_in

from eqssl import cli
from eqssl.cli.holding import THREAD_VARIABLES
from eqssl.encoders import load_encoder, save_encoder
from eqssl.encoders.base import Encoder
from eqssl.encoders.release.exporting import checked_difference, export, onnx_model
from eqssl.encoders.release.fold import release
from eqssl.machine.files import sha256
from eqssl.nn.convolution import GroupConv2d

EXTRA = {
    "dataset": "small",
    "pretext": "eq_labels",
    "seed": 3,
    "job": {"epochs": 2},
    "versions": {"torch": "x"},
}
ROOT = Path(__file__).resolve().parents[3]
SUPPORT = str(ROOT / "tests/support")


@pytest.fixture(autouse=True)
def _own_processor_slots(tmp_path_factory, monkeypatch) -> None:
    """Separate processor slots for this test, so that it does not wait for other processes on the machine."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("slots")))
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")


def saved(folder: Path, group_name: str = "D4", **changes) -> Encoder:
    encoder = trained_statistics(new(group_name, **changes))
    save_encoder(encoder, folder, EXTRA)
    return encoder


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def process(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables, "PYTHONPATH": SUPPORT}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)


@pytest.mark.parametrize("arguments", [[], ["--no-fold"]])
def test_the_command_writes_an_encoder_that_loads_and_computes_the_same(
    arguments: list[str], tmp_path, capsys
):
    encoder, out = saved(tmp_path / "trained", name="resnet18"), tmp_path / "released"
    assert cli.main(["export", "--encoder", str(tmp_path / "trained"), "--out", str(out), *arguments]) == 0
    assert files(out) == ["encoder.json", "encoder.safetensors"]
    loaded, images = load_encoder(out), torch.randn(3, 1, 28, 28)
    assert loaded.is_released
    expected = encoder.invariant(images).detach()
    assert float((loaded.invariant(images) - expected).norm() / expected.norm()) < 1e-5
    described = json.loads((out / "encoder.json").read_text())
    assert described["form"] == ("released, not folded" if arguments else "released")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{out}: ")


def test_what_is_known_of_the_training_is_kept(tmp_path):
    saved(tmp_path / "trained")
    export(tmp_path / "trained", tmp_path / "released")
    trained = json.loads((tmp_path / "trained/encoder.json").read_text())
    released = json.loads((tmp_path / "released/encoder.json").read_text())
    assert {key: released[key] for key in EXTRA} == EXTRA
    assert released.keys() == trained.keys() | {"released_from"}
    assert released["released_from"] == sha256(tmp_path / "trained/encoder.safetensors")
    assert released["weights_sha256"] == sha256(tmp_path / "released/encoder.safetensors")


def test_exporting_twice_gives_the_same_bytes(tmp_path):
    saved(tmp_path / "trained", "SO2")
    for out in ("a", "b"):
        export(tmp_path / "trained", tmp_path / out, onnx=True)
    for file in ("encoder.safetensors", "encoder.json", "encoder.onnx"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_trained_encoder_is_not_overwritten(tmp_path, capsys):
    saved(tmp_path / "trained")
    before = sha256(tmp_path / "trained/encoder.safetensors")
    same = str(tmp_path / "trained/../trained")
    assert cli.main(["export", "--encoder", str(tmp_path / "trained"), "--out", same]) == 1
    text = capsys.readouterr().err
    assert (
        text
        == f"eqssl: error: --out: given {same}, the folder of the trained encoder; allowed: another folder\n"
    )
    assert sha256(tmp_path / "trained/encoder.safetensors") == before


def test_a_released_encoder_is_not_released_again(tmp_path, capsys):
    saved(tmp_path / "trained")
    export(tmp_path / "trained", tmp_path / "released")
    out = tmp_path / "again"
    assert cli.main(["export", "--encoder", str(tmp_path / "released"), "--out", str(out)]) == 1
    assert capsys.readouterr().err == (
        "eqssl: error: encoder: given a released network, allowed: a trained one\n"
    )
    assert not out.exists()


def test_a_damaged_or_absent_encoder_is_one_line(tmp_path, capsys):
    saved(tmp_path / "trained")
    with (tmp_path / "trained/encoder.safetensors").open("ab") as file:
        file.write(b"x")
    for folder in ("trained", "absent"):
        command = ["export", "--encoder", str(tmp_path / folder), "--out", str(tmp_path / "out")]
        assert cli.main(command) == 1
        text = capsys.readouterr().err
        assert text.startswith("eqssl: error: ")
        assert folder in text
        assert len(text.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_outputs_that_differ_are_refused():
    encoder = trained_statistics(new("D4"))
    assert checked_difference(encoder, release(encoder)) < 1e-5
    other = trained_statistics(new("D4", seed=1))
    with pytest.raises(ValueError, match=r"relative error .*, allowed: 1e-05"):
        checked_difference(encoder, release(other))


def test_export_writes_nothing_where_numbers_overflow(tmp_path):
    encoder = trained_statistics(new("D4"))
    with torch.no_grad():
        encoder.blocks[0][0][1].weight.fill_(3e38)
    save_encoder(encoder, tmp_path / "trained", EXTRA)
    with pytest.raises(ValueError, match="relative error nan"):
        export(tmp_path / "trained", tmp_path / "released", onnx=True)
    assert files(tmp_path / "released") == []


@pytest.mark.parametrize(
    ("network", "fold"),
    one_in(
        2,
        [
            ("D4", {}),
            ("C8", {"name": "wide_resnet16_8", "downsampling": "boxed"}),
            ("D2", {"channels": 3, "group_pooling": "max", "equivariant_stages": 2}),
            ("SO2", {"name": "resnet18"}),
        ],
        [True, False],
    ),
)
def test_onnxruntime_computes_what_torch_does_for_any_batch(network: tuple[str, dict], fold: bool, tmp_path):
    group_name, changes = network
    runtime = pytest.importorskip("onnxruntime")
    encoder = saved(tmp_path / "trained", group_name, **changes)
    export(tmp_path / "trained", tmp_path / "released", fold, onnx=True)
    path = tmp_path / "released/encoder.onnx"
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["images"]
    assert [value.name for value in session.get_outputs()] == ["features", "invariant"]
    for batch in (1, 2, 5):
        images = torch.randn(batch, *encoder.image_shape)
        found = session.run(None, {"images": images.numpy()})
        with torch.no_grad():
            right = [encoder(images), encoder.invariant(images)]
        for values, expected in zip(found, right, strict=True):
            assert values.shape == tuple(expected.shape)
            assert float((torch.from_numpy(values) - expected).norm() / expected.norm()) < 1e-5
    described = json.loads((tmp_path / "released/encoder.json").read_text())
    assert described["onnx_sha256"] == sha256(path)


def test_an_onnx_file_tells_nothing_of_the_machine_that_wrote_it():
    pytest.importorskip("onnx")
    model = onnx_model(release(trained_statistics(new("D4"))))
    for path in (str(Path(torch.__file__).parent), str(ROOT), ".py"):
        assert path.encode() not in model


def test_weights_that_one_file_cannot_hold_are_refused():
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match=r"--onnx: the weights take \d+ bytes, allowed: at most 1000"):
        onnx_model(release(new("D4")), largest=1000)


def test_an_onnx_file_of_an_earlier_export_does_not_stay(tmp_path):
    pytest.importorskip("onnx")
    saved(tmp_path / "trained")
    export(tmp_path / "trained", tmp_path / "released", onnx=True)
    assert "encoder.onnx" in files(tmp_path / "released")
    export(tmp_path / "trained", tmp_path / "released")
    assert files(tmp_path / "released") == ["encoder.json", "encoder.safetensors"]
    assert "onnx_sha256" not in json.loads((tmp_path / "released/encoder.json").read_text())


def test_the_exporter_prints_one_line(tmp_path):
    pytest.importorskip("onnx")
    saved(tmp_path / "trained")
    words = ["export", "--encoder", str(tmp_path / "trained"), "--out", str(tmp_path / "out"), "--onnx"]
    command = [sys.executable, "-m", "eqssl", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_a_missing_package_is_named_and_nothing_written(missing: str, tmp_path):
    saved(tmp_path / "trained")
    words = ["export", "--encoder", str(tmp_path / "trained"), "--out", str(tmp_path / "out"), "--onnx"]
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from eqssl.cli import main; sys.exit(main({words!r}))"
    )
    done = process(code)
    assert done.returncode == 1
    assert done.stderr == f"eqssl: error: --onnx: {missing} is not installed: pip install 'eqssl[export]'\n"
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_exporting_needs_no_escnn(tmp_path):
    saved(tmp_path / "trained", "O2")
    words = ["export", "--encoder", str(tmp_path / "trained"), "--out", str(tmp_path / "out")]
    done = process(
        f"import sys; sys.modules['escnn'] = None; from eqssl.cli import main; sys.exit(main({words!r}))"
    )
    assert done.returncode == 0, done.stderr


def filter_hashes(encoder: Encoder) -> dict[str, str]:
    """The bytes of every expanded filter, hashed."""
    return {
        name: hashlib.sha256(layer.expand().detach().contiguous().numpy().tobytes()).hexdigest()
        for name, layer in encoder.named_modules()
        if isinstance(layer, GroupConv2d)
    }


BUILD = (
    "import sys, torch; torch.set_num_threads(1)\n"
    "from small_encoders import new, trained_statistics\n"
    "from eqssl.encoders import save_encoder\n"
    "save_encoder(trained_statistics(new(sys.argv[1], name='resnet18')), sys.argv[2], {})\n"
)
HASH = (
    "import json, sys, torch; torch.set_num_threads(1)\n"
    "from test_exporting import filter_hashes\n"
    "from eqssl.encoders import load_encoder\n"
    "print(json.dumps(filter_hashes(load_encoder(sys.argv[2]))))\n"
)


def kernel(code: str, core_type: str | None, *arguments: str) -> str:
    """Run code with OpenBLAS using the kernels of a given processor; None for those of this machine."""
    environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}
    environment["PYTHONPATH"] = os.pathsep.join([SUPPORT, str(Path(__file__).parent)])
    if core_type is not None:
        environment["OPENBLAS_CORETYPE"] = core_type
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("group_name", "written", "read"),
    [
        ("D4", None, "Haswell"),
        *[
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("D4", "Haswell", None), ("D8", None, "Haswell"), ("D8", "Haswell", None))
        ],
    ],
)
def test_a_checkpoint_has_the_same_filters_under_another_blas_kernel(
    group_name: str, written: str | None, read: str | None, tmp_path
):
    kernel(BUILD, written, group_name, str(tmp_path))
    there, here = [json.loads(kernel(HASH, core, group_name, str(tmp_path))) for core in (written, read)]
    assert len(there) > 10
    assert there == here
