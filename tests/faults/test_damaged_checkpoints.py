"""Whatever is in the place of a checkpoint, the training gives the same result as without it."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import save_file

from eqssl.training import checkpoints, pretrain, pretraining


def as_bytes(trainer):
    state = {
        **trainer.pretext.state_dict(),
        **checkpoints.optimiser_state(trainer.optimiser),
        "views": trainer.generator.get_state(),
        "cpu": torch.get_rng_state(),
    }
    found = {name: tensor.contiguous().numpy().tobytes() for name, tensor in state.items()}
    return found, trainer.rows, trainer.step, trainer.meter.names, trainer.meter.sums


@pytest.fixture
def saved(trainer, tmp_path):
    """The checkpoint of a training after 7 of 15 steps, with 5 steps an epoch."""
    path, made = tmp_path / "state.safetensors", trainer()
    update = made._update

    def stopping(images, labels):
        update(images, labels)
        if made.step == 7:
            made.save(path)
            raise InterruptedError

    made._update = stopping
    with pytest.raises(InterruptedError):
        made.train(path, tmp_path / "log.jsonl", 1000.0)
    return path


def put(**changes):
    return lambda tensors, values: (tensors, {**values, **changes})


def tensor(name, change):
    return lambda tensors, values: ({**tensors, name: change(tensors[name])}, values)


def without(name):
    def change(tensors, values):
        rest = {key: value for key, value in tensors.items() if key != name}
        return rest, values

    return change


def unlisted(tensors, values):
    """Leave out a part of a parameter's state, and list the tensors that remain."""
    tensors, values = without("optimiser/0/exp_avg")(tensors, values)
    return tensors, {**values, "tensors": sorted(tensors)}


def one_more(tensors, values):
    return {**tensors, "model/more": torch.zeros(2)}, {
        **values,
        "tensors": sorted([*tensors, "model/more"]),
    }


def nan(x):
    return torch.full_like(x, float("nan"))


EDITS = {
    "fingerprint of another training": put(fingerprint="0" * 16),
    "step beyond the last": put(step=10**9),
    "step of 400 digits": put(step=10**400),
    "negative step": put(step=-1),
    "step of another epoch": put(step=4),
    "step as text": put(step="7"),
    "step as truth": put(step=True),
    "step with a fraction": put(step=7.5),
    "no step": lambda tensors, values: (tensors, {k: v for k, v in values.items() if k != "step"}),
    "seconds as null": put(seconds=None),
    "negative seconds": put(seconds=-1.0),
    "seconds without end": put(seconds=1e300),
    "no rows": put(rows=[]),
    "rows of another length": put(rows=[[1.0]]),
    "rows of text": put(rows=[["1", "2"]]),
    "rows as a table": put(rows={"loss": 1}),
    "names of another number": put(names=["loss"]),
    "names twice": put(names=["loss", "loss"]),
    "no names": put(names=[]),
    "a value more": put(more=1),
    "a list of other tensors": put(tensors=["sums"]),
    "a tensor is missing": without("model/layers.0.weight"),
    "a state is missing": without("optimiser/0/exp_avg"),
    "a state is missing and not listed": unlisted,
    "sums are missing": without("sums"),
    "random numbers are missing": without("random/cpu"),
    "a tensor more": one_more,
    "another shape": tensor("model/layers.0.weight", lambda x: x[:1]),
    "another shape of a state": tensor("optimiser/0/exp_avg", lambda x: x.flatten()),
    "other numbers": tensor("model/layers.0.weight", torch.Tensor.double),
    "numbers of eight bits": tensor("model/layers.0.weight", lambda x: x.to(torch.float8_e4m3fn)),
    "weights that are not finite": tensor("model/layers.0.weight", nan),
    "a state that is not finite": tensor("optimiser/0/exp_avg", nan),
    "a count of no steps": tensor("optimiser/0/step", torch.zeros_like),
    "a count of too many steps": tensor("optimiser/0/step", lambda x: x + 1),
    "sums that are not finite": tensor("sums", nan),
    "sums of another length": tensor("sums", lambda x: x[:1]),
    "random numbers of another length": tensor("random/cpu", lambda x: x[:16]),
    "no state of random numbers": tensor("random/views", torch.zeros_like),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_changed_checkpoint_with_a_right_checksum_is_refused_and_restores_nothing(saved, trainer, edit):
    tensors, values = checkpoints.load(saved)
    checkpoints.save(saved, *EDITS[edit](tensors, values))
    fresh = trainer()
    before = as_bytes(fresh)
    with pytest.raises(ValueError, match=r"state\.safetensors: unfit checkpoint: ") as refused:
        fresh.load(saved)
    assert "\n" not in str(refused.value)
    assert as_bytes(fresh) == before


def test_a_checkpoint_without_changes_is_taken(saved, trainer):
    checkpoints.save(saved, *checkpoints.load(saved))
    fresh = trainer()
    fresh.load(saved)
    assert fresh.step == 7


def header(values):
    """A file whose header is right in everything but its values."""

    def write(path):
        tensors = {"a": torch.zeros(1)}
        save_file(tensors, path, {"values": values, "sha256": checkpoints._digest(tensors, values)})

    return write


def deep_header(path):
    text = b'{"a":' * 10**5
    path.write_bytes(len(text).to_bytes(8, "little") + text)


def sparse(path):
    """A sparse file of 13 GB, which must not be read."""
    text = json.dumps({"a": {"dtype": "U8", "shape": [13 * 10**9], "data_offsets": [0, 13 * 10**9]}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, len(text) + 8 + 13 * 10**9)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "flipped": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\xff"),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("{}"),
    "a pipe": pipe,
    "a folder": folder,
    "a header of lists in lists": deep_header,
    "13 GB": sparse,
    "values of lists in lists": header("[" * 10**6),
    "values that are too long": header("[" + "[]," * 10**7 + "[]]"),
    "values that are a list": header("[]"),
    "no values": header(""),
    "values with an integer of 10,000 digits": header(f'{{"step": {"9" * 10000}}}'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_told_in_one_line(saved, trainer, damage):
    DAMAGES[damage](saved)
    with pytest.raises(ValueError, match=r"state\.safetensors") as refused:
        trainer().load(saved)
    assert "\n" not in str(refused.value)


def test_numbers_of_another_name_than_before_are_refused(saved, trainer, tmp_path):
    tensors, values = checkpoints.load(saved)
    checkpoints.save(saved, tensors, {**values, "names": ["loss", "other"]})
    fresh = trainer()
    fresh.load(saved)
    with pytest.raises(ValueError, match="given loss, accuracy, before: loss, other"):
        fresh.train(saved, tmp_path / "log.jsonl", 1000.0)


@pytest.fixture
def kept(monkeypatch, shards, tmp_path):
    """Train with checkpoints that stay; gives the bytes of the results and the checkpoint."""
    monkeypatch.setattr(pretraining.Claim, "drop", lambda claim: None)

    def run(job, name):
        known = set((tmp_path / "scratch").glob("*/state.safetensors"))
        pretrain(job, shards, tmp_path / name, "cpu", 0.0)
        new = set((tmp_path / "scratch").glob("*/state.safetensors")) - known
        results = [(tmp_path / name / file).read_bytes() for file in ("encoder.safetensors", "loss.csv")]
        return results, min(new, default=None)

    return run


def test_damaged_and_foreign_checkpoints_are_ignored_and_the_bytes_are_the_same(kept, job, capsys):
    expected, state = kept(job(), "right")
    _, other = kept(job(seed=1), "other")
    whole = state.read_bytes()

    def beyond(path):
        tensors, values = checkpoints.load(path)
        checkpoints.save(path, tensors, {**values, "step": 10**9})

    cases = {
        "of another seed": lambda path: shutil.copyfile(other, path),
        "step beyond the last": beyond,
        "flipped": DAMAGES["flipped"],
        "half": DAMAGES["half"],
        "empty": DAMAGES["empty"],
        "a pipe": pipe,
        "13 GB": sparse,
    }
    for case, damage in cases.items():
        state.write_bytes(whole)
        damage(state)
        capsys.readouterr()
        assert kept(job(), "again")[0] == expected, case
        said = [line for line in capsys.readouterr().err.splitlines() if "it is ignored" in line]
        assert len(said) == 1, case
        assert str(state) in said[0]
        assert "training starts from the beginning" in said[0]
        state.unlink()
    state.write_bytes(whole)
    assert kept(job(), "again")[0] == expected
    assert "going on after step 14 of 15" in capsys.readouterr().err
    print(f"checkpoints: {len(EDITS)} edits and {len(DAMAGES)} damages refused, {len(cases)} ended the same")
