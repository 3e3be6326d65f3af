"""Decoded images in the scratch folder: whatever happens to them, the images are those of the tars."""

import hashlib
import json
import mmap
import os
import time

import numpy as np
import pytest
from sealed import resealed
from tiny_source import TinySource, job, samples

from eqssl.data.loading import kept
from eqssl.data.loading.agreement import Row, check_agreement
from eqssl.data.loading.batches import load_split
from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_source


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("EQSSL_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path / "scratch" / "decoded"


@pytest.fixture
def folder(tmp_path):
    write_source(TinySource(samples(train=60, test=40, shape=(9, 9, 3))), job(count=2), tmp_path / "shards")
    return tmp_path / "shards"


def images(folder):
    return np.array(load_split(folder, "test").images)


def place(folder, scratch):
    """The array and its note."""
    name = f"{ShardIndex.load(folder).digest}-test"
    return scratch / f"{name}.npy", scratch / f"{name}.json"


def flipped(array, note):
    content = bytearray(array.read_bytes())
    content[-100] ^= 1
    array.write_bytes(content)


def flipped_at_the_same_time(array, note):
    """Change some bytes, and keep the size and the time of modification."""
    before = array.stat()
    with array.open("r+b") as file:
        file.seek(-100, 2)
        file.write(b"\x07\x07\x07")
    os.utime(array, ns=(before.st_atime_ns, before.st_mtime_ns))


def changed(array, note, change):
    values = json.loads(note.read_text())
    note.write_text(json.dumps({**values, **change}))


def pipe(array, note):
    array.unlink()
    os.mkfifo(array)


def forged(array, note):
    """Reversed rows with a valid note, but made of something else."""
    np.save(array, np.load(array)[::-1])
    digest = hashlib.sha256(array.read_bytes()).hexdigest()
    changed(array, note, {"sha256": digest, "made_of": "others", "identity": None})


DAMAGES = {
    "flipped": flipped,
    "flipped, with its time set back": flipped_at_the_same_time,
    "reversed rows": lambda array, note: np.save(array, np.load(array)[::-1]),
    "reversed rows with a note": forged,
    "half": lambda array, note: array.write_bytes(array.read_bytes()[: array.stat().st_size // 2]),
    "empty": lambda array, note: array.write_bytes(b""),
    "one byte more": lambda array, note: array.write_bytes(array.read_bytes() + b"x"),
    "a header without end": lambda array, note: array.write_bytes(
        array.read_bytes().replace(b"{'descr'", b"{'''escr")
    ),
    "another type": lambda array, note: np.save(array, np.load(array).astype(np.float32)),
    "another shape": lambda array, note: np.save(array, np.load(array)[:, :, :, :1]),
    "pickled": lambda array, note: np.save(array, np.array([{}], dtype=object), allow_pickle=True),
    "a pipe": pipe,
    "no note": lambda array, note: note.unlink(),
    "half a note": lambda array, note: note.write_bytes(note.read_bytes()[:40]),
    "an empty note": lambda array, note: note.write_bytes(b""),
    "a note of another array": lambda array, note: changed(array, note, {"made_of": "others"}),
    "a note with another digest": lambda array, note: changed(
        array, note, {"sha256": "0" * 64, "identity": None}
    ),
    "a note with wrong types": lambda array, note: changed(array, note, {"sha256": 3}),
    "a note of lists in lists": lambda array, note: note.write_text("[" * 10**5),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_array_is_named_and_decoded_again(folder, scratch, capsys, damage):
    truth = images(folder)
    array, note = place(folder, scratch)
    whole = array.read_bytes()
    capsys.readouterr()
    DAMAGES[damage](array, note)
    np.testing.assert_array_equal(images(folder), truth)
    said = [line for line in capsys.readouterr().err.splitlines() if "made again" in line]
    assert len(said) == 1
    assert str(array) in said[0]
    assert array.read_bytes() == whole
    np.testing.assert_array_equal(images(folder), truth)
    assert "made again" not in capsys.readouterr().err
    assert len(list(scratch.iterdir())) == 3


def test_a_deleted_array_is_decoded_again_without_a_word(folder, scratch, capsys):
    truth = images(folder)
    place(folder, scratch)[0].unlink()
    np.testing.assert_array_equal(images(folder), truth)
    assert "made again" not in capsys.readouterr().err


def test_arrays_of_two_data_sets_put_in_each_others_place_are_decoded_again(
    folder, scratch, tmp_path, capsys
):
    source = TinySource(samples(60, 40, shape=(9, 9, 3), seed=1))
    write_source(source, job(count=2), tmp_path / "other")
    truth, others = images(folder), images(tmp_path / "other")
    for mine, theirs in zip(place(folder, scratch), place(tmp_path / "other", scratch), strict=True):
        mine.write_bytes(theirs.read_bytes())
    np.testing.assert_array_equal(images(folder), truth)
    assert "was made of" in capsys.readouterr().err
    assert not np.array_equal(truth, others)


def test_a_whole_array_is_hashed_once_and_again_only_if_it_may_have_changed(folder, scratch, monkeypatch):
    seen, inner = [], kept.hashed
    monkeypatch.setattr(kept, "hashed", lambda file, path: seen.append(path) or inner(file, path))
    truth = images(folder)
    images(folder)
    assert len(seen) == 1
    array, _ = place(folder, scratch)
    time.sleep(2 * kept.TICK / 1e9)
    array.touch()
    time.sleep(2 * kept.TICK / 1e9)
    for _ in range(3):
        np.testing.assert_array_equal(images(folder), truth)
    assert len(seen) == 2


# --- index.json and the tars


def edited(folder, change):
    """Write another index.json; the tars keep their right SHA-256."""
    resealed(folder / "index.json", lambda index: change(index["splits"]["test"], index))


def swap(values, a, b):
    values[a], values[b] = values[b], values[a]


def relabelled(columns, index):
    columns["labels"][3] = (columns["labels"][3] + 1) % len(index["classes"])


def rows_swapped(columns, index):
    """The rows of two images of one tar: every key keeps its place and its label."""
    for values in filter(None, columns.values()):
        swap(values, 2, 5)


def tars_swapped(columns, index):
    """The rows of two images of two tars."""
    for values in filter(None, columns.values()):
        swap(values, 0, -1)


INDEXES = {
    "another label": (relabelled, r"its label is '\d', index\.json states \d"),
    "labels swapped": (
        lambda c, i: swap(c["labels"], 0, next(n for n, x in enumerate(c["labels"]) if x != c["labels"][0])),
        "its label is",
    ),
    "keys swapped": (
        lambda c, i: swap(c["keys"], 2, 5),
        r"image 2: its key is '.*', index\.json states '.*'",
    ),
    "another key": (lambda c, i: c["keys"].__setitem__(4, "unknown"), r"image 4: its key is .* 'unknown'"),
    "offsets swapped": (lambda c, i: swap(c["offset"], 2, 5), r"bytes from byte \d+ on, index\.json states"),
    "another size": (lambda c, i: c["size"].__setitem__(1, c["size"][1] - 1), "bytes from byte"),
    "a negative offset": (lambda c, i: c["offset"].__setitem__(1, -1), "from byte|offset"),
    "an offset beyond the end": (lambda c, i: c["offset"].__setitem__(1, 10**12), "from byte|offset"),
    "rows swapped": (rows_swapped, "image 2: its key is"),
    "rows of two tars swapped": (tars_swapped, "image 0: its key is|tar"),
}


@pytest.mark.parametrize("case", INDEXES)
def test_an_index_that_does_not_tell_what_its_tars_hold_is_refused(folder, scratch, case):
    change, reason = INDEXES[case]
    edited(folder, change)
    with pytest.raises(ValueError, match=reason) as refused:
        load_split(folder, "test")
    assert "\n" not in str(refused.value)
    assert str(folder) in str(refused.value)
    assert not list(scratch.glob("*.npy")) + list(scratch.glob(".*"))


def walked(path, rows):
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        check_agreement(content, path, rows)


def rows_of(folder, number):
    index = ShardIndex.load(folder)
    columns = index.splits["test"]
    values = zip(columns.tar, columns.keys, columns.offset, columns.size, columns.labels, strict=True)
    return index, [Row(*rest) for tar, *rest in values if index.tars[tar].name == f"test-{number:05d}.tar"]


def test_a_tar_with_an_image_more_or_less_is_refused(folder):
    path = folder / "test-00000.tar"
    _, rows = rows_of(folder, 0)
    walked(path, rows)
    with pytest.raises(ValueError, match=rf"image {len(rows) - 1}: its key is '.*', index.json states None"):
        walked(path, rows[:-1])
    with pytest.raises(ValueError, match=rf"image {len(rows)}: its key is None"):
        walked(path, [*rows, rows[0]])
    print(f"decoded images: {len(DAMAGES)} damages decoded again, {len(INDEXES)} edits of an index refused")


def test_a_tar_with_other_members_is_refused(folder, tmp_path):
    content = (folder / "test-00000.tar").read_bytes()
    _, rows = rows_of(folder, 0)
    name = f"{rows[0].key}.png".encode()
    for other, reason in ((b"txt", "no image and no label"), (b"cls", "is there twice")):
        path = tmp_path / "other.tar"
        path.write_bytes(content.replace(name, name[:-3] + other))
        with pytest.raises(ValueError, match=reason):
            walked(path, rows)
