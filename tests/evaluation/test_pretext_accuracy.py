"""Label tasks on validation images: one learnt from content, one from a shortcut, and one not learnt."""

import json
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.stats import norm

from eqssl.config.params import Params
from eqssl.config.pretexts import PretextSettings
from eqssl.data.loading.batches import load_split
from eqssl.evaluation.pretext_accuracy import measure_pretext, turned_apart
from eqssl.pretexts import build
from eqssl.pretexts.base import Pretext
from eqssl.pretexts.labels.base import LabelTask
from eqssl.symmetry import GSet, group
from eqssl.training import pretrain
from eqssl.training.measured import Measured

CPU = torch.device("cpu")
GRID = {
    "task": "relative_location",
    "head": "equivariant",
    "layout": "grid",
    "margin": 0.0,
    "cell": 6,
    "patch": 4,
    "jitter": 1,
    "gray": 0.0,
    "hidden": 8,
}


class Told(LabelTask):
    """Quarter turns of a patch; `logits` reads the answer off the input, so that it is always right."""

    in_patches: ClassVar[bool] = True

    def build(self, settings, classes, generator):
        is_trivial = self.group.name == "trivial"
        self.labels = GSet.fixed(self.group, 4) if is_trivial else GSet.regular(self.group)

    def draw(self, batch, generator):
        return {}

    def act_on_draw(self, draw, labels, element):
        return draw


class ByDirection(Told):
    """The bright side of a patch tells the label."""

    def corrupt(self, images, labels, draw):
        patch = torch.zeros(1, 4, 4)
        patch[:, 0] = 1
        return torch.stack([torch.rot90(patch, int(y), (-2, -1)) for y in labels])[:, None]

    def logits(self, inputs):
        patch = inputs[:, 0, 0]
        return torch.stack([patch[:, 0], patch[:, :, 0], patch[:, 3], patch[:, :, 3]], 1).sum(-1)


class ByBrightness(Told):
    """The brightness of a patch, which no turn changes, tells the label."""

    def corrupt(self, images, labels, draw):
        return (labels / 4).view(-1, 1, 1, 1, 1).expand(-1, 1, 1, 4, 4)

    def logits(self, inputs):
        return -(inputs.flatten(1).mean(1)[:, None] - torch.arange(4) / 4).abs()


def told(kind: type[Told], params: Params, name: str = "C4") -> Told:
    encoder = build("random", params.model_copy(update={"group": name}), image_shape=(1, 12, 12)).encoder
    return kind(encoder, None, params.views, 2)


def measured(pretext: Pretext, shards) -> Measured:
    return measure_pretext(pretext, load_split(shards, "val"), 16, 3, CPU, torch.float32)


@pytest.mark.parametrize("name", ["trivial", "C4"])
def test_what_was_learnt_from_content_does_not_survive_patches_turned_apart(params, shards, name: str):
    """Of a plain network neither, whose group has nothing to turn them by."""
    found = measured(told(ByDirection, params, name), shards).details["labels"]
    ceiling = 0.25 if name == "C4" else 1.0
    assert (found["accuracy"], found["chance"], found["orbit_ceiling"]) == (1.0, 0.25, ceiling)
    assert found["images"] == 40
    assert found["orbit_accuracy"] == 1.0
    assert abs(found["surviving"]) < 0.3


def test_a_shortcut_survives_patches_turned_apart(params, shards):
    found = measured(told(ByBrightness, params), shards).details["labels"]
    assert found["accuracy"] == found["accuracy_apart"] == 1.0
    assert found["surviving"] == 1.0


def task(params: Params, group_name: str = "C4", entry: dict = GRID) -> Pretext:
    pretexts = {"mine": PretextSettings.read(entry)}
    changed = params.model_copy(update={"group": group_name, "pretexts": pretexts})
    return build("mine", changed, image_shape=(1, 12, 12))


def test_the_numbers_are_those_of_a_slow_loop(params, shards):
    pretext, split = task(params), load_split(shards, "val")
    found = measured(pretext, shards).details["labels"]
    pretext.eval()
    generator, hits, by_label = torch.Generator().manual_seed(3), [], {}
    order = torch.from_numpy(_order(len(split)))
    for start in range(0, 40, 16):
        images = torch.from_numpy(split.images.copy())[order[start : start + 16]]
        labels, draw = (
            pretext.draw_labels(len(images), generator),
            pretext.draw(len(images), generator),
        )
        inputs = pretext.corrupt(images.float() / 255, labels, draw)
        torch.randint(4, (2 * len(images),), generator=generator)  # what turning apart draws
        for one, label in zip(inputs, labels.tolist(), strict=True):
            with torch.no_grad():
                guess = int(pretext.logits(one[None]).argmax())
            hits.append(guess == label)
            by_label.setdefault(label, []).append(guess == label)
    n, p, z = 40, sum(hits) / 40, norm.ppf(0.975)
    assert found["accuracy"] == pytest.approx(p)
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    assert (found["accuracy_lo"], found["accuracy_hi"]) == pytest.approx((middle - half, middle + half))
    for orbit in found["orbits"]:
        of_orbit = [hit for label in orbit["labels"] for hit in by_label.get(label, [])]
        assert orbit["accuracy"] == pytest.approx(sum(of_orbit) / len(of_orbit))
    assert [orbit["labels"] for orbit in found["orbits"]] == [[0, 2, 5, 7], [1, 3, 4, 6]]
    assert found["orbit_ceiling"] == 2 / 8


def _order(count: int):
    return np.random.Generator(np.random.Philox(key=[3, 0])).permutation(count)


def test_nothing_learnt_has_no_surviving_share(params, shards):
    """Scores that are all equal guess one label: right as often as chance."""
    pretext = task(params, "trivial")
    with torch.no_grad():
        for parameter in pretext.head.parameters():
            parameter.zero_()
    found = measured(pretext, shards).details["labels"]
    assert found["surviving"] is None
    assert "pretext_surviving" not in measured(pretext, shards).numbers
    assert found["accuracy_lo"] < found["chance"] < found["accuracy_hi"]


def test_the_same_seed_gives_the_same_numbers_and_training_mode_is_put_back(params, shards):
    pretext = task(params).train()
    before = {name: value.clone() for name, value in pretext.state_dict().items()}
    assert measured(pretext, shards) == measured(pretext, shards)
    assert pretext.training
    assert all(torch.equal(value, before[name]) for name, value in pretext.state_dict().items())


def test_a_sum_has_the_numbers_of_its_label_tasks_and_other_pretexts_have_none(params, shards):
    assert measured(build("supervised", params, image_shape=(1, 12, 12)), shards) == ({}, {})
    contrast = params.pretexts["inv_contrastive"].alone().plain()
    parts = {"where": {"weight": 1.0, "pretext": GRID}, "contrast": {"weight": 1.0, "pretext": contrast}}
    entry = {"task": "combined", "parts": parts}
    numbers, details = measured(task(params, entry=entry), shards)
    assert list(details) == ["where", "contrast"]
    assert details["where"]["chance"] == numbers["pretext_where_chance"] == 1 / 8
    outer = {"task": "combined", "parts": {"sum": {"weight": 1.0, "pretext": entry}, **parts}}
    numbers, details = measured(task(params, entry=outer), shards)
    assert list(details) == ["sum_where", "where", "sum_contrast", "contrast"]
    assert {"pretext_sum_where_accuracy", "pretext_where_accuracy"} <= set(numbers)
    assert {"pretext_sum_contrast_alignment", "pretext_contrast_effective_rank"} <= set(numbers)


def test_metrics_are_the_numbers_of_the_details_by_their_agreed_names(params, shards):
    numbers, details = measured(task(params), shards)
    keys = ["accuracy", "accuracy_lo", "accuracy_hi", "chance", "orbit_ceiling", "orbit_accuracy"]
    keys += ["accuracy_apart"] + ["surviving"] * (details["labels"]["surviving"] is not None)
    assert numbers == {f"pretext_{key}": details["labels"][key] for key in keys}
    assert list(numbers) == [f"pretext_{key}" for key in keys]


def test_each_patch_is_turned_by_its_own_quarter_turns():
    C4, patches = group("C4"), torch.rand(50, 3, 1, 4, 4)
    turned = turned_apart(patches, torch.Generator().manual_seed(0))
    elements = set()
    for one, other in zip(patches.flatten(0, 1), turned.flatten(0, 1), strict=True):
        fits = [i for i, g in enumerate(C4.elements) if torch.equal(C4.act(one, g), other)]
        assert len(fits) == 1
        elements |= set(fits)
    assert elements == {0, 1, 2, 3}
    first, second, _ = (turned[:, i] for i in range(3))
    assert not torch.equal(first, second)


def test_pretraining_writes_what_was_measured_of_label_tasks(job, shards, tmp_path):
    pretrain(job(task=GRID), shards, tmp_path / "out", "cpu", measure=measure_pretext)
    written = json.loads((tmp_path / "out" / "pretrain.json").read_text())
    found = written["diagnostics"]["labels"]
    assert 0 <= found["accuracy"] <= 1
    assert found["images"] == 40
    assert written["measured"]["pretext_accuracy"] == found["accuracy"]
    assert written["pretext"]["labels"] == 8
    pretrain(job(task={"task": "random"}), shards, tmp_path / "none", "cpu", measure=measure_pretext)
    written = json.loads((tmp_path / "none" / "pretrain.json").read_text())
    assert (written["measured"], written["diagnostics"]) == ({}, {})
