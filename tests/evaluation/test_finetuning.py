"""Fine-tuning as a step: shards and an encoder in, finetune.json out, also after a kill."""

from __future__ import annotations

import json
import multiprocessing
import signal
from hashlib import sha256

import numpy as np
import pytest
import torch
from feature_cells import CLASSES, Squares, write_shards
from fine_tuning import job, killed
from sealed import resealed

from eqssl.config.jobs import ShardJob
from eqssl.config.shards import ShardSettings
from eqssl.config.sources import SourceSettings
from eqssl.data.loading.batches import load_split
from eqssl.data.loading.location import Budget
from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_source
from eqssl.data.sources.base import Sample
from eqssl.encoders import build_encoder, load_encoder, save_encoder
from eqssl.evaluation.correct import read_correct
from eqssl.evaluation.draws import nested_draws
from eqssl.evaluation.finetuning import finetune
from eqssl.evaluation.head import with_head
from eqssl.evaluation.intervals import accuracy_intervals
from eqssl.evaluation.tuning import Labelled, predict, tune
from eqssl.machine.records import read_record

CELL = {"dataset": "squares", "pretext": "random", "seed": 0}
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["eqssl.evaluation.finetuning", "eqssl.symmetry._escnn", "torch._dynamo"])


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("squares") / "shards")


def make_encoder(folder, params, shards):
    index = ShardIndex.load(shards)
    settings = params.encoder.model_copy(update={"width": (8, 16)})
    generator = torch.Generator().manual_seed(0)
    encoder = build_encoder(settings, "C4", index.image_shape, index.mean, index.std, generator)
    save_encoder(encoder.eval(), folder, {**CELL, "job": CELL, "data": index.digest}, {"data": index.seal})
    return folder


@pytest.fixture
def cell(tmp_path, params, shards):
    return make_encoder(tmp_path / "cell", params, shards)


def result(folder):
    return {name: (folder / name).read_bytes() for name in ("finetune.json", "correct.parquet")}


def values_of(folder):
    return json.loads((folder / "finetune.json").read_text())


def test_it_says_what_each_draw_gave_and_the_table_of_the_images_agrees(shards, cell, tmp_path, params):
    given = job(params)
    finetune(given, shards, cell, tmp_path / "out", "cpu")
    record = read_record(tmp_path / "out/finetune.json")
    values, test = record.values, load_split(shards, "test")
    table = read_correct(record.file("correct.parquet"))
    names = [f"fine_acc_{view}_{share}" for view in ("stored", "grid", "angle") for share in (10, 100)]
    assert table.keys == test.keys
    assert list(table.counts) == names
    assert table.draws == {name: 2 if name.endswith("_10") else 1 for name in names}
    for name in names:
        assert values[name] == pytest.approx(table.shares(name).mean())
        assert 0 <= values[f"{name}_lo"] <= values[name] <= values[f"{name}_hi"] <= 1
    assert {key for key in values if key.startswith("fine")} == {
        name + end for name in names for end in ("", "_lo", "_hi")
    }
    assert {key: values[key] for key in CELL} == CELL
    assert record.made_of == {
        "encoder": read_record(cell / "encoder.json").seal,
        "data": ShardIndex.load(shards).seal,
    }
    runs = values["details"]["runs"]
    assert {share: len(entries) for share, entries in runs.items()} == {"10": 2, "100": 1}
    assert [entry["images"] for entry in runs["10"]] == [6, 6]  # 2 of each of the 3 classes
    assert values["details"]["left_out"] == []
    record.check_job(given.digest)


def test_the_draws_are_those_of_the_probes_and_each_number_can_be_had_by_hand(shards, cell, tmp_path, params):
    given = job(params, views=("stored",), shares=[20], seed=3)
    finetune(given, shards, cell, tmp_path / "out", "cpu")
    train, val, test = (load_split(shards, name) for name in ("train", "val", "test"))
    draws = nested_draws(train.labels, [20], 2, CLASSES, 3)[20]
    values = values_of(tmp_path / "out")
    every = [Labelled(split, np.arange(len(split))) for split in (val, test)]
    right = []
    for rows, entry in zip(draws, values["details"]["runs"]["20"], strict=True):
        model, name = with_head(load_encoder(cell), 3), f"3 fine-tuning 20 {len(right)}"
        seed = int.from_bytes(sha256(name.encode()).digest()[:8], "little") // 2
        again = tune(model, Labelled(train, rows), every[0], given.finetune, params.views, seed, 12)
        assert again == entry
        right.append(predict(model, every[1], 12) == test.labels)
    assert values["fine_acc_stored_20"] == np.mean(right)
    ((low, high),) = accuracy_intervals([np.stack(right)], 100, 3)
    assert (values["fine_acc_stored_20_lo"], values["fine_acc_stored_20_hi"]) == (low, high)


@pytest.mark.parametrize(
    ("when", "number"),
    [("save", 1), ("save", 2), ("_update", 2), ("_update", 7), ("predict", 9), ("predict", 14)],
)
def test_a_killed_process_ends_with_the_same_bytes(
    shards, cell, tmp_path, params, when, number, monkeypatch, capfd
):
    given = job(params)
    finetune(given, shards, cell, tmp_path / "whole", "cpu")
    scratch = tmp_path / "scratch of the killed"
    arguments = (given.json_text(), str(shards), str(cell), str(tmp_path / "out"), str(scratch))
    process = CONTEXT.Process(target=killed, args=(*arguments, when, number))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    done = [path.name for path in scratch.glob("*/*.safetensors")]
    if when == "save":
        assert len(done) == number
    monkeypatch.setenv("EQSSL_SCRATCH", str(scratch))
    times = {path: path.stat().st_mtime_ns for path in scratch.glob("*/*.safetensors")}
    capfd.readouterr()
    finetune(given, shards, cell, tmp_path / "out", "cpu")
    assert result(tmp_path / "out") == result(tmp_path / "whole")
    assert "again" not in capfd.readouterr().err
    assert not any(path.exists() for path in times)  # nothing is left behind


def test_finished_runs_are_not_done_again_unless_their_weights_are_damaged(
    shards, cell, tmp_path, params, monkeypatch, capfd
):
    given = job(params)
    finetune(given, shards, cell, tmp_path / "whole", "cpu")
    scratch = tmp_path / "scratch of the killed"
    arguments = (given.json_text(), str(shards), str(cell), str(tmp_path / "out"), str(scratch))
    process = CONTEXT.Process(target=killed, args=(*arguments, "save", 2))
    process.start()
    process.join(60)
    first, _ = sorted(scratch.glob("*/*.safetensors"))
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    capfd.readouterr()
    monkeypatch.setenv("EQSSL_SCRATCH", str(scratch))
    finetune(given, shards, cell, tmp_path / "out", "cpu")
    said = capfd.readouterr().err
    assert f"eqssl: {first}: damaged checkpoint: its checksum is wrong; it is made again" in said
    assert result(tmp_path / "out") == result(tmp_path / "whole")


def test_streamed_images_give_the_same_bytes(shards, cell, tmp_path, params):
    for name, budget in (("kept", Budget.given()), ("streamed", Budget.given(decoded_mb=0))):
        finetune(job(params), shards, cell, tmp_path / name, "cpu", budget=budget)
    assert result(tmp_path / "kept") == result(tmp_path / "streamed")


def test_no_choice_depends_on_test_images(cell, tmp_path, params, shards):
    """Shards with other test images: the same runs, other accuracies."""

    class Others(Squares):
        def samples(self):
            for sample in super().samples():
                if sample.split == "test":
                    sample = Sample(
                        sample.key, 255 - sample.image, (sample.label + 1) % 3, "test", sample.index
                    )
                yield sample

    other = tmp_path / "other shards"
    shard_job = ShardJob(
        dataset="squares",
        data=SourceSettings.read({"source": "fashion_mnist_sample", "turned": False}),
        shards=ShardSettings(count=2, validation=0.2, seed=0),
    )
    write_source(Others({"train": 60, "test": 20}), shard_job, other)
    own = make_encoder(tmp_path / "other cell", params, other)
    finetune(job(params), shards, cell, tmp_path / "out", "cpu")
    finetune(job(params), other, own, tmp_path / "other out", "cpu")
    first, second = values_of(tmp_path / "out"), values_of(tmp_path / "other out")
    assert first["details"]["runs"] == second["details"]["runs"]
    assert result(tmp_path / "out")["correct.parquet"] != result(tmp_path / "other out")["correct.parquet"]


class Unlabelled(Squares):
    def samples(self):
        for sample in super().samples():
            yield Sample(sample.key, sample.image, None, sample.split, sample.index)


def test_without_labels_it_says_so_and_has_no_accuracies(tmp_path, params):
    shard_job = ShardJob(
        dataset="squares",
        data=SourceSettings.read({"source": "fashion_mnist_sample", "turned": False}),
        shards=ShardSettings(count=2, validation=0.2, seed=0),
    )
    folder = tmp_path / "unlabelled"
    write_source(Unlabelled({"train": 60, "test": 20}), shard_job, folder)
    cell = make_encoder(tmp_path / "cell", params, folder)
    finetune(job(params), folder, cell, tmp_path / "out", "cpu")
    values = values_of(tmp_path / "out")
    assert values["details"]["runs"] == "no image has a label"
    assert not [key for key in values if key.startswith("fine")]
    assert read_correct(tmp_path / "out/correct.parquet").keys == []


def test_a_share_too_small_for_a_balanced_draw_is_left_out(shards, cell, tmp_path, params):
    """Of 48 labels there are 16 of a class, so a share of 99 % takes 16; none is too small here."""
    finetune(job(params, shares=[1, 99]), shards, cell, tmp_path / "out", "cpu")
    details = values_of(tmp_path / "out")["details"]
    kept, left_out = set(details["runs"]), details["left_out"]
    assert "1" in kept
    for share in {"1", "99"} - kept:
        assert any(text.startswith(f"{share} % of the labels: class ") for text in left_out)
    assert len(kept) + len(left_out) == 2


@pytest.mark.parametrize(
    ("key", "value"), [("data", "0" * 12), ("mean", [0.5]), ("std", [0.5]), ("mask", "none"), ("job", {})]
)
def test_an_encoder_of_other_images_or_another_job_is_refused(shards, cell, tmp_path, params, key, value):
    resealed(cell / "encoder.json", lambda content: content.update({key: value}))
    right = read_record(cell / "encoder.json")
    with pytest.raises(ValueError, match=rf"encoder\.json: {key}: ") as caught:
        finetune(job(params), shards, cell, tmp_path / "out", "cpu", "12345678" if key == "job" else None)
    assert "\n" not in str(caught.value)
    assert right.seal
    assert not (tmp_path / "out").exists()


def test_progress_names_the_cell_the_share_and_the_time_left(shards, cell, tmp_path, params, capfd):
    finetune(job(params), shards, cell, tmp_path / "out", "cpu")
    lines = capfd.readouterr().err.splitlines()
    last = [line for line in lines if line.startswith("fine-tuning squares/C4/random/s0: ")][-1]
    assert " steps, 100 % of the labels, epoch " in last
    assert last.endswith("0:00:00 left")
