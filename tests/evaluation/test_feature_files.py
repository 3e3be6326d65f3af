from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feature_cells import CLASSES, columns, information

from eqssl.evaluation.feature_columns import ROW_GROUP
from eqssl.evaluation.parquet import (
    feature_schema,
    feature_writer,
    iterate_features,
    read_features,
    read_info,
)


def write(path, count=50, batch=20, info=None):
    info = info or information()
    labels = np.arange(count) % 3
    values = columns(info, labels, 1.0, 1)
    keys = [f"k{i}" for i in range(count)]
    with feature_writer(path, info) as writer:
        for start in range(0, count, batch):
            rows = slice(start, start + batch)
            part = {name: column[rows] for name, column in values.items()}
            angles = np.arange(count, dtype=np.float32)[rows]
            writer.write("test", "angle", keys[rows], labels[rows], part, angles=angles)
    return keys, labels, values


def forge(path, change):
    """Rewrite a file with pyarrow alone, after a change of its table."""
    table = change(pq.read_table(path))
    pq.write_table(table, path)


def test_what_is_written_is_read_back_bit_for_bit(tmp_path):
    path = tmp_path / "test.parquet"
    keys, labels, values = write(path)
    table = read_features(path, list(values))
    assert table.keys == keys
    assert table.labels.tolist() == labels.tolist()
    assert set(table.views) == {"angle"}
    assert table.angles.tolist() == list(range(50))
    assert table.elements.tolist() == [-1] * 50
    assert table.info == information() == read_info(path)
    assert set(values) == {"invariant", "regular", "invariant_2", "regular_2"}
    for name, column in values.items():
        assert np.array_equal(table.features[name], column)


def test_any_parquet_reader_finds_the_agreed_columns(tmp_path):
    path = tmp_path / "test.parquet"
    _, _, values = write(path)
    table = pq.read_table(path)
    category = pa.dictionary(pa.int8(), pa.string())
    expected = [
        ("key", pa.string()),
        ("split", category),
        ("view", category),
        ("angle", pa.float32()),
        ("element", pa.int8()),
        ("label", pa.int32()),
    ]
    assert [(field.name, field.type) for field in table.schema][:6] == expected
    assert table.schema.names[6:] == ["invariant", "regular", "invariant_2", "regular_2"]
    assert [table.schema.field(n).type.list_size for n in table.schema.names[6:]] == [5, 20, 3, 12]
    assert table["split"].to_pylist() == ["test"] * 50
    assert np.array_equal(np.array(table["regular"].to_pylist(), np.float32), values["regular"])
    column = pq.ParquetFile(path).metadata.row_group(0).column(7)
    assert (column.compression, "BYTE_STREAM_SPLIT" in column.encodings) == ("ZSTD", True)
    assert "RLE_DICTIONARY" not in column.encodings


@pytest.mark.parametrize(("count", "batch"), [(10_000, 512), (9_000, 9_000), (4096, 4096), (5, 2)])
def test_row_groups_are_bounded_whatever_the_batches(tmp_path, count, batch):
    path = tmp_path / "test.parquet"
    _, _, values = write(path, count, batch, information(fields=(1,), orders=(4,)))
    metadata = pq.ParquetFile(path).metadata
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes == [ROW_GROUP] * (count // ROW_GROUP) + ([count % ROW_GROUP] if count % ROW_GROUP else [])
    assert np.array_equal(read_features(path, ["regular"]).features["regular"], values["regular"])
    assert max(len(part["key"]) for part in iterate_features(path, ["label"])) <= ROW_GROUP


def most_held(batches):
    """The most bytes that Arrow holds while the batches come and go, over what it held before."""
    before, most = pa.total_allocated_bytes(), 0
    for _ in batches:
        most = max(most, pa.total_allocated_bytes() - before)
    return most


def test_row_groups_that_were_read_are_let_go(tmp_path):
    path = tmp_path / "test.parquet"
    write(path, 24 * ROW_GROUP, ROW_GROUP, information(fields=(1,), orders=(64,)))
    size = path.stat().st_size
    assert most_held(iterate_features(path, ["regular"])) < size / 3

    def kept():
        with pq.ParquetFile(path, pre_buffer=True) as file:
            yield from file.iter_batches(columns=["regular"])

    assert most_held(kept()) > size / 2


def test_rows_are_the_same_however_they_come_in(tmp_path):
    write(tmp_path / "a.parquet", 5000, 512)
    write(tmp_path / "b.parquet", 5000, 77)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_an_error_while_writing_leaves_no_file(tmp_path):
    path = tmp_path / "test.parquet"
    values = columns(information(), np.zeros(2, int), 1.0, 0)

    def interrupted():
        with feature_writer(path, information()) as writer:
            writer.write("train", "stored", ["a", "b"], np.zeros(2), values)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_features_that_are_not_finite_are_not_written(tmp_path):
    path = tmp_path / "test.parquet"
    values = columns(information(), np.zeros(2, int), 1.0, 0)
    values["regular_2"] = values["regular_2"].copy()
    values["regular_2"][1, 3] = np.inf
    with (
        pytest.raises(ValueError, match=r"test\.parquet: column regular_2: key 'b' .*not finite"),
        feature_writer(path, information()) as writer,
    ):
        writer.write("train", "stored", ["a", "b"], np.zeros(2), values)
    assert not path.exists()


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = tmp_path / "test.parquet"
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r"test\.parquet: not a whole Parquet file: \w+"):
        read_features(path, ["invariant"])


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "test.parquet"
    write(path, 2000)
    column = pq.ParquetFile(path).metadata.row_group(0).column(7)
    assert column.path_in_schema == "regular.list.element"
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"test\.parquet: damaged: .+"):
        read_features(path, ["regular"])
    read_features(path, ["invariant"])


def test_a_missing_file_is_an_oserror_with_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.parquet"):
        read_features(tmp_path / "none.parquet", ["invariant"])


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "test.parquet"
    write(path)
    forge(path, lambda table: table.drop_columns(["regular_2"]))
    with pytest.raises(ValueError, match=r"test\.parquet: column regular_2: missing"):
        read_features(path, ["invariant"])


def test_a_column_of_another_width_is_named(tmp_path):
    path = tmp_path / "test.parquet"
    write(path)
    other = pa.array(np.ones((50, 4), np.float32).tolist(), pa.list_(pa.float32(), 4))
    forge(path, lambda table: table.set_column(6, "invariant", other))
    with pytest.raises(ValueError, match=r"column invariant: is .*\[4\], should be .*\[5\]"):
        read_features(path, ["invariant"])


def test_a_forged_nan_is_refused_with_its_key(tmp_path):
    path = tmp_path / "test.parquet"
    write(path)

    def change(table):
        values = np.array(table["invariant"].to_pylist(), np.float32)
        values[31, 2] = np.nan
        field = feature_schema(information()).field("invariant")
        column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), type=field.type)
        return table.set_column(6, field, column)

    forge(path, change)
    with pytest.raises(ValueError, match=r"test\.parquet: column invariant: key 'k31' .*not finite"):
        read_features(path, ["invariant"])


def test_a_label_that_names_no_class_is_refused_with_its_key(tmp_path):
    path = tmp_path / "test.parquet"
    write(path)
    labels = pa.array([0] * 49 + [len(CLASSES)], pa.int32())
    field = pa.field("label", pa.int32(), nullable=False)
    forge(path, lambda table: table.set_column(5, field, labels))
    with pytest.raises(ValueError, match=r"column label: key 'k49' has label 3, allowed: 0 to 2"):
        read_features(path, ["invariant"])


def test_missing_metadata_is_named(tmp_path):
    path = tmp_path / "test.parquet"
    write(path)
    forge(path, lambda table: table.replace_schema_metadata({"eqssl.encoder": '"x"'}))
    with pytest.raises(ValueError, match=r"test\.parquet: metadata eqssl\.data: missing"):
        read_info(path)
