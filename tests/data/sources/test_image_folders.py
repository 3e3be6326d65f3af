"""Folders of image files: what each folder means, and what is refused or left out by name."""

import numpy as np
import pytest
from image_folders import RANDOM, folder, opened, pixels_of, said
from PIL import Image

from eqssl.config.sources import SourceSettings
from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_shards
from tests.support.tiny_source import images_of, job, kept

LAYOUTS = {
    "splits and classes": (
        ["train/cat/1.png", "train/dog/2.png", "valid/cat/3.png", "test/dog/4.png"],
        {},
        ("cat", "dog"),
        [("dog", "test"), ("cat", "train"), ("dog", "train"), ("cat", "val")],
        ["taken as splits: 'test' as test, 'train' as train, 'valid' as val.", "as classes: 'cat', 'dog'."],
    ),
    "other words for splits": (
        ["Training/a/1.png", "Training/b/2.png", "dev/a/3.png", "TEST/b/4.png"],
        {},
        ("a", "b"),
        [("b", "test"), ("a", "train"), ("b", "train"), ("a", "val")],
        ["taken as splits: 'TEST' as test, 'Training' as train, 'dev' as val."],
    ),
    "classes alone": (
        ["a/1.png", "b/1.png", "c/1.png"],
        {},
        ("a", "b", "c"),
        [("a", None), ("b", None), ("c", None)],
        ["The folders directly below PATH are taken as classes: 'a', 'b', 'c'."],
    ),
    "numbers as classes": (
        ["0/1.png", "10/1.png", "9/1.png", "-1/1.png"],
        {},
        ("0", "9", "10"),
        [(None, None), ("0", None), ("10", None), ("9", None)],
        ["as classes: '-1', '0', '10', '9'.", "1 of 4 images have no label."],
    ),
    "flat": (
        ["1.png", "2.png"],
        {},
        (),
        [(None, None)] * 2,
        ["PATH has no folders, so that its images have no label and no split."],
    ),
    "splits without classes": (
        ["train/1.png", "train/2.png", "test/1.png"],
        {},
        (),
        [(None, "test"), (None, "train"), (None, "train")],
        ["taken as splits", "lie in no folders below them, so that they have no label."],
    ),
    "a test split without classes": (
        ["train/a/1.png", "train/b/2.png", "test/1.png"],
        {},
        ("a", "b"),
        [(None, "test"), ("a", "train"), ("b", "train")],
        [
            "The images in 'test' lie in no folders, so that they have no label.",
            "1 of 3 images have no label.",
        ],
    ),
    "classes that are named like splits, in splits": (
        ["train/bus/1.png", "train/train/2.png", "test/train/3.png"],
        {},
        ("bus", "train"),
        [("train", "test"), ("bus", "train"), ("train", "train")],
        ["as classes: 'bus', 'train'."],
    ),
    "deeper folders": (
        ["a/x/1.png", "a/y/z/1.png", "b/1.png"],
        {},
        ("a", "b"),
        [("a", None), ("a", None), ("b", None)],
        ["Folders further down, with 2 images, mean nothing unless `folders` says so."],
    ),
    "a class that is named like a split": (
        ["bus/1.png", "train/1.png"],
        {"folders": ["class"]},
        ("bus", "train"),
        [("bus", None), ("train", None)],
        [],
    ),
    "classes and splits below": (
        ["bus/train/1.png", "bus/test/1.png", "car/train/1.png"],
        {"folders": ["class", "split"]},
        ("bus", "car"),
        [("bus", "test"), ("bus", "train"), ("car", "train")],
        [],
    ),
    "words among others, if told": (
        ["seg_train/seg_train/a/1.png", "seg_test/seg_test/b/1.png"],
        {"folders": ["split", "other", "class"]},
        ("a", "b"),
        [("b", "test"), ("a", "train")],
        ["Folders that are splits: 'seg_test' as test, 'seg_train' as train."],
    ),
    "no labels wanted": (
        ["train/a/1.png", "test/2.png", "train/3.png"],
        {"labelled": False},
        (),
        [(None, "test"), (None, "train"), (None, "train")],
        ["taken as splits"],
    ),
    "no labels wanted, beside folders": (
        ["a/1.png", "2.png"],
        {"labelled": False},
        (),
        [(None, None)] * 2,
        [],
    ),
    "no level means anything": (
        ["train/1.png", "other/1.png", "2.png"],
        {"folders": []},
        (),
        [(None, None)] * 3,
        [],
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_read_value_by_value(tmp_path, layout):
    names, settings, classes, expected, notes = LAYOUTS[layout]
    written = folder(tmp_path, *names)
    source = opened(tmp_path, **settings)
    samples = list(source.samples())
    assert source.count() == len(samples) == len(names)
    assert [sample.name for sample in samples] == sorted(names)
    assert source.classes == classes
    assert [pair[:2] for pair in said(source).values()] == expected
    assert {sample.group for sample in samples} == {None}
    for sample in samples:
        np.testing.assert_array_equal(pixels_of(sample), written[sample.name])
    for split in {sample.split for sample in samples}:
        part = [sample.index for sample in samples if sample.split == split]
        assert part == list(range(len(part)))
    for note in notes:
        assert any(note.replace("PATH", str(tmp_path)) in found for found in source.notes), source.notes


def test_groups_come_from_the_level_that_is_told(tmp_path):
    folder(tmp_path, "p1/a/1.png", "p1/b/1.png", "p2/a/deep/1.png")
    assert said(opened(tmp_path, folders=["group", "class"])) == {
        "p1/a/1.png": ("a", None, "p1"),
        "p1/b/1.png": ("b", None, "p1"),
        "p2/a/deep/1.png": ("a", None, "p2"),
    }


REFUSED = {
    "images beside classes": (
        ["a/1.png", "2.png"],
        {},
        "1 images lie beside the folders 'a'.*labelled: false",
    ),
    "images beside classes of a split": (
        ["train/a/1.png", "train/2.png"],
        {},
        "train: 1 images lie beside its folders.*`labelled: false`",
    ),
    "splits for some folders": (
        ["train/1.png", "bus/1.png"],
        {},
        r"'train' are named like splits, but the folders 'bus' .*`folders: \[class\]`",
    ),
    "splits for some folders, without labels": (
        ["train/1.png", "bus/1.png"],
        {"labelled": False},
        "'train' are named like splits",
    ),
    "splits for some images": (["train/1.png", "2.png"], {}, "but 1 images beside them.*`folders: "),
    "splits in splits": (
        ["train/train/1.png", "train/test/1.png"],
        {},
        r"'test', 'train' on level 2 are named like splits.*`folders: \[other, split\]`",
    ),
    "splits in classes": (
        ["a/train/1.png", "b/test/1.png"],
        {},
        r"'test', 'train' on level 2.*`folders: \[class, split\]`",
    ),
    "splits in classes, without labels": (
        ["a/train/1.png", "b/test/1.png"],
        {"labelled": False},
        r"`folders: \[other, split\]`",
    ),
    "names with splits in them": (
        ["seg_train/a/1.png", "seg_test/a/1.png"],
        {},
        r"have names of splits in their names.*`folders: \[split, class\]`",
    ),
    "one folder around all": (
        ["images/a/1.png", "images/b/1.png"],
        {},
        r"one folder 'images'.*`folders: \[other, class\]` or `folders: \[class\]`",
    ),
    "one folder around all in splits": (
        ["train/images/a/1.png", "test/images/b/1.png"],
        {},
        r"one folder 'images'.*`folders: \[split, other, class\]`",
    ),
    "fewer folders than told": (
        ["a/1.png", "2.png"],
        {"folders": ["class"]},
        r"given \[class\], but 1 images lie in fewer folders: '2.png'",
    ),
    "a level of splits without splits": (
        ["pred/1.png"],
        {"folders": ["split"]},
        "level 1 is the split, and these are none: 'pred'",
    ),
    "a class name of two lines": (["a\nb/1.png", "c/1.png"], {}, "UTF-8 without control characters"),
    "a name of two lines": (["a\nb.png"], {}, r"'a\\nb.png': a file name must be UTF-8"),
    "a class name that cannot be shown": (
        ["a\u00a0b/1.png", "c/1.png"],
        {},
        r"a label is 'a\\xa0b', allowed: printable texts",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_mean_several_things_is_refused_with_a_way_out(tmp_path, case):
    names, settings, message = REFUSED[case]
    folder(tmp_path, *names)
    with pytest.raises(ValueError, match=message) as caught:
        opened(tmp_path, **settings)
    assert "\n" not in str(caught.value)


def test_settings_that_contradict_themselves_are_refused():
    for more, message in (
        ({"folders": ["class", "class"]}, "given class twice"),
        ({"label_column": "kind"}, "given without `manifest`"),
        ({"folders": ["label"]}, "folders"),
    ):
        with pytest.raises(ValueError, match=message):
            SourceSettings.read({"source": "folder", "path": "x", **more})


def test_what_is_left_out_is_named(tmp_path):
    folder(tmp_path, "a/1.PNG", "b/2.Jpg", "a/.hidden.png", "b/._2.jpg", "__MACOSX/a/1.png", ".git/x.png")
    folder(tmp_path, "a/scan")
    for name in (
        "labels.csv",
        "a/readme.txt",
        "b/slide.svs",
        "b/raw.HEIC",
        "Thumbs.db",
        "a/.DS_Store",
        "Makefile",
    ):
        (tmp_path / name).write_bytes(b"x")
    source = opened(tmp_path)
    assert [sample.name for sample in source.samples()] == ["a/1.PNG", "b/2.Jpg"]
    hidden, alike, others, tables = source.notes[1:]
    assert hidden == (
        "Left out, hidden or of the system: '.git/', 'Thumbs.db', '__MACOSX/', "
        "'a/.DS_Store', 'a/.hidden.png', 'b/._2.jpg'."
    )
    assert alike == (
        "Left out, without an ending though they begin like images: 1 file: 'a/scan'; `files` takes them."
    )
    assert others == (
        "Left out, with other endings than those of images: 5 files "
        "(.csv: 1, .heic: 1, .svs: 1, .txt: 1, no ending: 1): "
        "'Makefile', 'a/readme.txt', 'b/raw.HEIC', 'b/slide.svs', 'labels.csv'."
    )
    assert tables == "Tables that `manifest` does not name are not read: 'labels.csv'."


def test_folders_with_nothing_in_them_are_named(tmp_path):
    folder(tmp_path, "a/1.png", "b/2.png", "c/.keep")
    (tmp_path / "d" / "e").mkdir(parents=True)
    source = opened(tmp_path)
    assert source.classes == ("a", "b")
    assert "Folders without a file: 'd/e/'." in source.notes
    assert "Left out, hidden or of the system: 'c/.keep'." in source.notes


def test_a_folder_of_pngs_in_classes_becomes_shards_pixel_by_pixel(tmp_path):
    names = [f"{kind}/{i}.png" for kind in ("disc", "ring") for i in range(12)]
    written = folder(tmp_path / "raw", *names)
    (tmp_path / "raw" / "readme.txt").write_text("x")
    write_shards(job(source="folder", path=str(tmp_path / "raw"), count=1), tmp_path / "out")
    index = ShardIndex.load(tmp_path / "out")
    assert index.classes == ("disc", "ring")
    assert any("'readme.txt'" in note for note in index.notes)
    images, found = images_of(tmp_path / "out"), set()
    for columns in index.splits.values():
        for key, label, name in zip(columns.keys, columns.labels, columns.names, strict=True):
            assert index.classes[label] == name.partition("/")[0]
            np.testing.assert_array_equal(images[key], written[name] * kept(6)[..., None])
            found.add(name)
    assert found == set(names)


def test_a_flat_folder_of_jpegs_becomes_shards_without_labels(tmp_path):
    (tmp_path / "raw").mkdir()
    for i in range(20):
        pixels = RANDOM.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "raw" / f"IMG_{i}.JPG", "JPEG")
    data = {"source": "folder", "path": str(tmp_path / "raw"), "mask": "none"}
    write_shards(job(count=1, **data), tmp_path / "out")
    index = ShardIndex.load(tmp_path / "out")
    assert index.classes == ()
    images = images_of(tmp_path / "out")
    for columns in index.splits.values():
        assert set(columns.labels) == {-1}
        for key, name in zip(columns.keys, columns.names, strict=True):
            np.testing.assert_array_equal(images[key], np.asarray(Image.open(tmp_path / "raw" / name)))
    assert any("has no folders" in note for note in index.notes)
