"""Which files of a local folder the source hub reads is said, and no file is read for two splits."""

import pytest

from eqssl.config.sources import SourceSettings
from eqssl.data.sources import open_source
from tests.support.parquet_layouts import picture, pixels, png, seeds_by_split, write

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def hub(path, **more):
    return open_source(SourceSettings.read({"source": "hub", "path": str(path), **more}))


def put(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(seed))


def test_a_file_that_the_library_takes_for_two_splits_is_refused(tmp_path):
    write(tmp_path / "train.parquet", range(4))
    write(tmp_path / "test.parquet", range(4, 8))
    write(tmp_path / "train_test_swap_backup.parquet", range(4, 8))
    with pytest.raises(ValueError, match=r"'train_test_swap_backup.parquet' for train and"):
        hub(tmp_path)


def test_the_files_of_each_split_and_those_that_are_not_read_are_named(tmp_path):
    write(tmp_path / "train-00000-of-00003.parquet", range(4))
    write(tmp_path / "train_more.parquet", range(4, 6))
    write(tmp_path / "test.parquet", range(6, 8))
    write(tmp_path / "extra.parquet", range(8, 10))
    source = hub(tmp_path)
    assert seeds_by_split(source) == {"train": [0, 1, 2, 3, 4, 5], "test": [6, 7]}
    said = " ".join(source.notes)
    assert "split train is read from 'train-00000-of-00003.parquet', 'train_more.parquet'." in said
    assert "state 3 files, of which 1 are read" in said
    assert "Left out below the folder: 'extra.parquet'." in said


def test_a_saved_split_of_another_name_is_not_lost_without_a_word(tmp_path):
    rows = datasets.Dataset.from_dict({"image": [png(0), png(1)], "label": [0, 1]})
    saved = datasets.DatasetDict({"train": rows, "test": rows, "unlabelled": rows})
    saved.save_to_disk(str(tmp_path / "saved"))
    source = hub(tmp_path / "saved")
    assert source.count() == 4
    assert any("'unlabelled/data-00000-of-00001.arrow'" in note for note in source.notes)


def test_images_of_a_folder_without_row_or_of_no_format_are_counted_and_named(tmp_path):
    put(tmp_path / "a.png", 0)
    put(tmp_path / "b.png", 1)
    (tmp_path / "metadata.csv").write_text("file_name,label\na.png,x\n")
    (tmp_path / "c.npy").write_bytes(b"no image to the library")
    source = hub(tmp_path)
    (sample,) = source.samples()
    assert (pixels(sample.image) == picture(0)).all()
    said = " ".join(source.notes)
    assert "Left out, without a row in the metadata: 1 file of the split train." in said
    assert "Left out below the folder: 'c.npy'." in said


def test_a_folder_beside_those_of_the_splits_is_named(tmp_path):
    for seed, name in enumerate(("train/cat/0.png", "train/dog/1.png", "test/cat/2.png", "test/dog/3.png")):
        put(tmp_path / name, seed)
    put(tmp_path / "more/4.png", 4)
    source = hub(tmp_path)
    assert seeds_by_split(source) == {"train": [0, 1], "test": [2, 3]}
    assert source.classes == ("cat", "dog")
    assert "Left out below the folder: 'more/4.png'." in source.notes
