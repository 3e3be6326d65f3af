import dataclasses
import hashlib
import math
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from tiny_source import TinySource, images_of, job, kept, samples

from eqssl.config.jobs import ShardJob
from eqssl.config.shards import ShardSettings
from eqssl.config.sources import SourceSettings
from eqssl.data.disc import disc
from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.splits import validation_part
from eqssl.data.shards.stored_form import square
from eqssl.data.shards.turning import stored_angle, turned
from eqssl.data.shards.ustar import members
from eqssl.data.shards.writing import write_shards, write_source


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).iterdir()}


@pytest.mark.parametrize("shape", [(10, 10, 1), (11, 11, 3)])
def test_webdataset_reads_every_image_and_label(tmp_path, shape):
    given = samples(shape=shape)
    write_source(TinySource(given), job(count=3), tmp_path)
    names = [f"{split}-{i:05d}.tar" for split in ("train", "val", "test") for i in range(3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "index.json"])
    urls = [str(tmp_path / name) for name in names]
    read = {
        sample["__key__"]: (sample["png"], sample["cls"])
        for sample in webdataset.WebDataset(urls, shardshuffle=False).decode(
            "rgb8" if shape[2] == 3 else "l8"
        )
    }
    assert set(read) == {sample.key for sample in given}
    mask = kept(shape[0])[:, :, None]
    for sample in given:
        image, label = read[sample.key]
        assert label == sample.label
        np.testing.assert_array_equal(image.reshape(shape), np.where(mask, sample.image, 0))


def test_tars_hold_plain_headers_of_two_members_per_image(tmp_path):
    write_source(TinySource(samples()), job(), tmp_path)
    for path in tmp_path.glob("*.tar"):
        with tarfile.open(path) as tar:
            by_library = [(member.name, member.offset_data, member.size) for member in tar]
            assert {member.mtime for member in tar} == {0}
        assert [tuple(member) for member in members(path)] == by_library
        assert len(by_library) == 2 * len({name.partition(".")[0] for name, _, _ in by_library})
        # a PAX header would show as a gap between the members
        assert by_library[1][1] == by_library[0][1] + 512 * math.ceil(by_library[0][2] / 512) + 512


def test_damaged_tar_headers_are_errors(tmp_path):
    write_source(TinySource(samples()), job(), tmp_path)
    content = (tmp_path / "test-00000.tar").read_bytes()
    path = tmp_path / "bad.tar"
    for length, reason in [
        (0, "is cut off"),
        (700, "is cut off"),
        (1600, "is cut off"),
        (1024, "is cut off"),
    ]:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=rf"bad.tar: .*{reason}"):
            list(members(path))
    path.write_bytes(b"x" * 2048)
    with pytest.raises(ValueError, match=r"bad.tar: the header at byte 0 is not that of a plain USTAR file"):
        list(members(path))
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("long" * 40))
    with pytest.raises(ValueError, match=r"not that of a plain USTAR file"):
        list(members(path))


def test_equal_jobs_give_equal_bytes_and_another_seed_another_order(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_source(TinySource(samples()), job(seed=seed, turned=True), tmp_path / name)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert hashes(tmp_path / "a")["train-00000.tar"] != hashes(tmp_path / "c")["train-00000.tar"]
    write_source(TinySource(samples()), job(turned=True), tmp_path / "a")  # over what is there
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_order_is_shuffled_and_parts_are_equal(tmp_path):
    write_source(TinySource(samples(train=100, test=50)), job(count=3), tmp_path)
    index = ShardIndex.load(tmp_path)
    for split in ("train", "val", "test"):
        keys = index.splits[split].keys
        assert list(keys) != sorted(keys)
        counts = [tar.count for tar in index.tars if tar.split == split]
        assert max(counts) - min(counts) <= 1


# --- the validation split


def test_validation_is_stratified_and_chosen_by_the_hash_of_the_key(tmp_path):
    given = [
        dataclasses.replace(sample, label=0 if i % 4 else 1)
        for i, sample in enumerate(samples(train=100, test=10))
    ]
    write_source(TinySource(given), job(validation=0.2), tmp_path)
    index = ShardIndex.load(tmp_path)
    train = [sample for sample in given if sample.split == "train"]
    expected = set()
    for label in (0, 1):
        keys = [sample.key for sample in train if sample.label == label]
        ranked = sorted(keys, key=lambda key: hashlib.sha256(key.encode()).hexdigest())
        expected |= set(ranked[: round(0.2 * len(keys))])
    assert len(expected) == 20
    assert set(index.splits["val"].keys) == expected
    assert set(index.splits["train"].keys) == {sample.key for sample in train} - expected
    assert set(index.splits["test"].keys) == {sample.key for sample in given if sample.split == "test"}


def test_validation_does_not_depend_on_the_order_of_images():
    keys = [f"k{i}" for i in range(30)]
    labels = [i % 3 for i in range(30)]
    forward = {keys[i] for i in validation_part(keys, labels, 0.3)}
    backward = {keys[::-1][i] for i in validation_part(keys[::-1], labels[::-1], 0.3)}
    assert forward == backward
    assert len(forward) == 9


# --- what is stored


def test_the_disc_equals_its_definition_pixel_by_pixel():
    for size in (1, 2, 7, 10, 28):
        np.testing.assert_array_equal(disc(size), kept(size))
    assert not disc(28).all()
    with pytest.raises(ValueError, match="read-only"):
        disc(28)[0, 0] = True


def slow_turn(image, degrees):
    """Bilinear interpolation, one pixel at a time, from the definition of a counter-clockwise turn."""
    size = len(image)
    middle, angle = (size - 1) / 2, math.radians(degrees)
    result = np.zeros((size, size))
    for r in range(size):
        for c in range(size):
            x, y = c - middle, middle - r  # y points up
            from_x = x * math.cos(angle) + y * math.sin(angle)
            from_y = -x * math.sin(angle) + y * math.cos(angle)
            row, column = middle - from_y, from_x + middle
            top, left = math.floor(row), math.floor(column)
            for i, j in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
                if 0 <= i < size and 0 <= j < size:
                    result[r, c] += (1 - abs(row - i)) * (1 - abs(column - j)) * image[i, j]
    return result


@pytest.mark.parametrize("size", [7, 10])
@pytest.mark.parametrize("degrees", [0.0, 17.0, 90.0, 123.4, 180.0, 270.0, 359.9])
def test_turn_is_bilinear_and_counter_clockwise(size, degrees):
    image = np.random.default_rng(1).integers(0, 256, (size, size, 2), dtype=np.uint8)
    found = turned(image, degrees)
    for channel in range(2):
        expected = slow_turn(image[:, :, channel], degrees)
        # a value at a half may be rounded either way
        assert np.abs(found[:, :, channel].astype(float) - expected).max() <= 0.5 + 1e-6
    if degrees % 90 == 0:
        np.testing.assert_array_equal(found, np.rot90(image, int(degrees) // 90))


def test_stored_angles_are_uniform_and_belong_to_the_image_alone():
    for split in ("train", "test"):
        angles = np.array([stored_angle(split, i) for i in range(2000)])
        assert angles.min() >= 0
        assert angles.max() < 360
        counts = np.histogram(angles, 12, (0, 360))[0]
        assert (
            (counts - 2000 / 12) ** 2 / (2000 / 12)
        ).sum() < 31.3  # chi-squared, 11 degrees of freedom, 0.1 %
        assert stored_angle(split, 7) == angles[7]
    assert stored_angle("train", 7) != stored_angle("test", 7)


def test_turned_images_differ_from_upright_ones_and_keep_the_cut(tmp_path):
    given = samples(shape=(12, 12, 1))
    write_source(TinySource(given), job(), tmp_path / "upright")
    write_source(TinySource(given), job(turned=True), tmp_path / "turned")
    upright, turned_ones = images_of(tmp_path / "upright"), images_of(tmp_path / "turned")
    outside = ~kept(12)
    for sample in given:
        one, other = upright[sample.key], turned_ones[sample.key]
        assert not np.array_equal(one, other)
        assert not one[outside].any()
        assert not other[outside].any()
        assert sample.image[:, :, 0][outside].all()  # there was something to cut
        expected = slow_turn(sample.image[:, :, 0], stored_angle(sample.split, sample.index)) * kept(12)
        assert np.abs(other - expected).max() <= 0.5 + 1e-6


def test_angles_depend_neither_on_the_order_nor_on_the_number_of_images(tmp_path):
    given = samples()
    some = [sample for i, sample in enumerate(given) if i % 3][::-1]
    write_source(TinySource(given), job(turned=True), tmp_path / "all")
    write_source(TinySource(some), job(turned=True), tmp_path / "some")
    whole, part = images_of(tmp_path / "all"), images_of(tmp_path / "some")
    assert set(part) == {sample.key for sample in some}
    for key, image in part.items():
        np.testing.assert_array_equal(image, whole[key])


def test_images_are_cut_to_a_square_and_resized(tmp_path):
    image = np.arange(8 * 13 * 3, dtype=np.uint8).reshape(8, 13, 3)
    np.testing.assert_array_equal(square(image, None), image[:, 2:10])
    np.testing.assert_array_equal(square(image.transpose(1, 0, 2), 8), image.transpose(1, 0, 2)[2:10])
    flat = np.full((40, 30, 1), 77, np.uint8)
    assert square(flat, 12).shape == (12, 12, 1)
    assert (square(flat, 12) == 77).all()
    stripes = np.tile(np.array([[0, 200]], np.uint8), (40, 20))[:, :, None]
    assert np.abs(square(stripes, 10)[:, 2:-2].astype(int) - 100).max() <= 5  # antialiased: no moiré
    given = [*samples(), *samples(train=4, test=0, shape=(14, 9, 1))]
    given = [dataclasses.replace(sample, key=f"k{i}") for i, sample in enumerate(given)]
    write_source(TinySource(given), job(size=8), tmp_path)
    assert ShardIndex.load(tmp_path).image_shape == (1, 8, 8)


# --- errors, and what they leave behind


def changed(position, **values):
    given = samples()
    given[position] = dataclasses.replace(given[position], **values)
    return given


@pytest.mark.parametrize(
    ("given", "classes", "reason"),
    [
        (changed(3, key="train-000"), "ab", "train image 'train-000': another image has this key"),
        (changed(45, key="train-000"), "ab", "test image 'train-000': another image has this key"),
        (changed(3, key="img.v1"), "ab", "train image 'img.v1': a key may have"),
        (changed(3, key="Ü"), "ab", "'Ü': a key may have"),
        (changed(3, key=""), "ab", "'': a key may have"),
        (changed(3, key="a\n"), "ab", "a key may have"),
        (changed(3, key="a" * 97), "ab", "a key may have up to 96"),
        (changed(3, label=2), "ab", "'train-003': label 2 is out of range, allowed: 0 to 1"),
        (changed(42, label=-1), "ab", "test image 'test-002': label -1 is out of range"),
        (
            changed(3, image=np.ones((9, 9, 1), np.uint8)),
            "ab",
            "'train-003': has 9 x 9 pixels, others have 10 x 10; `size` makes all alike",
        ),
        (
            changed(3, image=np.ones((10, 10, 3), np.uint8)),
            "ab",
            "'train-003': has 3 channels, others have 1; `channels: 1` makes all gray",
        ),
        (samples(), "abc", r"data set tiny: class 'c' \(label 2\) has no training image and no test image"),
        (changed(45, label=2), "abc", r"class 'c' \(label 2\) has no training image$"),
        (samples(train=9), "ab", "split val has 2 images, fewer than its 3 tars"),
        (samples(test=2), "ab", "split test has 2 images, fewer than its 3 tars"),
        ([], "ab", "data set tiny: has no image"),
        (
            [dataclasses.replace(sample, image=np.full((10, 10, 1), 5, np.uint8)) for sample in samples()],
            "ab",
            "channel 0 is 5 in all pixels of all training images",
        ),
    ],
)
def test_bad_input_is_an_error_that_leaves_nothing(tmp_path, given, classes, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        write_source(TinySource(given, classes), job(count=3), tmp_path / "new" / "folder")
    assert "\n" not in str(caught.value)
    assert "data set tiny" in str(caught.value)
    assert not (tmp_path / "new" / "folder").exists()
    write_source(TinySource(samples()), job(count=3), tmp_path / "new" / "folder")  # negative control


def test_class_that_validation_empties_is_an_error(tmp_path):
    given = [dataclasses.replace(sample, label=int(sample.key == "train-003")) for sample in samples()]
    with pytest.raises(
        ValueError, match=r"class 'dog' \(label 1\) has no training image left when images .* validation"
    ):
        write_source(TinySource(given), job(validation=0.6), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_source_that_fails_late_leaves_earlier_output_as_it_was(tmp_path):
    class Failing(TinySource):
        def samples(self):
            yield from super().samples()
            raise KeyboardInterrupt

    write_source(TinySource(samples()), job(), tmp_path)
    before = hashes(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write_source(Failing(samples()), job(), tmp_path)
    assert hashes(tmp_path) == before


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, sys.argv[1])
from tiny_source import TinySource, job, samples
from eqssl.data.shards.writing import write_source
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
given = samples(shape=(int(sys.argv[4]), int(sys.argv[4]), 1))
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    write_source(TinySource(given), job(), sys.argv[2])
except OSError as error:
    print("OSError:", error)
"""


# large images overfill the temporary file, small ones a tar, whose headers weigh more than they do
@pytest.mark.parametrize(("limit", "size"), [(20_000, 40), (20_000, 10), (10**7, 10)])
def test_disk_that_fills_up_leaves_nothing(tmp_path, limit, size):
    out = tmp_path / "shards"
    command = [
        sys.executable,
        "-c",
        FULL_DISK,
        str(Path(__file__).parents[2] / "support"),
        str(out),
        str(limit),
        str(size),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    if limit == 10**7:  # negative control: room enough
        assert run.stdout == ""
        assert (out / "index.json").exists()
    else:
        assert "OSError: [Errno 27] File too large" in run.stdout
        assert str(out) in run.stdout
        assert ("train-00000.tar" in run.stdout) == (size == 10)
        assert not out.exists()


def test_write_shards_opens_the_source_of_the_job(tmp_path):
    wrong = ShardJob(
        dataset="x",
        data=SourceSettings.read({"source": "parquet", "path": str(tmp_path / "none"), "turned": False}),
        shards=ShardSettings(count=1, validation=0.1, seed=0),
    )
    with pytest.raises(OSError, match=r"none"):
        write_shards(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_log_has_lines_and_no_bar(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("eqssl.machine.live.progress.LINE_SECONDS", 0.0)
    write_source(TinySource(samples()), job(), tmp_path)
    lines = capfd.readouterr().err.splitlines()
    assert any(line.startswith("reading tiny: 52 of 52") for line in lines)
    assert not any("\r" in line or "\x1b" in line for line in lines)


@pytest.mark.slow
def test_the_embedded_sample_becomes_shards_of_the_right_sizes(tmp_path):
    whole = ShardJob(
        dataset="fashion_mnist_rot_sample",
        data=SourceSettings.read({"source": "fashion_mnist_sample", "turned": True}),
        shards=ShardSettings(count=8, validation=0.1, seed=0),
    )
    write_shards(whole, tmp_path)
    index = ShardIndex.load(tmp_path)
    assert {name: len(columns) for name, columns in index.splits.items()} == {
        "train": 9000,
        "val": 1000,
        "test": 10_000,
    }
    assert np.bincount(index.splits["val"].labels).tolist() == [100] * 10
