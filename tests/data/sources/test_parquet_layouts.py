"""Which Parquet files of a folder are read: every layout of the hub, and none by an accident of its name."""

import os

import pyarrow as pa
import pytest
from parquet_layouts import parquet, seeds_by_split, write


def notes(source):
    return " ".join(source.notes)


@pytest.mark.parametrize("folder", ["", "data", "data/v1"])
def test_numbered_files_are_read_in_their_order(tmp_path, folder):
    top = tmp_path / folder
    write(top / "train-00001-of-00002.parquet", range(2, 4))
    write(top / "train-00000-of-00002.parquet", range(2))
    write(top / "validation-00000-of-00001.parquet", range(4, 6))
    write(top / "test-00000-of-00001.parquet", range(6, 8))
    source = parquet(tmp_path)
    assert seeds_by_split(source) == {"train": [0, 1, 2, 3], "val": [4, 5], "test": [6, 7]}
    assert source.classes == ("0", "1")
    assert str(tmp_path) not in source.origin
    name = f"{folder}/test-00000-of-00001.parquet row 1".lstrip("/")
    assert [sample.name for sample in source.samples()][-1] == name
    assert notes(source) == "The split of each file is taken from its name."


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train.parquet", "test.parquet"),
        ("Train.PARQUET", "testing_0.parquet"),
        ("training.parquet", "test-1.parquet"),
        ("cells_train.parquet", "cells_test.parquet"),
        ("cifar10-train-v2.parquet", "cifar10-test-v2.parquet"),
        ("train/0000.parquet", "test/0000.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("default/partial-train/0000.parquet", "default/partial-test/0000.parquet"),
        ("train/train-0.parquet", "test/test-0.parquet"),
        (
            "data/train-00000-of-00001-0123456789abcdef.parquet",
            "data/test-00000-of-00001-f123456789abcdef.parquet",
        ),
        (
            "train/part-00000-0a1b2c3d-0000-4000-8000-0123456789ab-c000.snappy.parquet",
            "test/part-00000-1a1b2c3d-0000-4000-8000-0123456789ab-c000.snappy.parquet",
        ),
        ("test_data/train.parquet", "test_data/test.parquet"),
    ],
)
def test_the_split_is_a_word_of_the_name_or_of_the_folder(tmp_path, train, test):
    write(tmp_path / train, range(4))
    write(tmp_path / test, range(4, 6))
    assert seeds_by_split(parquet(tmp_path)) == {"train": [0, 1, 2, 3], "test": [4, 5]}


@pytest.mark.parametrize(
    "other",
    [
        "train_test_swap_backup.parquet",
        "train_unlabelled.parquet",
        "training_metadata.parquet",
        "test_old.parquet",
        "train-v2.parquet",
        "metadata.parquet",
        "old/train.parquet",
        "train_old/0.parquet",
        "validated.parquet",
    ],
)
@pytest.mark.parametrize(
    "form", ["{}.parquet", "{}-00000-of-00001.parquet", "{}/0000.parquet", "data/{}-0.parquet"]
)
def test_a_file_of_another_pattern_is_left_out_and_named(tmp_path, other, form):
    write(tmp_path / form.format("train"), range(4))
    write(tmp_path / form.format("test"), range(4, 6))
    place = tmp_path / form.format("train").rpartition("/")[0].removesuffix("train") / other
    write(place, range(10, 14))
    source = parquet(tmp_path)
    assert seeds_by_split(source) == {"train": [0, 1, 2, 3], "test": [4, 5]}
    assert (
        f"Left out because of their names: 1 .parquet file: '{place.relative_to(tmp_path)}'." in source.notes
    )


def test_names_of_one_pattern_are_taken_where_no_name_is_split_and_number_alone(tmp_path):
    write(tmp_path / "own_train_1.parquet", range(2))
    write(tmp_path / "own_train_2.parquet", range(2, 4))
    write(tmp_path / "own_val_1.parquet", range(4, 6))
    write(tmp_path / "train_unlabelled.parquet", range(10, 12))
    source = parquet(tmp_path)
    assert seeds_by_split(source) == {"train": [0, 1, 2, 3], "val": [4, 5]}
    assert "'train_unlabelled.parquet'" in notes(source)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train-v1", "test-v1", "train-v2", "test-v2"), "several patterns could be .*test-v1.*test-v2"),
        (("train_cats", "test_cats", "train_dogs", "test_dogs"), "several patterns could be"),
        (("en/train", "en/test", "fr/train", "fr/test"), "several patterns could be .*en/.*fr/.*as `path`"),
        (("train", "data/train", "data/test"), "several patterns could be"),
        (("train", "holdout"), "names of some files have no split: 'holdout.parquet'"),
        (("train_cats", "test_dogs"), "names of its files are of several patterns"),
        (("train", "training", "test"), "two kinds could be the split train"),
        (("train", "train-00000-of-00001", "test"), "two kinds could be the split train"),
        (
            ("train_64", "train_128", "train_224", "test_64"),
            "numbers of these files do not follow each other",
        ),
        (("train_test", "test_train"), "several splits: 'test_train.parquet', 'train_test.parquet'"),
        (("train/test", "train/train"), "are of several patterns|have no split|left out"),
    ],
)
def test_names_that_could_mean_several_things_are_refused(tmp_path, names, message):
    for name in names:
        write(tmp_path / f"{name}.parquet", range(2))
    if names == ("train/test", "train/train"):  # the folder is the split, and one name contradicts it
        assert "'train/test.parquet'" in notes(parquet(tmp_path))
        return
    with pytest.raises(ValueError, match=message) as caught:
        parquet(tmp_path)
    assert "\n" not in str(caught.value)
    assert "`files`" in str(caught.value)


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        (("train-00000-of-00002",), "train-00001-of-00002.parquet is missing"),
        (("train-00001-of-00003", "train-00002-of-00003"), "train-00003-of-00003.parquet is missing"),
        (("train-00000-of-00003", "train-00002-of-00003"), "train-00001-of-00003.parquet is missing"),
        (("data/train-2-of-99999999999",), "data/train-1-of-99999999999.parquet is missing"),
        (("train-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"), "two sets of files"),
    ],
)
def test_a_numbered_file_that_is_not_there_is_an_error(tmp_path, there, missing):
    for name in there:
        write(tmp_path / f"{name}.parquet", range(2))
    with pytest.raises(ValueError, match=missing):
        parquet(tmp_path)


def test_numbers_from_one_are_complete_too(tmp_path):
    write(tmp_path / "train-1-of-2.parquet", range(2))
    write(tmp_path / "train-2-of-2.parquet", range(2, 4))
    assert seeds_by_split(parquet(tmp_path)) == {"train": [0, 1, 2, 3]}


def test_a_gap_between_numbers_without_a_total_is_noted(tmp_path):
    for number in (0, 1, 4):
        write(tmp_path / f"train_{number:03d}.parquet", [number])
    source = parquet(tmp_path)
    assert seeds_by_split(source) == {"train": [0, 1, 4]}
    assert "2 numbers are missing between those of 'train_000.parquet'" in notes(source)


def test_patterns_override_the_guess(tmp_path):
    write(tmp_path / "a.parquet", range(4))
    write(tmp_path / "train-00000-of-00003.parquet", range(4, 6))
    write(tmp_path / "deep" / "test_old.parquet", range(6, 8))
    files = {"train": "a.parquet", "val": "train-*.parquet", "test": "**/test_*.parquet"}
    source = parquet(tmp_path, files=files)
    assert seeds_by_split(source) == {"train": [0, 1, 2, 3], "val": [4, 5], "test": [6, 7]}
    assert notes(source) == "The names state 3 files, of which 1 are read."
    for pattern, message in (
        ("b*", "files.train: no file below .* matches 'b\\*'"),
        ("../*.parquet", "files.train: given '../"),
        ("**a/*", "files.train: (given|no file)"),
    ):
        with pytest.raises(ValueError, match=message):
            parquet(tmp_path, files={"train": pattern})
    with pytest.raises(ValueError, match=r"files: .*a\.parquet belongs to two splits"):
        parquet(tmp_path, files={"train": "a.parquet", "test": "a*"})


def test_a_single_file_has_no_splits(tmp_path):
    path = write(tmp_path / "cells.parquet", range(4))
    for place in (path, tmp_path):
        source = parquet(place)
        assert seeds_by_split(source) == {None: [0, 1, 2, 3]}
        assert [sample.name for sample in source.samples()][3] == "cells.parquet row 3"
        assert source.notes == ()
    path = write(tmp_path / "train-00000-of-00002.parquet", range(4))
    source = parquet(path)
    assert seeds_by_split(source) == {None: [0, 1, 2, 3]}
    assert source.notes == (
        "train-00000-of-00002.parquet is the whole data set, without splits, whatever its name says.",
        "The names state 2 files, of which 1 are read.",
    )


def test_files_without_a_split_are_one_set_of_the_uppermost_folder(tmp_path):
    write(tmp_path / "b.parquet", range(2, 4))
    write(tmp_path / "a.parquet", range(2))
    write(tmp_path / "copies" / "a.parquet", range(2))
    source = parquet(tmp_path)
    assert seeds_by_split(source) == {None: [0, 1, 2, 3]}
    assert "2 files are one set without splits: 'a.parquet', 'b.parquet'." in notes(source)
    assert "because of their names: 1 .parquet file: 'copies/a.parquet'" in notes(source)


def test_everything_else_is_named_a_folder_once(tmp_path):
    write(tmp_path / "data" / "train.parquet", range(2))
    write(tmp_path / ".cache" / "train.parquet", range(2))
    for name in ("README.md", "data/sizes.csv", "scripts/a/b.py", "scripts/c.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "test").symlink_to(tmp_path / "scripts")
    os.mkfifo(tmp_path / "pipe")
    names = "'.cache', 'README.md', 'data/sizes.csv', 'pipe', 'scripts', 'test'"
    assert f"Left out: {names}." in parquet(tmp_path).notes


def test_folders_that_stand_for_a_column_are_refused(tmp_path):
    for label in ("cat", "dog"):
        write(tmp_path / f"label={label}" / "0.parquet", range(2), None)
    with pytest.raises(ValueError, match="'label=cat' stands for a column, which is not read"):
        parquet(tmp_path)


def test_what_is_no_parquet_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"has no files \*.parquet"):
        parquet(tmp_path)
    with pytest.raises(OSError, match="nothing"):
        parquet(tmp_path / "nothing")
    (tmp_path / "train.parquet").write_bytes(b"PAR1 no PAR1")
    with pytest.raises(ValueError, match=r"train.parquet: cannot be read as Parquet"):
        parquet(tmp_path)


def test_splits_can_be_a_column(tmp_path):
    told = ["train", "test", "validation", "TRAIN", "valid", "dev"]
    path = write(tmp_path / "cells.parquet", range(6), split=told)
    source = parquet(path)
    assert seeds_by_split(source) == {"train": [0, 3], "test": [1], "val": [2, 4, 5]}
    path = write(tmp_path / "cells.parquet", range(6), part=pa.array(told).dictionary_encode(), split=[1] * 6)
    assert seeds_by_split(parquet(path, split_column="part")) == {
        "train": [0, 3],
        "test": [1],
        "val": [2, 4, 5],
    }
    for value in ("holdout", None):
        write(path, range(6), split=[*told[:4], value, "test"])
        with pytest.raises(
            ValueError, match=rf"cells.parquet: row 4: column 'split': given {value!r}, allowed: train"
        ):
            list(parquet(path).samples())
    with pytest.raises(
        ValueError, match=r"has no column 'part' \(split_column\); its columns: image, label, split"
    ):
        parquet(path, split_column="part")


def test_a_column_of_splits_beside_files_of_splits_is_taken_only_when_it_is_named(tmp_path):
    write(tmp_path / "train.parquet", range(2), split=["val", "train"])
    source = parquet(tmp_path)
    assert seeds_by_split(source) == {"val": [0], "train": [1]}
    assert "The split of each image is that of the column 'split', and not that of its file." in source.notes
    write(tmp_path / "test.parquet", range(2, 4), split=["test", "test"])
    source = parquet(tmp_path)
    assert seeds_by_split(source) == {"train": [0, 1], "test": [2, 3]}
    assert "The column 'split' is not read, because the files are of different splits." in source.notes
    assert seeds_by_split(parquet(tmp_path, split_column="split")) == {
        "val": [0],
        "train": [1],
        "test": [2, 3],
    }
