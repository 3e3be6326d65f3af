"""Everything that a joint-embedding pretext keeps between steps is in its checkpoint.

A training that was killed ends with the same bytes, with queues, momentum branches, centres, prototypes,
small views and asymmetric ones.
"""

import signal

import pytest
from entries import PARAMS, kind_of
from training_process import Training

from eqssl.config.pretexts import CombinedSettings
from eqssl.machine.records import read_record
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.training import checkpoints, pretrain

EPOCHS, STEPS, KILLED = 4, 20, 7
ENTRIES = [
    name
    for name, entry in PARAMS.pretexts.items()
    if issubclass(kind_of(name), JointEmbedding) or isinstance(entry, CombinedSettings)
]
SMALL = {
    "hidden": 16,
    "embedding": 16,
    "predictor": 16,
    "prototypes": 12,
    "queue": 48,
    "orientation": 16,
    "code": 8,
    "rank": 8,
}
"""In place of the settings of these names, wherever an entry has them; a queue of one batch and a half."""
CROPS = {"count": 2, "size": 8, "scale": [0.1, 0.4]}
ASYMMETRIC = {"blur": 0.1, "solarise": 0.5}


def small(settings):
    """Settings of a pretext with few channels, in its parts too."""
    return {
        key: small(value) if isinstance(value, dict) else SMALL.get(key, value)
        for key, value in settings.items()
    }


def task(name, **changes):
    return {**small(PARAMS.pretexts[name].alone().plain()), **changes}


CASES = {name: task(name) for name in ENTRIES} | {
    "inv_swav with crops": task("inv_swav", crops=CROPS),
    "swav with crops": task("swav", crops=CROPS),
    "inv_dino with crops": task("inv_dino", crops=CROPS),
    "dino with crops": task("dino", crops=CROPS),
    "inv_byol, asymmetric": task("inv_byol", second_view=ASYMMETRIC),
    "byol, asymmetric": task("byol", second_view=ASYMMETRIC),
}


def outcome(folder):
    """Weights, the epochs' losses with every digit, and the hash that stands for the encoder."""
    weights = (folder / "encoder.safetensors").read_bytes()
    return weights, (folder / "loss.csv").read_text(), read_record(folder / "encoder.json").seal


def kill_in_the_middle(job, shards, out, scratch):
    """Train in a process that is killed after a third of the steps; gives the file of its checkpoint."""
    training = Training(job, shards, out, 0.0, KILLED)
    try:
        assert training.wait() == -signal.SIGKILL, training.said()
    finally:
        training.process.kill()
        training.process.join()
    assert not out.exists()
    (state,) = scratch.glob("*/state.safetensors")
    return state


@pytest.mark.parametrize("case", CASES)
def test_a_killed_training_of_a_base_ends_with_the_same_bytes(
    case, job, shards, scratch_folder, tmp_path, capsys
):
    wanted, out = job(epochs=EPOCHS, task=CASES[case]), tmp_path / "out"
    pretrain(wanted, shards, tmp_path / "whole", "cpu", 1000.0)
    kill_in_the_middle(wanted, shards, out, scratch_folder)
    pretrain(wanted, shards, out, "cpu", 1000.0)
    assert f"going on after step {KILLED} of {STEPS}" in capsys.readouterr().err
    assert outcome(out) == outcome(tmp_path / "whole")


@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("inv_moco", "queue.kept"),
        ("inv_moco", "queue.place"),
        ("inv_moco", "momentum.copies.0.blocks.0.0.0.weight"),
        ("inv_moco_v3", "momentum.copies.1.0.0.weight"),
        ("inv_byol", "momentum.copies.0.blocks.0.0.0.weight"),
        ("inv_swav", "queue.kept"),
        ("inv_swav", "prototypes.weight"),
        ("inv_dino", "momentum.copies.2.weight"),
        ("inv_dino", "centre"),
    ],
)
def test_what_a_base_keeps_decides_how_its_training_goes_on(
    case, name, job, shards, scratch_folder, tmp_path, capsys
):
    """The control: with other values in the checkpoint the end is another one."""
    wanted, out = job(epochs=EPOCHS, task=CASES[case]), tmp_path / "out"
    pretrain(wanted, shards, tmp_path / "whole", "cpu", 1000.0)
    state = kill_in_the_middle(wanted, shards, out, scratch_folder)
    tensors, values = checkpoints.load(state)
    tensors[f"model/{name}"] += 1
    checkpoints.save(state, tensors, values)
    pretrain(wanted, shards, out, "cpu", 1000.0)
    assert "going on after step" in capsys.readouterr().err
    assert outcome(out)[1] != outcome(tmp_path / "whole")[1]
