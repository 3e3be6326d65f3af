from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from feature_cells import information, write_cell, write_shards
from sealed import resealed
from test_extraction import job, make_encoder

from eqssl.data.loading.batches import load_split
from eqssl.data.views.normalise import cut_disc, normalise
from eqssl.encoders import load_encoder
from eqssl.evaluation import turned
from eqssl.evaluation.features import extract
from eqssl.evaluation.parquet import read_features
from eqssl.evaluation.turned import FILE, Move, TurnedImages, moves
from eqssl.machine.records import read_record
from eqssl.symmetry import group
from eqssl.symmetry.turning import flip_and_degrees, turn


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("turned_squares") / "shards")


def load(folder, **changes):
    return TurnedImages.load(read_record(folder / "eval/equivariance.json"), information(**changes))


def test_moves_are_the_elements_of_d4_and_sixteen_angles():
    D4 = group("D4")
    grid, angle = moves("disc")[:8], moves("disc")[8:]
    for move, element in zip(grid, D4.elements, strict=True):
        mirrored, degrees = flip_and_degrees(D4.matrix(element))
        assert move.turn == (None if mirrored else pytest.approx(degrees))
    assert [move.turn for move in angle] == [22.5 * k for k in range(16)]
    assert [move.identity for move in moves("disc")] == [True, *[False] * 7, True, *[False] * 15]
    assert moves("none") == grid


@pytest.mark.parametrize("name", ["trivial", "C4"])
def test_rows_are_the_features_of_the_first_images_under_each_move(shards, tmp_path, params, name):
    folder = make_encoder(tmp_path / "cell", params, shards, name)
    extract(job(), shards, folder, tmp_path / "out", "cpu")
    table = read_features(tmp_path / "out" / FILE, ["invariant", "regular"], "test")
    encoder, D4, split = load_encoder(folder), group("D4"), load_split(shards, "test")
    assert table.keys == split.keys[:7] * 24
    assert table.labels.tolist() == split.labels[:7].tolist() * 24
    assert sorted(table.info.widths) == ["invariant", "regular"]
    for row in range(len(table.keys)):
        image = torch.from_numpy(np.array(split.images[row % 7]))[None]
        if row < 56:
            assert (table.views[row], table.elements[row], table.angles[row]) == ("grid", row // 7, 0)
            image = D4.act(image, D4.elements[row // 7])
        else:
            degrees = 22.5 * (row // 7 - 8)
            assert (table.views[row], table.elements[row], table.angles[row]) == ("angle", -1, degrees)
            image = turn(image.float() / 255, torch.tensor([degrees]))
        with torch.no_grad():
            regular = encoder.stages(normalise(cut_disc(image), encoder.mean, encoder.std))[-1]
        assert np.allclose(table.features["regular"][row], regular.reshape(-1), atol=1e-5)
        assert np.allclose(table.features["invariant"][row], encoder.pool(regular)[0], atol=1e-5)


def test_no_turned_images_leave_a_file_without_rows(shards, tmp_path, params):
    folder = make_encoder(tmp_path / "cell", params, shards)
    extract(job(turned=0), shards, folder, tmp_path / "out", "cpu")
    assert pq.read_table(tmp_path / "out" / FILE).num_rows == 0
    record = read_record(tmp_path / "out/equivariance.json")
    assert record.values["rows"]["turned"] == 0
    info = read_features(tmp_path / "out/features/test.parquet", []).info
    found = TurnedImages.load(record, info)
    assert (found.keys, found.moves, list(found.parts("regular"))) == ([], (), [])


def test_there_are_no_more_turned_images_than_test_images(shards, tmp_path, params):
    folder = make_encoder(tmp_path / "cell", params, shards)
    extract(job(turned=1000), shards, folder, tmp_path / "out", "cpu")
    assert pq.read_table(tmp_path / "out" / FILE).num_rows == 20 * 24
    assert json.loads((tmp_path / "out/equivariance.json").read_text())["rows"]["turned"] == 20


@pytest.mark.parametrize("rows", [4, 7, 4096])
@pytest.mark.parametrize("images", [None, 3, 11])
def test_parts_are_the_rows_of_each_move_however_they_are_read(tmp_path, monkeypatch, rows, images):
    write_cell(tmp_path, turned=11)
    table = read_features(tmp_path / "eval" / FILE, ["regular"])
    monkeypatch.setattr("eqssl.evaluation.parquet.ROW_GROUP", rows)
    found = list(load(tmp_path).parts("regular", images))
    assert len(found) == len(load(tmp_path).moves) == 24
    for number, part in enumerate(found):
        expected = table.features["regular"][11 * number : 11 * number + (images or 11)]
        assert np.array_equal(part, expected)


def changed(folder, change):
    """Change the columns of the file, and seal the record again."""
    path = folder / "eval" / FILE
    table = pq.read_table(path)
    values = change({name: table[name].to_pylist() for name in table.column_names})
    pq.write_table(pa.table({n: pa.array(v, table.schema.field(n).type) for n, v in values.items()},
                            schema=table.schema), path)  # fmt: skip
    resealed(folder / "eval/equivariance.json")


def with_column(name, change):
    return lambda columns: {**columns, name: change(columns[name])}


def without_rows(count):
    return lambda columns: {name: values[: len(values) - count] for name, values in columns.items()}


OTHER_MOVES = "columns view, element, angle: are not those of 8 elements and 16 angles"
OTHER_IMAGES = "column key: the images are not the same for each move"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            with_column("split", lambda c: ["val", *c[1:]]),
            "column split: key 'test-0000' is of split 'val', ",
        ),
        (with_column("element", lambda c: [1, *c[1:]]), OTHER_MOVES),
        (with_column("angle", lambda c: [*c[:-1], 1.0]), OTHER_MOVES),
        (with_column("view", lambda c: ["stored", *c[1:]]), OTHER_MOVES),
        (with_column("key", lambda c: ["other", *c[1:]]), OTHER_IMAGES),
        (with_column("key", lambda c: ["k", "k", *c[2:11]] * 24), "column key: an image is there twice"),
        (without_rows(1), OTHER_IMAGES),
        (without_rows(11), OTHER_MOVES),
    ],
)
def test_other_rows_than_the_step_writes_are_refused(tmp_path, change, reason):
    write_cell(tmp_path, turned=11)
    load(tmp_path)
    changed(tmp_path, change)
    with pytest.raises(ValueError, match=rf"turned\.parquet: {reason}"):
        load(tmp_path)


def test_a_file_of_other_files_or_of_another_number_of_images_is_refused(tmp_path):
    write_cell(tmp_path, turned=11)
    with pytest.raises(
        ValueError, match=r"turned\.parquet: metadata eqssl\.data: 'd+', but the other files have 'f+'"
    ):
        load(tmp_path, data="f" * 64)
    with pytest.raises(
        ValueError, match=r"turned\.parquet: metadata eqssl\.fields: .*, but the other files have"
    ):
        load(tmp_path, fields=(6, 3))
    resealed(tmp_path / "eval/equivariance.json", lambda values: values["rows"].update(turned=12))
    with pytest.raises(ValueError, match=r"turned\.parquet: holds 11 images, equivariance\.json states 12"):
        load(tmp_path)
    (tmp_path / "eval" / FILE).write_bytes(b"")
    with pytest.raises(ValueError, match=r"turned\.parquet: SHA-256 is"):
        load(tmp_path)


def test_the_identity_is_where_the_code_says(tmp_path):
    assert turned.moves("disc")[0] == Move("grid", 0, 0.0)
    assert np.allclose(group("D4").matrix(group("D4").elements[0]), np.eye(2))
