"""Images that are read from the tars: the same as those that are decoded once, in bounded memory."""

import io
import os
import time

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_source import TinySource, job, samples
from written_shards import write_files

from eqssl.data.loading import tars
from eqssl.data.loading.batches import Batches, load_split
from eqssl.data.loading.location import Budget
from eqssl.data.loading.streamed import StreamedImages
from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_source

STREAMED = Budget(decoded_mb=0)


def both(folder, split="train"):
    mapped, streamed = load_split(folder, split), load_split(folder, split, STREAMED)
    assert isinstance(mapped.images, np.memmap)
    assert isinstance(streamed.images, StreamedImages)
    return mapped, streamed


def equal(one, other):
    assert len(one) == len(other)
    for (images, labels), (others, more) in zip(one, other, strict=True):
        assert images.dtype == others.dtype
        assert images.stride() == others.stride()
        assert torch.equal(images, others)
        assert torch.equal(labels, more)


def photographs(count, side=20, channels=3):
    random, found = np.random.default_rng(0), []
    for number in range(count):
        coarse = random.integers(0, 256, (5, 5, channels), dtype=np.uint8)
        image = Image.fromarray(coarse[:, :, 0] if channels == 1 else coarse).resize((side, side))
        buffer = io.BytesIO()
        ending = ("jpg", "png", "webp")[number % (3 if channels == 3 else 2)]  # WebP is RGB
        image.save(buffer, {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[ending])
        found.append((ending, buffer.getvalue(), None if number % 5 == 4 else number % 2))
    return found


# --- the same images


def test_a_split_within_the_budget_is_mapped_and_a_larger_one_streamed(folder):
    size = len(load_split(folder, "train")) * 9 * 9 * 3
    assert size < 2**20
    assert isinstance(load_split(folder, "train", Budget(decoded_mb=1)).images, np.memmap)
    streamed = load_split(folder, "train", STREAMED).images
    assert isinstance(streamed, StreamedImages)
    assert (streamed.shape, streamed.dtype, streamed.nbytes) == ((240, 3, 9, 9), np.uint8, size)


def test_streamed_images_are_those_that_are_mapped(folder):
    for name in ("train", "val", "test"):
        mapped, streamed = both(folder, name)
        assert mapped.keys == streamed.keys
        np.testing.assert_array_equal(mapped.labels, streamed.labels)
        np.testing.assert_array_equal(mapped.images, streamed.images[:])
        np.testing.assert_array_equal(mapped.images[3:7], streamed.images[3:7])
        chosen = np.array([5, 0, 31, 5])
        np.testing.assert_array_equal(mapped.images[chosen], streamed.images[chosen])
        parts = [slice(0, 16), slice(16, 33), np.array([2, 1])]
        for one, other in zip(mapped.in_order(parts), streamed.in_order(parts), strict=True):
            assert torch.equal(one, other)


def test_nothing_is_decoded_to_disk(folder, tmp_path):
    load_split(folder, "train", STREAMED)
    assert not list((tmp_path / "scratch").rglob("*.npy"))


@pytest.mark.parametrize(("batch", "drop"), [(32, True), (7, False), (240, True)])
def test_batches_are_the_same_in_both_ways(folder, batch, drop):
    mapped, streamed = (Batches(split, batch, 5, "cpu", drop) for split in both(folder))
    for epoch in (0, 3):
        equal(list(mapped.epoch(epoch)), list(streamed.epoch(epoch)))


def test_an_epoch_goes_on_in_its_middle(folder):
    mapped, streamed = (Batches(split, 32, 5, "cpu") for split in both(folder))
    for start in (1, 4, 7):
        equal(list(mapped.epoch(2, start)), list(streamed.epoch(2, start)))
    left = streamed.epoch(2)
    first = next(left)
    left.close()  # a training that ends early
    equal([first], list(streamed.epoch(2))[:1])


def test_ranks_have_the_same_images_in_both_ways(folder):
    one, other = both(folder)
    for rank in range(3):
        mapped, streamed = (Batches(split, 16, 1, "cpu", rank=rank, world=3) for split in (one, other))
        equal(list(mapped.epoch(1)), list(streamed.epoch(1)))


@pytest.mark.parametrize("channels", [1, 3])
def test_every_ending_is_read_and_images_may_have_no_label(tmp_path, channels):
    files = photographs(30, channels=channels)
    mapped, streamed = both(write_files(tmp_path / "shards", files, (channels, 20, 20)))
    assert mapped.labels.tolist() == [-1 if label is None else label for _, _, label in files]
    np.testing.assert_array_equal(mapped.images, streamed.images[:])
    for (_, content, _), found in zip(files, mapped.images, strict=True):
        wanted = np.asarray(Image.open(io.BytesIO(content))).reshape(20, 20, channels)
        np.testing.assert_array_equal(found.transpose(1, 2, 0), wanted)


def test_sixteen_bits_stay_sixteen_and_become_values_up_to_255(tmp_path):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 2**16, (24, 8, 8), dtype=np.uint16)
    pixels[0, 0, :3] = 0, 257, 65535
    files = []
    for image in pixels:
        buffer = io.BytesIO()
        np.save(buffer, image[:, :, None])
        files.append(("npy", buffer.getvalue(), 0))
    mapped, streamed = both(write_files(tmp_path / "shards", files, (1, 8, 8), "uint16"))
    assert mapped.images.dtype == streamed.images.dtype == np.uint16
    np.testing.assert_array_equal(mapped.images[:, 0], pixels)
    np.testing.assert_array_equal(streamed.images[:][:, 0], pixels)
    (first,) = mapped.in_order([slice(0, 1)])
    assert first[0, 0, 0, :3].tolist() == [0, 1, 255]
    one, other = (list(Batches(split, 8, 0, "cpu").epoch(0)) for split in (mapped, streamed))
    equal(one, other)
    order = np.random.Generator(np.random.Philox(key=[0, 0])).permutation(24)[:8]
    assert one[0][0].dtype == torch.float32
    np.testing.assert_array_equal(one[0][0][:, 0].numpy(), pixels[order].astype(np.float32) / 257)


def test_pixels_of_another_type_than_the_index_states_are_refused(tmp_path):
    folder = write_files(tmp_path / "shards", photographs(6), (3, 20, 20), "uint16")
    for budget in (Budget(), STREAMED):
        with pytest.raises(
            ValueError, match=r"train-00000.tar: train-000: pixels of type uint8, index.json states uint16"
        ):
            load_split(folder, "train", budget).images[:1]


# --- bounded memory


def test_few_batches_are_read_ahead(folder, monkeypatch):
    split = load_split(folder, "train", STREAMED)
    read, inner = [], split.images._fill
    monkeypatch.setattr(split.images, "_fill", lambda rows, place: read.extend(rows) or inner(rows, place))
    monkeypatch.setattr("eqssl.data.loading.streamed._AHEAD_BYTES", 1)  # two batches then
    batches = Batches(split, 8, 0, "cpu").epoch(0)
    for taken in range(1, 5):
        next(batches)
        time.sleep(0.2)
        assert len(read) <= (taken + 2) * 8
    batches.close()
    time.sleep(0.2)
    assert len(read) <= 7 * 8


def test_few_files_are_open_and_images_stay_the_same(tmp_path, monkeypatch):
    write_source(TinySource(samples(train=300, test=40)), job(count=20), tmp_path / "shards")
    monkeypatch.setattr(tars, "_MOST_OPEN", 3)
    mapped, streamed = both(tmp_path / "shards")
    folder = str(tmp_path / "shards")
    opened = [
        link
        for link in os.listdir("/proc/self/fd")  # noqa: PTH208
        if os.path.realpath(f"/proc/self/fd/{link}").startswith(folder)
    ]
    assert len(opened) <= 3
    one, other = (list(Batches(split, 16, 0, "cpu").epoch(0)) for split in (mapped, streamed))
    equal(one, other)


# --- damage


def flip(path, place=-2000):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (
            lambda path: path.write_bytes(path.read_bytes()[:-512]),
            r"is truncated: \d+ bytes, index.json states",
        ),
        (lambda path: flip(path), r"SHA-256 is [0-9a-f]{64}, index.json states"),
        (lambda path: path.unlink(), "No such file"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "is a named pipe"),
    ],
)
def test_a_damaged_tar_is_named_before_any_image_is_used(folder, damage, reason):
    damage(folder / "val-00001.tar")
    with pytest.raises((ValueError, OSError), match=reason) as caught:
        load_split(folder, "val", STREAMED)
    assert "val-00001.tar" in str(caught.value)
    assert "\n" not in str(caught.value)
    load_split(folder, "test", STREAMED)


def test_an_image_that_cannot_be_decoded_is_named_when_its_batch_is_due(tmp_path):
    files = photographs(40)
    files[25] = ("png", b"nonsense", 1)
    split = load_split(write_files(tmp_path / "shards", files, (3, 20, 20)), "val", STREAMED)
    parts = split.images.in_order([np.arange(0, 20), np.arange(20, 40)])
    next(parts)
    with pytest.raises(ValueError, match=r"val-00001.tar: val-025: cannot be decoded as an image"):
        next(parts)


def test_an_index_that_does_not_tell_what_the_tars_hold_is_refused(folder):
    from sealed import resealed

    resealed(
        folder / "index.json",
        lambda values: values["splits"]["test"]["keys"].__setitem__(4, "unknown"),
    )
    with pytest.raises(ValueError, match=r"test-00000.tar: image 4: its key is .* 'unknown'"):
        load_split(folder, "test", STREAMED)


def test_a_tar_that_changes_under_the_run_is_named(folder):
    time.sleep(0.2)
    split = load_split(folder, "train", STREAMED)
    path = folder / "train-00001.tar"
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"\x07\x07\x07")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ValueError, match=r"train-00001.tar: SHA-256 is [0-9a-f]{64}, index.json states"):
        list(Batches(split, 16, 0, "cpu").epoch(0))


def test_a_tar_that_is_touched_under_the_run_is_read_on(folder):
    mapped, split = both(folder)
    (folder / "train-00001.tar").touch()
    equal(*(list(Batches(s, 16, 0, "cpu").epoch(0)) for s in (mapped, split)))


def test_a_tar_is_hashed_once_by_all_processes(folder, monkeypatch):
    seen, inner = [], tars.hashed
    time.sleep(0.2)
    monkeypatch.setattr(tars, "hashed", lambda file, path: seen.append(path) or inner(file, path))
    for _ in range(3):
        load_split(folder, "train", STREAMED)
    assert len(seen) == sum(tar.split == "train" for tar in ShardIndex.load(folder).tars)
    (folder / "train-00000.tar").touch()
    load_split(folder, "train", STREAMED)
    assert seen[-1] == folder / "train-00000.tar"
