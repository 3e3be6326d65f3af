"""Data sets that the library `datasets` loads: local folders, and names on the hub without the internet."""

import contextlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from parquet_layouts import STRUCT, picture, pixels, png, seeds_by_split, write

from eqssl.config.sources import SourceSettings
from eqssl.data.sources import open_source

datasets = pytest.importorskip("datasets", reason="needs `pip install 'eqssl[hub]'`")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the library for one test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def hub(path, **more):
    return open_source(SourceSettings.read({"source": "hub", "path": str(path), **more}))


def saved(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(seed))


def test_a_folder_of_image_files_has_the_classes_of_its_folders(tmp_path, capfd):
    top = tmp_path / "cells"
    for seed, (split, kind) in enumerate(
        (split, kind)
        for split in ("train", "validation", "test")
        for kind in ("round", "long")
        for _ in range(2)
    ):
        saved(top / split / kind / f"{seed:02d}.png", seed)
    source = hub(top)
    # the folder `long` comes before `round`
    assert seeds_by_split(source) == {"train": [2, 3, 0, 1], "val": [6, 7, 4, 5], "test": [10, 11, 8, 9]}
    assert source.classes == ("long", "round")
    samples = list(source.samples())
    assert [sample.label for sample in samples] == [0, 0, 1, 1] * 3
    assert [sample.image for sample in samples][:2] == [png(2), png(3)]
    assert samples[4].name == "validation/long/06.png"
    assert source.origin == "Hugging Face data set cells (a local folder)"
    assert source.notes == (
        f"Which files are read is decided by the library `datasets` {datasets.__version__}.",
    )
    assert capfd.readouterr() == ("", "")


def test_a_changed_file_is_read_anew(tmp_path):
    path = write(tmp_path / "cells" / "train.parquet", range(4))
    times = path.stat()
    assert seeds_by_split(hub(tmp_path / "cells")) == {"train": [0, 1, 2, 3]}
    write(path, range(10, 14))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert seeds_by_split(hub(tmp_path / "cells")) == {"train": [10, 11, 12, 13]}


def test_columns_are_those_of_parquet_files(tmp_path):
    more = {
        "who": ["a", "a", "b", None],
        "part": ["train", "test", "validation", "train"],
        "kind": ["x", "y", "x", ""],
    }
    write(tmp_path / "cells" / "a.parquet", range(4), None, **more)
    source = hub(tmp_path / "cells", label_column="kind", group_column="who", split_column="part")
    assert seeds_by_split(source) == {"train": [0, 3], "test": [1], "val": [2]}
    assert source.classes == ("x", "y")
    found = [(sample.label, sample.group, sample.name) for sample in source.samples()]
    assert found == [
        (0, "a", "split train row 0"),
        (1, "a", "split train row 1"),
        (0, "b", "split train row 2"),
        (None, None, "split train row 3"),
    ]
    assert "1 of 4 images have no label in the column 'kind'." in source.notes
    assert hub(tmp_path / "cells", label_column="kind", labelled=False).classes == ()
    with pytest.raises(
        ValueError, match=r"cells: split train: has no column 'color' \(label_column\); its columns"
    ):
        hub(tmp_path / "cells", label_column="color")


def test_class_names_and_images_of_the_library_are_read_as_they_are(tmp_path):
    features = datasets.Features(
        {"picture": datasets.Image(), "label": datasets.ClassLabel(names=["zebra", "ant", "never"])}
    )
    top = tmp_path / "cells"
    for split, seeds in (("train", range(4)), ("validation", range(4, 6)), ("test", range(6, 8))):
        cells = [{"bytes": png(seed), "path": None} for seed in seeds]
        rows = {"picture": cells, "label": [seed % 2 for seed in seeds]}
        (top / "data").mkdir(parents=True, exist_ok=True)
        table = datasets.Dataset.from_dict(rows, features=features)
        table.to_parquet(str(top / "data" / f"{split}-00000-of-00001.parquet"))
    source = hub(top)
    assert source.classes == ("zebra", "ant", "never")
    assert seeds_by_split(source) == {"train": [0, 1, 2, 3], "val": [4, 5], "test": [6, 7]}
    for sample in source.samples():
        seed = {"train": 0, "val": 4, "test": 6}[sample.split] + sample.index
        assert sample.label == seed % 2
        np.testing.assert_array_equal(pixels(sample.image), picture(seed))


def test_a_configuration_is_chosen_by_its_name(tmp_path):
    top = tmp_path / "cells"
    write(top / "small" / "train.parquet", range(2))
    write(top / "large" / "train.parquet", range(2, 6))
    configs = "\n".join(
        f"- config_name: {name}\n  data_files: {name}/*.parquet" for name in ("small", "large")
    )
    (top / "README.md").write_text(f"---\nconfigs:\n{configs}\n---\n")
    assert seeds_by_split(hub(top, name="large")) == {"train": [2, 3, 4, 5]}
    with pytest.raises(ValueError, match=r"cells: cannot be loaded by `datasets`: .*small.*large") as caught:
        hub(top)
    assert "\n" not in str(caught.value)


def test_splits_of_other_names_are_left_out_and_named(tmp_path):
    top = tmp_path / "cells"
    for name in ("train", "test", "unsupervised"):
        write(top / f"{name}.parquet", range(3))
    splits = "\n".join(
        f"  - split: {name}\n    path: {name}.parquet" for name in ("train", "test", "unsupervised")
    )
    (top / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{splits}\n---\n")
    source = hub(top)
    assert source.count() == 6
    assert "Splits of other names that were left out: 'unsupervised (3 rows)'." in source.notes


def test_images_elsewhere_and_code_are_not_read(tmp_path):
    top = tmp_path / "cells"
    saved(tmp_path / "secret.png", 0)
    column = pa.array([{"bytes": None, "path": str(tmp_path / "secret.png")}], STRUCT)
    write(top / "train.parquet", [0], image=column)
    with pytest.raises(
        ValueError, match=r"split train: row 0 \(train-00000000\): .* leads out of the folder"
    ):
        list(hub(top).samples())
    (top / "cells.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit")
    with contextlib.suppress(ValueError):
        hub(top)
    assert not (tmp_path / "ran").exists()


def test_what_is_no_data_set_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: cannot be loaded by `datasets`: ") as caught:
        hub(tmp_path / "empty")
    assert "\n" not in str(caught.value)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "train.parquet").write_bytes(b"PAR1 no PAR1")
    with pytest.raises(ValueError, match="bad: cannot be loaded by `datasets`: ") as caught:
        hub(tmp_path / "bad")
    assert "\n" not in str(caught.value)
    write(tmp_path / "a.parquet", range(2))
    with pytest.raises(
        ValueError, match=r"a.parquet: is no folder; the source parquet reads a single Parquet file"
    ):
        hub(tmp_path / "a.parquet")
    with pytest.raises(
        ValueError, match=r"path: .*nothing is no folder, and no name of a data set on the hub"
    ):
        hub(tmp_path / "nothing")


def test_a_name_needs_a_revision():
    with pytest.raises(
        ValueError, match=r"revision: is missing: nobody/cells is no folder here, .* commit or tag"
    ):
        hub("nobody/cells")
    settings = SourceSettings.read({"source": "hub", "path": "nobody/cells", "revision": "v1"})
    assert settings.inputs == ()


PROGRAM = """
import sys
from eqssl.config.sources import SourceSettings
from eqssl.data.sources import open_source

try:
    settings = {"source": "hub", "path": "nobody/cells", "revision": sys.argv[1]}
    source = open_source(SourceSettings.read(settings))
    print(source.count(), len(list(source.samples())), source.origin)
except ValueError as error:
    print(error)
"""


def offline(tmp_path, cache, revision):
    """What is said of a name on the hub in a process that knows it has no internet."""
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path),
        "HF_DATASETS_CACHE": str(cache),
    }
    command = [sys.executable, "-c", PROGRAM, revision]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout


def test_without_the_internet_only_a_copy_of_the_same_revision_is_used(tmp_path, cache):
    said = offline(tmp_path, cache, "v1")
    assert said.startswith("nobody/cells: cannot be loaded by `datasets`: Couldn't reach")
    assert said.count("\n") == 1
    write(tmp_path / "cells" / "train.parquet", range(16))
    hub(tmp_path / "cells")
    (prepared,) = (path.parent for path in cache.rglob("dataset_info.json"))
    commit = "0123456789abcdef0123456789abcdef01234567"
    info = json.loads((prepared / "dataset_info.json").read_text())
    shutil.copytree(prepared, cache / "nobody___cells" / info["config_name"] / "0.0.0" / commit)
    said = offline(tmp_path, cache, "v1")
    assert f"the copy in the cache is of revision {commit}, not v1" in said
    said = offline(tmp_path, cache, commit)
    assert said == f"16 16 Hugging Face data set nobody/cells (revision {commit})\n"
