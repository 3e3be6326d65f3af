"""The card of a released encoder says what its records say."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml
from quick_cell import cell
from tiny_source import TinySource

from eqssl.config.jobs import ShardJob
from eqssl.config.params import Params
from eqssl.config.shards import ShardSettings
from eqssl.config.sources import SourceSettings
from eqssl.data.shards.writing import write_source
from eqssl.data.sources.base import Sample
from eqssl.encoders.release.saving import read_description
from eqssl.report.model_card import find_metrics, model_card

FILES = {"model.safetensors": 1e-7, "model.pt2": 2e-7}
TASK = {"task": "simclr", "similarity": "max", "angles": 64, "temperature": 0.2, "hidden": 8, "embedding": 8}


def photographs(count=60):
    random = np.random.default_rng(0)
    for i in range(count):
        image = random.integers(0, 90, (16, 16, 1), dtype=np.uint8) + 100 * (i % 2)
        yield Sample(f"p{i:03d}", image.astype(np.uint8), i % 2, "test" if i % 4 > 1 else "train", i)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a cell that was trained and evaluated, as the pipeline lays it out."""
    folder = tmp_path_factory.mktemp("cell")
    data = SourceSettings.read({"source": "fashion_mnist_sample", "turned": False})
    job = ShardJob(dataset="photographs", data=data, shards=ShardSettings(count=1, validation=0.2, seed=0))
    write_source(TinySource(photographs(), classes=("dark", "light")), job, folder / "shards")
    views = ("stored", "grid", "angle")
    params = Params.load()
    cell(folder / "made", params, folder / "shards", job, TASK, views, "contrast")
    (folder / "made/e").rename(folder / "made/eval-1")
    (folder / "made/p").rename(folder / "made/eval-1/probe-1")
    place = folder / "results/photographs/C4/contrast/s0-1"
    shutil.copytree(folder / "made", place)
    return place


def card(folder, metrics, **changes):
    given = {"files": FILES, "name": "mine", "licence": "mit", **changes}
    return model_card(read_description(folder), metrics, **given)


def test_the_card_has_the_numbers_of_the_records(trained):
    described = read_description(trained)
    path = find_metrics(trained, described)
    text = card(trained, path)
    numbers = json.loads(path.read_text())
    for share in (10, 100):
        name = f"acc_angle_{share}"
        value, low, high = (100 * numbers[key] for key in (name, f"{name}_lo", f"{name}_hi"))
        what = f"| linear probe, {share} % of the labels | turned by a random angle |"
        assert f"{what} {value:.1f} | {low:.1f} to {high:.1f} |" in text
    elements = numbers["details"]["equivariance"]["elements"]
    assert len(elements) == 4
    for element in elements:
        assert f"| {element['degrees']:g} degrees | no | yes | {element['error']:.1e} |" in text
    assert "1 epoch, 2 steps" in text
    assert "In its training: embeddings have collapsed" in text
    assert f"Seal of the metrics: `{numbers['seal']}`" in text
    assert described.values["weights_sha256"] in text
    assert "| `task.similarity` | 'max' |" in text
    assert described.values["origin"] in text
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "mit"
    assert {"C4", "contrast"} <= set(front["tags"])


def test_the_metrics_are_found_beside_a_published_encoder_too(trained):
    root = trained.parents[4]
    model = root / "model"
    model.mkdir(exist_ok=True)
    for name in ("encoder.json", "encoder.safetensors"):
        shutil.copy(trained / name, model / name)
    assert find_metrics(model, read_description(model)) == trained / "eval-1/probe-1/metrics.json"


def test_names_with_spaces_are_quoted_and_files_that_were_not_written_are_not_named(trained):
    text = card(trained, None, name="my encoder")
    assert 'eqssl.load_encoder("my encoder")' in text
    assert "--encoder 'my encoder' --out features.parquet" in text
    assert "`model.pt2` takes images of" in text
    assert "onnx" not in text
    text = card(trained, None, files={**FILES, "model.onnx": 1e-7})
    assert "`model.pt2` and `model.onnx` take images of" in text


def test_several_evaluations_have_to_be_told_apart(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "cell")
    shutil.copytree(tmp_path / "cell/eval-1/probe-1", tmp_path / "cell/eval-1/probe-2")
    with pytest.raises(ValueError, match=r"--metrics: missing, allowed: .*probe-1.*probe-2"):
        find_metrics(tmp_path / "cell", read_description(tmp_path / "cell"))


def test_without_metrics_the_card_says_so_and_those_of_other_weights_are_refused(trained, tmp_path):
    text = card(trained, None, licence=None)
    assert "It was not evaluated on a task" in text
    assert "It was not measured." in text
    assert "license:" not in text
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    values = json.loads((other / "encoder.json").read_text())
    assert find_metrics(other, read_description(other)) is not None
    described = read_description(other)
    changed = type(described)(
        described.path,
        {**values, "weights_sha256": "0" * 64},
        described.files,
        described.made_of,
        described.seal,
    )
    assert find_metrics(other, changed) is None
    with pytest.raises(ValueError, match="is of other weights"):
        model_card(changed, other / "eval-1/probe-1/metrics.json", FILES, "mine", None)
