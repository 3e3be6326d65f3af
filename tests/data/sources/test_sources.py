import gzip
import lzma
import shutil
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from eqssl.config.sources import SourceSettings
from eqssl.data import sources
from eqssl.data.sources import fashion_mnist
from eqssl.data.sources.arrays.idx import read_idx

WHOLE = Path("/usr/share/datasets/fashion-mnist")
needs_whole_set = pytest.mark.skipif(
    not WHOLE.is_dir(), reason="package dataset-fashion-mnist is not installed"
)


def settings(source, **more):
    return SourceSettings.read({"source": source, "turned": False, **more})


def by_split(source):
    """The training and the test images."""
    samples = list(source.samples())
    assert {sample.split for sample in samples} == {"train", "test"}
    return tuple([sample for sample in samples if sample.split == split] for split in ("train", "test"))


def test_an_unknown_source_is_refused_and_the_known_ones_are_listed():
    known = (
        "fashion_mnist fashion_mnist_sample folder hdf5 hub npz nuclei parquet sky textures tissue webdataset"
    )
    assert list(SourceSettings.kinds()) == known.split()
    with pytest.raises(ValueError, match=r"source: given 'mnist', allowed: .*fashion_mnist"):
        settings("mnist")


# --- IDX


def idx(array, code):
    big = array.astype(array.dtype.newbyteorder(">"))
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + big.tobytes()


@pytest.mark.parametrize(
    ("kind", "code"), [("u1", 8), ("i1", 9), ("i2", 11), ("i4", 12), ("f4", 13), ("f8", 14)]
)
@pytest.mark.parametrize(
    ("suffix", "compress"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)]
)
def test_idx_is_read_plain_and_compressed(tmp_path, kind, code, suffix, compress):
    array = np.arange(-3, 21).reshape(2, 3, 4).astype(kind)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(compress(idx(array, code)))
    found = read_idx(path)
    assert found.dtype == np.dtype(kind)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a", b"\x89PNG....", "not an IDX file"),
        ("a", b"", "not an IDX file"),
        ("a", idx(np.zeros(5, "u1"), 8)[:-1], "holds 4 bytes of data, its header states 5"),
        ("a", idx(np.zeros(5, "u1"), 8) + b"x", "holds 6 bytes of data, its header states 5"),
        ("a.gz", gzip.compress(bytes(100), mtime=0)[:-9], "cannot be decompressed"),
        ("a.xz", lzma.compress(bytes(100))[:-9], "cannot be decompressed"),
        ("a.xz", b"not xz", "cannot be decompressed"),
    ],
    ids=["not IDX", "empty", "short", "long", "cut gz", "cut xz", "not xz"],
)
def test_damaged_idx_is_an_error_that_names_the_file(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: {reason}"):
        read_idx(tmp_path / name)


# --- Fashion-MNIST


def test_embedded_sample_is_balanced_and_has_the_whole_test_split():
    source = sources.open_source(settings("fashion_mnist_sample"))
    train, test = by_split(source)
    assert source.count() == len(train) + len(test) == 20_000
    assert Counter(sample.label for sample in train) == dict.fromkeys(range(10), 1000)
    assert Counter(sample.label for sample in test) == dict.fromkeys(range(10), 1000)
    assert len({sample.key for sample in train + test}) == 20_000
    assert len({sample.image.tobytes() for sample in train + test}) == 20_000
    assert {(sample.image.shape, sample.image.dtype.str) for sample in train} == {((28, 28, 1), "|u1")}
    assert len(source.classes) == 10
    assert "Zalando" in source.licence
    assert [sample.index for sample in train] != list(range(10_000))


@needs_whole_set
def test_embedded_sample_is_part_of_the_whole_set():
    whole = sources.open_source(settings("fashion_mnist"))
    of_key = {sample.key: sample for sample in whole.samples()}
    assert whole.count() == len(of_key) == 70_000
    for one in sources.open_source(settings("fashion_mnist_sample")).samples():
        other = of_key[one.key]
        assert (one.label, one.index, one.split) == (other.label, other.index, other.split)
        assert np.array_equal(one.image, other.image)


def test_sample_takes_no_path():
    with pytest.raises(ValueError, match=r"path: no such setting \(allowed: .*size, source, store, turned\)"):
        settings("fashion_mnist_sample", path="/x")


def test_missing_whole_set_names_the_package_and_the_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "nothing")
    with pytest.raises(
        ValueError, match=rf"train-images-idx3-ubyte .*{tmp_path}.*nothing.*dataset-fashion-mnist"
    ):
        sources.open_source(settings("fashion_mnist", path=str(tmp_path)))


@needs_whole_set
def test_corrupt_copy_is_refused_and_a_good_one_read_from_the_path(tmp_path, monkeypatch):
    for file in WHOLE.glob("*.gz"):
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "nothing")
    for compress, suffix in ((bytes, ""), (lzma.compress, ".xz")):
        good = (tmp_path / "t10k-labels-idx1-ubyte.gz").read_bytes()
        (tmp_path / f"t10k-labels-idx1-ubyte{suffix}").write_bytes(compress(gzip.decompress(good)))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    assert sources.open_source(settings("fashion_mnist", path=str(tmp_path))).count() == 70_000

    content = bytearray((tmp_path / "t10k-labels-idx1-ubyte").read_bytes())
    content[500] ^= 1
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"t10k-labels-idx1-ubyte: SHA-256 of the uncompressed bytes is .* expected"
    ):
        sources.open_source(settings("fashion_mnist", path=str(tmp_path)))
