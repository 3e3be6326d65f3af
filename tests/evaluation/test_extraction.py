from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from feature_cells import CLASSES, write_shards
from sealed import resealed, seal_in
from written_shards import write_files

from eqssl.config.evaluation import FeatureSettings
from eqssl.config.jobs import FeaturesJob
from eqssl.config.settings import digest
from eqssl.data.loading.batches import load_split
from eqssl.data.loading.location import Budget
from eqssl.data.shards.index import ShardIndex
from eqssl.data.views.normalise import cut_disc, normalise
from eqssl.encoders import build_encoder, load_encoder, save_encoder
from eqssl.evaluation.features import extract
from eqssl.evaluation.parquet import read_features
from eqssl.machine.files import sha256
from eqssl.symmetry import group
from eqssl.symmetry.turning import turn

JOB = {"dataset": "squares", "pretext": "random", "seed": 0}
FILES = tuple(f"features/{name}.parquet" for name in ("train", "val", "test", "turned"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("squares") / "shards")


def make_encoder(folder, params, shards, name="C4", side=12):
    """An encoder as pretraining on these shards leaves it, with statistics that are not a fresh network's."""
    index = ShardIndex.load(shards)
    settings = params.encoder.model_copy(update={"width": (12, 24)})
    generator = torch.Generator().manual_seed(0)
    encoder = build_encoder(settings, name, (1, side, side), index.mean, index.std, generator)
    encoder.train()
    with torch.no_grad():  # statistics of batch norm that are not those of a fresh network
        encoder(torch.randn(32, 1, side, side, generator=generator))
    extra = {**JOB, "job": JOB, "data": index.digest}
    save_encoder(encoder.eval(), folder, extra, {"data": index.seal})
    return folder


def job(views=("stored", "grid", "angle"), stages=2, turned=7, seed=0):
    return FeaturesJob(features=FeatureSettings(stages=stages, views=views, turned=turned, seed=seed))


@pytest.mark.parametrize("name", ["trivial", "D4"])
def test_every_row_is_the_frozen_encoder_s_feature_of_that_view(shards, tmp_path, params, name):
    folder = make_encoder(tmp_path / "cell", params, shards, name)
    extract(job(), shards, folder, tmp_path / "out", "cpu")
    encoder, D4 = load_encoder(folder), group("D4")
    for split_name, count in (("train", 48), ("val", 12), ("test", 20)):
        split = load_split(shards, split_name)
        table = read_features(
            tmp_path / f"out/features/{split_name}.parquet",
            ["invariant", "regular", "invariant_2", "regular_2"],
        )
        views = ["stored", "grid", "angle"] if split_name == "test" else ["stored"]
        assert len(table.keys) == count * len(views)
        assert table.views.tolist() == [view for view in views for _ in range(count)]
        assert table.keys == split.keys * len(views)
        assert table.labels.tolist() == split.labels.tolist() * len(views)
        for row in range(0, len(table.keys), 3):
            image = torch.from_numpy(np.array(split.images[row % count]))[None]
            if table.views[row] == "grid":
                image = D4.act(image, D4.elements[table.elements[row]])
            if table.views[row] == "angle":
                image = turn(image.float() / 255, torch.tensor([table.angles[row]]))
            with torch.no_grad():
                stages = encoder.stages(normalise(cut_disc(image), encoder.mean, encoder.std))
            for suffix, stage in (("", stages[-1]), ("_2", stages[-2])):
                regular, invariant = (
                    table.features["regular" + suffix][row],
                    table.features["invariant" + suffix][row],
                )
                # field-major: number f * |G| + g
                f, g = stage.shape[1] - 1, stage.shape[2] // 2
                assert regular[f * stage.shape[2] + g] == pytest.approx(float(stage[0, f, g]), abs=1e-5)
                assert np.allclose(regular, stage[0].reshape(-1), atol=1e-5)
                assert np.allclose(invariant, encoder.pool(stage)[0], atol=1e-5)


def test_the_files_say_what_they_were_made_from(shards, tmp_path, params):
    folder = make_encoder(tmp_path / "cell", params, shards)
    extract(job(stages=1), shards, folder, tmp_path / "out", "cpu")
    table = read_features(tmp_path / "out/features/test.parquet", ["invariant"])
    info = table.info
    assert info.encoder == sha256(folder / "encoder.safetensors")
    assert info.data == load_split(shards, "test").index.digest
    assert (info.group, info.orders, info.classes) == ("C4", (4,), CLASSES)
    assert len(info.fields) == 1
    assert (table.elements[table.views == "grid"] >= 0).all()
    assert (table.elements[table.views != "grid"] == -1).all()
    assert (table.angles[table.views != "angle"] == 0).all()
    equivariance = json.loads((tmp_path / "out/equivariance.json").read_text())
    assert equivariance["error"] < 1e-5
    assert len(equivariance["stages"]) == 2
    assert equivariance["images"] == equivariance["retrieval"]["queries"] == 20
    assert equivariance["rows"] == {"train": 48, "val": 12, "test": 20, "turned": 7}
    assert equivariance["job"] == job(stages=1).plain()
    assert equivariance["files"] == {name: sha256(tmp_path / "out" / name) for name in FILES}
    assert equivariance["made_of"] == {
        "encoder": seal_in(folder / "encoder.json"),
        "data": seal_in(shards / "index.json"),
    }


@pytest.mark.parametrize("name", ["D1", "C8", "D8", "SO2", "O2"])
def test_features_of_every_kind_of_group_are_extracted(shards, tmp_path, params, name):
    folder = make_encoder(tmp_path / "cell", params, shards, name)
    extract(job(views=("stored", "angle")), shards, folder, tmp_path / "out", "cpu")
    info = read_features(tmp_path / "out/features/test.parquet", ["regular_2"]).info
    order = group(name).order
    assert (info.group, info.orders) == (name, (order, order))
    equivariance = json.loads((tmp_path / "out/equivariance.json").read_text())
    assert equivariance["exact"] == group(name).is_exact
    on_grid = [element["error"] for element in equivariance["elements"] if element["on_grid"]]
    assert len(on_grid) == len(group(name).grid_elements)
    assert max(on_grid) < 1e-5


def test_a_restricted_encoder_has_stages_of_two_kinds(shards, tmp_path, params):
    changed = params.encoder.model_copy(update={"equivariant_stages": 1})
    folder = make_encoder(tmp_path / "cell", params.model_copy(update={"encoder": changed}), shards)
    extract(job(views=("stored",)), shards, folder, tmp_path / "out", "cpu")
    table = read_features(tmp_path / "out/features/test.parquet", ["regular", "regular_2"])
    assert table.info.orders == (1, 4)
    equivariance = json.loads((tmp_path / "out/equivariance.json").read_text())
    assert equivariance["stages"][0] < 1e-5
    assert (equivariance["stages"][1], equivariance["invariant"]) == (None, None)


def test_extraction_is_reproducible_and_leaves_torch_as_it_was(shards, tmp_path, params):
    folder = make_encoder(tmp_path / "cell", params, shards)
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    load_encoder(folder)
    state = torch.get_rng_state()
    for name in ("a", "b"):
        torch.manual_seed(5)
        extract(job(), shards, folder, tmp_path / name, "cpu")
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    for file in (*FILES, "equivariance.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    extract(job(seed=1), shards, folder, tmp_path / "c", "cpu")
    assert (tmp_path / "a/features/test.parquet").read_bytes() != (
        tmp_path / "c/features/test.parquet"
    ).read_bytes()


def test_invariant_features_do_not_change_on_the_grid_and_regular_ones_do(shards, tmp_path, params):
    extract(job(), shards, make_encoder(tmp_path / "cell", params, shards, "D4"), tmp_path / "out", "cpu")
    table = read_features(tmp_path / "out/features/test.parquet", ["invariant", "regular"])
    stored, grid, angle = (table.view(view) for view in ("stored", "grid", "angle"))
    assert np.allclose(stored.features["invariant"], grid.features["invariant"], atol=1e-5)
    assert not np.allclose(stored.features["regular"], grid.features["regular"], atol=1e-3)
    assert not np.allclose(stored.features["invariant"], angle.features["invariant"], atol=1e-3)


def test_an_encoder_for_other_images_is_refused(shards, tmp_path, params):
    folder = make_encoder(tmp_path / "cell", params, shards, side=16)
    with pytest.raises(
        ValueError,
        match=r"encoder\.json: image_shape: \[1, 16, 16\], but .*shards/index\.json has \[1, 12, 12\]",
    ):
        extract(job(), shards, folder, tmp_path / "out", "cpu")
    assert not (tmp_path / "out").exists()


def test_more_stages_than_there_are_is_refused(shards, tmp_path, params):
    folder = make_encoder(tmp_path / "cell", params, shards)
    with pytest.raises(ValueError, match=r"features\.stages: given 3, allowed: 1 to 2"):
        extract(job(stages=3), shards, folder, tmp_path / "out", "cpu")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), r"encoder\.safetensors: .*weight: holds a number that is not finite"),
        (3e38, r"train\.parquet: column \w+: key '[\w-]+' .*not finite"),
    ],
)
def test_numbers_that_are_not_finite_leave_no_file(shards, tmp_path, params, value, reason):
    folder = make_encoder(tmp_path / "cell", params, shards)
    encoder = load_encoder(folder)
    for parameter in encoder.parameters():
        parameter.fill_(value)
    save_encoder(encoder, folder, json.loads((folder / "encoder.json").read_text()))
    with pytest.raises(ValueError, match=reason):
        extract(job(), shards, folder, tmp_path / "out", "cpu")
    assert list((tmp_path / "out").rglob("*.*")) == []


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("data", "0" * 64, r'encoder\.json: data: "0{64}", but .*shards/index\.json has "[0-9a-f]{64}"'),
        ("mean", [0.5], r"encoder\.json: mean: \[0\.5\], but .*shards/index\.json has \[0\.\d+\]"),
        ("std", [0.5], r"encoder\.json: std: \[0\.5\], but .*shards/index\.json has \[0\.\d+\]"),
    ],
)
def test_an_encoder_of_other_shards_is_refused(shards, tmp_path, params, key, value, reason):
    folder = make_encoder(tmp_path / "cell", params, shards)
    resealed(folder / "encoder.json", lambda values: values.update({key: value}))
    with pytest.raises(ValueError, match=reason):
        extract(job(), shards, folder, tmp_path / "out", "cpu")
    assert not (tmp_path / "out").exists()


def test_an_encoder_of_another_cell_is_refused(shards, tmp_path, params):
    folder = make_encoder(tmp_path / "cell", params, shards)
    with pytest.raises(ValueError, match=rf"encoder\.json: job: made by job {digest(JOB)}, but 00000000 is"):
        extract(job(), shards, folder, tmp_path / "out", "cpu", cell="00000000")
    assert not (tmp_path / "out").exists()
    extract(job(views=("stored",)), shards, folder, tmp_path / "out", "cpu", cell=digest(JOB))


def test_an_encoder_without_a_seal_is_refused(shards, tmp_path, params):
    folder = make_encoder(tmp_path / "cell", params, shards)
    values = json.loads((folder / "encoder.json").read_text())
    del values["seal"]
    (folder / "encoder.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"encoder\.json: seal: missing"):
        extract(job(), shards, folder, tmp_path / "out", "cpu")


def test_features_of_streamed_images_are_the_same_bytes(shards, tmp_path, params):
    folder = make_encoder(tmp_path / "cell", params, shards)
    for name, budget in (("mapped", Budget()), ("streamed", Budget(decoded_mb=0))):
        extract(job(), shards, folder, tmp_path / name, "cpu", budget=budget)
    for file in (*FILES, "equivariance.json"):
        assert (tmp_path / "mapped" / file).read_bytes() == (tmp_path / "streamed" / file).read_bytes()
    equivariance = json.loads((tmp_path / "streamed/equivariance.json").read_text())
    assert equivariance["turned_images"] == 20


def test_sixteen_bit_images_have_the_features_of_the_same_values_in_eight(tmp_path, params):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 12, 12, 1), dtype=np.uint8)
    for name, values in (("uint8", pixels), ("uint16", pixels.astype(np.uint16) * 257)):
        files = []
        for image in values:
            buffer = io.BytesIO()
            np.save(buffer, image)
            files.append(("npy", buffer.getvalue(), 0))
        folder = write_files(tmp_path / name, files, (1, 12, 12), name)
        cell = make_encoder(tmp_path / f"cell-{name}", params, folder)
        extract(job(), folder, cell, tmp_path / f"out-{name}", "cpu")
    found = [
        read_features(tmp_path / f"out-{name}/features/test.parquet", ["regular", "invariant_2"]).features
        for name in ("uint8", "uint16")
    ]
    for column, values in found[0].items():
        assert np.allclose(values, found[1][column], atol=1e-5)
    one, other = (
        json.loads((tmp_path / f"out-{name}/equivariance.json").read_text())["angles"]
        for name in ("uint8", "uint16")
    )
    for angle, same in zip(one, other, strict=True):
        assert angle["error"] == pytest.approx(same["error"], abs=1e-5)
