import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sealed import resealed
from tiny_source import TinySource, images_of, job, samples

from eqssl.data.loading.batches import Batches, load_split
from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_source
from eqssl.machine.scratch import scratch


def cached(tmp_path):
    return sorted((tmp_path / "scratch" / "decoded").glob("*.npy"))


# --- load_split


def test_split_holds_the_images_in_the_order_of_the_index(folder, tmp_path):
    truth, labels = images_of(folder), {sample.key: sample.label for sample in samples(300, 40)}
    sizes = {"train": 240, "val": 60, "test": 40}
    for name, size in sizes.items():
        split = load_split(folder, name)
        assert len(split) == len(split.keys) == size
        assert split.images.shape == (size, 3, 9, 9)
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert isinstance(split.images, np.memmap)
        assert not split.images.flags.writeable
        assert tuple(split.keys) == split.index.splits[name].keys
        for i, key in enumerate(split.keys):
            np.testing.assert_array_equal(split.images[i].transpose(1, 2, 0), truth[key])
            assert split.labels[i] == labels[key]
    assert len(cached(tmp_path)) == 3
    with pytest.raises(ValueError, match="split: given 'validation', allowed: train, val, test"):
        load_split(folder, "validation")


def test_later_loads_decode_nothing(folder, tmp_path):
    first = load_split(folder, "test")
    (path,) = cached(tmp_path)
    stamp = path.stat().st_mtime_ns
    for tar in folder.glob("*.tar"):
        tar.unlink()
    np.testing.assert_array_equal(load_split(folder, "test").images, first.images)
    assert path.stat().st_mtime_ns == stamp
    path.unlink()  # negative control: now the tars are needed
    with pytest.raises(FileNotFoundError, match=r"test-00000.tar"):
        load_split(folder, "test")


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-1], lambda c: b"", lambda c: c[:50], lambda c: b"x" + c[1:]]
)
def test_a_damaged_cache_is_decoded_again(folder, tmp_path, damage):
    truth = np.array(load_split(folder, "test").images)
    (path,) = cached(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(load_split(folder, "test").images, truth)
    assert len(list(path.parent.iterdir())) == 3  # the array, its note and its lock


def test_other_shards_never_share_the_cache(folder, tmp_path):
    write_source(TinySource(samples(300, 40, shape=(9, 9, 3), seed=1)), job(count=2), tmp_path / "other")
    one, other = load_split(folder, "test"), load_split(tmp_path / "other", "test")
    assert not np.array_equal(one.images, other.images)
    assert len(cached(tmp_path)) == 2


def test_the_scratch_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("DVC_ROOT", "/dvc")
    monkeypatch.setenv("EQSSL_SCRATCH", "/own")
    assert scratch() == Path("/own")
    monkeypatch.delenv("EQSSL_SCRATCH")
    assert scratch() == Path("/dvc/.scratch")
    monkeypatch.delenv("DVC_ROOT")
    assert scratch() == Path(".scratch")


def test_several_processes_may_load_at_once(folder, tmp_path):
    code = (
        "import sys, hashlib; from eqssl.data.loading.batches import load_split; "
        "print(hashlib.sha256(load_split(sys.argv[1], 'train').images.tobytes()).hexdigest())"
    )
    command = [sys.executable, "-c", code, str(folder)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found = {run.communicate()[0].strip() for run in runs}
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert found == {hashlib.sha256(load_split(folder, "train").images.tobytes()).hexdigest()}
    assert len(cached(tmp_path)) == 1
    assert not list((tmp_path / "scratch").rglob("*.tmp"))


# --- damage


def refused(folder, tmp_path, reason, split="val"):
    with pytest.raises(ValueError, match=reason) as caught:
        load_split(folder, split)
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "scratch").rglob("*") if path.suffix in {".npy", ".tmp"}]


def test_a_truncated_tar_is_an_error(folder, tmp_path):
    tar = folder / "val-00001.tar"
    tar.write_bytes(tar.read_bytes()[:-512])
    refused(folder, tmp_path, r"val-00001.tar: is truncated: \d+ bytes, index.json states \d+")
    tar.write_bytes(b"")
    refused(folder, tmp_path, r"val-00001.tar: is truncated: 0 bytes")
    load_split(folder, "test")  # the other splits are whole


def test_a_flipped_bit_in_a_tar_is_an_error(folder, tmp_path):
    tar = folder / "val-00001.tar"
    content = bytearray(tar.read_bytes())
    content[len(content) // 2] ^= 1
    tar.write_bytes(content)
    refused(folder, tmp_path, r"val-00001.tar: SHA-256 is [0-9a-f]{64}, index.json states [0-9a-f]{64}")


def rewritten(folder, tar, key, png):
    """Overwrite an image and make index.json agree, so that only decoding can notice it."""
    index = ShardIndex.load(folder)
    columns = index.splits["val"]
    i = columns.keys.index(key)
    content = bytearray((folder / tar).read_bytes())
    start, size = columns.offset[i], columns.size[i]
    content[start : start + size] = png[:size].ljust(size, b"\0")
    (folder / tar).write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    resealed(folder / "index.json", lambda values: values["tars"][columns.tar[i]].update(sha256=found))


def test_an_image_that_cannot_be_decoded_or_has_another_shape_is_an_error(folder, tmp_path):
    index = ShardIndex.load(folder)
    columns = index.splits["val"]
    key, tar = columns.keys[7], index.tars[columns.tar[7]].name
    rewritten(folder, tar, key, b"nonsense")
    refused(folder, tmp_path, rf"{tar}: {key}: cannot be decoded as an image")

    write_source(TinySource(samples(40, 12, shape=(4, 4, 1))), job(count=2), tmp_path / "small")
    small = ShardIndex.load(tmp_path / "small")
    place = small.splits["test"]
    png = (tmp_path / "small" / small.tars[place.tar[0]].name).read_bytes()[place.offset[0] :][
        : place.size[0]
    ]
    rewritten(folder, tar, key, png)
    refused(folder, tmp_path, rf"{tar}: {key}: image of shape \(1, 4, 4\), index.json states \(3, 9, 9\)")


# --- Batches


def test_batches_follow_the_permutation_of_seed_and_epoch(folder):
    split = load_split(folder, "train")
    batches = Batches(split, 32, seed=5, device="cpu")
    assert len(batches) == 7
    for epoch in (0, 1):
        order = np.random.Generator(np.random.Philox(key=[5, epoch])).permutation(240)
        steps = list(batches.epoch(epoch))
        assert len(steps) == 7
        for step, (images, labels) in enumerate(steps):
            rows = order[step * 32 : step * 32 + 32]
            assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
            np.testing.assert_array_equal(images.numpy(), split.images[rows])
            np.testing.assert_array_equal(labels.numpy(), split.labels[rows])


def seen(batches, epoch=0, start=0):
    return [images.numpy().tobytes() for images, _ in batches.epoch(epoch, start)]


def test_epochs_and_seeds_differ_and_repeat(folder):
    split = load_split(folder, "train")
    first = Batches(split, 32, 5, "cpu")
    assert seen(first) == seen(Batches(split, 32, 5, "cpu")) == seen(first)
    assert seen(first) != seen(first, epoch=1)
    assert seen(first) != seen(Batches(split, 32, 6, "cpu"))
    seen(Batches(split, 32, 2**63 - 1, "cpu"), epoch=2**40)


def test_an_epoch_can_start_at_any_step(folder):
    batches = Batches(load_split(folder, "train"), 32, 5, "cpu")
    whole = seen(batches, epoch=3)
    for start in (0, 1, 4, 7):
        assert seen(batches, epoch=3, start=start) == whole[start:]
    for start in (-1, 8):
        with pytest.raises(ValueError, match=rf"start: given {start}, allowed: 0 to 7"):
            next(batches.epoch(3, start))


def test_every_image_comes_once_an_epoch_when_nothing_is_dropped(folder):
    split = load_split(folder, "train")
    batches = Batches(split, 32, 5, "cpu", drop_last=False)
    sizes = [len(labels) for _, labels in batches.epoch(0)]
    assert sizes == [32] * 7 + [16]
    assert len(batches) == 8
    images = [image.numpy().tobytes() for batch, _ in batches.epoch(0) for image in batch]
    assert sorted(images) == sorted(image.tobytes() for image in split.images)


def test_ranks_share_an_epoch_equally(folder):
    split = load_split(folder, "train")
    parts = []
    for rank in range(7):
        batches = Batches(split, 10, 5, "cpu", drop_last=False, rank=rank, world=7)
        assert len(batches) == 4
        parts.append([image.numpy().tobytes() for batch, _ in batches.epoch(0) for image in batch])
    assert {len(part) for part in parts} == {240 // 7}
    assert len(set().union(*parts)) == 7 * (240 // 7)
    with pytest.raises(ValueError, match=r"rank: given 2, allowed: 0 to 1"):
        Batches(split, 10, 5, "cpu", rank=2, world=2)


def test_batch_size_beyond_the_split_is_an_error(folder):
    split = load_split(folder, "test")
    assert len(Batches(split, 40, 0, "cpu")) == 1
    with pytest.raises(
        ValueError, match=r"batch_size: given 41, allowed: 1 to 40, the images of split test of tiny"
    ):
        Batches(split, 41, 0, "cpu")


def test_batches_are_copies_and_give_no_warning(folder, recwarn):
    split = load_split(folder, "test")
    before = np.array(split.images)
    for images, labels in Batches(split, 8, 0, "cpu").epoch(0):
        images.zero_()
        labels.zero_()
    np.testing.assert_array_equal(split.images, before)
    assert split.labels.any()
    assert not [warning for warning in recwarn if "writable" in str(warning.message)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("budget", [2**31, 0])
def test_on_a_device_the_batches_are_the_same(folder, monkeypatch, budget):
    monkeypatch.setattr("eqssl.data.loading.batches._RESIDENT_BYTES", budget)
    split = load_split(folder, "train")
    expected = list(Batches(split, 32, 5, "cpu").epoch(2))
    found = list(Batches(split, 32, 5, "cuda").epoch(2))
    assert {images.device.type for images, _ in found} == {"cuda"}
    for (images, labels), (more, others) in zip(expected, found, strict=True):
        assert torch.equal(images, more.cpu())
        assert torch.equal(labels, others.cpu())
