"""HDF5 files: every value arrives, nothing else on the disk is read, and what does not fit is named."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from eqssl.config.sources import SourceSettings
from eqssl.data.sources import open_source

h5py = pytest.importorskip("h5py", reason="needs `pip install 'eqssl[hdf5]'`")
random = np.random.default_rng(0)


def opened(path, **more):
    return open_source(SourceSettings.read({"source": "hdf5", "path": str(path), **more}))


def images(count, shape=(8, 8, 3), dtype=np.uint8):
    return random.integers(0, np.iinfo(dtype).max, (count, *shape), dtype, endpoint=True)


def written(path, options=None, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values, **(options or {} if name in ("x", "images") else {}))
    return path


CHUNKED = {"chunks": (2, 8, 8, 3), "compression": "gzip"}


@pytest.mark.parametrize("options", [None, CHUNKED, {"chunks": True}])
def test_galaxy10_is_one_file_with_images_and_ans(tmp_path, options):
    values, answers = images(7), np.arange(7) % 3
    path = written(tmp_path / "Galaxy10.h5", options, images=values, ans=answers.astype(np.uint8))
    source = opened(path)
    samples = list(source.samples())
    assert source.count() == len(samples) == 7
    assert source.classes == ("0", "1", "2")
    np.testing.assert_array_equal(np.stack([sample.image for sample in samples]), values)
    assert [sample.label for sample in samples] == answers.tolist()
    assert {sample.split for sample in samples} == {None}
    assert source.notes == ()


def pcam(folder):
    arrays = {}
    for split, count in (("train", 9), ("valid", 4), ("test", 5)):
        values, labels = images(count, (96, 96, 3)), random.integers(0, 2, (count, 1, 1, 1), np.uint8)
        start = f"camelyonpatch_level_2_split_{split}"
        written(folder / f"{start}_x.h5", {"chunks": (2, 96, 96, 3), "compression": "gzip"}, x=values)
        written(folder / f"{start}_y.h5", y=labels)
        (folder / f"{start}_meta.csv").write_text("coord_y,coord_x\n")
        arrays["val" if split == "valid" else split] = values, labels.reshape(-1)
    written(folder / "camelyonpatch_level_2_split_train_mask.h5", mask=np.zeros((9, 96, 96, 1)))
    return arrays


def test_pcam_is_pairs_of_files(tmp_path):
    arrays = pcam(tmp_path)
    source = opened(tmp_path)
    samples = list(source.samples())
    assert source.count() == len(samples) == 18
    assert source.classes == ("0", "1")
    for split, (values, labels) in arrays.items():
        mine = [sample for sample in samples if sample.split == split]
        assert [sample.index for sample in mine] == list(range(len(values)))
        np.testing.assert_array_equal(np.stack([sample.image for sample in mine]), values)
        assert [sample.label for sample in mine] == labels.tolist()
    notes = " ".join(source.notes)
    assert "Left out: " in notes
    assert "train_meta.csv" in notes
    assert "train_mask.h5: arrays that were left out: 'mask'" in notes
    assert opened(tmp_path, labelled=False).classes == ()


def test_several_files_of_a_split_follow_each_other_with_their_labels(tmp_path):
    values = {}
    for number in (0, 1):
        values[number] = images(3)
        written(tmp_path / f"train_x_{number}.h5", x=values[number])
        written(tmp_path / f"train_y_{number}.h5", y=np.full(3, number))
    samples = list(opened(tmp_path).samples())
    assert [sample.label for sample in samples] == [0, 0, 0, 1, 1, 1]
    assert [sample.key for sample in samples] == [f"train-{i:08d}" for i in range(6)]
    found = np.stack([sample.image for sample in samples])
    np.testing.assert_array_equal(found, np.concatenate([values[0], values[1]]))


def test_labels_that_several_files_could_hold_are_refused(tmp_path):
    written(tmp_path / "train_pictures.h5", x=images(3))
    for name in ("a", "b"):
        written(tmp_path / f"train_{name}.h5", y=np.arange(3))
    with pytest.raises(ValueError, match=r"train_pictures.h5: .*several files .*train_a.h5, train_b.h5"):
        opened(tmp_path, files={"train": "train_*.h5"})


def test_names_groups_and_texts(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["data/pictures"] = images(3)
        file["data/kind"] = ["cat", "dog", "cat"]
        file["who"] = np.array([b"p1", b"p1", b"p2"])
    source = opened(path, images="data/pictures", labels="data/kind", groups="who")
    assert source.classes == ("cat", "dog")
    assert [(s.label, s.group) for s in source.samples()] == [(0, "p1"), (1, "p1"), (0, "p2")]


def test_patterns_name_the_files_of_a_split(tmp_path):
    written(tmp_path / "one.h5", x=images(2), y=[0, 1])
    written(tmp_path / "two.h5", x=images(1), y=[0])
    source = opened(tmp_path, files={"train": "one.h5", "test": "t*.h5"})
    assert [sample.split for sample in source.samples()] == ["train", "train", "test"]
    with pytest.raises(ValueError, match=r"files.test: no file .*'three\*'"):
        opened(tmp_path, files={"train": "one.h5", "test": "three*"})
    written(tmp_path / "train.h5", x=images(2), y=[0, 1])
    with pytest.raises(ValueError, match=r"names of some files have no split: 'one.h5', 'two.h5'"):
        opened(tmp_path)


def test_arrays_that_are_taken_for_one_split_are_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("train_x", "val_x", "validation_x"):
            file[name] = images(2)
    source = opened(tmp_path / "a.h5")
    assert [sample.split for sample in source.samples()] == ["train"] * 2 + ["val"] * 4
    assert "a.h5: Several arrays are taken as val: 'val_x', 'validation_x'." in source.notes


def test_names_of_arrays_can_say_the_split(tmp_path):
    path = written(tmp_path / "a.h5", train_x=images(2), train_y=[0, 1], test_x=images(1), test_y=[1])
    found = [(sample.split, sample.label) for sample in opened(path).samples()]
    assert found == [("train", 0), ("train", 1), ("test", 1)]


def elsewhere(folder):
    return written(folder / "secret.h5", x=images(3), y=np.arange(3))


def external_link(folder, path):
    elsewhere(folder)
    with h5py.File(path, "w") as file:
        file["x"] = h5py.ExternalLink("secret.h5", "x")


def link_over_a_link(folder, path):
    elsewhere(folder)
    with h5py.File(path, "w") as file:
        file["there"] = h5py.ExternalLink("secret.h5", "/")
        file["x"] = h5py.SoftLink("/there/x")


def virtual(folder, path):
    elsewhere(folder)
    form = h5py.VirtualLayout((3, 8, 8, 3), np.uint8)
    form[:] = h5py.VirtualSource(folder / "secret.h5", "x", (3, 8, 8, 3))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("x", form)


def external_values(folder, path):
    (folder / "secret.bin").write_bytes(bytes(3 * 8 * 8 * 3))
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (3, 8, 8, 3), np.uint8, external=[("secret.bin", 0, 576)])


@pytest.mark.parametrize("make", [external_link, link_over_a_link, virtual, external_values])
@pytest.mark.parametrize("named", [False, True])
def test_nothing_else_on_the_disk_is_read(tmp_path, make, named):
    path = tmp_path / "a.h5"
    make(tmp_path, path)
    with pytest.raises(ValueError, match=r"a\.h5: ") as caught:
        opened(path, **({"images": "x"} if named else {}))
    assert any(word in str(caught.value) for word in ("is a link", "other files", "has no array of images"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": images(3), "y": [0, 1]}, "y: has 2 entries for 3 images"),
        ({"x": images(3), "y": np.zeros((3, 14))}, r"y: .*\(3, 14\).*`labelled: false`"),
        ({"x": images(2, (28, 28, 28))}, "x: .*volumes"),
        ({"x": np.array(["a", "b"], object)}, "x: .*"),
        ({"x": np.zeros(3, [("a", "u1")])}, "x: holds"),
        ({"x": images(1), "y": np.zeros(1, [("a", "u1")])}, "y: holds"),
        ({"x": np.zeros((0, 8, 8))}, "x: .*at least one"),
        ({"pictures": images(1)}, r"has no array of images \(has 'pictures'\)"),
        ({"train_x": images(2), "train_y": [0, 1], "test_x": images(1), "test_y": [b"1"]}, "same digits"),
        ({"x": images(1), "y": [0.5]}, "y: label 0 is 0.5"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, arrays, message):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            kind = h5py.string_dtype() if np.asarray(values).dtype.hasobject else None
            file.create_dataset(name, data=values, dtype=kind)
    with pytest.raises(ValueError, match=message) as caught:
        opened(path)
    assert "a.h5: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_array_that_states_too_much_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (2, 10**5, 10**5), np.uint8, chunks=(1, 100, 100))
    with pytest.raises(ValueError, match="x: states 10000000000 bytes for one image"):
        opened(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10**5, 100, 100), np.uint8, chunks=(10**5, 100, 100), compression="gzip")
    with pytest.raises(ValueError, match=r"x: has chunks of 1000000000 bytes"):
        list(opened(path).samples())


def packed(count):
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(count)) + packer.flush()


@pytest.mark.parametrize("name", ["x", "y"])
def test_a_chunk_that_expands_to_more_than_a_chunk_takes_no_memory(tmp_path, name):
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (2**20, 1, 1), np.uint8, chunks=(2**20, 1, 1), compression="gzip")
        file.create_dataset("y", (2**20,), np.uint8, chunks=(2**20,), compression="gzip")
        file[name].id.write_direct_chunk((0,) * file[name].ndim, packed(1000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        ValueError, match=rf"a\.h5: {name}: has a chunk that expands to more than its 1048576"
    ):
        list(opened(path).samples())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.parametrize("options", [{"compression": "lzf"}, {"compression": "gzip", "shuffle": True}, {}])
def test_large_chunks_that_are_as_they_should_be_are_read(tmp_path, options):
    values = images(2, (1024, 1024))
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, chunks=(1, 1024, 1024), fletcher32=True, **options)
    found = np.stack([sample.image[:, :, 0] for sample in opened(path).samples()])
    np.testing.assert_array_equal(found, values)


def test_filters_that_could_expand_without_bounds_are_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=images(2), chunks=(1, 8, 8, 3), scaleoffset=0, compression="gzip")
    with pytest.raises(ValueError, match=r"x: has the filters \[.*allowed: gzip or lzf"):
        list(opened(path).samples())


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"no HDF5" * 100,
        lambda content: content[: len(content) // 2],
        lambda content: content[:8] + bytes(len(content) - 8),
        lambda content: bytes(b ^ 255 if i % 50 == 20 else b for i, b in enumerate(content)),
        lambda content: bytes(b ^ 255 if i % 997 == 20 else b for i, b in enumerate(content)),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, damage):
    path = written(tmp_path / "a.h5", CHUNKED, x=images(4), y=np.arange(4))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"a\.h5: ") as caught:
        list(opened(path).samples())
    assert "\n" not in str(caught.value)


def test_damage_in_the_images_is_noticed_while_they_are_read(tmp_path):
    path = written(tmp_path / "a.h5", CHUNKED | {"fletcher32": True}, x=images(4), y=np.arange(4))
    with h5py.File(path) as file:
        place = file["x"].id.get_chunk_info(1).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 20] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.h5: cannot be read as HDF5: ") as caught:
        list(opened(path).samples())
    assert "\n" not in str(caught.value)


def test_pipes_and_missing_files_are_refused(tmp_path):
    import os

    os.mkfifo(tmp_path / "train.h5")
    with pytest.raises(OSError, match=r"train\.h5: is a named pipe"):
        opened(tmp_path)
    with pytest.raises(OSError, match="nothing"):
        opened(tmp_path / "nothing.h5")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: has no files \*\.h5"):
        opened(tmp_path / "empty")


def test_a_large_file_is_read_in_little_memory(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (4000, 256, 256), np.uint8, chunks=(16, 256, 256), compression="gzip")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in opened(Path(path)).samples()) == 4000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
