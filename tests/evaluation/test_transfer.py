"""Transfer: the features of an encoder on another data set, and the numbers that probes give there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_cells import CLASSES, probe_job
from sealed import resealed, seal_in
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from eqssl.config.evaluation import FeatureSettings
from eqssl.config.jobs import FeaturesJob, ShardJob, TransferJob
from eqssl.config.params import Params
from eqssl.config.settings import digest
from eqssl.config.shards import ShardSettings
from eqssl.config.sources import SourceSettings
from eqssl.data.loading.batches import load_split
from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_source
from eqssl.data.sources.base import Sample
from eqssl.data.views.normalise import cut_disc, normalise
from eqssl.encoders import build_encoder, load_encoder, save_encoder
from eqssl.evaluation.features import extract
from eqssl.evaluation.parquet import read_features
from eqssl.evaluation.probing import evaluate
from eqssl.machine.cell_numbers import read_metrics
from eqssl.machine.records import write_record
from eqssl.machine.transferred import read_transferred
from eqssl.symmetry import group
from eqssl.symmetry.turning import turn

CELL = {"dataset": "bars", "pretext": "random", "seed": 0}
FILES = tuple(f"features/{name}.parquet" for name in ("train", "val", "test", "turned"))
COLUMNS = ("invariant", "regular", "invariant_2", "regular_2")


class Bars:
    """A source of noisy pictures of three kinds, none with a symmetry."""

    licence, origin, notes = "CC0", "drawn by a test", ()

    def __init__(self, side: int, channels: int, labelled: bool, brightness: int) -> None:
        self.side, self.channels, self.labelled, self.brightness = side, channels, labelled, brightness
        self.classes = CLASSES if labelled else ()
        self.counts = {"train": 60, "test": 24}

    def count(self):
        return sum(self.counts.values())

    def samples(self):
        for split, count in self.counts.items():
            random = np.random.default_rng(len(split) + self.side)
            for i in range(count):
                shape = (self.side, self.side, self.channels)
                image = random.integers(0, self.brightness, shape, dtype=np.uint8)
                image[3:5, 5 : 6 + i % 3] = 140
                image[6 + i % 3, 3:5] = 120
                yield Sample(f"{split}-{i:03d}", image, i % 3 if self.labelled else None, split, i)


def write_shards(folder: Path, name="bars", side=12, channels=1, labelled=True, brightness=200, mask="disc"):
    data = SourceSettings.read({"source": "fashion_mnist_sample", "turned": False, "mask": mask})
    job = ShardJob(dataset=name, data=data, shards=ShardSettings(count=2, validation=0.2, seed=0))
    write_source(Bars(side, channels, labelled, brightness), job, folder)
    return folder


def write_encoder(folder: Path, params: Params, shards: Path, group_name="C4", **changes):
    """An encoder as training on these shards leaves it, with the records of its cell."""
    index, generator = ShardIndex.load(shards), torch.Generator().manual_seed(0)
    settings = params.encoder.model_copy(update={"width": (6, 12), **changes})
    encoder = build_encoder(
        settings, group_name, index.image_shape, index.mean, index.std, generator, mask=index.mask
    )
    encoder.train()
    with torch.no_grad():  # statistics of batch norm that are not those of a fresh network
        encoder(torch.randn(32, *index.image_shape, generator=generator))
    extra = {**CELL, "job": CELL, "data": index.digest, "parameters": 1, "flops": 1}
    save_encoder(encoder.eval(), folder, extra, {"data": index.seal})
    trained = {"epochs": 2, "seconds": 1.5, "measured": {"pretext_accuracy": 0.5}}
    write_record(folder / "pretrain.json", trained, made_of={"encoder": seal_in(folder / "encoder.json")})
    return folder


def features(views=("stored", "grid", "angle")):
    return FeatureSettings(stages=2, views=views, turned=7, seed=0)


def transfer_job(shards: Path, **changes):
    index = ShardIndex.load(shards)
    return TransferJob(features=features(**changes), dataset=index.dataset, data=digest(index.job))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("bars") / "shards")


def by_hand(encoder, image, view, element, angle, mean, std):
    """Both features of the last two stages of one image, in the order of the columns."""
    image = torch.from_numpy(np.array(image))[None]
    if view == "grid":
        image = group("D4").act(image, group("D4").elements[element])
    if view == "angle":
        image = turn(image.float() / 255, torch.tensor([angle]))
    cut = cut_disc(image) if encoder.mask == "disc" else image
    with torch.no_grad():
        stages = encoder.stages(normalise(cut, mean, std))[::-1][:2]
    return [feature.flatten() for stage in stages for feature in (encoder.pool(stage), stage)]


@pytest.mark.parametrize(
    ("name", "changes"),
    [("trivial", {"side": 12}), ("D4", {"side": 17}), ("C8", {"side": 12, "mask": "none"})],
)
def test_every_row_is_the_frozen_encoder_s_feature_of_the_target_s_image(
    shards, tmp_path, params, name, changes
):
    """With the encoder's own mean, deviation and mask; with those of the target there are other numbers."""
    target = write_shards(tmp_path / "shards", "others", brightness=90, **changes)
    cell = write_encoder(tmp_path / "cell", params, shards, name)
    extract(transfer_job(target), target, cell, tmp_path / "out", "cpu")
    encoder, index = load_encoder(cell), ShardIndex.load(target)
    assert (encoder.mean, encoder.std) != (index.mean, index.std)
    for split_name in ("train", "val", "test"):
        split = load_split(target, split_name)
        table = read_features(tmp_path / f"out/features/{split_name}.parquet", COLUMNS)
        views = ["stored", "grid", "angle"] if split_name == "test" else ["stored"]
        assert table.keys == split.keys * len(views)
        assert table.labels.tolist() == split.labels.tolist() * len(views)
        assert table.info.data == index.digest
        for row in range(0, len(table.keys), 3):
            moved = (table.views[row], table.elements[row], table.angles[row])
            image = split.images[row % len(split)]
            found = by_hand(encoder, image, *moved, encoder.mean, encoder.std)
            for column, feature in zip(COLUMNS, found, strict=True):
                assert np.allclose(table.features[column][row], feature, atol=1e-5)
            wrong = by_hand(encoder, image, *moved, index.mean, index.std)
            assert not np.allclose(table.features["regular"][row], wrong[1], atol=1e-3)


def test_an_encoder_without_a_mask_reads_the_corners(tmp_path, params):
    own = write_shards(tmp_path / "own", mask="none")
    target = write_shards(tmp_path / "shards", "others", side=14, mask="none")
    cell = write_encoder(tmp_path / "cell", params, own)
    extract(transfer_job(target, views=("stored", "grid")), target, cell, tmp_path / "out", "cpu")
    encoder, split = load_encoder(cell), load_split(target, "val")
    table = read_features(tmp_path / "out/features/val.parquet", COLUMNS)
    found = by_hand(encoder, split.images[0], "stored", 0, 0, encoder.mean, encoder.std)
    assert np.allclose(table.features["regular"][0], found[1], atol=1e-5)
    cut = cut_disc(torch.from_numpy(np.array(split.images[0])))
    without = by_hand(encoder, cut.numpy(), "stored", 0, 0, encoder.mean, encoder.std)
    assert not np.allclose(table.features["regular"][0], without[1], atol=1e-3)
    with pytest.raises(ValueError, match=r"features\.views: given 'angle' with bars of mask 'none'"):
        extract(transfer_job(target), target, cell, tmp_path / "angle", "cpu")


def test_the_own_data_set_has_the_features_of_the_step_features_to_the_byte(shards, tmp_path, params):
    cell = write_encoder(tmp_path / "cell", params, shards)
    extract(FeaturesJob(features=features()), shards, cell, tmp_path / "own", "cpu")
    extract(transfer_job(shards), shards, cell, tmp_path / "again", "cpu")
    for file in FILES:
        assert (tmp_path / "own" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
    own, again = (
        json.loads((tmp_path / name / "equivariance.json").read_text()) for name in ("own", "again")
    )
    assert set(again) - set(own) == {"target"}
    assert {key for key in own if own[key] != again[key]} == {"job", "seal"}


@pytest.mark.parametrize("changes", [{}, {"name": "resnet18", "width": (4, 4, 8, 8)}])
@pytest.mark.parametrize("side", [12, 13, 21, 32])
def test_symmetry_is_exact_for_images_of_another_size(shards, tmp_path, params, side, changes):
    target = write_shards(tmp_path / "shards", "others", side=side)
    cell = write_encoder(tmp_path / "cell", params, shards, "D4", **changes)
    extract(transfer_job(target), target, cell, tmp_path / "out", "cpu")
    assert json.loads((tmp_path / "out/equivariance.json").read_text())["error"] < 1e-5


def test_a_size_at_which_a_window_would_break_the_symmetry_is_refused(tmp_path, params):
    own = write_shards(tmp_path / "own", side=13)
    cell = write_encoder(tmp_path / "cell", params, own, "D4", downsampling="strided")
    for side in (17, 21):
        target = write_shards(tmp_path / f"{side}", "others", side=side)
        extract(transfer_job(target), target, cell, tmp_path / f"out{side}", "cpu")
        assert json.loads((tmp_path / f"out{side}/equivariance.json").read_text())["error"] < 1e-5
    target = write_shards(tmp_path / "even", "others", side=16)
    with pytest.raises(
        ValueError, match=r"index\.json: image_shape: 16 pixels for .*encoder\.json: layer "
    ) as e:
        extract(transfer_job(target), target, cell, tmp_path / "out", "cpu")
    assert "the nearest sizes of images that work: 15 or 17; set `size` in the entry of others" in str(
        e.value
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"channels": 3},
            r"index\.json: image_shape: 3 channels, but the images of .*encoder\.json have 1; "
            r"allowed: shards made with `channels: 1` in the entry of others",
        ),
        (
            {"labelled": False},
            r"index\.json: classes: no training image has a label; allowed: a data set with",
        ),
    ],
)
def test_images_that_cannot_be_used_are_refused_before_any_is_read(shards, tmp_path, params, changes, reason):
    target = write_shards(tmp_path / "shards", "others", **changes)
    for tar in target.glob("*.tar"):
        tar.unlink()
    with pytest.raises(ValueError, match=reason):
        extract(
            transfer_job(target),
            target,
            write_encoder(tmp_path / "cell", params, shards),
            tmp_path / "out",
            "cpu",
        )
    assert not (tmp_path / "out").exists()


def test_shards_of_another_data_set_or_job_and_other_cells_are_refused(shards, tmp_path, params):
    target, cell = write_shards(tmp_path / "t", "others"), write_encoder(tmp_path / "cell", params, shards)
    job = transfer_job(target)
    for other in (job.model_copy(update={"dataset": "bars"}), job.model_copy(update={"data": "00000000"})):
        with pytest.raises(
            ValueError, match=r"index\.json: job: others of job \w{8}, but .* is wanted: mixed"
        ):
            extract(other, target, cell, tmp_path / "out", "cpu")
    with pytest.raises(ValueError, match=r"encoder\.json: data: .*, but .* has "):
        extract(FeaturesJob(features=features()), target, cell, tmp_path / "out", "cpu")
    with pytest.raises(ValueError, match=r"encoder\.json: job: made by job \w{8}, but 00000000 is wanted"):
        extract(job, target, cell, tmp_path / "out", "cpu", cell="00000000")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def probed(tmp_path_factory, shards):
    """A cell with a transfer, and the folder of its metrics."""
    folder = tmp_path_factory.mktemp("transfer")
    params = Params.load(Path(__file__).parents[2] / "params.yaml")
    target = write_shards(folder / "shards", "others", side=14, brightness=90)
    cell = write_encoder(folder / "cell", params, shards)
    job = transfer_job(target)
    extract(job, target, cell, cell / "on", "cpu")
    evaluate(probe_job(shares=(100,)), cell / "on", cell, cell / "on/probe", digest(CELL), job.digest)
    return cell, target


def scored(folder: Path, column: str, view: str, strength: float) -> float:
    """The lines of docs/evaluation.md."""

    def read(split: str, view: str = "stored"):
        table = read_features(folder / f"features/{split}.parquet", [column])
        rows = table.views == view
        return table.features[column][rows].astype(np.float64), table.labels[rows]

    scaler = StandardScaler().fit(read("train")[0])
    x = scaler.transform(np.concatenate([read("train")[0], read("val")[0]]))
    y = np.concatenate([read("train")[1], read("val")[1]])
    probe = LogisticRegression(C=1 / (strength * len(x)), max_iter=1000).fit(x, y)
    return probe.score(scaler.transform(read("test", view)[0]), read("test", view)[1])


def test_accuracies_are_those_of_scikit_learn_on_the_target_s_images(probed, shards):
    cell, _ = probed
    metrics = json.loads((cell / "on/probe/metrics.json").read_text())
    found = {}
    for column, prefix in (("invariant", ""), ("regular", "reg_")):
        (choice,) = metrics["details"]["probes"][column]["100"]
        for view in ("stored", "grid", "angle"):
            found[f"{prefix}acc_{view}_100"] = scored(cell / "on", column, view, choice["strength"])
    assert found == pytest.approx({name: metrics[name] for name in found}, abs=1e-12)
    assert 0 < metrics["acc_stored_100"] < 1
    (choice,) = metrics["details"]["probes"]["invariant"]["100"]
    extract(FeaturesJob(features=features()), shards, cell, cell / "own", "cpu")
    own = scored(cell / "own", "invariant", "stored", choice["strength"])
    assert own != metrics["acc_stored_100"]


def test_the_record_names_both_data_sets_and_all_that_it_was_made_of(probed, shards):
    cell, target = probed
    record = read_transferred(cell / "on/probe/metrics.json")
    own, read, details = ShardIndex.load(shards), ShardIndex.load(target), record.values["details"]
    assert (record.values["target"], record.values["dataset"]) == ("others", "bars")
    assert details["equivariance"]["target"]["data"] == read.digest
    assert details["equivariance"]["target"]["image_shape"] == [1, 14, 14]
    assert details["encoder"]["data"] == own.digest
    assert details["probe"]["seed"] == 0
    assert {"processor", "torch", "commit", "code"} <= details["versions"].keys()
    sources = {"encoder": "encoder", "pretrain": "pretrain", "equivariance": "on/equivariance"}
    assert record.made_of == {name: seal_in(cell / f"{path}.json") for name, path in sources.items()}
    features = json.loads((cell / "on/equivariance.json").read_text())
    assert features["made_of"] == {"encoder": seal_in(cell / "encoder.json"), "data": read.seal}
    assert not [name for name in record.values if name.startswith("pretext_")]  # measured on other images


def test_a_transfer_is_never_taken_for_the_numbers_of_a_cell(probed):
    cell, _ = probed
    path = cell / "on/probe/metrics.json"
    with pytest.raises(ValueError, match=r"metrics\.json: target: is of features on another data set"):
        read_metrics(path)
    own = FeaturesJob(features=features()).digest
    with pytest.raises(ValueError, match=r"equivariance\.json: job: made by job \w{8}, but \w{8} is wanted"):
        evaluate(probe_job(), cell / "on", cell, cell / "mixed", features=own)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, r"target: given None, expected a table with the name of a data set"),
        ({"dataset": "a/b"}, r"target: given .*, expected a table with the name of a data set"),
        ({"dataset": "bars"}, r"target\.dataset: given 'bars', but its job has another one"),
        ({"dataset": "others", "data": "0"}, r"target\.data: is not the digest of the data set that it was"),
    ],
)
def test_features_that_say_something_else_of_their_target_are_refused(probed, tmp_path, value, reason):
    cell, _ = probed
    path, whole = cell / "on/equivariance.json", (cell / "on/equivariance.json").read_bytes()
    resealed(path, lambda content: content.update(target=value))
    try:
        with pytest.raises(ValueError, match=rf"equivariance\.json: {reason}"):
            evaluate(probe_job(), cell / "on", cell, tmp_path / "out")
    finally:
        path.write_bytes(whole)
    assert not (tmp_path / "out").exists()
