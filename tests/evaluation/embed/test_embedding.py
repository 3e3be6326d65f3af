"""`eqssl embed`: features of any images, whole or not at all, the same after a kill."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_encoders
import torch
from image_files import saved, tiff_of
from page_blocks import ROOT, read

from eqssl.cli import main
from eqssl.encoders import load_encoder, save_encoder
from eqssl.evaluation.embed.columns import Wanted
from eqssl.evaluation.embed.embedding import embed


def encoder_in(folder, group="C4", channels=1, size=12, **extra):
    network = small_encoders.trained_statistics(small_encoders.new(group, channels, size))
    save_encoder(network, folder, extra)
    return folder


def npz_of(path, images, **arrays):
    np.savez(path, images=images, **arrays)
    return path


def noise(count, side=12, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), np.uint8)


def features(path, column="invariant"):
    return np.stack(pq.read_table(path)[column].to_numpy())


def by_hand(folder, images, top=255):
    """Features of square images of the size of the training, one after the other."""
    encoder = load_encoder(folder)
    side = images.shape[1]
    centre = (side - 1) / 2
    rows, columns = np.mgrid[:side, :side] - centre
    inside = rows**2 + columns**2 <= (side / 2) ** 2
    found = []
    for image in images.reshape(len(images), side, side, -1):
        x = torch.from_numpy((image * inside[:, :, None]).transpose(2, 0, 1) / top).float()
        mean, std = (torch.tensor(values)[:, None, None] for values in (encoder.mean, encoder.std))
        found.append(encoder(((x - mean) / std)[None])[0])
    return torch.stack(found)


def test_each_row_is_the_frozen_encoder_s_feature_of_that_image(tmp_path):
    folder, images = encoder_in(tmp_path / "encoder"), noise(20)
    path = npz_of(tmp_path / "some.npz", images)
    assert embed(str(path), folder, tmp_path / "f.parquet", Wanted(regular=True, stages=2)) == 20
    fields = by_hand(folder, images)
    np.testing.assert_allclose(features(tmp_path / "f.parquet"), fields.mean(2), atol=1e-6)
    np.testing.assert_allclose(features(tmp_path / "f.parquet", "regular"), fields.flatten(1), atol=1e-6)
    assert {"invariant_2", "regular_2"} <= set(pq.read_schema(tmp_path / "f.parquet").names)
    assert not (tmp_path / "f.parquet.parts").exists()


@pytest.mark.parametrize(("group", "same"), [("C4", True), ("trivial", False)])
def test_a_quarter_turn_of_the_images_leaves_invariant_features_of_c4_alone(tmp_path, group, same):
    folder, images = encoder_in(tmp_path / "encoder", group), noise(8)
    for name, shown in (("a", images), ("b", np.rot90(images, axes=(1, 2)))):
        embed(str(npz_of(tmp_path / f"{name}.npz", shown)), folder, tmp_path / f"{name}.parquet")
    first, second = (features(tmp_path / f"{name}.parquet") for name in "ab")
    assert np.allclose(first, second, atol=1e-5) is same


def test_image_files_have_their_paths_labels_and_splits_and_probes_take_them(tmp_path, capsys):
    folder = encoder_in(tmp_path / "encoder", channels=3)
    for number, image in enumerate(noise(60)):
        split, kind = ("train", "val", "test")[number % 3], "ab"[number // 3 % 2]
        place = tmp_path / "images" / split / kind / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(saved(image, "PNG"))  # gray, repeated to the three channels of the training
    out = tmp_path / "f.parquet"
    arguments = [str(tmp_path / "images"), "--encoder", str(folder), "--out", str(out)]
    assert main(["embed", *arguments]) == 0
    assert "features of 60 images" in capsys.readouterr().out
    rows = pq.read_table(out).to_pylist()
    assert [row["name"] for row in rows] == sorted(row["name"] for row in rows)
    assert {(row["split"], row["label"]) for row in rows} == {
        (s, k) for s in ("train", "val", "test") for k in "ab"
    }
    assert all(row["name"] == f"{row['split']}/{row['label']}/{row['name'].split('/')[-1]}" for row in rows)
    assert main(["embed", *arguments[:-1], str(tmp_path / "none.parquet"), "--set", "labelled=false"]) == 0
    assert set(pq.read_table(tmp_path / "none.parquet")["label"].to_pylist()) == {None}
    probed = ["probe-features", "--features", str(out), "--out", str(tmp_path / "probed")]
    assert main([*probed, "--params", str(ROOT / "params.yaml")]) == 0


def test_sixteen_bits_are_read_in_the_range_of_the_training(tmp_path):
    folder = encoder_in(tmp_path / "encoder", range=[100.0, 4100.0])
    images = np.random.default_rng(1).integers(0, 5000, (6, 12, 12), np.uint16)
    (tmp_path / "deep").mkdir()
    for number, image in enumerate(images):
        (tmp_path / f"deep/{number}.tif").write_bytes(tiff_of(image))
    embed(str(tmp_path / "deep"), folder, tmp_path / "f.parquet")
    stored = np.rint((np.clip(images, 100, 4100).astype(float) - 100) * 65535 / 4000)
    np.testing.assert_allclose(
        features(tmp_path / "f.parquet"), by_hand(folder, stored, 65535).mean(2), atol=1e-5
    )
    (tmp_path / "deep/0.tif").write_bytes(tiff_of(images[0].astype(np.uint8)))
    with pytest.raises(ValueError, match=r"0\.tif.*: has 8 bits per channel, but the range .* 100 to 4100"):
        embed(str(tmp_path / "deep"), folder, tmp_path / "g.parquet")
    assert not (tmp_path / "g.parquet").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"channels": 3}, "images.channels: given 3, allowed: 1"),
        ({"mask": "none"}, "images.mask: given 'none', allowed: disc"),
        ({"size": None}, "images.size: given None"),
        ({"range": {"percentiles": [1, 99]}}, "images.range: given percentiles"),
        ({"colour": 1}, "images.colour"),
    ],
)
def test_settings_that_the_encoder_cannot_read_are_refused(tmp_path, given, said):
    folder, path = encoder_in(tmp_path / "encoder"), npz_of(tmp_path / "some.npz", noise(4))
    with pytest.raises(ValueError, match=said.replace("[", r"\[")):
        embed(str(path), folder, tmp_path / "f.parquet", given=given)
    assert not (tmp_path / "f.parquet.parts").exists()


def test_a_damaged_image_is_named_and_nothing_is_written(tmp_path):
    folder = encoder_in(tmp_path / "encoder")
    (tmp_path / "images").mkdir()
    for number, image in enumerate(noise(5)):
        (tmp_path / f"images/{number}.png").write_bytes(saved(image, "PNG"))
    (tmp_path / "images/3.png").write_bytes((tmp_path / "images/3.png").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"image '3-\w+' \(3\.png\): cannot be decoded"):
        embed(str(tmp_path / "images"), folder, tmp_path / "f.parquet")
    assert {place.name for place in tmp_path.iterdir()} == {"encoder", "images"}


def test_notes_say_what_was_left_out_and_what_was_done_to_the_images(tmp_path, capsys):
    folder, images = encoder_in(tmp_path / "encoder"), tmp_path / "images"
    images.mkdir()
    (images / "square.png").write_bytes(saved(noise(1)[0], "PNG"))
    (images / "wide.png").write_bytes(saved(np.zeros((12, 48, 3), np.uint8), "PNG"))
    (images / "small.png").write_bytes(saved(noise(1, side=6)[0], "PNG"))
    (images / "read me.txt").write_text("hello")
    embed(str(images), folder, tmp_path / "f.parquet")
    lines = [line.partition(": note: ")[2] for line in capsys.readouterr().err.splitlines() if "note" in line]
    *source, cut, enlarged, gray = (line.removeprefix(f"{images}: ") for line in lines)
    assert any("read me.txt" in line for line in source)
    square = "the largest centred square is kept; wide.png loses most, 75% of its pixels"
    assert cut == f"not square: 1 of 3 images; {square}"
    assert enlarged == "enlarged to `size` (12): 1 of 3 images; small.png is the smallest, with 6 pixels"
    assert gray == "made gray: 1 of 3 images"


def test_images_of_the_form_of_the_training_need_no_note_on_their_form(tmp_path, capsys):
    path = npz_of(tmp_path / "some.npz", noise(4))
    embed(str(path), encoder_in(tmp_path / "encoder"), tmp_path / "f.parquet")
    told = capsys.readouterr().err
    assert not any(word in told for word in ("square", "enlarged", "gray"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("f.csv", r"--out: given .*f\.csv, allowed: a name that ends in \.parquet or \.pq"),
        ("folder.parquet", r"--out: given .*folder\.parquet, which is a folder, allowed: a file"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_any_work(tmp_path, name, told):
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(ValueError, match=told):
        embed("no images", tmp_path / "no encoder", tmp_path / name)
    assert [place.name for place in tmp_path.iterdir()] == ["folder.parquet"]


def test_more_stages_than_there_are_and_other_sources_are_refused(tmp_path):
    folder, path = encoder_in(tmp_path / "encoder"), npz_of(tmp_path / "some.npz", noise(4))
    with pytest.raises(ValueError, match="--stages: given 9, allowed: 1 to 3"):
        embed(str(path), folder, tmp_path / "f.parquet", Wanted(stages=9))
    with pytest.raises(ValueError, match="nowhere: is not there"):
        embed(str(tmp_path / "nowhere"), folder, tmp_path / "f.parquet")


def test_a_file_among_the_images_is_refused_and_the_images_stay(tmp_path):
    folder, path = encoder_in(tmp_path / "encoder"), npz_of(tmp_path / "some.npz", noise(4))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"--out: given .*some\.npz, allowed"):
        embed(str(path), folder, path)
    assert path.read_bytes() == before
    table = tmp_path / "some.parquet"
    table.write_bytes(b"images")
    with pytest.raises(ValueError, match=r"--out: given .*some\.parquet, which lies in"):
        embed(str(table), folder, table)
    assert table.read_bytes() == b"images"
    (tmp_path / "images").mkdir()
    (tmp_path / "images/0.png").write_bytes(saved(noise(1)[0], "PNG"))
    with pytest.raises(ValueError, match=r"--out: given .*f\.parquet, which lies in"):
        embed(str(tmp_path / "images"), folder, tmp_path / "images/f.parquet")
    assert [file.name for file in (tmp_path / "images").iterdir()] == ["0.png"]


def test_a_folder_in_the_place_of_the_parts_is_left_alone(tmp_path):
    folder, path = encoder_in(tmp_path / "encoder"), npz_of(tmp_path / "some.npz", noise(4))
    mine = tmp_path / "f.parquet.parts/mine.txt"
    mine.parent.mkdir()
    mine.write_text("years of work")
    with pytest.raises(ValueError, match=r"f\.parquet\.parts: is in the way"):
        embed(str(path), folder, tmp_path / "f.parquet")
    assert mine.read_text() == "years of work"


def test_all_images_are_written_even_if_a_source_counts_too_many(tmp_path, monkeypatch):
    folder, path = encoder_in(tmp_path / "encoder"), npz_of(tmp_path / "some.npz", noise(4))
    monkeypatch.setattr("eqssl.data.sources.npz.NpzFile.count", lambda self: 9)
    assert embed(str(path), folder, tmp_path / "f.parquet") == 4


def killed(images, encoder, out, parts=2):
    """A process that writes a part for each batch, and is killed after so many."""
    program = (
        "import os, signal, sys\n"
        "from eqssl.evaluation.embed import embedding, parts\n"
        "embedding.PART_SECONDS, add = 0.0, parts.Parts.add\n"
        "def kill(self, rows, read):\n"
        "    add(self, rows, read)\n"
        f"    if self._count == {parts}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "parts.Parts.add = kill\n"
        "embedding.embed(*sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", program, str(images), str(encoder), str(out)]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, timeout=300)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len(list(out.with_name(f"{out.name}.parts").glob("*.parquet"))) == parts
    assert not out.exists()


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """1,300 images, of which a batch takes 512, an encoder, and the file that one run makes of them."""
    folder = tmp_path_factory.mktemp("many")
    encoder = encoder_in(folder / "encoder")
    path = npz_of(folder / "some.npz", noise(1300))
    embed(str(path), encoder, folder / "whole.parquet")
    return folder


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(many, tmp_path):
    out = tmp_path / "f.parquet"
    killed(many / "some.npz", many / "encoder", out)
    embed(str(many / "some.npz"), many / "encoder", out)
    assert out.read_bytes() == (many / "whole.parquet").read_bytes()
    assert not out.with_name("f.parquet.parts").exists()


def test_finished_rows_are_not_made_again(many, tmp_path):
    out = tmp_path / "f.parquet"
    killed(many / "some.npz", many / "encoder", out)
    part = out.with_name("f.parquet.parts") / "000000.parquet"
    table = pq.read_table(part)
    at, kind = table.schema.get_field_index("invariant"), table.schema.field("invariant").type
    marked = pa.FixedSizeListArray.from_arrays(
        pa.array(np.zeros(512 * kind.list_size, np.float32)), type=kind
    )
    pq.write_table(table.set_column(at, table.schema.field(at), marked), part)
    embed(str(many / "some.npz"), many / "encoder", out)
    found = features(out)
    assert not found[:512].any()
    np.testing.assert_array_equal(found[512:], features(many / "whole.parquet")[512:])


def test_rows_of_an_image_that_changed_since_are_made_anew(many, tmp_path):
    images = noise(1300)
    path, out = npz_of(tmp_path / "some.npz", images), tmp_path / "f.parquet"
    killed(path, many / "encoder", out)
    images[600] = 255 - images[600]
    npz_of(path, images)
    embed(str(path), many / "encoder", out)
    fresh = tmp_path / "fresh.parquet"
    embed(str(path), many / "encoder", fresh)
    assert out.read_bytes() == fresh.read_bytes()
    assert not np.array_equal(features(out)[600], features(many / "whole.parquet")[600])


@pytest.mark.parametrize("harm", ["part", "encoder"])
def test_parts_that_are_damaged_or_of_another_encoder_are_not_used(many, tmp_path, harm, capsys):
    out, encoder = tmp_path / "f.parquet", many / "encoder"
    killed(many / "some.npz", encoder, out)
    if harm == "part":
        part = out.with_name("f.parquet.parts") / "000001.parquet"
        content = bytearray(part.read_bytes())
        content[len(content) // 2] ^= 0xFF
        part.write_bytes(bytes(content))
        expected = (many / "whole.parquet").read_bytes()
    else:
        encoder = encoder_in(tmp_path / "other", "D4")
        embed(str(many / "some.npz"), encoder, tmp_path / "other.parquet")
        expected = (tmp_path / "other.parquet").read_bytes()
    embed(str(many / "some.npz"), encoder, out)
    assert out.read_bytes() == expected
    assert ("starting anew" in capsys.readouterr().err) == (harm == "encoder")


def test_the_lines_of_the_docs_read_the_file_in_pandas_polars_and_duckdb(tmp_path, monkeypatch):
    folder = encoder_in(tmp_path / "encoder")
    embed(str(npz_of(tmp_path / "some.npz", noise(7))), folder, tmp_path / "photos.parquet")
    monkeypatch.chdir(tmp_path)
    (block,) = read(ROOT / "docs/embedding.md").python
    lines = block.splitlines()
    modules = {name: importlib.import_module(name) for name in ("pandas", "polars", "duckdb", "numpy")}
    frame, table, rows, stacked = (eval(line, modules) for line in lines)  # noqa: S307 - the docs' own lines
    expected = features(tmp_path / "photos.parquet")
    np.testing.assert_array_equal(stacked, expected)
    np.testing.assert_array_equal(np.stack(frame["invariant"]), expected)
    np.testing.assert_array_equal(table["invariant"].to_numpy(), expected)
    np.testing.assert_array_equal([row[1] for row in rows.fetchall()], expected)
