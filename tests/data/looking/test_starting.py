"""`eqssl init` on real files of every kind: what it says, and what it writes."""

from __future__ import annotations

import difflib
import io
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from eqssl import cli
from eqssl.config.jobs import shard_job
from eqssl.config.params import Params
from eqssl.config.sources import SourceSettings
from eqssl.data.looking.survey import look, spread
from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_shards
from eqssl.data.sources import open_source
from eqssl.data.sources.base import Outlined, Source

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "params.yaml").read_text()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and nothing else, in which the commands run."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "params.yaml").write_text(TEXT)
    monkeypatch.chdir(folder)
    return folder


def picture(i: int, mode: str = "RGB", size: tuple[int, int] = (30, 30)) -> Image.Image:
    random = np.random.default_rng(i)
    channels = {"RGB": 3, "L": 1, "RGBA": 4}[mode]
    values = random.integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(values[:, :, 0] if channels == 1 else values)


def saved(path: Path, image: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def init(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(["init", *words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line of the error; nothing is changed."""
    assert cli.main(["init", *words]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert Path("params.yaml").read_text() == TEXT
    return error


def differences() -> list[str]:
    lines = difflib.ndiff(TEXT.splitlines(), Path("params.yaml").read_text().splitlines())
    return [line for line in lines if line[0] in "+-"]


def photographs(count: int = 60, folder: str = "data/raw/photos") -> None:
    for i in range(count):
        saved(Path(folder, f"{i:03d}.jpg"), picture(i, size=(40 + i % 20, 50)))


def test_a_folder_of_photographs_without_labels(capsys: pytest.CaptureFixture[str]) -> None:
    photographs(300)
    Path("data/raw/photos/notes.txt").write_text("x")
    _check_outline(open_source(SourceSettings.read({"source": "folder", "path": "data/raw/photos"})))
    told = init(capsys, "data/raw/photos")
    for words in (
        "300 images",
        "classes: none",
        "looked at 200 of them, spread evenly",
        "shorter side has 40 to 50 pixels, median 50",
        "channels: 3 (RGB)",
        "bits per channel: 8 bits",
        "'notes.txt'",
        "216 train, 24 val, 60 test",
        "size: 48   (the largest of",
    ):
        assert words in told
    entry = Params.load().datasets["photos"]
    assert (entry.source, entry.inputs, entry.size) == ("folder", ("data/raw/photos",), 48)
    assert differences() == [
        "- dataset: fashion_mnist_rot_sample",
        "+ dataset: photos",
        "+   photos:",
        "+     source: folder",
        "+     path: data/raw/photos",
        "+     turned: false",
        "+     labelled: false",
        "+     size: 48",
        "+     channels: 3",
        "-   - fashion_mnist_rot_sample",
        "+   - photos",
        "-   - D4",
        "-   - labels",
        "-   - supervised",
    ]


def test_twice_changes_nothing_and_other_images_of_the_same_name_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    photographs()
    init(capsys, "data/raw/photos")
    once = Path("params.yaml").read_bytes()
    assert "has all of this already" in init(capsys, "data/raw/photos")
    assert Path("params.yaml").read_bytes() == once
    photographs(folder="other/photos")
    assert cli.main(["init", "other/photos"]) == 1
    error = capsys.readouterr().err
    assert "datasets.photos: is there with other settings; `--name`" in error
    assert Path("params.yaml").read_bytes() == once
    init(capsys, "other/photos", "--name", "others")
    assert set(Params.load().grid.dataset) == {"others"}
    assert {"photos", "others"} < set(Params.load().datasets)


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    photographs()
    assert "dry run" in init(capsys, "data/raw/photos", "--dry-run")
    assert Path("params.yaml").read_text() == TEXT


def test_class_folders_give_classes_and_supervised(capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(120):
        saved(Path("slides", f"class{i % 12:02d}", f"{i}.png"), picture(i))
    told = init(capsys, "slides")
    assert "classes: 12: 'class00' 10, 'class01' 10" in told
    assert "and 2 others 20" in told
    assert "size: 30 x 30 pixels each" in told
    params = Params.load()
    assert params.grid.pretext == ("eq_labels", "inv_contrastive", "contrastive", "random", "supervised")
    assert params.datasets["slides"].size == 30
    assert "labelled" not in params.datasets["slides"].model_fields_set


def test_one_class_is_no_task_for_a_classifier(capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(60):
        saved(Path("one/alone", f"{i}.png"), picture(i))
    assert "one class" in init(capsys, "one")
    assert "supervised" not in Params.load().grid.pretext


def test_split_folders_are_taken_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(90):
        split = ("train", "train", "test")[i % 3]
        saved(Path("both", split, "ab"[i // 3 % 2], f"{i}.png"), picture(i))
    told = init(capsys, "both")
    assert "splits: 60 train, 30 test" in told
    assert "sharding will make: 54 train, 6 val, 30 test" in told
    assert Params.load().shards.count == 6


def test_a_manifest_gives_labels_and_groups(capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["path,label,group"]
    for i in range(100):
        saved(Path("cells/images", f"{i}.png"), picture(i))
        rows.append(f"images/{i}.png,{'good' if i % 2 else 'bad'},plate{i // 5}")
    Path("cells/manifest.csv").write_text("\n".join(rows) + "\n")
    told = init(capsys, "cells")
    assert "groups: 20, with 5 images each" in told
    assert "'bad' 50, 'good' 50" in told
    assert Params.load().datasets["cells"].inputs == ("cells", "cells/manifest.csv")


def test_gray_and_rgb_are_brought_together(capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(60):
        saved(Path("mixed", f"{i}.png"), picture(i, "L" if i % 3 else "RGB"))
    assert "channels: 1 (gray) in 40, 3 (RGB) in 20" in init(capsys, "mixed")
    assert Params.load().datasets["mixed"].channels == 3


def test_transparent_pixels_get_a_background(capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(60):
        saved(Path("clear", f"{i}.png"), picture(i, "RGBA"))
    assert "transparent pixels: in 60 images: 0.png" in init(capsys, "clear")
    assert Params.load().datasets["clear"].alpha == "black"


def test_sixteen_bits_get_a_range_and_can_be_sharded(capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    for i in range(60):
        values = random.integers(100, 3000, (20, 20), dtype=np.uint16)
        saved(Path("deep", f"{i}.png"), Image.fromarray(values))
    told = init(capsys, "deep")
    assert "bits per channel: 16 bits, values from 10" in told
    params = Params.load()
    assert params.datasets["deep"].plain()["range"] == {"percentiles": [0.1, 99.9]}
    assert params.datasets["deep"].size == 20
    write_shards(shard_job(params, "deep"), "shards")
    assert ShardIndex.load("shards").pixels == "uint16"


def test_images_that_do_not_fit_together_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(20):
        values = np.full((20, 20), i, np.uint16 if i % 2 else np.uint8)
        saved(Path("bits", f"{i}.png"), Image.fromarray(values))
        Path("bands").mkdir(exist_ok=True)
        np.save(f"bands/{i}.npy", np.zeros((20, 20, 5 + i % 2), np.uint8))
    assert "10 of 20 images have 8 bits per channel" in refused(capsys, "bits")
    assert "images have 5 and 6 channels" in refused(capsys, "bands")


def test_settings_that_sharding_would_refuse_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(20):
        saved(Path("clear", f"{i}.png"), picture(i, "RGBA"))
        saved(Path("flat", f"{i}.png"), Image.fromarray(np.full((20, 20), 7, np.uint16)))
        Path("bands").mkdir(exist_ok=True)
        np.save(f"bands/{i}.npy", np.full((20, 20, 5), i, np.uint8))
    assert "20 images with transparent pixels" in refused(capsys, "clear", "--set", "alpha=refuse")
    assert "images have 3 channels; channels: given 4" in refused(capsys, "clear", "--set", "channels=4")
    assert "images have 5 channels; channels: given 3" in refused(capsys, "bands", "--set", "channels=3")
    assert "every pixel of every image is 7" in refused(capsys, "flat")
    init(capsys, "clear", "--set", "channels=1")
    assert Params.load().datasets["clear"].channels == 1


def test_three_images_are_too_few(capsys: pytest.CaptureFixture[str]) -> None:
    photographs(3, "few")
    assert "error: data set few: has one training image" in refused(capsys, "few")


def test_ten_images_are_enough(capsys: pytest.CaptureFixture[str]) -> None:
    photographs(10, "few")
    told = init(capsys, "few")
    assert "7 train, 1 val, 2 test" in told
    assert "shards.count: 1   (the smallest split has 1 images" in told
    assert "pretrain.batch_size: 2   (there are only 7 training images" in told
    params = Params.load()
    assert (params.shards.count, params.pretrain.batch_size) == (1, 2)
    write_shards(shard_job(params, "few"), "shards")
    sizes = {split: len(columns) for split, columns in ShardIndex.load("shards").splits.items()}
    assert sizes == {"train": 7, "val": 1, "test": 2}


def test_images_that_cannot_be_read_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    photographs()
    Path("data/raw/photos/007.jpg").write_bytes(b"\xff\xd8\xff\xe0 no image")
    told = init(capsys, "data/raw/photos")
    assert "CANNOT BE READ: 1 of 60" in told
    assert "007.jpg: cannot be decoded" in told
    for i in range(5):
        Path("bad").mkdir(exist_ok=True)
        Path(f"bad/{i}.png").write_bytes(b"nothing")
    Path("params.yaml").write_text(TEXT)
    assert "none of 5 images can be read, such as 0.png" in refused(capsys, "bad")


def test_npz_hdf5_parquet_and_tar(capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (100, 28, 28, 3), dtype=np.uint8)
    labels = np.arange(100) % 4
    np.savez_compressed(
        "set.npz", train_images=images, train_labels=labels, test_images=images[:30], test_labels=labels[:30]
    )
    with h5py.File("set.h5", "w") as file:
        file["x"], file["y"] = images, labels
    contents = [encoded(Image.fromarray(image)) for image in images]
    table = pa.table({"image": [{"bytes": c, "path": None} for c in contents], "label": labels})
    Path("pq/data").mkdir(parents=True)
    pq.write_table(table, "pq/data/train-00000-of-00001.parquet", row_group_size=10)
    with tarfile.open("set.tar", "w") as tar:
        for i, content in enumerate(contents):
            for ending, data in (("png", content), ("cls", str(labels[i]).encode())):
                member = tarfile.TarInfo(f"{i:03d}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    for path, source, count in (
        ("set.npz", "npz", 130),
        ("set.h5", "hdf5", 100),
        ("pq", "parquet", 100),
        ("set.tar", "webdataset", 100),
    ):
        told = init(capsys, path, "--name", source)
        assert f"{count} images" in told
        assert "classes: 4: '0'" in told
        assert Params.load().datasets[source].inputs == (path,)
        survey = look(source, Params.load().datasets[source], most=7)
        assert survey.pixels.channels == {3: 7}
        assert survey.pixels.sizes == {(28, 28): 7}
        assert len(survey.rows) == count
        _check_outline(open_source(Params.load().datasets[source]))
    assert Params.load().grid.dataset == ("webdataset",)


def _check_outline(found: Source) -> None:
    """An outline is all samples, with the images that are wanted."""
    assert isinstance(found, Outlined)
    wanted = {0, 41, 99}
    for number, (whole, part) in enumerate(zip(found.samples(), found.outline(wanted), strict=True)):
        names = (part.key, part.label, part.split, part.index, part.group)
        assert names == (whole.key, whole.label, whole.split, whole.index, whole.group)
        assert np.array_equal(part.image, whole.image if number in wanted else b"")  # type: ignore[arg-type]


def test_settings_that_are_given_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(60):
        saved(Path("wood", "ab"[i % 2], f"{i}.png"), picture(i))
    told = init(capsys, "wood", "--set", "size=16", "--set", "labelled=false", "--set", "mask=disc")
    assert "size: 16   (as given)" in told
    entry = Params.load().datasets["wood"].plain()
    assert (entry["size"], entry["labelled"], entry["mask"]) == (16, False, "disc")


def test_what_a_source_refuses_is_said_with_the_way_to_give_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for i in range(10):
        saved(Path("odd", "train" if i % 2 else "other", f"{i}.png"), picture(i))
    error = refused(capsys, "odd")
    assert "`folders" in error
    assert "--set 'folders=[split, class]'" in error
    for words in (
        ["--set", "size"],
        ["--set", "sise=3"],
        ["--set", "size=[", "--name", "x"],
    ):
        assert "eqssl: error: " in refused(capsys, "odd", *words)


def test_names_and_paths_are_checked_before_the_images(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a-b", "a b", "\u00fc", "", "../x", "a" * 101):
        assert f"--name: given {name!r}, allowed" in refused(capsys, "nowhere", "--name", name)
    assert "allowed: the first argument" in refused(capsys, "nowhere", "--set", "path=/elsewhere")
    assert "allowed: --source" in refused(capsys, "nowhere", "--set", "source=npz")


def test_a_path_elsewhere_is_written_so_that_the_project_finds_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs(20, str(tmp_path / "elsewhere"))
    init(capsys, "../elsewhere")
    assert Params.load().datasets["elsewhere"].inputs == ("../elsewhere",)
    Path("params.yaml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    init(capsys, "elsewhere", "--params", "project/params.yaml")
    written = Params.load("project/params.yaml").datasets["elsewhere"].inputs
    assert written == (str(tmp_path / "elsewhere"),)


def test_a_settings_file_that_is_wrong_or_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    photographs(20)
    assert cli.main(["init", "data/raw/photos", "--params", "none.yaml"]) == 1
    assert "none.yaml" in capsys.readouterr().err
    Path("params.yaml").write_text(TEXT.replace("seed: 0", "sead: 0", 1))
    assert cli.main(["init", "data/raw/photos"]) == 1
    assert "params.yaml: " in capsys.readouterr().err


def test_check_says_what_is_there_and_then_what_shards_hold(capsys: pytest.CaptureFixture[str]) -> None:
    photographs()
    init(capsys, "data/raw/photos")
    params = Params.load()
    cells = len(list(params.cells())) + 1
    assert cli.main(["check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[cells] == "data set photos:"
    assert "  60 images: image files in data/raw/photos" in lines
    assert cli.main(["check", "--quick"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == cells
    job = shard_job(params, "photos")
    write_shards(job, f"data/shards/photos-{job.digest}")
    capsys.readouterr()
    assert cli.main(["check"]) == 0
    told = capsys.readouterr().out
    assert f"60 images in data/shards/photos-{job.digest}: " in told
    assert "stored as 48 x 48 pixels, 3 channels, 8 bits" in told
    Path("data/raw/photos").rename("gone")
    Path(f"data/shards/photos-{job.digest}").rename("shards")
    assert cli.main(["check"]) == 0
    assert "  data/raw/photos is not there" in capsys.readouterr().out


def test_the_images_that_are_looked_at_are_spread_evenly() -> None:
    assert spread(3, 200) == {0, 1, 2}
    chosen = sorted(spread(1_000_003, 200))
    assert len(chosen) == 200
    steps = np.diff([-chosen[0], *chosen, 2 * 1_000_003 - chosen[-1]])
    assert steps.max() - steps.min() <= 2
