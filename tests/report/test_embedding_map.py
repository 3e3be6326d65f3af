"""The map of an embedding: every image at its place, with its picture."""

from __future__ import annotations

import html
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_encoders
from image_files import saved
from PIL import Image

from eqssl.cli import main
from eqssl.encoders import save_encoder
from eqssl.evaluation.embed.embedding import embed
from eqssl.report import embedding_map
from eqssl.report.embedding_map import write_map


@pytest.fixture
def folder(tmp_path):
    """Images of two classes, the file of their features, and the encoder."""
    random = np.random.default_rng(0)
    for number in range(12):
        place = tmp_path / "images" / ("<b>dark", "light")[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        low = 128 * (number % 2)
        place.write_bytes(saved(random.integers(low, low + 128, (12, 12), np.uint8), "PNG"))
    network = small_encoders.trained_statistics(small_encoders.new("C4", 1, 12))
    save_encoder(network, tmp_path / "encoder", {})
    embed(str(tmp_path / "images"), tmp_path / "encoder", tmp_path / "f.parquet")
    return tmp_path


def test_each_image_is_at_its_principal_components_with_its_name_and_label(folder):
    assert write_map(folder / "f.parquet", folder / "f.html") == 12
    page = (folder / "f.html").read_text()
    table = pq.read_table(folder / "f.parquet")
    features = np.stack(table["invariant"].to_numpy()).astype(float)
    centred = features - features.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ directions[:2].T
    found = np.array(re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', page), float)
    for axis in (0, 1):  # a component has no sign of its own
        assert abs(np.corrcoef(found[:, axis], expected[:, axis])[0, 1]) > 0.999
    spans = np.ptp(found, axis=0) / np.ptp(expected, axis=0)
    assert spans[0] == pytest.approx(spans[1], rel=1e-2)
    names = re.findall(r'data-name="([^"]+)" data-label="([^"]+)"', page)
    assert [html.unescape(label) for _, label in names] == table["label"].to_pylist()
    assert "<b>dark" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert len(set(re.findall(r'fill="(#\w+)"', page))) == 2


def test_a_png_has_the_points_and_other_endings_are_refused(folder):
    write_map(folder / "f.parquet", folder / "f.png")
    with Image.open(folder / "f.png") as image:
        assert len(image.convert("RGB").getcolors(2**20)) > 3
    with pytest.raises(ValueError, match=r"given ending '\.svg', allowed: \.html, \.png"):
        write_map(folder / "f.parquet", folder / "f.svg")
    command = ["embed", str(folder / "images"), "--encoder", str(folder / "encoder"), "--out", "x.parquet"]
    assert main([*command, "--map", "x.pdf"]) == 1


def test_of_many_images_some_are_drawn_spread_evenly(folder, monkeypatch):
    monkeypatch.setattr(embedding_map, "MOST", 4)
    assert write_map(folder / "f.parquet", folder / "f.html") == 4
    page = (folder / "f.html").read_text()
    assert "4 of 12 images" in page
    names = pq.read_table(folder / "f.parquet")["name"].to_pylist()
    shown = [
        name.replace("&lt;", "<").replace("&gt;", ">") for name in re.findall(r'data-name="([^"]+)"', page)
    ]
    assert shown == names[1::3]


def test_images_that_have_changed_since_are_not_shown_as_others(folder):
    next((folder / "images/light").iterdir()).unlink()
    with pytest.raises(ValueError, match="the images have changed"):
        write_map(folder / "f.parquet", folder / "f.html")
    assert not (folder / "f.html").exists()


def test_a_file_of_other_software_is_refused(folder):
    pq.write_table(pa.table({"key": ["a"], "invariant": [[1.0, 2.0]]}), folder / "other.parquet")
    with pytest.raises(ValueError, match="it is no file of `eqssl embed`"):
        write_map(folder / "other.parquet", folder / "f.html")
