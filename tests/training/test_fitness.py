"""What is refused before anything is built, because index.json tells that the images are no data for it."""

import csv
import json

import pytest
from training_fixtures import SHARD_JOB

from eqssl.config.pretexts import PretextSettings
from eqssl.data.shards.index import ShardIndex
from eqssl.training import pretrain

SUM = {
    "task": "combined",
    "parts": {
        "labels": {"weight": 1.0, "pretext": {"task": "supervised"}},
        "quarters": {
            "weight": 1.0,
            "pretext": {"task": "orientation", "head": "plain", "labels": "rotations", "hidden": 8},
        },
    },
}
QUARTERS = {"task": "orientation", "head": "equivariant", "labels": "rotations", "hidden": 8}
CONTRAST = {
    "task": "simclr",
    "similarity": "max",
    "angles": 64,
    "temperature": 0.2,
    "hidden": 8,
    "embedding": 8,
}


@pytest.fixture
def changed(shards, tmp_path):
    """Write the shards again with another index.json; the tars, whose labels they hold too, are not read."""

    def make(**changes):
        folder = tmp_path / "changed"
        folder.mkdir()
        for tar in shards.glob("*.tar"):
            (folder / tar.name).symlink_to(tar)
        ShardIndex.load(shards).model_copy(update=changes).write(folder)
        return folder

    return make


def with_labels(shards, labels_of):
    index = ShardIndex.load(shards)
    splits = dict(index.splits)
    train = splits["train"]
    splits["train"] = train.model_copy(
        update={"labels": tuple(map(labels_of, range(len(train)), train.labels))}
    )
    return splits


def refused(folder, job, tmp_path, scratch_folder, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        pretrain(job, folder, tmp_path / "out", "cpu")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert not scratch_folder.exists()


@pytest.mark.parametrize("task", [{"task": "supervised"}, SUM])
def test_learning_from_labels_that_are_not_there_is_refused_before_any_work(
    shards, changed, job, tmp_path, scratch_folder, task
):
    folder = changed(
        classes=(), splits={s: c.model_copy(update={"labels": (-1,) * len(c)}) for s, c in _splits(shards)}
    )
    reason = (
        r"index\.json: data set pictures: no training image has a label, "
        r"but pretext 'mine' learns from labels"
    )
    refused(folder, job(task=task), tmp_path, scratch_folder, reason)


def _splits(shards):
    return ShardIndex.load(shards).splits.items()


def test_learning_from_some_labels_is_refused_with_their_number(
    shards, changed, job, tmp_path, scratch_folder
):
    splits = with_labels(shards, lambda i, label: -1 if i < 3 else label)
    reason = r"data set pictures: 3 of its 160 training images have no label, but pretext 'mine'"
    refused(changed(splits=splits), job(), tmp_path, scratch_folder, reason)


def test_learning_from_one_class_is_refused(shards, changed, job, tmp_path, scratch_folder):
    splits = {s: c.model_copy(update={"labels": (0,) * len(c)}) for s, c in _splits(shards)}
    reason = r"data set pictures: there is only one class, 'tissue', but pretext 'mine'"
    refused(changed(classes=("tissue",), splits=splits), job(), tmp_path, scratch_folder, reason)


def test_images_without_a_mask_are_refused_for_other_groups_and_turns(
    params, changed, job, tmp_path, scratch_folder
):
    folder = changed(mask="none")
    reason = r"index\.json: data set pictures has mask 'none', but views\.turn 'angle' is given: .*none, grid"
    refused(folder, job(), tmp_path, scratch_folder, reason)
    grid = {"views": params.views.model_copy(update={"turn": "grid"})}
    reason = (
        r"index\.json: data set pictures has mask 'none', but group 'C8' is given: .*allowed: trivial, C2"
    )
    refused(folder, job(group="C8").model_copy(update=grid), tmp_path, scratch_folder, reason)


@pytest.mark.parametrize("task", [QUARTERS, CONTRAST])
def test_images_without_a_mask_train_and_the_encoder_keeps_that(params, changed, job, tmp_path, task):
    views = params.views.model_copy(update={"turn": "grid"})
    wanted = job(task=task, epochs=1).model_copy(update={"views": views})
    pretrain(wanted, changed(mask="none"), tmp_path / "out", "cpu")
    assert json.loads((tmp_path / "out/encoder.json").read_text())["mask"] == "none"
    with (tmp_path / "out/loss.csv").open() as file:
        assert float(next(csv.DictReader(file))["loss"]) > 0


def test_the_fixture_s_own_shards_are_fit(shards, job):
    from eqssl.data.shards.fitness import check_fitness

    index = ShardIndex.load(shards)
    assert index.job == SHARD_JOB.plain()
    assert PretextSettings.read({"task": "supervised"}).needs_labels
    check_fitness(job(), index)
