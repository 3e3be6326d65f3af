"""Images, labels and groups in columns of Parquet files of any type: every value arrives, or is named."""

import datetime
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parquet_layouts import STRUCT, parquet, picture, pixels, png, seeds_by_split, write

KINDS = {
    "binary": (pa.binary(), lambda content: content),
    "large binary": (pa.large_binary(), lambda content: content),
    "binary view": (pa.binary_view(), lambda content: content),
    "struct": (STRUCT, lambda content: {"bytes": content, "path": "x.png"}),
    "struct without path": (pa.struct([("bytes", pa.large_binary())]), lambda content: {"bytes": content}),
    "struct, null paths": (
        pa.struct([("bytes", pa.binary()), ("path", pa.null())]),
        lambda content: {"bytes": content, "path": None},
    ),
}


def notes(source):
    return " ".join(source.notes)


@pytest.mark.parametrize("name", [*KINDS, "dictionary"])
def test_encoded_images_of_every_type_arrive_as_they_are(tmp_path, name):
    seeds = [3, 1, 2, 1, 3, 0, 7]
    if name == "dictionary":
        column = pa.array([png(seed) for seed in seeds], pa.binary()).dictionary_encode()
    else:
        kind, cell = KINDS[name]
        column = pa.array([cell(png(seed)) for seed in seeds], kind)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": column, "label": [0, 1, 0, 1, 0, 1, 0]}), path, row_group_size=3)
    samples = list(parquet(path).samples())
    assert [sample.image for sample in samples] == [png(seed) for seed in seeds]
    for seed, sample in zip(seeds, samples, strict=True):
        np.testing.assert_array_equal(pixels(sample.image), picture(seed))
    assert [sample.key for sample in samples] == [f"image-{i:08d}" for i in range(7)]
    assert [sample.name for sample in samples] == (
        ["x.png"] * 7 if name == "struct" else [f"a.parquet row {i}" for i in range(7)]
    )


def saved(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(seed))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), "dictionary", STRUCT])
def test_images_can_be_files_beside_the_table_or_below_the_top(tmp_path, kind):
    saved(tmp_path / "data" / "near.png", 0)
    saved(tmp_path / "images" / "far.png", 1)
    saved(tmp_path / "data" / "both.png", 2)
    saved(tmp_path / "both.png", 9)
    paths = ["near.png", "images/far.png", "both.png", "../images/far.png", str(tmp_path / "images/far.png")]
    if kind == STRUCT:
        column = pa.array([{"bytes": None, "path": path} for path in paths], STRUCT)
    else:
        column = pa.array(paths, pa.string() if kind == "dictionary" else kind)
        column = column.dictionary_encode() if kind == "dictionary" else column
    write(tmp_path / "data" / "train.parquet", range(5), image=column)
    source = parquet(tmp_path)
    assert seeds_by_split(source) == {"train": [0, 1, 2, 1, 1]}
    assert [sample.name for sample in source.samples()] == [*paths[:4], "images/far.png"]
    assert "Read only where a row names a file" in notes(source)


def test_rows_with_and_without_bytes_may_be_mixed(tmp_path):
    saved(tmp_path / "1.png", 1)
    cells = [
        {"bytes": png(0), "path": None},
        {"bytes": None, "path": "1.png"},
        {"bytes": png(2), "path": "2.png"},
    ]
    path = write(tmp_path / "a.parquet", range(3), image=pa.array(cells, STRUCT))
    source = parquet(path)
    assert seeds_by_split(source) == {None: [0, 1, 2]}
    assert [sample.name for sample in source.samples()] == ["a.parquet row 0", "1.png", "2.png"]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"bytes": None, "path": None}, "has no image bytes and no path"),
        (None, "has no image bytes and no path"),
        ({"bytes": b"", "path": ""}, "has no image bytes and no path"),
        ({"bytes": None, "path": "nothing.png"}, "there is no file 'nothing.png' in"),
        ({"bytes": None, "path": "../secret.png"}, "leads out of the folder of the data set"),
        ({"bytes": None, "path": "/etc/hostname"}, "leads out of the folder of the data set"),
        ({"bytes": None, "path": "link.png"}, "leads out of the folder of the data set"),
        ({"bytes": None, "path": "linked/secret.png"}, "leads out of the folder of the data set"),
        ({"bytes": None, "path": "https://example.org/x.png"}, "is not fetched"),
        ({"bytes": None, "path": "a\nb\0.png"}, "printable letters"),
        ({"bytes": None, "path": "x" * 3000}, "is no file"),
        ({"bytes": None, "path": "empty.png"}, "names the file empty.png, which is empty"),
        ({"bytes": None, "path": "loop.png"}, "is no file|leads out"),
        ({"bytes": None, "path": "folder"}, "is a folder"),
        ({"bytes": None, "path": "pipe"}, "is a named pipe"),
    ],
)
def test_a_row_without_an_image_is_named(tmp_path, cell, message):
    top = tmp_path / "set"
    saved(tmp_path / "secret.png", 0)
    path = write(top / "a.parquet", range(2), image=pa.array([{"bytes": png(0), "path": None}, cell], STRUCT))
    (top / "link.png").symlink_to(tmp_path / "secret.png")
    (top / "linked").symlink_to(tmp_path)
    (top / "loop.png").symlink_to("loop.png")
    (top / "empty.png").touch()
    (top / "folder").mkdir()
    os.mkfifo(top / "pipe")
    samples = parquet(path).samples()
    next(samples)
    with pytest.raises((ValueError, OSError), match=message) as caught:
        next(samples)
    assert "\n" not in str(caught.value)
    if "is a " not in message:
        assert "a.parquet: row 1 (image-00000001): " in str(caught.value)


def test_the_column_of_images_is_found_or_named(tmp_path):
    path = tmp_path / "a.parquet"
    images = pa.array([png(i) for i in range(3)], pa.binary())
    pq.write_table(pa.table({"id": [1, 2, 3], "img": images, "name": ["a", "b", "c"]}), path)
    source = parquet(path)
    assert seeds_by_split(source) == {None: [0, 1, 2]}
    assert "The images are taken from the column 'img'." in source.notes
    assert parquet(path, image_column="img").notes == source.notes[1:]
    pq.write_table(pa.table({"img": images, "mask": images}), path)
    with pytest.raises(
        ValueError, match=r"several columns could hold the images: 'img', 'mask'; .*`image_column`"
    ):
        parquet(path)
    pq.write_table(pa.table({"mask": images, "image": images}), path)
    assert seeds_by_split(parquet(path)) == {None: [0, 1, 2]}
    pq.write_table(pa.table({"file": ["a", "b"], "label": [0, 1]}), path)
    with pytest.raises(
        ValueError, match=r"has no column 'image', and none of encoded .*its columns: file, label"
    ):
        parquet(path)
    with pytest.raises(
        ValueError, match=r"a.parquet: has no column 'pic' \(image_column\); its columns: file"
    ):
        parquet(path, image_column="pic")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1, 2], [3, 4]], pa.list_(pa.uint8())),
        pa.array([[[1, 2]], [[3, 4]]], pa.large_list(pa.list_(pa.uint8(), 2))),
        pa.array([b"12", b"34"], pa.binary(2)),
        pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((2, 3, 3), np.uint8)),
    ],
)
def test_pixels_in_lists_are_refused_with_a_hint(tmp_path, column):
    write(tmp_path / "a.parquet", range(2), image=column)
    with pytest.raises(
        ValueError, match=r"a.parquet: column 'image' is .*; pixels in lists .*npz or hdf5"
    ) as caught:
        parquet(tmp_path)
    assert "\n" not in str(caught.value)


LABELS = {
    "int8": (pa.array([0, 1, 1, 0], pa.int8()), ("0", "1"), [0, 1, 1, 0]),
    "uint64": (pa.array([0, 2**64 - 1] * 2, pa.uint64()), ("0", str(2**64 - 1)), [0, 1, 0, 1]),
    "fractions .0": (pa.array([1.0, 0.0, 1.0, 1.0]), ("0", "1"), [1, 0, 1, 1]),
    "float16": (pa.array(np.array([1, 0, 1, 1], np.float16)), ("0", "1"), [1, 0, 1, 1]),
    "bool": (pa.array([True, False, False, True]), ("false", "true"), [1, 0, 0, 1]),
    "string": (pa.array(["star", "galaxy", "star", "star"]), ("galaxy", "star"), [1, 0, 1, 1]),
    "large string": (pa.array(["b", "a", "b", "b"], pa.large_string()), ("a", "b"), [1, 0, 1, 1]),
    "string view": (pa.array(["b", "ä", "b", "b"], pa.string_view()), ("b", "ä"), [0, 1, 0, 0]),
    "dictionary": (pa.array(["b", "a", "b", "b"]).dictionary_encode(), ("a", "b"), [1, 0, 1, 1]),
    "numbers with gaps": (pa.array([9, 5, 7, 5]), ("5", "7", "9"), [2, 0, 1, 0]),
    "two digits": (pa.array([2, 10, 2, 10]), ("2", "10"), [0, 1, 0, 1]),
    "nulls": (pa.array([None, 1, None, 0], pa.int64()), ("0", "1"), [None, 1, None, 0]),
    "-1": (pa.array([-1, 1, 1, 0]), ("0", "1"), [None, 1, 1, 0]),
    "NaN": (pa.array([float("nan"), 1.0, 1.0, None]), ("1",), [None, 0, 0, None]),
    "-1.0": (pa.array([-1.0, 1.0, 1.0, 0.0]), ("0", "1"), [None, 1, 1, 0]),
    "empty texts": (pa.array(["", "a", "a", None]), ("a",), [None, 0, 0, None]),
    "nothing": (pa.nulls(4), (), [None] * 4),
    "null texts": (pa.array([None] * 4, pa.string()), (), [None] * 4),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_every_type_are_classes_with_their_own_names(tmp_path, name):
    column, classes, labels = LABELS[name]
    path = write(tmp_path / "a.parquet", range(4), column)
    source = parquet(path)
    assert source.classes == classes
    assert [sample.label for sample in source.samples()] == labels
    missing = labels.count(None)
    assert (f"{missing} of 4 images have no label in the column 'label'." in source.notes) == bool(missing)
    shifted = classes not in (("0", "1"), ()) and all(one.isdigit() for one in classes)
    assert ("these are the names of the classes" in notes(source)) == shifted
    unlabelled = parquet(path, labelled=False)
    assert unlabelled.classes == () == unlabelled.notes
    assert {sample.label for sample in unlabelled.samples()} == {None}


def test_class_names_of_hugging_face_are_all_kept(tmp_path):
    names = ["zebra", "ant", "never"]
    write(tmp_path / "train.parquet", range(4), [1, 0, -1, 1], names=names)
    write(tmp_path / "test.parquet", range(4, 6), [0, None], names=names)
    source = parquet(tmp_path)
    assert source.classes == ("zebra", "ant", "never")
    assert [sample.label for sample in source.samples()] == [1, 0, None, 1, 0, None]
    assert "2 of 6 images have no label in the column 'label'." in source.notes
    for label in (3, -2):
        write(tmp_path / "test.parquet", range(4, 6), [0, label], names=names)
        with pytest.raises(
            ValueError, match=rf"test.parquet: column 'label': row 1: label is {label}, allowed"
        ):
            parquet(tmp_path)
    write(tmp_path / "test.parquet", range(4, 6), names=names[::-1])
    with pytest.raises(ValueError, match=r"test.parquet: names other classes than .*train.parquet"):
        parquet(tmp_path)
    write(tmp_path / "train.parquet", range(4), names=["a", "a"])
    (tmp_path / "test.parquet").unlink()
    with pytest.raises(ValueError, match=r"train.parquet: names classes twice: 'a'"):
        parquet(tmp_path)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([0.5, 1, 2, 3], "row 0: label is 0.5, allowed: whole numbers and texts"),
        ([0, 1, -7, 0], "row 2: label is -7, allowed: whole numbers from 0"),
        ([0.0, float("inf"), 0, 0], "row 1: label is inf"),
        ([[0], [1], [0], [1]], "is list<.*>, allowed for labels: whole numbers, texts"),
        ([datetime.date(2020, 1, 1)] * 4, "is date32.*, allowed for labels"),
        ([datetime.datetime(2020, 1, 1)] * 4, "is timestamp.*, allowed for labels"),
        (pa.array([1, 2, 1, 2], pa.decimal128(3)), "is decimal.*, allowed for labels"),
        ([{"x": 1}] * 4, "is struct<.*>, allowed for labels"),
        (["id1", "id2", "id3", "id4"], "there are as many classes as images with a label"),
        ([17, 3, 99, None], r"as many classes as images with a label \(3\)"),
        (["a", "a", "b\nc", "a"], "row 2: label is 'b"),
        (["a", "a", "b" * 201, "a"], "row 2: label is 'b"),
    ],
)
def test_labels_that_are_no_classes_are_refused_with_a_way_on(tmp_path, column, message):
    path = write(tmp_path / "a.parquet", range(4), column)
    with pytest.raises(
        ValueError, match=rf"a.parquet: column 'label'.*{message}.*`labelled: false`"
    ) as caught:
        parquet(path)
    assert "\n" not in str(caught.value)
    assert parquet(path, labelled=False).count() == 4


def test_too_many_classes_are_refused(tmp_path):
    image = pa.array([png(0)] * 70_001, pa.binary()).dictionary_encode()
    path = write(tmp_path / "a.parquet", [0], pa.array([*range(70_000), 0]), image=image)
    with pytest.raises(ValueError, match="more than 65536 different labels; `labelled: false`"):
        parquet(path)


def test_numbers_in_one_file_and_texts_in_the_other_are_refused(tmp_path):
    write(tmp_path / "train.parquet", range(4), ["0", "1", "0", "1"])
    write(tmp_path / "test.parquet", range(4), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="numbers and labels that are texts of the same digits"):
        parquet(tmp_path)


def test_a_column_of_labels_that_is_not_there_is_noted_and_one_that_is_named_is_an_error(tmp_path):
    write(tmp_path / "train.parquet", range(4), None, fine=[1, 2, 1, 2])
    source = parquet(tmp_path)
    assert source.classes == ()
    assert "There is no column 'label': the images have no labels. The columns are image, fine" in notes(
        source
    )
    assert parquet(tmp_path, label_column="fine").classes == ("1", "2")
    write(tmp_path / "test.parquet", range(4), [0, 1, 0, 1])
    source = parquet(tmp_path)
    assert [sample.label for sample in source.samples()] == [None] * 4 + [0, 1, 0, 1]
    assert (
        "These have no column 'label', so that their images have no labels: 'train.parquet'." in source.notes
    )
    for key in ("label_column", "group_column", "split_column"):
        with pytest.raises(
            ValueError, match=rf"test.parquet: has no column 'fine' \({key}\); its columns: image"
        ):
            parquet(tmp_path, **{key: "fine"})


@pytest.mark.parametrize(
    ("column", "groups"),
    [
        (["p1", "p1", None, ""], ["p1", "p1", None, None]),
        ([7, 7, 8, None], ["7", "7", "8", None]),
        ([7.0, 7.5, float("nan"), None], ["7", "7.5", None, None]),
        (pa.array(["a", "b", "a", "a"]).dictionary_encode(), ["a", "b", "a", "a"]),
        ([datetime.date(2020, 1, 2)] * 4, ["2020-01-02"] * 4),
    ],
)
def test_groups_are_texts_of_any_column(tmp_path, column, groups):
    path = write(tmp_path / "a.parquet", range(4), who=column)
    assert [sample.group for sample in parquet(path, group_column="who").samples()] == groups
    assert [sample.group for sample in parquet(path).samples()] == [None] * 4
    path = write(tmp_path / "a.parquet", range(4), group=column)
    assert [sample.group for sample in parquet(path).samples()] == groups


def test_a_group_column_must_be_in_every_file(tmp_path):
    write(tmp_path / "train.parquet", range(4), group=["a"] * 4)
    write(tmp_path / "test.parquet", range(4))
    with pytest.raises(ValueError, match=r"test.parquet: has no column 'group' \(group_column\)"):
        parquet(tmp_path)
    write(tmp_path / "test.parquet", range(4), group=[["a"]] * 4)
    with pytest.raises(
        ValueError, match=r"test.parquet: column 'group' is list<.*>, allowed: texts, whole numbers"
    ):
        parquet(tmp_path)


def test_a_file_is_read_a_few_rows_at_a_time(tmp_path):
    path = tmp_path / "train.parquet"
    images = pa.array([png(i) for i in range(200)], pa.binary())
    pq.write_table(
        pa.table({"image": images, "label": [0] * 200}), path, row_group_size=100, compression="zstd"
    )
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    damaged = bytearray(path.read_bytes())
    damaged[start : start + 64] = bytes(64)
    path.write_bytes(damaged)
    samples = parquet(tmp_path).samples()
    assert len([next(samples) for _ in range(64)]) == 64  # the damage lies further on
    with pytest.raises(ValueError, match=r"train.parquet: cannot be read as Parquet"):
        list(samples)


def test_columns_that_are_not_read_are_named(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": [png(0)], "mask": [png(1)], "label": [0], "id": [1]}), path)
    assert "Columns that were left out: 'id', 'mask'." in parquet(path).notes
    assert parquet(path, labelled=False).notes == ("Columns that were left out: 'id', 'mask'.",)
