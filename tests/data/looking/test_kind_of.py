from __future__ import annotations

from pathlib import Path

import pytest

from eqssl.data.looking.kind_of import kind_of


def made(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("names", "source"),
    [
        (["a/1.JPG", "b/2.png", "notes.txt"], "folder"),
        (["data/train-00000-of-00001.parquet", "README.md"], "parquet"),
        (["metadata.parquet"], "parquet"),
        (["train-000.tar", "train-001.tar"], "webdataset"),
        (["x.h5", "y.h5"], "hdf5"),
        (["dataset_dict.json", "train/data-00000-of-00001.arrow"], "hub"),
        (["only.npz", ".hidden.png"], "npz"),
    ],
)
def test_the_files_of_a_folder_tell_its_source(tmp_path: Path, names: list[str], source: str) -> None:
    assert kind_of(made(tmp_path / "d", *names)).source == source


@pytest.mark.parametrize(
    ("name", "source"),
    [("a.npz", "npz"), ("a.hdf5", "hdf5"), ("a.pq", "parquet"), ("a.TAR", "webdataset")],
)
def test_the_ending_of_a_file_tells_its_source(tmp_path: Path, name: str, source: str) -> None:
    fit = kind_of(made(tmp_path, name) / name)
    assert (fit.source, fit.settings) == (source, {"path": str(tmp_path / name)})


@pytest.mark.parametrize(
    "name", ["manifest.csv", "metadata.csv", "labels.csv", "Labels.CSV", "labels.parquet"]
)
def test_a_table_among_the_images_is_their_manifest(tmp_path: Path, name: str) -> None:
    fit = kind_of(made(tmp_path / "d", name, "images/1.png"))
    assert fit.source == "folder"
    assert fit.settings == {"path": str(tmp_path / "d"), "manifest": str(tmp_path / "d" / name)}


def test_a_csv_file_stands_for_the_images_that_it_names(tmp_path: Path) -> None:
    folder = made(tmp_path / "d", "mine.csv", "1.png")
    fit = kind_of(folder / "mine.csv")
    assert fit.settings == {"path": str(folder), "manifest": str(folder / "mine.csv")}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ["a.png", "t.tar"],
            ["several sources fit", "folder: 1 image file;", "webdataset: 1 file", "--source"],
        ),
        (["a.npz", "b.npz"], ["a.npz", "b.npz", "give the path of one"]),
        (["a.png", "labels.csv", "metadata.csv"], ["'labels.csv', 'metadata.csv'", "give the path of one"]),
        (["notes.txt"], ["has no images"]),
    ],
)
def test_what_is_ambiguous_or_nothing_is_refused_with_what_was_found(
    tmp_path: Path, names: list[str], words: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as refused:
        kind_of(made(tmp_path / "d", *names))
    for word in words:
        assert word in str(refused.value)


def test_a_source_that_is_named_is_taken(tmp_path: Path) -> None:
    folder = made(tmp_path / "d", "a.png", "t.tar", "labels.csv")
    assert kind_of(folder, "webdataset").settings == {"path": str(folder)}
    assert "manifest" in kind_of(folder, "folder").settings
    assert kind_of(Path("somebody/something"), "hub").settings == {"path": "somebody/something"}
    with pytest.raises(ValueError, match=r"--source: given 'foldr'.*did you mean 'folder'"):
        kind_of(folder, "foldr")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.png", "is one image file"),
        ("a.zip", "unpack it"),
        ("b.tar.gz", "unpack it"),
        ("c.doc", "no images"),
    ],
)
def test_a_file_that_is_no_data_set_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        kind_of(made(tmp_path, name) / name)


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere: is not there$"):
        kind_of(tmp_path / "nowhere")
    (tmp_path / "nowhere.dvc").write_text("outs: []")
    with pytest.raises(ValueError, match=r"dvc pull .*nowhere\.dvc"):
        kind_of(tmp_path / "nowhere")
