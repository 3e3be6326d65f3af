import gzip
import io
import json
import lzma
import shutil
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from eqssl.config.sources import SourceSettings
from eqssl.data import sources
from eqssl.data.sources import fashion_mnist
from eqssl.data.sources.idx import read_idx

WHOLE = Path("/usr/share/datasets/fashion-mnist")
needs_whole_set = pytest.mark.skipif(
    not WHOLE.is_dir(), reason="package dataset-fashion-mnist is not installed"
)


def settings(source, **more):
    return SourceSettings.read({"source": source, "turned": False, **more})


def test_an_unknown_source_is_refused_and_the_known_ones_are_listed():
    assert list(SourceSettings.kinds()) == ["fashion_mnist", "fashion_mnist_sample", "parquet"]
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
    train, test = list(source.samples("train")), list(source.samples("test"))
    assert (source.count("train"), source.count("test")) == (len(train), len(test)) == (10_000, 10_000)
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
    assert (whole.count("train"), whole.count("test")) == (60_000, 10_000)
    of_key = {sample.key: sample for split in ("train", "test") for sample in whole.samples(split)}
    sample = sources.open_source(settings("fashion_mnist_sample"))
    for split in ("train", "test"):
        for one in sample.samples(split):
            other = of_key[one.key]
            assert (one.label, one.index, one.split) == (other.label, other.index, other.split)
            assert np.array_equal(one.image, other.image)


def test_sample_takes_no_path():
    with pytest.raises(ValueError, match=r"path: no such setting \(allowed: size, source, turned\)"):
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
    assert sources.open_source(settings("fashion_mnist", path=str(tmp_path))).count("test") == 10_000

    content = bytearray((tmp_path / "t10k-labels-idx1-ubyte").read_bytes())
    content[500] ^= 1
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"t10k-labels-idx1-ubyte: SHA-256 of the uncompressed bytes is .* expected"
    ):
        sources.open_source(settings("fashion_mnist", path=str(tmp_path)))


# --- Parquet


def encoded(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def picture(value, mode="RGB", size=(6, 8)):
    return Image.effect_noise(size, 50 + value).convert(mode)


def write(folder, name, images, labels, *, binary=False, names=None, columns=("image", "label"), **more):
    cells = images if binary else [None if b is None else {"bytes": b, "path": "x.png"} for b in images]
    kind = pa.binary() if binary else pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({columns[0]: pa.array(cells, kind), columns[1]: pa.array(labels, pa.int64())})
    if names:
        features = {columns[0]: {"_type": "Image"}, columns[1]: {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, folder / name, **more)


def parquet(folder, **more):
    return sources.open_source(settings("parquet", path=str(folder), **more))


@pytest.mark.parametrize("binary", [False, True])
def test_parquet_gives_images_labels_and_class_names_in_the_order_of_the_rows(tmp_path, binary):
    pictures = [picture(i) for i in range(5)]
    content = [encoded(one) for one in pictures]
    names = ["cat", "dog"]
    write(tmp_path, "train-00000-of-00002.parquet", content[:2], [0, 1], binary=binary, names=names)
    write(tmp_path, "train-00001-of-00002.parquet", content[2:4], [1, 0], binary=binary, names=names)
    write(tmp_path, "test-00000-of-00001.parquet", content[4:], [1], binary=binary, names=names)
    source = parquet(tmp_path)
    assert source.classes == ("cat", "dog")
    assert (source.count("train"), source.count("test")) == (4, 1)
    train = list(source.samples("train"))
    assert [sample.label for sample in train] == [0, 1, 1, 0]
    assert [sample.key for sample in train] == [f"train-{i:08d}" for i in range(4)]
    assert [sample.index for sample in train] == [0, 1, 2, 3]
    for one, sample in zip(pictures, train, strict=False):
        np.testing.assert_array_equal(sample.image, np.asarray(one))
    assert [sample.key for sample in source.samples("test")] == ["test-00000000"]
    assert str(tmp_path) not in source.origin


def test_parquet_without_metadata_numbers_its_classes(tmp_path):
    content = [encoded(picture(i)) for i in range(4)]
    write(tmp_path, "train.parquet", content, [0, 2, 1, 0], columns=("img", "fine"))
    write(tmp_path, "test.parquet", content[:2], [1, 2], columns=("img", "fine"))
    assert parquet(tmp_path, image_column="img", label_column="fine").classes == ("0", "1", "2")
    write(tmp_path, "test.parquet", content[:2], [1, 10**12], columns=("img", "fine"))
    with pytest.raises(ValueError, match="label 1000000000000 is larger than the number of rows"):
        parquet(tmp_path, image_column="img", label_column="fine")


def test_every_colour_mode_becomes_gray_or_rgb(tmp_path):
    modes = {"L": 1, "1": 1, "LA": 1, "RGB": 3, "RGBA": 3, "P": 3}
    write(tmp_path, "train.parquet", [encoded(picture(1, mode)) for mode in modes], [0] * len(modes))
    write(tmp_path, "test.parquet", [encoded(picture(1), "JPEG"), encoded(picture(1, "I;16"))], [0, 0])
    source = parquet(tmp_path)
    assert [sample.image.shape for sample in source.samples("train")] == [(8, 6, c) for c in modes.values()]
    test = source.samples("test")
    assert next(test).image.shape == (8, 6, 3)
    with pytest.raises(ValueError, match=r"test.parquet: row 1 \(test-00000001\): .*more than 8 bits"):
        next(test)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda png: png[: len(png) // 2], "cannot be decoded as an image"),
        (lambda png: b"nonsense", "cannot be decoded as an image"),
        (lambda png: png[:60] + bytes(10) + png[70:], "cannot be decoded as an image"),
        (lambda png: b"", "has no image bytes"),
        (lambda png: None, "has no image bytes"),
    ],
)
def test_bad_image_bytes_name_file_row_and_key(tmp_path, damage, reason):
    content = [encoded(picture(i)) for i in range(3)]
    write(tmp_path, "train-0.parquet", content, [0, 1, 0])
    write(tmp_path, "train-1.parquet", [content[0], damage(content[1])], [0, 1])
    write(tmp_path, "test.parquet", content, [0, 1, 0])
    train = parquet(tmp_path).samples("train")
    assert len([next(train) for _ in range(4)]) == 4
    with pytest.raises(ValueError, match=rf"train-1.parquet: row 1 \(train-00000004\): {reason}") as caught:
        next(train)
    assert "\n" not in str(caught.value)


def test_parquet_errors_name_the_file(tmp_path):
    content = [encoded(picture(i)) for i in range(2)]
    with pytest.raises(ValueError, match="path: is missing"):
        settings("parquet")
    with pytest.raises(ValueError, match=r"has no train\*.parquet"):
        parquet(tmp_path)
    write(tmp_path, "train.parquet", content, [0, None])
    with pytest.raises(ValueError, match=r"has no test\*.parquet"):
        parquet(tmp_path)
    write(tmp_path, "test.parquet", content, [0, 1])
    with pytest.raises(ValueError, match=r"train.parquet: row 1 \(train-00000001\): has no label"):
        list(parquet(tmp_path).samples("train"))
    with pytest.raises(
        ValueError, match=r"train.parquet: has no column 'picture'; its columns: image, label"
    ):
        parquet(tmp_path, image_column="picture")
    with pytest.raises(ValueError, match=r"column 'label' is int64, allowed: binary"):
        parquet(tmp_path, image_column="label")
    with pytest.raises(ValueError, match=r"column 'image' is struct.*, allowed: integers"):
        parquet(tmp_path, label_column="image")
    write(tmp_path, "test.parquet", content, [0, 1], names=["a", "b"])
    with pytest.raises(ValueError, match=r"test.parquet: names other classes than .*train.parquet"):
        parquet(tmp_path)
    (tmp_path / "test.parquet").write_bytes(b"PAR1 no PAR1")
    with pytest.raises(ValueError, match=r"test.parquet: cannot be read as Parquet"):
        parquet(tmp_path)


def test_parquet_is_read_a_few_rows_at_a_time(tmp_path):
    content = [encoded(picture(i)) for i in range(200)]
    for name in ("train.parquet", "test.parquet"):
        write(tmp_path, name, content, [0] * 200, row_group_size=100, compression="zstd")
    path = tmp_path / "train.parquet"
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    damaged = bytearray(path.read_bytes())
    damaged[start : start + 64] = bytes(64)
    path.write_bytes(damaged)
    train = parquet(tmp_path).samples("train")
    assert len([next(train) for _ in range(64)]) == 64  # the damage lies further on
    with pytest.raises(ValueError, match=r"train.parquet: cannot be read as Parquet"):
        list(train)
