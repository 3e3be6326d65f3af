import csv
import json
import signal
import time

import pytest
import torch
from training_fixtures import SHARD_JOB, Pictures
from training_process import Training

from eqssl import load_encoder
from eqssl.config.settings import digest
from eqssl.data.loading.location import Budget
from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_source
from eqssl.encoders.release.exporting import export
from eqssl.machine.records import read_record
from eqssl.training import pretrain, pretraining

FILES = ["encoder.json", "encoder.safetensors", "log.jsonl", "loss.csv", "pretrain.json"]
SIMCLR = {
    "task": "simclr",
    "similarity": "max",
    "angles": 64,
    "temperature": 0.2,
    "hidden": 8,
    "embedding": 8,
}


def outcome(folder):
    return (folder / "encoder.safetensors").read_bytes(), (folder / "loss.csv").read_text()


def states(scratch):
    return list(scratch.glob("*/state.safetensors"))


def wait_for(condition, training, seconds=40.0):
    end = time.monotonic() + seconds
    while not condition():
        assert training.process.is_alive(), training.said()
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def begin(shards):
    """Start a training in a process of its own; it is killed at the end of the test."""
    trainings = []

    def run(job, out, seconds=1000.0):
        trainings.append(Training(job, shards, out, seconds))
        return trainings[-1]

    yield run
    for training in trainings:
        training.process.kill()
        training.process.join()


@pytest.fixture
def trained(tmp_path, shards, capsys):
    """Train in this process; gives the folder of the outputs."""

    def run(job, name="out", seconds=1000.0):
        pretrain(job, shards, tmp_path / name, "cpu", seconds)
        return tmp_path / name

    return run


def test_outputs_are_complete_and_belong_together(trained, job, shards, scratch_folder):
    wanted = job(task=SIMCLR)
    out = trained(wanted)
    assert sorted(file.name for file in out.iterdir()) == FILES
    index = ShardIndex.load(shards)
    described = json.loads((out / "encoder.json").read_text())
    assert described["job"] == wanted.plain()
    assert described["encoder"] == wanted.encoder.plain()
    assert described["data"] == index.digest
    assert [described[key] for key in ("dataset", "group", "pretext", "seed")] == [
        "pictures",
        "C4",
        "mine",
        0,
    ]
    assert described["mean"] == list(index.mean)
    assert described["versions"]["torch"] == torch.__version__
    summary = json.loads((out / "pretrain.json").read_text())
    rows = list(csv.DictReader((out / "loss.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert summary["final_loss"] == float(rows[-1]["loss"])
    assert (summary["epochs"], summary["steps"]) == (3, 15)
    assert (summary["device"], summary["precision"]) == ("cpu", "float32")
    assert summary["images_per_second"] == pytest.approx(15 * 32 / summary["seconds"], rel=0.02)
    assert [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()][-1] == 15
    assert [folder.name for folder in scratch_folder.iterdir()] == ["decoded"]


def test_saved_encoder_is_the_trained_one(trained, job, tmp_path):
    first, last = (
        load_encoder(trained(job(epochs=epochs, warmup_epochs=0.0), f"{epochs}")) for epochs in (0, 3)
    )
    assert not last.training
    assert all(not torch.equal(a, b) for a, b in zip(first.parameters(), last.parameters(), strict=True))
    statistics = [
        {name: x for name, x in encoder.named_buffers() if "running" in name} for encoder in (first, last)
    ]
    assert statistics[0]
    assert all(not torch.equal(x, statistics[1][name]) for name, x in statistics[0].items())
    assert last(torch.zeros(2, 1, 12, 12)).shape == (2, last.fields, 4)


@pytest.mark.parametrize("task", [{"task": "supervised"}, SIMCLR])
def test_same_seed_gives_the_same_bytes_and_another_seed_others(trained, job, task):
    first = outcome(trained(job(task=task), "first"))
    torch.manual_seed(4)
    torch.rand(3)
    before = torch.get_rng_state()
    assert outcome(trained(job(task=task), "again", 0.0)) == first
    assert torch.equal(torch.get_rng_state(), before)
    other = outcome(trained(job(task=task, seed=1), "other"))
    assert other[0] != first[0]
    assert other[1] != first[1]


def test_untrained_encoder_starts_like_the_trained_ones(trained, job):
    random = trained(job(task={"task": "random"}), "random")
    assert (random / "loss.csv").read_text() == "epoch,loss\n"
    assert (random / "log.jsonl").read_text() == ""
    summary = json.loads((random / "pretrain.json").read_text())
    assert (summary["epochs"], summary["steps"], summary["final_loss"]) == (0, 0, None)
    assert summary["images_per_second"] == 0
    others = [
        trained(job(task=task, epochs=0, warmup_epochs=0.0), task["task"])
        for task in (SIMCLR, {"task": "supervised"})
    ]
    assert {outcome(folder)[0] for folder in others} == {outcome(random)[0]}


def test_supervised_training_learns(trained, job):
    rows = list(csv.DictReader((trained(job(epochs=12, learning_rate=0.02)) / "loss.csv").open()))
    assert float(rows[-1]["loss"]) < 0.75 * float(rows[0]["loss"])
    assert float(rows[-1]["accuracy"]) > 0.65


def test_killed_training_ends_with_the_same_bytes(trained, job, scratch_folder, tmp_path, begin, capsys):
    long = job(epochs=12, task=SIMCLR)
    expected = outcome(trained(long, "whole"))
    training = begin(long, tmp_path / "out", 0.02)
    wait_for(lambda: states(scratch_folder), training)
    training.send_signal(signal.SIGKILL)
    assert training.wait() == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    (state,) = states(scratch_folder)
    (state.parent / ".state.safetensors.cut.tmp").write_text("half a file")
    assert outcome(trained(long)) == expected
    assert "going on after step" in capsys.readouterr().err
    assert not state.parent.exists()
    steps = [json.loads(line)["step"] for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 60


def test_training_killed_again_and_again_ends_with_the_same_bytes(
    trained, job, scratch_folder, tmp_path, begin
):
    long = job(epochs=24)
    expected = outcome(trained(long, "whole"))
    for patience in (0.0, 0.02, 0.1, 0.05):
        before = [file.stat().st_mtime_ns for file in states(scratch_folder)]
        training = begin(long, tmp_path / "out", 0.01)
        wait_for(lambda old=before: [f.stat().st_mtime_ns for f in states(scratch_folder)] != old, training)
        time.sleep(patience)
        training.send_signal(signal.SIGKILL)
        assert training.wait() == -signal.SIGKILL
    assert outcome(trained(long)) == expected


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_training_saves_and_ends_with_the_same_bytes(
    trained, job, scratch_folder, tmp_path, begin, number, code
):
    long = job(epochs=16)
    expected = outcome(trained(long, "whole"))
    training = begin(long, tmp_path / "out")
    wait_for(lambda: [log for log in scratch_folder.glob("*/log.jsonl") if log.stat().st_size], training)
    assert not states(scratch_folder)
    training.send_signal(number)
    assert training.wait() == code
    assert states(scratch_folder)
    assert not (tmp_path / "out").exists()
    assert outcome(trained(long)) == expected


def test_process_that_comes_second_takes_the_result_of_the_first(
    trained, job, scratch_folder, tmp_path, begin, monkeypatch
):
    expected = outcome(trained(job(), "whole"))
    second = []
    inner = pretraining._build

    def build(*arguments):
        second.append(begin(job(), tmp_path / "second"))
        wait_for(lambda: "another process trains the same cell" in second[0].said(), second[0])
        time.sleep(0.2)
        return inner(*arguments)

    monkeypatch.setattr(pretraining, "_build", build)
    assert outcome(trained(job(), "first")) == expected
    assert second[0].wait() == 0, second[0].said()
    assert "going on after step 15 of 15" in second[0].said()
    assert outcome(tmp_path / "second") == expected
    assert [folder.name for folder in scratch_folder.iterdir()] == ["decoded"]


def test_damaged_checkpoint_is_named_and_ignored(trained, job, scratch_folder, capsys, monkeypatch):
    expected = outcome(trained(job(), "whole"))
    monkeypatch.setattr(pretraining.Claim, "drop", lambda claim: None)
    trained(job(), "kept", 0.0)
    (state,) = states(scratch_folder)
    content = state.read_bytes()
    for damaged in (content[: len(content) // 2], content[:-1] + bytes([content[-1] ^ 1]), b""):
        state.write_bytes(damaged)
        capsys.readouterr()
        assert outcome(trained(job(), "again")) == expected
        message = capsys.readouterr().err
        assert str(state) in message
        assert "damaged checkpoint" in message
        assert "it is ignored, training starts from the beginning" in message
    state.write_bytes(content)
    assert outcome(trained(job(), "again")) == expected
    assert "going on after step 14" in capsys.readouterr().err


def test_another_setting_never_continues_this_training(trained, job, scratch_folder, monkeypatch, capsys):
    monkeypatch.setattr(pretraining.Claim, "drop", lambda claim: None)
    variants = [job(), job(seed=1), job(group="D4"), job(weight_decay=0.0), job(task={"task": "random"})]
    for number, variant in enumerate(variants):
        trained(variant, str(number), 0.0)
    assert len(list(scratch_folder.iterdir())) == len(variants) + 1
    assert "going on" not in capsys.readouterr().err


def test_failed_training_leaves_no_outputs(trained, job, tmp_path):
    with pytest.raises(ValueError, match=r"pictures/C4/mine/s0: the loss is no longer finite in epoch"):
        trained(job(learning_rate=1e9, warmup_epochs=0.0))
    assert not (tmp_path / "out").exists()


def test_shards_of_another_data_set_and_few_images_are_refused(trained, job, shards):
    with pytest.raises(ValueError, match="holds data set 'pictures', the job is for 'other'"):
        trained(job().model_copy(update={"dataset": "other"}))
    with pytest.raises(ValueError, match="batch_size: given 161, allowed: 1 to 160"):
        trained(job(batch_size=161))
    with pytest.raises(ValueError, match=r"machine\.device"):
        pretrain(job(), shards, shards / "out", "nonsense")


def test_records_name_every_file_and_what_it_was_made_of(trained, job, shards):
    wanted = job(task=SIMCLR)
    out = trained(wanted)
    encoder, summary = read_record(out / "encoder.json"), read_record(out / "pretrain.json")
    encoder.check_job(wanted.digest)
    assert encoder.made_of == {"data": ShardIndex.load(shards).seal}
    assert summary.made_of == {"encoder": encoder.seal}
    assert set(encoder.files) == {"encoder.safetensors"}
    assert set(summary.files) == {"loss.csv", "log.jsonl"}
    for record in (encoder, summary):
        assert [record.file(name) for name in record.files] == [out / name for name in record.files]


def test_the_same_training_gives_the_same_record_of_the_encoder(trained, job):
    first, again = trained(job(), "first"), trained(job(), "again", 0.0)
    assert (first / "encoder.json").read_bytes() == (again / "encoder.json").read_bytes()
    assert read_record(first / "encoder.json").seal != read_record(first / "pretrain.json").seal


def test_streamed_images_train_the_same_encoder(job, shards, tmp_path):
    for name, budget in (("mapped", Budget()), ("streamed", Budget(decoded_mb=0))):
        pretrain(job(task=SIMCLR), shards, tmp_path / name, "cpu", budget=budget)
    assert outcome(tmp_path / "mapped") == outcome(tmp_path / "streamed")
    names = [path.name for path in (tmp_path / "scratch" / "decoded").glob("*-train.npy")]
    assert len(names) == 1


def test_an_encoder_says_which_intensities_its_images_had(tmp_path, shards, job):
    """Who has the encoder alone has to bring images of more than 8 bits into the same range."""
    scaled = SHARD_JOB.model_copy(update={"data": SHARD_JOB.data.model_copy(update={"range": (10.0, 200.0)})})
    write_source(Pictures(), scaled, tmp_path / "scaled")
    for folder, name in ((tmp_path / "scaled", "scaled"), (shards, "plain")):
        wanted = job(task={"task": "random"}).model_copy(update={"data": digest(ShardIndex.load(folder).job)})
        pretrain(wanted, folder, tmp_path / name, "cpu", 1000.0)
        export(tmp_path / name, tmp_path / f"{name}-released")
    described = [
        json.loads((tmp_path / name / "encoder.json").read_text())
        for name in ("scaled", "scaled-released", "plain", "plain-released")
    ]
    assert [each.get("range") for each in described] == [[10, 200], [10, 200], None, None]
