"""NumPy archives: every value arrives, and what does not fit is named."""

import io
import zipfile

import numpy as np
import pytest

from eqssl.config.sources import SourceSettings
from eqssl.data.sources import open_source

random = np.random.default_rng(0)


def opened(path, **more):
    return open_source(SourceSettings.read({"source": "npz", "path": str(path), **more}))


def saved(path, save=np.savez, **arrays):
    save(path, **arrays)
    return path


def images(count, shape=(8, 8, 3), dtype=np.uint8):
    if np.dtype(dtype).kind == "f":
        return random.normal(size=(count, *shape)).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, (count, *shape), dtype, endpoint=True)


def medmnist(shape=(28, 28), dtype=np.uint8):
    arrays = {}
    for split, count in (("train", 7), ("val", 3), ("test", 4)):
        arrays[f"{split}_images"] = images(count, shape, dtype)
        arrays[f"{split}_labels"] = (np.arange(count) % 3)[:, None]
    return arrays


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3), (64, 64, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_medmnist_is_read_value_by_value(tmp_path, save, shape, dtype):
    arrays = medmnist(shape, dtype)
    source = opened(saved(tmp_path / "a.npz", save, **arrays))
    samples = list(source.samples())
    assert source.count() == len(samples) == 14
    assert source.classes == ("0", "1", "2")
    assert source.notes == ()
    assert [sample.split for sample in samples] == ["train"] * 7 + ["val"] * 3 + ["test"] * 4
    assert len({sample.key for sample in samples}) == 14
    for sample in samples:
        expected = arrays[f"{sample.split}_images"][sample.index].reshape(*shape[:2], -1)
        assert sample.image.dtype == dtype
        np.testing.assert_array_equal(sample.image, expected)
        assert sample.label == arrays[f"{sample.split}_labels"][sample.index, 0]
        assert sample.name == f"{sample.split}_images[{sample.index}]"


@pytest.mark.parametrize(("pictures", "labels"), [("images", "labels"), ("x", "y")])
def test_arrays_without_splits_say_nothing_of_a_split(tmp_path, pictures, labels):
    values = images(5)
    path = saved(tmp_path / "a.npz", **{pictures: values, labels: np.array(list("baabb")), "other": [1]})
    source = opened(path)
    samples = list(source.samples())
    assert source.classes == ("a", "b")
    assert [(sample.label, sample.split) for sample in samples] == [(i, None) for i in (1, 0, 0, 1, 1)]
    np.testing.assert_array_equal(np.stack([sample.image for sample in samples]), values)
    assert source.notes == ("Arrays that were left out: 'other'.",)


def test_names_of_arrays_can_be_given(tmp_path):
    arrays = {"pic_train": images(3), "pic_test": images(2), "kind": np.arange(3)}
    arrays |= {"kind_train": np.arange(3), "kind_test": np.arange(2), "who": np.array(list("abc"))}
    path = saved(tmp_path / "a.npz", **arrays)
    source = opened(path, images="pic_{split}", labels="kind_{split}")
    assert [(s.split, s.label) for s in source.samples()] == [
        ("train", 0),
        ("train", 1),
        ("train", 2),
        ("test", 0),
        ("test", 1),
    ]
    source = opened(path, images="pic_train", labels="kind", groups="who")
    assert [(s.split, s.label, s.group) for s in source.samples()] == [
        (None, 0, "a"),
        (None, 1, "b"),
        (None, 2, "c"),
    ]


def test_arrays_that_are_taken_for_one_split_are_named(tmp_path):
    names = ("train_images", "val_images", "validation_images")
    source = opened(saved(tmp_path / "a.npz", **{name: images(2) for name in names}))
    assert [sample.split for sample in source.samples()] == ["train"] * 2 + ["val"] * 4
    assert "Several arrays are taken as val: 'val_images', 'validation_images'." in source.notes


def test_keras_names_and_groups_are_known(tmp_path):
    arrays = {"x_train": images(2), "y_train": [1, 2], "x_test": images(1), "y_test": [1]}
    source = opened(saved(tmp_path / "a.npz", **arrays))
    assert [(s.split, s.label) for s in source.samples()] == [("train", 0), ("train", 1), ("test", 0)]
    assert source.classes == ("1", "2")
    source = opened(saved(tmp_path / "b.npz", images=images(2), groups=np.array(["p1", "p2"])))
    assert [(s.label, s.group) for s in source.samples()] == [(None, "p1"), (None, "p2")]
    assert source.notes == ("images has no labels.",)


def test_labels_can_be_missing_in_part_or_left_alone(tmp_path):
    path = saved(tmp_path / "a.npz", images=images(4), labels=np.array([2.0, np.nan, -1, 0]))
    source = opened(path)
    assert source.classes == ("0", "2")
    assert [sample.label for sample in source.samples()] == [1, None, None, 0]
    source = opened(path, labelled=False)
    assert source.classes == ()
    assert [sample.label for sample in source.samples()] == [None] * 4


def test_several_labels_for_an_image_are_refused_with_a_way_out(tmp_path):
    path = saved(tmp_path / "chest.npz", train_images=images(3), train_labels=np.zeros((3, 14), int))
    with pytest.raises(ValueError, match=r"chest.npz: train_labels: .*\(3, 14\).*`labelled: false`"):
        opened(path)
    assert opened(path, labelled=False).count() == 3


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([True, False] * 32).reshape(1, 8, 8), np.uint8),
        (images(1, (8, 8), np.int16), np.float32),
        (images(1, (8, 8), np.float64), np.float32),
        (images(1, (8, 8), np.float16), np.float32),
        (images(1, (8, 8), np.uint16).astype(np.uint32), np.float32),
        (images(1, (8, 8), np.uint16).astype(">u2"), np.uint16),
    ],
)
def test_other_types_become_one_that_holds_them(tmp_path, values, expected):
    source = opened(saved(tmp_path / "a.npz", images=values))
    (sample,) = source.samples()
    assert sample.image.dtype == expected
    assert sample.image.dtype.isnative
    factor = 255 if values.dtype == bool else 1
    np.testing.assert_array_equal(sample.image[:, :, 0], values[0].astype(expected) * expected(factor))
    changed = values.dtype.newbyteorder("=") != expected
    assert any("becomes float32" in note or "become 255" in note for note in source.notes) == changed


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 64, 64)])
def test_channels_in_front_are_taken_if_nothing_else_makes_sense(tmp_path, shape):
    values = images(2, shape)
    source = opened(saved(tmp_path / "a.npz", images=values))
    found = np.stack([sample.image for sample in source.samples()])
    np.testing.assert_array_equal(found, np.moveaxis(values, 1, 3))
    assert "images is read as images, channels, rows, columns." in source.notes


def replaced(path, name, content):
    """The archive with another member of that name."""
    with zipfile.ZipFile(path) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    members[name] = content
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for member, data in members.items():
            new.writestr(member, data)


def header(shape, descr="|u1", fortran=False):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": fortran, "shape": shape})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": images(3), "labels": [0, 1]}, "labels: has 2 entries for 3 images"),
        ({"images": images(2, (28, 28, 28))}, r"images: .*\(2, 28, 28, 28\).* volumes"),
        ({"images": images(2, (64, 64, 64))}, "images: .* volumes"),
        ({"images": images(2, (16, 64, 64))}, "images: .* volumes"),
        ({"images": images(1, (4, 8, 8, 3))}, "images: .*store slices"),
        ({"images": images(64, (64, 3))}, "looks like one image"),
        ({"images": np.zeros((4, 4))}, "images: has the shape"),
        ({"images": np.zeros((0, 4, 4))}, "at least one"),
        ({"images": np.array([["a"]])}, "images: holds <U1"),
        ({"images": np.zeros((1, 4, 4), complex)}, "images: holds complex128"),
        ({"images": np.asfortranarray(images(3))}, "images: is in Fortran order"),
        ({"images": np.array([{}, []], object)}, "images: holds Python objects"),
        ({"images": images(1), "labels": np.array([{}], object)}, "labels: holds Python objects"),
        ({"images": images(1), "labels": [0.5]}, "label 0 is 0.5"),
        ({"images": images(1), "labels": ["a\nb"]}, r"label 0 is 'a\\nb'"),
        ({"pictures": images(1)}, r"has no array of images \(has 'pictures'\)"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, arrays, message):
    path = saved(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=message) as caught:
        opened(path)
    assert "a.npz: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_that_float32_does_not_hold_are_refused(tmp_path):
    for values in (np.full((1, 4, 4), 2**24 + 1), np.full((1, 4, 4), 1e300)):
        source = opened(saved(tmp_path / "a.npz", images=values))
        with pytest.raises(ValueError, match=r"a.npz: images: image 0: .*float32"):
            list(source.samples())


@pytest.mark.parametrize("key", ["images", "labels", "groups"])
def test_an_array_that_the_settings_name_must_be_there(tmp_path, key):
    path = saved(tmp_path / "a.npz", images=images(1))
    with pytest.raises(ValueError, match=r"a.npz: has no array 'q' \(has 'images'\)"):
        opened(path, **{key: "q"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header((10**12, 28, 28)), "states 1000000000000 images"),
        (header((2, 10**6, 10**6)), "bytes for one image"),
        (header((2**20, 28, 28)), "holds 0 bytes of data, its header states 822083584"),
        (header((3, 8, 8)) + bytes(191), "holds 191 bytes of data, its header states 192"),
        (header((3, 8, 8)) + bytes(193), "holds 193 bytes"),
        (header((-1, 8, 8)), "at least one|header"),
        (b"", "images"),
        (b"\x93NUMPY\x03\x00" + bytes(100), "format version"),
        (b"\x93NUMPY\x01\x00\xe8\x03" + b"(" * 1000, "images: .*header"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"{}", "images: "),
        (b"x" * 1000, "images: "),
    ],
)
def test_a_damaged_array_is_named(tmp_path, content, message):
    path = saved(tmp_path / "a.npz", images=images(3, (8, 8)))
    replaced(path, "images.npy", content)
    with pytest.raises(ValueError, match=message) as caught:
        opened(path)
    assert "a.npz: images: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_cut_archive_is_named(tmp_path, share):
    path = saved(tmp_path / "a.npz", **medmnist())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"a.npz: cannot be read as a NumPy archive"):
        opened(path)


def test_a_flipped_byte_is_noticed_by_the_checksum(tmp_path):
    path = saved(tmp_path / "a.npz", images=images(3, (64, 64)))
    content = bytearray(path.read_bytes())
    content[5000] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a.npz: images: .*CRC"):
        list(opened(path).samples())


def test_other_files_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder: is a folder"):
        opened(tmp_path / "folder")
    with pytest.raises(OSError, match="nothing"):
        opened(tmp_path / "nothing.npz")


def test_a_large_archive_is_read_in_little_memory(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.npz"
    head = header((4000, 256, 256))
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("images.npy", "w") as file,
    ):
        file.write(head)
        for _ in range(4000):
            file.write(bytes(256 * 256))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in opened(path).samples()) == 4000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
