"""A user's own WebDataset tars: bytes arrive as they are, and every member is taken, named or refused."""

import gzip
import io
import json
import os
import re
import tarfile

import numpy as np
import pytest
import webdataset
from PIL import Image

from eqssl.config.sources import SourceSettings
from eqssl.data.images import decode
from eqssl.data.sources import open_source

random = np.random.default_rng(0)


def opened(path, **more):
    return open_source(SourceSettings.read({"source": "webdataset", "path": str(path), **more}))


def picture(form="PNG", size=8):
    buffer = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (size, size, 3), np.uint8)).save(buffer, form)
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def tar(path, members, form=tarfile.PAX_FORMAT):
    """A tar of (name, content), or of TarInfos."""
    with tarfile.open(path, "w", format=form) as file:
        for name, content in members:
            if isinstance(name, tarfile.TarInfo):
                file.addfile(name)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def test_tars_of_webdatasets_own_writer_are_read_with_their_splits(tmp_path):
    kept = {}
    for split, shards in (("train", 2), ("val", 1), ("test", 1)):
        for shard in range(shards):
            with webdataset.TarWriter(str(tmp_path / f"cells-{split}-{shard:04d}.tar")) as file:
                for i in range(3):
                    content = picture("JPEG")
                    file.write({"__key__": f"{shard:02d}{i:04d}", "jpg": content, "cls": i % 2})
                    kept[split, shard * 3 + i] = content, i % 2
    source = opened(tmp_path)
    samples = list(source.samples())
    assert source.count() == len(samples) == 12
    assert source.classes == ("0", "1")
    assert {(s.split, s.index): (s.image, s.label) for s in samples} == kept
    assert len({sample.key for sample in samples}) == 12
    assert next(s.name for s in samples if s.split == "train") == "cells-train-0000.tar/000000.jpg"
    assert source.notes == ("The split of each file is taken from its name.",)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_labels_splits_and_groups_come_from_the_members(tmp_path, form):
    meta = [
        {"what": {"kind": kind}, "part": part, "who": who}
        for kind, part, who in (("dog", "train", 7), ("cat", "validation", "b"), (None, "test", "c"))
    ]
    members = []
    for i, values in enumerate(meta):
        members += [(f"d/{i}.png", picture()), (f"d/{i}.json", json.dumps(values).encode())]
    source = opened(
        tar(tmp_path / "a.tar", members, form), label="json:what.kind", split="json:part", group="json:who"
    )
    assert source.classes == ("cat", "dog")
    assert [(s.label, s.split, s.group) for s in source.samples()] == [
        (1, "train", "7"),
        (0, "val", "b"),
        (None, "test", "c"),
    ]
    assert "1 of 3 images have no label." in source.notes


def test_a_label_can_be_a_text_and_an_image_can_be_chosen(tmp_path):
    members = []
    for i, name in enumerate((b"red giant\n", b"dwarf", b" red giant ")):
        members += [
            (f"{i}.input.png", picture()),
            (f"{i}.target.png", picture()),
            (f"{i}.TXT", name),
            (f"{i}.note.md", b""),
        ]
    path = tar(tmp_path / "a.tar", members)
    source = opened(path, image="input.png", label="txt")
    assert source.classes == ("dwarf", "red giant")
    assert [sample.label for sample in source.samples()] == [1, 0, 1]
    assert [sample.image for sample in source.samples()] == [members[i][1] for i in (0, 4, 8)]
    assert source.notes == ("Members with these endings were left out: note.md (3), target.png (3).",)
    assert opened(path, image="input.png", labelled=False, label="txt").classes == ()
    with pytest.raises(ValueError, match=r"a\.tar: has no images"):
        opened(path)


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (random.integers(0, 2**16, (8, 9, 5), np.uint16), np.uint16),
        (random.normal(size=(8, 9)).astype(np.float32), np.float32),
        (random.integers(0, 256, (8, 9, 3), np.uint8), np.uint8),
        (random.integers(-5, 5, (8, 9, 1), np.int16), np.float32),
    ],
)
def test_npy_members_keep_their_values(tmp_path, array, dtype):
    (sample,) = opened(tar(tmp_path / "a.tar", [("0.npy", npy(array))])).samples()
    found = decode(sample.image).pixels
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, array.reshape(8, 9, -1).astype(dtype))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([{}], object), "object"),
        (random.normal(size=(8, 9)), "holds float64 values that float32 does not hold exactly"),
        (random.integers(0, 256, (3, 8, 9), np.uint8), r"np\.moveaxis\(array, 0, -1\) puts channels last"),
    ],
)
def test_npy_members_are_read_as_npy_files_are(tmp_path, array, message):
    (sample,) = opened(tar(tmp_path / "a.tar", [("0.npy", npy(array))])).samples()
    with pytest.raises(ValueError, match=message):
        decode(sample.image)


def test_keys_are_made_of_allowed_letters_and_stay_apart(tmp_path):
    names = ["a/b_1", "a-b_1", "A/b_1", "é/" + "x" * 150, "é/" + "x" * 149 + "y", "plain-1"]
    source = opened(tar(tmp_path / "a.tar", [(f"{name}.png", picture()) for name in names]))
    samples = list(source.samples())
    keys = [sample.key for sample in samples]
    assert len(set(keys)) == len(names)
    assert all(re.fullmatch(r"[0-9a-z_-]{1,96}", key) for key in keys)
    assert keys[-1] == "plain-1"
    assert [sample.name for sample in samples] == [f"a.tar/{name}.png" for name in names]


def test_what_is_left_out_is_named(tmp_path):
    members = [
        ("README", b"x"),
        ("._0.png", b"x"),
        ("0.png", picture()),
        ("1.cls", b"3"),
        ("2.png", picture()),
        ("2.cls", b"4"),
    ]
    tar(tmp_path / "a.tar", members)
    (tmp_path / "a.idx").write_text("")
    (tmp_path / "__index__").mkdir()
    (tmp_path / "b.tar.gz").write_bytes(b"")
    source = opened(tmp_path)
    assert [(sample.label) for sample in source.samples()] == [None, 0]
    notes = "\n".join(source.notes)
    assert "Left out: '__index__', 'a.idx', 'b.tar.gz'." in notes
    assert "Left out, without an image: 'a.tar/1.cls'." in notes
    assert "Left out, with a name without a dot or nothing before it: " in notes
    assert "'a.tar/._0.png', 'a.tar/README'" in notes
    assert "1 of 2 images have no label." in notes


def special(kind, **more):
    info = tarfile.TarInfo("1.png")
    info.type = kind
    for name, value in more.items():
        setattr(info, name, value)
    return [(info, None)]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (special(tarfile.SYMTYPE, linkname="/etc/passwd"), "1.png: is a link, a device"),
        (special(tarfile.LNKTYPE, linkname="0.png"), "1.png: is a link, a device"),
        (special(tarfile.FIFOTYPE), "1.png: is a link, a device"),
        (special(tarfile.CHRTYPE), "1.png: is a link, a device"),
        ([("/etc/1.png", b"")], "/etc/1.png: allowed are printable names below"),
        ([("../1.png", b"")], "../1.png: allowed are printable names below"),
        ([("a/../1.png", b"")], "a/../1.png: allowed are"),
        ([("1\n.png", b"")], r"'1\\n.png': allowed are"),
        ([("1.png", b""), ("1.jpg", b"")], "1: has the images jpg, png; name the ending of one with `image`"),
        ([("1.png", b""), ("1.png", b"")], "1.png: occurs twice"),
        ([("1.png", b""), ("2.png", b""), ("1.jpg", b"")], "1: the key is twice in this tar"),
        ([("1.png", b""), ("1.cls", b"0.5")], None),
        ([("1.png", b""), ("1.cls", b"\xff")], "1.cls: is not UTF-8"),
        ([("1.png", b""), ("1.cls", b"a\nb")], "1.cls: label 0 is"),
        ([("1.png", b""), ("1.cls", bytes(70_000))], "1.cls: has 70000 bytes, allowed: at most 65536"),
        ([("1.cls", b"0")], "has no images in its tars"),
        ([("a.1.png", b"")], r"the first dot of a name, are 1\.png \(1\): name one with `image`"),
        ([("1.heic", b""), ("1.cls", b"0")], r"are heic \(1\), cls \(1\)"),
        ([("1.png", b""), ("2.png", b""), ("1.cls", b"0"), ("2.cls", b"1")], "1: its members do not"),
        ([], "has no images in its tars"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, members, message):
    path = tar(tmp_path / "a.tar", members)
    if message is None:
        assert opened(path).classes == ("0.5",)
        return
    with pytest.raises(ValueError, match=message) as caught:
        opened(path)
    assert str(caught.value).startswith(f"{tmp_path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["label", "split", "group"])
@pytest.mark.parametrize("place", ["txt", "json:kind"])
def test_an_entry_that_the_settings_name_must_be_there(tmp_path, key, place):
    path = tar(tmp_path / "a.tar", [("0.png", picture()), ("0.json", b'{"other": 1}')])
    with pytest.raises(ValueError, match=rf"{key}|{place}"):
        opened(path, **{key: place})


@pytest.mark.parametrize(
    "text", [b"{", b'{"kind": []}', b'{"kind": 0.5}', b'{"kind": 1, "kind": 2}', b"[" * 50]
)
def test_json_that_does_not_fit_is_named(tmp_path, text):
    path = tar(tmp_path / "a.tar", [("0.png", picture()), ("0.json", text)])
    with pytest.raises(ValueError, match=r"a\.tar: 0\.json: ") as caught:
        opened(path, label="json:kind")
    assert "\n" not in str(caught.value)


def test_a_key_in_two_tars_of_a_split_is_refused(tmp_path):
    for name in ("train-0.tar", "train-1.tar", "test-0.tar"):
        tar(tmp_path / name, [("0.png", picture())])
    with pytest.raises(ValueError, match=r"train-1\.tar: 0: the key is also in train-0\.tar"):
        opened(tmp_path)
    (tmp_path / "train-1.tar").unlink()
    assert {sample.key for sample in opened(tmp_path).samples()} == {"train-0", "test-0"}


@pytest.mark.parametrize("keep", [100, 512, 700, 1500, 2000])
def test_a_truncated_tar_is_named(tmp_path, keep):
    path = tar(tmp_path / "a.tar", [("0.png", bytes(600)), ("1.png", bytes(100)), ("2.png", bytes(10))])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"a\.tar: "):
        opened(path)


@pytest.mark.parametrize("members", [1, 2, 3])
def test_a_tar_cut_between_two_members_is_named(tmp_path, members):
    path = tar(tmp_path / "a.tar", [(f"{i}.png", bytes(100)) for i in range(3)], tarfile.USTAR_FORMAT)
    path.write_bytes(path.read_bytes()[: members * 1024])
    with pytest.raises(ValueError, match=r"a\.tar: is cut off"):
        opened(path)


def test_a_damaged_header_in_the_middle_loses_no_image_silently(tmp_path):
    path = tar(tmp_path / "a.tar", [(f"{i}.png", bytes(100)) for i in range(3)], tarfile.USTAR_FORMAT)
    content = bytearray(path.read_bytes())
    content[1024 + 150] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.tar: has a damaged header, .* near byte 1024"):
        opened(path)


def test_tars_that_were_joined_are_named(tmp_path):
    one = tar(tmp_path / "a.tar", [("0.png", picture())]).read_bytes()
    two = tar(tmp_path / "b.tar", [("1.png", picture())]).read_bytes()
    (tmp_path / "b.tar").unlink()
    (tmp_path / "a.tar").write_bytes(one + two)
    with pytest.raises(ValueError, match=r"a\.tar: has a damaged header, or another tar joined to it"):
        opened(tmp_path)


def test_stated_sizes_take_no_memory(tmp_path):
    long_name = tarfile.TarInfo("x")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 2**33
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        file.write(long_name.tobuf(tarfile.GNU_FORMAT))
        file.truncate(2**25)
    with pytest.raises(ValueError, match=r"a\.tar: has a table or a name of more than"):
        opened(path)
    image = tarfile.TarInfo("0.png")
    image.size = 2**30
    with path.open("wb") as file:
        file.write(image.tobuf())
        file.truncate(2**30 + 10240)
    with pytest.raises(ValueError, match=r"a\.tar: 0\.png: has 1073741824 bytes, allowed: at most"):
        list(opened(path).samples())


def test_compressed_tars_pipes_and_other_files_are_refused(tmp_path):
    content = tar(tmp_path / "a.tar", [("0.png", picture())]).read_bytes()
    (tmp_path / "a.tar").write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=r"a\.tar: is compressed, .* gunzip"):
        opened(tmp_path)
    (tmp_path / "a.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(ValueError, match=r"a\.tar: cannot be read as a tar"):
        opened(tmp_path)
    (tmp_path / "a.tar").unlink()
    os.mkfifo(tmp_path / "a.tar")
    with pytest.raises(OSError, match=r"a\.tar: is a named pipe"):
        opened(tmp_path)
    (tmp_path / "a.tar").unlink()
    with pytest.raises(ValueError, match=r"has no files \*\.tar"):
        opened(tmp_path)
