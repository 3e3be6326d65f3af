"""Manifests: a row for each image, by CSV and Parquet; every wrong row is named."""

import csv
import io
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from eqssl.config.sources import SourceSettings
from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_shards
from eqssl.data.sources import open_source
from tests.support.tiny_source import images_of, job, kept

random = np.random.default_rng(0)
NAMES = ("a.png", "b.png", "deep/c.png", "deep/d.png")


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw" / "deep").mkdir(parents=True)
    for name in NAMES:
        Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(tmp_path / "raw" / name)
    return tmp_path / "raw"


def opened(raw, manifest, **more):
    settings = {"source": "folder", "path": str(raw), "manifest": str(manifest), **more}
    return open_source(SourceSettings.read(settings))


def text(raw, content, name="list.csv"):
    path = raw.parent / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table(raw, **columns):
    path = raw.parent / "list.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def written(raw, kind, columns):
    """The same table in a format."""
    if kind == "parquet":
        return table(raw, **columns)
    buffer = io.StringIO()
    lines = csv.writer(
        buffer, delimiter={"tab": "\t", "semicolon": ";"}.get(kind, ","), lineterminator="\r\n"
    )
    lines.writerow(columns)
    lines.writerows(zip(*columns.values(), strict=True))
    return text(raw, buffer.getvalue().encode("utf-8-sig" if kind == "bom" else "utf-8"))


def said(source):
    return {
        s.name: (None if s.label is None else source.classes[s.label], s.split, s.group)
        for s in source.samples()
    }


def refused(raw, manifest, message, **more):
    with pytest.raises((ValueError, OSError), match=message) as caught:
        opened(raw, manifest, **more)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


@pytest.mark.parametrize("kind", ["comma", "bom", "semicolon", "tab", "parquet"])
def test_rows_say_label_split_and_group_in_every_format(raw, kind):
    columns = {
        "path": ["deep/d.png", "a.png", "./b.png", "deep/../deep/c.png"],
        "label": ["dog, small", "cat", "dog, small", "cat"],
        "split": ["train", "Test", "validation", "training"],
        "group": ["p1", "p2", "p3", "é"],
    }
    source = opened(raw, written(raw, kind, columns))
    samples = list(source.samples())
    assert [sample.name for sample in samples] == sorted(NAMES)
    for sample in samples:
        assert sample.image == (raw / sample.name).read_bytes()
    assert said(source) == {
        "a.png": ("cat", "test", "p2"),
        "b.png": ("dog, small", "val", "p3"),
        "deep/c.png": ("cat", "train", "é"),
        "deep/d.png": ("dog, small", "train", "p1"),
    }
    assert [sample.index for sample in samples] == [0, 0, 0, 1]
    assert source.notes == (
        "Columns of the manifest are taken: 'path' as path, 'label' as label, 'split' as split, "
        "'group' as group.",
    )


def test_a_manifest_with_one_column_lists_the_images(raw):
    source = opened(raw, text(raw, "file_name\na.png\n\ndeep/c.png\n"))
    assert list(said(source)) == ["a.png", "deep/c.png"]
    assert source.classes == ()
    assert source.notes == (
        "Columns of the manifest are taken: 'file_name' as path.",
        "The manifest has no column 'label', so that the images have no label.",
        f"Left out, without a row in {raw.parent / 'list.csv'}: 2 files: 'b.png', 'deep/d.png'.",
    )


def test_columns_can_be_named_and_others_are_noted(raw):
    manifest = text(raw, "Path,what,where,patient,age\na.png,x,dev,7,60\nb.png,y,test,8,61\n")
    named = {"label_column": "what", "split_column": "where", "group_column": "patient"}
    source = opened(raw, manifest, **named)
    assert said(source) == {"a.png": ("x", "val", "7"), "b.png": ("y", "test", "8")}
    assert source.notes[:2] == (
        "Columns of the manifest are taken: 'Path' as path.",
        "Columns of the manifest that were left out: 'age'.",
    )
    source = opened(raw, manifest, labelled=False, **named)
    assert source.classes == ()
    assert "Columns of the manifest that were left out: 'age', 'what'." in source.notes


def test_a_manifest_in_the_folder_is_no_leftover(raw):
    (raw / "list.csv").write_text("path\n" + "\n".join(NAMES) + "\n")
    (raw / "more.csv").write_text("x")
    source = opened(raw, raw / "list.csv")
    assert source.count() == 4
    assert [note for note in source.notes if "csv" in note] == [
        "Left out, with other endings than those of images: 1 file (.csv: 1): 'more.csv'.",
        "Tables that `manifest` does not name are not read: 'more.csv'.",
    ]


def test_a_row_takes_a_file_of_any_ending(raw):
    (raw / "a.png").rename(raw / "a.scan")
    source = opened(raw, text(raw, "path\na.scan\nb.png\n"))
    assert list(said(source)) == ["a.scan", "b.png"]


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        (["10", "9", "-1", ""], ("9", "10"), ["10", "9", None, None]),
        (["1.0", "0.0", "", "1"], ("0", "1"), ["1", "0", None, "1"]),
        (["1", "x", "-1", "null"], ("1", "x"), ["1", "x", None, None]),
        (["01", "1", "NaN", "1"], ("01", "1"), ["01", "1", None, "1"]),
        (["", "", "", ""], (), [None] * 4),
        (["None", "none", "-", "?"], ("-", "?", "None", "none"), ["None", "none", "-", "?"]),
        (["123456789012345678", "0", "0", "0"], ("0", "123456789012345678"), ["123456789012345678", *"000"]),
    ],
)
@pytest.mark.parametrize("kind", ["comma", "parquet"])
def test_texts_become_labels(raw, kind, labels, classes, expected):
    source = opened(raw, written(raw, kind, {"path": list(NAMES), "label": labels}))
    assert source.classes == classes
    assert [label for label, _, _ in said(source).values()] == expected
    if classes and None in expected:
        assert f"{expected.count(None)} of 4 images have no label." in source.notes


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (pa.array([3, None, -1, 20]), ["3", None, None, "20"]),
        (pa.array([3.0, None, float("nan"), 20.0]), ["3", None, None, "20"]),
        (pa.array([True, False, None, True]), ["true", "false", None, "true"]),
        (pa.array(["x", None, "", "y"]).dictionary_encode(), ["x", None, None, "y"]),
        (pa.array([None] * 4, pa.int64()), [None] * 4),
    ],
)
def test_labels_of_any_type_in_parquet(raw, labels, expected):
    source = opened(raw, table(raw, path=list(NAMES), label=labels))
    assert [label for label, _, _ in said(source).values()] == expected


def test_names_of_classes_in_hugging_face_metadata_are_used(raw):
    path = raw.parent / "list.parquet"
    metadata = {"huggingface": '{"info": {"features": {"label": {"names": ["cat", "dog"]}}}}'}
    columns = pa.table({"path": list(NAMES), "label": [1, 0, None, 1]})
    pq.write_table(columns.replace_schema_metadata(metadata), path)
    assert [label for label, _, _ in said(opened(raw, path)).values()] == ["dog", "cat", None, "dog"]


def test_folders_may_say_what_the_manifest_does_not(raw):
    for name in NAMES[:2]:
        (raw / "test").mkdir(exist_ok=True)
        (raw / name).rename(raw / "test" / name)
    (raw / "deep").rename(raw / "train")
    manifest = text(raw, "path,label\ntest/a.png,x\ntrain/c.png,x\ntrain/d.png,y\n")
    expected = {"test/a.png": ("x", "test", None), "train/c.png": ("x", "train", None)}
    expected["train/d.png"] = ("y", "train", None)
    assert said(opened(raw, manifest, folders=["split"])) == expected
    source = opened(raw, manifest)
    assert {split for _, split, _ in said(source).values()} == {None}
    assert any("'test', 'train' are not taken as splits" in note for note in source.notes)
    refused(raw, manifest, "a column and `folders` both say the class", folders=["class"])


def test_blanks_around_entries_of_csv_do_not_count(raw):
    source = opened(raw, text(raw, "path, label, split\n a.png , x, train\nb.png,x ,test \n"))
    assert said(source) == {"a.png": ("x", "train", None), "b.png": ("x", "test", None)}


def test_files_takes_a_part_of_the_rows(raw):
    manifest = text(raw, "path,label\na.png,x\ndeep/c.png,y\n")
    source = opened(raw, manifest, files="deep/*")
    assert said(source) == {"deep/c.png": ("y", None, None)}
    assert "Left out, since `files` says so: 2 files: 'a.png', 'b.png'." in source.notes
    refused(raw, manifest, "files: no file that matches 'b.*' is in the manifest", files="b.*")


def test_paths_as_windows_and_macos_write_them_are_taken_and_counted(raw):
    (raw / "a.png").rename(raw / "cafe\u0301.png")
    manifest = text(raw, "path,label\ncaf\u00e9.png,x\nb.png,y\n.\\deep\\c.png,y\n")
    source = opened(raw, manifest)
    assert said(source) == {
        "b.png": ("y", None, None),
        "cafe\u0301.png": ("x", None, None),
        "deep/c.png": ("y", None, None),
    }
    assert (
        "Paths of the manifest that are spelt otherwise than files, with \\ for / or in another Unicode "
        "form: 2, such as 'caf\\xe9.png' for 'cafe\\u0301.png'." in source.notes
    )
    (raw / "caf\u00e9.png").write_bytes((raw / "b.png").read_bytes())
    assert said(opened(raw, manifest))["caf\u00e9.png"] == ("x", None, None)  # the file itself goes first
    refused(raw, text(raw, "path\nb.png\ndeep\\c.png\ndeep/c.png\n"), "line 4: .* which line 3 has too")


ROWS = {
    "a file that is missing": ("x.png", "line 3: has the path 'x.png', but below .* there is no such file$"),
    "a file in other letters": ("B.PNG", "has the path 'B.PNG', but .* no such file, but 'b.png'$"),
    "a path of Windows that leaves the folder": ("..\\b.png", "there is no such file$"),
    "a file without its ending": ("b", "has the path 'b', but .* no such file, but 'b.png'$"),
    "a file without its folder": ("d.png", "has the path 'd.png', but .* but 'deep/d.png'$"),
    "a path twice": ("a.png", "line 3: has the path 'a.png', which line 2 has too"),
    "a path twice in two forms": ("deep/../a.png", "line 3: has the path 'a.png', which line 2 has too"),
    "an absolute path": ("/etc/passwd", "has the absolute path '/etc/passwd'"),
    "an absolute path of Windows": ("C:\\x\\b.png", "has the absolute path"),
    "a path that leaves": ("../list.csv", "which leaves"),
    "a path that leaves further down": ("deep/../../raw/b.png", "which leaves"),
    "no path": ("", "line 3: has no path"),
    "a folder": ("deep", "that is a folder"),
    "a hidden file": (".hidden.png", "that is a hidden file"),
    "a very long path": ("x" * 5000, "letters"),
    "a path with a NUL": ("a\0.png", "line"),
    "a path of two lines": ('"a\n.png"', r"line 4: has the path 'a\\n.png'"),
    "a row that is longer": ("b.png,x,y", "line 3: has 4 entries, but the first line has 2"),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_wrong_row_is_named(raw, case):
    path, message = ROWS[case]
    (raw / ".hidden.png").write_bytes(b"x")
    refused(raw, text(raw, f"path,label\na.png,x\n{path},y\n"), message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label\na.png\n", "line 2: has 1 entries, but the first line has 2"),
        ("path,label\n", "list.csv: has no rows"),
        ("", "list.csv: is empty"),
        ("path,path\na.png,b.png\n", "has the column 'path' twice"),
        ("path, path\na.png,b.png\n", "differ in blanks alone"),
        ("id,kind\na.png,b\n", "has no column path, file, .*its columns: 'id', 'kind'; name one with `path_"),
        ("image,file\na.png,b\n", "several columns for the path: 'file', 'image'"),
        ("path,LABEL,Label\na.png,b,c\n", "several columns for the label: 'LABEL', 'Label'"),
        ("path,split\na.png,train\nb.png,other\n", "line 3: split: given 'other', allowed: train, val"),
        ("path,split\na.png,train\nb.png,\n", "line 3: has no split, and 0 more have none"),
        ("path,group\na.png,p\nb.png,\n", "line 3: has no group.* a group of its own, such as its path"),
        ("path,label\na.png,0.5\nb.png,1\n", "line 2: label is 0.5, allowed: whole numbers"),
        ("path,label\na.png,-3\nb.png,1\n", "line 2: label is -3"),
        ("path,label\na.png,\a\n", r"line 2: label is '\\x07'"),
        ('path,label\na.png,"x\nb.png,y\n', r"line 3: label is 'x\\nb.png,y'"),
        (b"path\n\xff.png\n", "list.csv: is not UTF-8"),
        ("path\na.png\n".encode("utf-16"), "list.csv: is not UTF-8"),
        (f"path\n{'x' * 200_000}\n", "list.csv: line 2: not CSV: field larger"),
        (b"PAR1" + bytes(50), "list.csv: cannot be read as Parquet"),
    ],
)
def test_a_wrong_manifest_is_refused_in_one_line(raw, content, message):
    refused(raw, text(raw, content), message)


def test_named_columns_must_be_there_and_differ(raw):
    manifest = text(raw, "path,label\na.png,x\n")
    refused(raw, manifest, "group_column: has no column 'p'; its columns: 'label', 'path'", group_column="p")
    refused(raw, manifest, "column 'label' is given for two things", group_column="label")


def test_empty_columns_of_splits_and_groups_say_nothing(raw):
    source = opened(raw, text(raw, "path,split,group\na.png,,\nb.png,,\n"))
    assert said(source) == {"a.png": (None, None, None), "b.png": (None, None, None)}


def test_wrong_types_and_rows_of_parquet_are_named(raw):
    refused(raw, table(raw, path=[["a.png"]]), "list.parquet: column 'path' is list")
    refused(raw, table(raw, path=[1]), "row 0: has the path 1, which is no text")
    refused(raw, table(raw, path=["a.png", None]), "row 1: has no path")
    refused(raw, table(raw, path=["a.png", "a.png"]), "row 1: has the path 'a.png', which row 0 has too")
    refused(raw, table(raw, path=["a.png"], label=[{"x": 1}]), "column 'label' is struct")
    refused(raw, table(raw, path=["a.png"], split=["x"]), "row 0: split: given 'x'")


def test_a_missing_manifest_a_pipe_and_a_folder_are_refused(raw, monkeypatch):
    refused(raw, raw / "x.csv", "manifest: .*x.csv: is not there$")
    refused(raw, raw, "is a folder")
    os.mkfifo(raw / "pipe")
    refused(raw, raw / "pipe", "is a named pipe")
    (raw / "list.csv").write_text("path\na.png\n")
    monkeypatch.chdir(raw.parent)
    refused("raw", "list.csv", "list.csv: is not there; did you mean raw/list.csv?")


def test_a_very_large_manifest_is_refused_before_it_is_read(raw):
    path = text(raw, "path\na.png\n")
    with path.open("r+b") as file:
        file.truncate(2**30 + 1)
    refused(raw, path, "has 1073741825 bytes, allowed: at most 1073741824 for a CSV file")


def test_only_files_with_a_row_must_be_whole(raw):
    (raw / "b.png").write_bytes(b"")
    assert opened(raw, text(raw, "path\na.png\n")).count() == 1
    refused(raw, text(raw, "path\na.png\nb.png\n"), r"1 image files are empty \(0 bytes\): 'b.png'")


def test_a_manifest_becomes_shards_with_groups(raw):
    rows = ["path,label,group"]
    for i in range(24):
        Image.fromarray(random.integers(0, 256, (6, 6), dtype=np.uint8)).save(raw / f"{i}.png")
        rows.append(f"{i}.png,{'xy'[i % 2]},patient {i % 12}")
    manifest = text(raw, "\n".join(rows))
    data = {"source": "folder", "path": str(raw), "manifest": str(manifest), "label_column": "label"}
    write_shards(job(count=1, **data), raw.parent / "out")
    index = ShardIndex.load(raw.parent / "out")
    images, split_of = images_of(raw.parent / "out"), {}
    for split, columns in index.splits.items():
        entries = zip(columns.keys, columns.labels, columns.names, columns.groups, strict=True)
        for key, label, name, group in entries:
            i = int(name.partition(".")[0])
            assert (index.classes[label], group) == ("xy"[i % 2], f"patient {i % 12}")
            assert split_of.setdefault(group, split) == split
            np.testing.assert_array_equal(images[key], np.asarray(Image.open(raw / name)) * kept(6))
    assert len(split_of) == 12
