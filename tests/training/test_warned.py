"""Warnings of a pretext: said once, logged, and recorded with the epochs in which they held."""

import json
import os
import signal

import pytest

from eqssl.pretexts.joint import diagnosing
from eqssl.training import pretrain
from eqssl.training.warned import Warned, warned

SIMCLR = {
    "task": "simclr",
    "similarity": "max",
    "angles": 64,
    "temperature": 0.2,
    "hidden": 8,
    "embedding": 8,
}


class Worried:
    """Warns of epochs whose loss is above 1, and always of epochs whose accuracy is low."""

    def warnings(self, numbers):
        found = {"high": f"the loss is {numbers['loss']:.1f}"} if numbers["loss"] > 1 else {}
        return found | ({"low": "the accuracy is low"} if numbers["accuracy"] < 0.5 else {})


def test_each_warning_has_the_text_of_its_first_epoch_and_the_last_epoch_in_which_it_held():
    rows = [[0.5, 0.9], [2.0, 0.9], [3.0, 0.1], [0.5, 0.1]]
    assert warned(Worried(), ["loss", "accuracy"], rows) == {
        "high": Warned("the loss is 2.0", 2, 3),
        "low": Warned("the accuracy is low", 3, 4),
    }
    assert warned(Worried(), ["loss", "accuracy"], []) == {}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_warning_is_said_once_also_after_a_stop_and_stands_in_the_log(trainer, tmp_path, capsys):
    def worried():
        made = trainer()
        made.pretext.warnings = lambda numbers: {"always": f"the loss is {numbers['loss']:.4f}"}
        return made

    def run(made):
        made.train(tmp_path / "state.safetensors", tmp_path / "log.jsonl", 1000.0)
        return made

    first = worried()
    inner, seen = first.pretext.forward, []

    def forward(step):
        seen.append(step)
        if len(seen) == 8:  # in the second of three epochs of 5 steps
            os.kill(os.getpid(), signal.SIGTERM)
        return inner(step)

    first.pretext.forward = forward
    with pytest.raises(SystemExit):
        run(first)
    second = worried()
    second.load(tmp_path / "state.safetensors")
    run(second)
    text = f"the loss is {second.rows[0][0]:.4f}"
    assert capsys.readouterr().err.count("eqssl: pictures/C4/mine/s0: the loss is") == 1
    written = [line for line in lines(tmp_path / "log.jsonl") if "warnings" in line]
    assert [(line["epoch"], line["warnings"]) for line in written] == [(1, [text])]


def test_a_collapse_names_the_cell_and_is_recorded(job, shards, tmp_path, capsys, monkeypatch):
    pretrain(job(task=SIMCLR), shards, tmp_path / "fine", "cpu")
    assert json.loads((tmp_path / "fine/pretrain.json").read_text())["warnings"] == []
    assert "collapsed" not in capsys.readouterr().err
    monkeypatch.setattr(diagnosing, "ALIKE", -1.0)
    pretrain(job(task=SIMCLR), shards, tmp_path / "out", "cpu")
    said = capsys.readouterr().err
    assert said.count("eqssl: pictures/C4/mine/s0: embeddings have collapsed: those of different images") == 1
    (recorded,) = json.loads((tmp_path / "out/pretrain.json").read_text())["warnings"]
    assert (recorded["first_epoch"], recorded["last_epoch"]) == (1, 3)
    assert recorded["text"] in said
    (line,) = [line for line in lines(tmp_path / "out/log.jsonl") if "warnings" in line]
    assert line["warnings"] == [recorded["text"]]


def test_untrained_encoders_have_no_warnings(job, shards, tmp_path):
    pretrain(job(task={"task": "random"}), shards, tmp_path / "out", "cpu")
    assert json.loads((tmp_path / "out/pretrain.json").read_text())["warnings"] == []
