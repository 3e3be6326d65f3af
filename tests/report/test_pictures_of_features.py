"""Map of features, neighbours of turned images and filters, against what was written."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from sealed import resealed
from tiny_source import TinySource, job, samples
from written_grid import TWINS, write_grid

from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_source
from eqssl.evaluation.feature_info import FeatureInfo
from eqssl.evaluation.parquet import feature_writer
from eqssl.evaluation.turned import moves
from eqssl.machine.records import read_record, write_record
from eqssl.nn.convolution import GroupConv2d
from eqssl.report import write_report
from eqssl.report.cells import read_cells
from eqssl.report.chosen import MOST, WHY, chosen
from eqssl.report.feature_map import CLASSES, COLOURS, OTHERS, class_colours, feature_map
from eqssl.report.filter_pictures import expand, first_filters
from eqssl.report.tables import rows_of
from eqssl.report.turned_features import turned_features
from eqssl.report.turned_sheets import NEIGHBOURS, kept_share, nearest
from eqssl.symmetry.filter_bases import filter_basis

WIDTH, IMAGES = 4, 9


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures") / "shards"
    write_source(TinySource(samples(train=20, test=12, shape=(10, 10, 1))), job(), folder)
    return folder


def with_files(cell, shards, turned=True, filters=True):
    """Give a cell feature files of the shards and weights; return its features of each move."""
    metrics, losses = cell
    index = ShardIndex.load(shards)
    keys = index.splits["test"].keys
    evaluation = metrics.parent / "eval"
    info = FeatureInfo("e", "d", "C4", (4,), (WIDTH,), ("cat", "dog"), "c")
    (evaluation / "features").mkdir(parents=True)
    random = np.random.default_rng(3)
    stored = random.standard_normal((len(keys), WIDTH)).astype(np.float32)
    labels = np.arange(len(keys)) % 2

    def write(name, parts):
        with feature_writer(evaluation / "features" / name, info) as writer:
            for view, element, degrees, values, count in parts:
                writer.write(
                    "test",
                    view,
                    keys[:count],
                    labels[:count],
                    {"invariant": values, "regular": np.repeat(values, 4, axis=1)},
                    np.full(count, degrees, np.float32) if view == "angle" else None,
                    np.full(count, element) if view == "grid" else None,
                )

    write("test.parquet", [("stored", -1, 0.0, stored, len(keys))])
    parts = []
    for number, move in enumerate(moves("disc")):
        values = stored[:IMAGES] + np.float32(0.02 * number) * random.standard_normal((IMAGES, WIDTH))
        parts.append((move.view, move.element, move.degrees, values.astype(np.float32), IMAGES))
    names = ["features/test.parquet"]
    if turned:
        write("turned.parquet", parts)
        names.append("features/turned.parquet")
    # the files of a real run lie two folders above metrics.json
    home = metrics.parent / "eval" / "probe"
    home.mkdir()
    write_record(evaluation / "equivariance.json", {"rows": {"turned": IMAGES}}, names)
    made_of = {"equivariance": evaluation / "equivariance.json"}
    if filters:
        basis = filter_basis("C4", "lift", 3)
        layer = GroupConv2d(basis, 1, 2, 3, generator=torch.Generator().manual_seed(0))
        tensors = {f"blocks.0.{name}": value.numpy() for name, value in layer.state_dict().items()}
        save_file(tensors, losses.parent / "encoder.safetensors")
        write_record(losses.parent / "encoder.json", {"image_shape": [1, 10, 10]}, ["encoder.safetensors"])
        made_of["encoder"] = losses.parent / "encoder.json"
    (home / "metrics.json").write_bytes(metrics.read_bytes())
    (home / "predictions.csv").write_bytes((metrics.parent / "predictions.csv").read_bytes())
    resealed(
        home / "metrics.json",
        lambda values: values["details"]["encoder"].update(data=index.digest),
        **made_of,
    )
    return (home / "metrics.json", losses), parts


@pytest.fixture
def cell(tmp_path, shards):
    (one,) = write_grid(tmp_path / "r", groups=("C4",), pretexts=("labels",), seeds=(0,))
    return with_files(one, shards)


def features_of(files):
    return turned_features(read_cells([files])[0])


def test_turned_features_are_those_of_each_move(cell, shards):
    files, parts = cell
    found = features_of(files)
    assert found.keys == list(ShardIndex.load(shards).splits["test"].keys[:IMAGES])
    assert found.moves == moves("disc")
    for values, (*_, expected, _) in zip(found.parts, parts, strict=True):
        np.testing.assert_array_equal(values, expected)
    assert [found.moves[place].turn for place in found.turns()] == [22.5 * k for k in range(16)]
    assert found.labels.tolist() == [i % 2 for i in range(IMAGES)]


def test_without_turned_images_the_stored_ones_are_mapped(tmp_path, shards):
    (one,) = write_grid(tmp_path / "r", groups=("C4",), pretexts=("labels",), seeds=(0,))
    files, _ = with_files(one, shards, turned=False)
    found = features_of(files)
    assert len(found.parts) == 1
    assert len(found.keys) == 12
    drawn = feature_map(read_cells([files])[0], found)
    assert drawn.by_class
    assert drawn.by_turn is None


def test_the_map_has_the_classes_and_the_turns_of_the_same_points(cell):
    files, _ = cell
    drawn = feature_map(read_cells([files])[0], features_of(files))
    assert (drawn.images, drawn.turns) == (IMAGES, 16)
    pictures = [picture(address) for address in (drawn.by_class, drawn.by_turn)]
    covered = [image[:, :, 3] > 128 for image in pictures]
    assert covered[0].any()
    assert (covered[0] == covered[1]).mean() > 0.99
    assert np.abs(pictures[0].astype(int) - pictures[1])[covered[0] & covered[1]].max() > 50
    assert 0 < drawn.explained[1] <= drawn.explained[0] <= 1


def picture(address):
    content = base64.b64decode(address.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)))


def test_classes_beyond_the_first_are_gray():
    colours = class_colours(np.array([0, CLASSES - 1, CLASSES, -1]))
    assert colours == [COLOURS[0], COLOURS[CLASSES - 1], OTHERS, OTHERS]


def test_neighbours_are_those_of_the_largest_cosine_and_never_the_image_itself():
    random = np.random.default_rng(0)
    queries, among = random.standard_normal((2, 8, 3)).astype(np.float32)
    for row, found in enumerate(nearest(queries, among)):
        cosine = {
            other: float(
                queries[row] @ among[other] / np.linalg.norm(queries[row]) / np.linalg.norm(among[other])
            )
            for other in range(8)
            if other != row
        }
        assert found.tolist() == sorted(cosine, key=lambda other: -cosine[other])[:NEIGHBOURS]


def test_the_share_of_neighbours_that_stay_is_counted_over_images_and_turns():
    first = np.array([[1, 2], [3, 4]])
    assert kept_share(first, [first, first[:, ::-1]]) == 1
    assert kept_share(first, [np.array([[1, 9], [8, 9]]), first]) == (0.25 + 1) / 2


@pytest.mark.parametrize("group", ["trivial", "C4", "D4"])
@pytest.mark.parametrize("channels", [1, 3])
def test_filters_are_those_that_the_layer_convolves_with(group, channels):
    layer = GroupConv2d(filter_basis(group, "lift", 3), channels, 5, 3)
    parts = [getattr(layer, name).detach().numpy() for name in ("weight", "basis", "index")]
    found = expand(*parts)
    order = len(layer.index)
    whole = layer.expand().detach().numpy().reshape(order, 5, channels, 3, 3)  # group-major
    np.testing.assert_allclose(found, whole.transpose(1, 0, 2, 3, 4), rtol=1e-5, atol=1e-6)


def test_a_layer_over_fields_is_no_layer_over_images():
    layer = GroupConv2d(filter_basis("D4", "group", 3), 1, 5, 3)
    assert expand(*(getattr(layer, name).detach().numpy() for name in ("weight", "basis", "index"))) is None


def test_the_page_shows_map_neighbours_and_filters_and_why_these(cell, shards, tmp_path):
    files, _ = cell
    write_report([files], tmp_path / "index.html", TWINS, [shards])
    text = (tmp_path / "index.html").read_text()
    for section in ("map", "neighbours", "filters"):
        assert f'<section id="{section}">' in text
    assert "2 fields, 4 filters each" in text
    assert "highest accuracy, its plain twin" in text
    again = tmp_path / "again.html"
    write_report([files], again, TWINS, [shards])
    assert again.read_text() == text


def test_files_of_another_cell_are_refused(cell, tmp_path):
    files, _ = cell
    record = Path(files[0]).parents[1] / "equivariance.json"
    resealed(record, lambda values: values.update(other=1))
    with pytest.raises(ValueError, match="was not made of this equivariance"):
        write_report([files], tmp_path / "index.html", TWINS)


@pytest.mark.parametrize("name", ["features/turned.parquet", "features/test.parquet"])
def test_damaged_features_are_named(cell, tmp_path, name):
    files, _ = cell
    path = Path(files[0]).parents[1] / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=path.name):
        write_report([files], tmp_path / "index.html", TWINS)


def test_damaged_weights_are_named(cell):
    files, _ = cell
    path = files[1].parent / "encoder.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"encoder\.safetensors: SHA-256"):
        first_filters(read_record(files[1].parent / "encoder.json"))
    resealed(files[1].parent / "encoder.json")
    with pytest.raises(ValueError, match=r"encoder\.safetensors: not whole"):
        first_filters(read_record(files[1].parent / "encoder.json"))


def test_for_each_group_the_best_row_its_twin_and_the_untrained_network_are_shown(tmp_path):
    pretexts = ("eq_labels", "labels", "inv_contrastive", "contrastive", "random", "supervised")
    rows = rows_of(read_cells(write_grid(tmp_path / "r", pretexts=pretexts, seeds=(0,))))
    shown, why = chosen(rows, TWINS, "acc_stored_100")
    assert why == WHY
    assert len(shown) <= MOST
    for group in ("trivial", "C4"):
        mine = [row for row in rows if row.group == group and not row.is_reference]
        best = max(mine, key=lambda row: row.estimate("acc_stored_100").value).pretext
        pair = {**TWINS, **{twin: name for name, twin in TWINS.items()}}
        assert [row.pretext for row in shown if row.group == group] == [best, pair[best], "random"]
    assert chosen(rows, TWINS, None)[0] == rows[:MOST]
