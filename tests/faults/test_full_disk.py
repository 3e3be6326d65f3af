"""A full disk: one line as the error, nothing half written, and the same bytes once there is room.

A limit on the size of files stands in for the disk, because it needs no special rights. One test uses a real
small disk.
"""

import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tiny_source import TinySource, samples
from tiny_source import job as shard_job

from eqssl import cli
from eqssl.config.evaluation import FeatureSettings
from eqssl.config.jobs import FeaturesJob
from eqssl.data.shards.writing import write_source
from eqssl.encoders.release.tensors import write_tensors
from eqssl.training import checkpoints, pretraining

ROOT = Path(__file__).parents[2]


@contextmanager
def largest_file(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def pretrain(job, shards, out, seconds=1000):
    words = ["pretrain", "--job", job.json_text(), "--shards", str(shards), "--out", str(out)]
    return [*words, "--device", "cpu", "--checkpoint-seconds", str(seconds)]


def features(shards, encoder, out):
    job = FeaturesJob(features=FeatureSettings(stages=1, views=("stored",), seed=0))
    words = ["features", "--job", job.json_text(), "--shards", str(shards), "--encoder", str(encoder)]
    return [*words, "--out", str(out), "--device", "cpu"]


def leftovers(folder):
    return [path for path in folder.rglob(".*") if path.name != ".scratch"]


def fails(words, size, capsys):
    """Run a command without room for files of that size; gives its one line."""
    capsys.readouterr()
    with largest_file(size):
        assert cli.main(words) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line.lower()]
    assert len(errors) == 1
    assert errors[0].startswith("eqssl: error: ")
    assert "File too large" in errors[0]
    assert "Traceback" not in errors[0]
    return errors[0]


def size_of(folder, pattern):
    (path, *_) = sorted(folder.glob(pattern))
    return path.stat().st_size


def test_decoding_on_a_full_disk_leaves_no_array(job, shards, tmp_path, scratch_folder, capsys):
    assert cli.main(pretrain(job(), shards, tmp_path / "whole")) == 0
    array = min(scratch_folder.glob("decoded/*-train.npy"))
    whole = array.read_bytes()
    array.unlink()
    line = fails(pretrain(job(seed=1), shards, tmp_path / "out"), len(whole) // 2, capsys)
    assert str(array) in line
    assert not array.exists()
    assert not leftovers(tmp_path)
    assert cli.main(pretrain(job(), shards, tmp_path / "out")) == 0
    assert array.read_bytes() == whole
    for name in ("encoder.safetensors", "loss.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(("kind", "seconds"), [("checkpoint", 1e-9), ("weights", 1000)])
def test_a_full_disk_ends_training(job, shards, tmp_path, scratch_folder, capsys, monkeypatch, kind, seconds):
    with monkeypatch.context() as patched:
        patched.setattr(pretraining.Claim, "drop", lambda claim: None)
        assert cli.main(pretrain(job(), shards, tmp_path / "whole", 1e-9)) == 0
    (state,) = scratch_folder.glob("*/state.safetensors")
    weights = tmp_path / "whole/encoder.safetensors"
    # a checkpoint says how long the training took, in more digits or fewer
    room = state.stat().st_size - 100 if kind == "checkpoint" else weights.stat().st_size - 1
    assert kind == "weights" or room > weights.stat().st_size
    state.unlink()
    line = fails(pretrain(job(), shards, tmp_path / "out", seconds), room, capsys)
    assert str(state if kind == "checkpoint" else tmp_path / "out/encoder.safetensors") in line
    assert not leftovers(tmp_path)
    assert not (tmp_path / "out/encoder.json").exists()
    assert cli.main(pretrain(job(), shards, tmp_path / "out")) == 0
    for name in ("encoder.safetensors", "loss.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_an_earlier_checkpoint_stays_and_is_continued(trainer, tmp_path):
    def train(trained):
        trained.train(path, tmp_path / "log.jsonl", 1000.0)
        return {name: tensor.numpy().tobytes() for name, tensor in trained.pretext.state_dict().items()}

    path = tmp_path / "state.safetensors"
    torch.manual_seed(9)
    expected = train(trainer())
    torch.manual_seed(9)
    first = trainer()
    update = first._update

    def saving(images, labels):
        update(images, labels)
        if first.step == 3:
            first.save(path)
        if first.step == 4:
            with largest_file(1000):
                first.save(path)

    first._update = saving
    with pytest.raises(OSError, match=r"File too large: '.*/state\.safetensors'"):
        train(first)
    assert not leftovers(tmp_path)
    second = trainer()
    second.load(path)
    assert second.step == 3
    assert train(second) == expected


def test_extraction_on_a_full_disk_leaves_no_features(job, shards, tmp_path, capsys):
    assert cli.main(pretrain(job(epochs=0, warmup_epochs=0.0), shards, tmp_path / "cell")) == 0
    assert cli.main(features(shards, tmp_path / "cell", tmp_path / "whole")) == 0
    room = size_of(tmp_path / "whole/features", "train.parquet") // 2
    fails(features(shards, tmp_path / "cell", tmp_path / "out"), room, capsys)
    assert not leftovers(tmp_path)
    assert not list(tmp_path.glob("out/features/*"))
    assert cli.main(features(shards, tmp_path / "cell", tmp_path / "out")) == 0
    for path in (tmp_path / "whole/features").iterdir():
        assert (tmp_path / "out/features" / path.name).read_bytes() == path.read_bytes()


def test_shards_on_a_full_disk_are_all_removed(tmp_path):
    source, wanted = TinySource(samples(60, 20)), shard_job()
    write_source(source, wanted, tmp_path / "whole")
    largest = max(path.stat().st_size for path in (tmp_path / "whole").glob("*.tar"))
    with largest_file(largest - 1), pytest.raises(OSError, match=r"File too large: '.*'"):
        write_source(source, wanted, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    write_source(source, wanted, tmp_path / "out")
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_the_system_s_reason_is_told_with_the_file(tmp_path):
    tensors = {"a": torch.zeros(10**5)}
    with largest_file(1000), pytest.raises(OSError, match="File too large") as refused:
        write_tensors(tmp_path / "a.safetensors", tensors)
    assert refused.value.filename == str(tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())
    write_tensors(tmp_path / "a.safetensors", tensors)
    path = tmp_path / "state.safetensors"
    with largest_file(1000), pytest.raises(OSError, match="File too large"):
        checkpoints.save(path, tensors, {})


def own_mounts():
    """Whether this user may mount a disk that nobody else sees."""
    return not subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or not own_mounts(), reason="no right to mount")
def test_a_training_on_a_disk_of_64_kilobytes_is_one_line(job, shards, tmp_path, scratch_folder):
    """The scratch folder of a training is on the disk: the decoded images fit, a checkpoint does not."""
    assert cli.main(pretrain(job(), shards, tmp_path / "whole")) == 0
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    words = pretrain(job(), shards, tmp_path / "out", 1e-9)
    script = (
        'mount -t tmpfs -o size=64k none "$1" && cp -r "$2" "$1/scratch" || exit 9\n'
        'export EQSSL_SCRATCH="$1/scratch"\n'
        'kept="$3"; disk="$1"; shift 3; "$@"; code=$?; cp -r "$disk" "$kept"; exit $code'
    )
    command = ["unshare", "-Urm", "bash", "-c", script, "bash", disk, scratch_folder, kept]
    done = subprocess.run(
        [*command, sys.executable, "-m", "eqssl", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert line.startswith("eqssl: error: ")
    assert "No space left on device" in line
    assert not leftovers(kept)
    assert cli.main(words) == 0
    for name in ("encoder.safetensors", "loss.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
