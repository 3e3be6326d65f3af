"""Files in folders of images: which are taken, by which key, and what is refused or named."""

import hashlib
import os
import re
import socket

import numpy as np
import pytest
from image_folders import RANDOM, folder, opened, pixels_of, said
from PIL import Image

from eqssl.data.sources.files.image_files import image_keys
from eqssl.data.sources.files.patterns import compiled


def test_every_ending_is_known_in_small_and_large_letters(tmp_path):
    names = [
        f"{i}.{ending}"
        for i, ending in enumerate(["png", "jpg", "jpeg", "jpe", "jfif", "tif", "tiff", "webp", "bmp", "gif"])
    ]
    names += [f"{i}.{ending}" for i, ending in enumerate(["PPM", "PNM", "JPG", "Tif"])]
    written = folder(tmp_path, *names)
    for name in ("g.pgm", "g.PBM"):
        Image.fromarray(RANDOM.integers(0, 256, (6, 6), dtype=np.uint8)).convert("1").save(
            tmp_path / name, "PPM"
        )
    np.save(tmp_path / "n.npy", RANDOM.normal(size=(4, 4)).astype(np.float32))
    source = opened(tmp_path)
    assert {sample.name for sample in source.samples()} == {*written, "g.pgm", "g.PBM", "n.npy"}
    for sample in source.samples():
        assert sample.image == (tmp_path / sample.name).read_bytes()


def test_a_pattern_takes_exactly_the_files_that_match(tmp_path):
    folder(tmp_path, "a/1.tif", "a/b/2.tif", "3.tif", "a/4.png", "a/.5.tif")
    (tmp_path / "a" / "6.dat").write_bytes((tmp_path / "3.tif").read_bytes())
    source = opened(tmp_path, files="**/*.tif", labelled=False)
    assert list(said(source)) == ["3.tif", "a/1.tif", "a/b/2.tif"]
    assert "Left out, since `files` says so: 2 files: 'a/4.png', 'a/6.dat'." in source.notes
    assert any("'a/.5.tif'" in note for note in source.notes)
    assert list(said(opened(tmp_path, files="a/[0-6].[!p]*", labelled=False))) == ["a/1.tif", "a/6.dat"]
    with pytest.raises(ValueError, match=r"files: no file below .* matches 'x/\*\*'; hidden"):
        opened(tmp_path, files="x/**")
    for pattern in ("/etc/*", "../*", "a/../*"):
        with pytest.raises(ValueError, match="allowed: a pattern below the folder"):
            opened(tmp_path, files=pattern)


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("*.tif", ["a.tif", ".tif"], ["b/a.tif", "a.TIF", "a.tiff", "axtif"]),
        ("**/*.tif", ["a.tif", "b/a.tif", "b/c/a.tif"], ["a.png"]),
        ("b/**", ["b/a", "b/c/a"], ["b", "c/b/a"]),
        ("**/**/b/*", ["b/a", "x/y/b/a"], ["b/c/a", "xb/a"]),
        ("./b/?.x", ["b/a.x"], ["b/aa.x", "b//.x"]),
        ("[a-c]/[!]x].y", ["a/b.y"], ["d/b.y", "a/x.y", "a/].y", "a//.y"]),
        ("a[1.png", ["a[1.png"], ["a1.png"]),
        ("(x)+{1}.png", ["(x)+{1}.png"], ["xx.png"]),
        ("[^a].png", ["^.png", "a.png"], ["b.png"]),
    ],
)
def test_patterns_mean_what_they_mean_in_a_shell(pattern, fits, others):
    matches = compiled(pattern).fullmatch
    assert [name for name in (*fits, *others) if matches(name)] == fits


def test_keys_stay_when_files_are_added_and_differ_for_paths_that_differ(tmp_path):
    folder(tmp_path, "a/Cell 01.x.png", "b/é.png", "b/X.png", "b/x.png", f"b/{'long' * 50}.png")
    before = {sample.name: sample.key for sample in opened(tmp_path).samples()}
    digest = hashlib.sha256(b"a/Cell 01.x.png").hexdigest()
    assert before["a/Cell 01.x.png"] == f"cell-01-x-{digest[:10]}"
    assert before["b/é.png"].startswith("image-")
    assert before["b/X.png"] != before["b/x.png"]
    assert all(re.fullmatch("[0-9a-z_-]{1,96}", key) for key in before.values())
    folder(tmp_path, "a/0.png", "b/0.png")
    after = {sample.name: sample.key for sample in opened(tmp_path).samples()}
    assert {name: after[name] for name in before} == before
    assert len(set(after.values())) == 7


def test_a_key_that_occurs_gets_more_digits():
    first, second = image_keys(["a/x.png", "a/x.png"])
    assert first != second
    assert second.startswith(first[-20:])


def test_names_in_any_script_are_taken(tmp_path):
    names = ["Bildschirmfoto um\u202f3.png", "ほし.png", "a b.png"]
    written = folder(tmp_path, *names)
    assert {sample.name for sample in opened(tmp_path).samples()} == set(written)


def test_empty_files_are_named(tmp_path):
    folder(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a" / "2.png").touch()
    (tmp_path / "a" / "empty.txt").touch()
    with pytest.raises(ValueError, match=r"1 image files are empty \(0 bytes\): 'a/2.png'$"):
        opened(tmp_path)


def test_a_file_that_is_emptied_or_taken_away_meanwhile_is_named(tmp_path):
    folder(tmp_path, "1.png", "2.png")
    source = opened(tmp_path)
    (tmp_path / "2.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"2.png: is empty"):
        list(source.samples())
    (tmp_path / "2.png").unlink()
    with pytest.raises(OSError, match=r"2.png"):
        list(source.samples())


def test_a_very_large_file_is_refused_before_it_is_read(tmp_path):
    folder(tmp_path, "1.png")
    with (tmp_path / "2.tif").open("wb") as file:
        file.truncate(2**30 + 1)
    with pytest.raises(ValueError, match=r"2.tif: has 1073741825 bytes, allowed: at most 1073741824"):
        opened(tmp_path)


def test_pipes_sockets_and_devices_are_refused(tmp_path, monkeypatch):
    folder(tmp_path, "1.png")
    os.mkfifo(tmp_path / "2.png")
    with pytest.raises(OSError, match=r"2.png: is a named pipe"):
        opened(tmp_path)
    (tmp_path / "2.png").unlink()
    (tmp_path / "2.png").symlink_to("/dev/zero")
    with pytest.raises(OSError, match=r"2.png: is a device"):
        opened(tmp_path)
    (tmp_path / "2.png").unlink()
    os.mkfifo(tmp_path / "pipe")  # is not taken, so it is named alone
    monkeypatch.chdir(tmp_path)  # names of sockets must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    assert any("'pipe', 'socket'" in note for note in opened(tmp_path).notes)


def test_links_to_files_are_followed(tmp_path):
    written = folder(tmp_path / "store", "1.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link.png").symlink_to(tmp_path / "store" / "1.png")
    (tmp_path / "top").symlink_to(tmp_path / "set")
    (sample,) = opened(tmp_path / "top").samples()
    assert sample.name == "link.png"
    np.testing.assert_array_equal(pixels_of(sample), written["1.png"])


@pytest.mark.parametrize("target", [".", "..", "../store"])
def test_links_to_folders_are_refused(tmp_path, target):
    folder(tmp_path / "store", "1.png")
    folder(tmp_path / "set", "1.png")
    (tmp_path / "set" / "more").symlink_to(target)
    with pytest.raises(ValueError, match=r"set/more: is a link to a folder, which is not followed"):
        opened(tmp_path / "set")


def test_links_to_nothing_and_in_circles_are_named(tmp_path):
    folder(tmp_path, "1.png")
    (tmp_path / "a.png").symlink_to("nothing")
    with pytest.raises(ValueError, match=r"a.png: is a link to nothing"):
        opened(tmp_path)
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.png").symlink_to("a.png")
    with pytest.raises(OSError, match=r"a.png"):
        opened(tmp_path)


def test_names_that_are_not_utf8_are_refused_in_one_line(tmp_path):
    folder(tmp_path, "1.png")
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    with pytest.raises(ValueError, match=r"'\\udcff.png': a file name must be UTF-8") as caught:
        opened(tmp_path)
    str(caught.value).encode()
    (tmp_path / os.fsdecode(b"\xff.png")).rename(tmp_path / os.fsdecode(b"\xff.txt"))
    " ".join(opened(tmp_path).notes).encode()


def test_a_folder_without_images_a_file_and_nothing_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"x: is not there$"):
        opened(tmp_path / "x")
    (tmp_path / "x.dvc").write_text("outs: []\n")
    with pytest.raises(ValueError, match=r"x: is not there: `dvc pull .*/x.dvc` fetches it"):
        opened(tmp_path / "x")
    with pytest.raises(ValueError, match=r"x.dvc: is a file, allowed: a folder"):
        opened(tmp_path / "x.dvc")
    (tmp_path / "y").mkdir()
    with pytest.raises(ValueError, match=r"y: has no images \(png, jpg, .*\)$"):
        opened(tmp_path / "y")
    (tmp_path / "y" / "a.HEIC").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"y: has no images .*; it has other files \(.heic: 1\)"):
        opened(tmp_path / "y")


def test_many_files_in_few_folders_are_listed(tmp_path):
    first = tmp_path / "first"
    first.write_bytes(b"x")
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
    for i in range(20_000):
        (tmp_path / "set" / "ab"[i % 2] / f"{i:05d}.png").hardlink_to(first)
    source = opened(tmp_path / "set")
    samples = list(source.samples())
    assert len({sample.key for sample in samples}) == 20_000
    assert samples[-1].name == "b/19999.png"
    assert samples[-1].index == 19_999
