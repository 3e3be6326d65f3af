"""Shards that are fetched from a real server on this machine into a cache of bounded size."""

import functools
import hashlib
import http.server
import subprocess
import sys
import threading
from typing import ClassVar

import numpy as np
import pytest
import torch

from eqssl.data.loading.batches import Batches, load_split
from eqssl.data.loading.cache import Cache
from eqssl.data.loading.location import Budget
from eqssl.data.shards.index import ShardIndex

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")


class Handler(http.server.SimpleHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(folder):
    Handler.asked = []
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def fetched(name):
    return sum(path == f"/{name}" for path in Handler.asked)


@pytest.mark.parametrize("decoded_mb", [0, 100])
def test_shards_at_an_address_give_the_images_of_the_folder(folder, server, decoded_mb, tmp_path):
    split = load_split(server, "train", Budget(decoded_mb, 10))
    local = load_split(folder, "train")
    np.testing.assert_array_equal(local.images[:], split.images[:])
    assert (split.keys, split.index.digest) == (local.keys, local.index.digest)
    for one, other in zip(
        Batches(local, 32, 0, "cpu").epoch(1), Batches(split, 32, 0, "cpu").epoch(1), strict=True
    ):
        assert torch.equal(one[0], other[0])
    assert fetched("train-00000.tar") == 1
    assert fetched("val-00000.tar") == 0
    load_split(server, "train", Budget(decoded_mb, 10))
    assert fetched("train-00000.tar") == 1
    assert not list((tmp_path / "scratch").rglob("*.part"))


def test_a_cache_that_is_smaller_than_the_split_is_enough_to_decode_it_once(folder, server, tmp_path):
    index = ShardIndex.load(folder)
    sizes = [tar.bytes for tar in index.tars if tar.split == "train"]
    most = max(sizes) + 100
    from eqssl.data.loading.decoding import decoded
    from eqssl.data.loading.remote import RemoteShards

    images = decoded(RemoteShards(server, most), "train")
    np.testing.assert_array_equal(images, load_split(folder, "train").images)
    kept = list((tmp_path / "scratch/remote/tars").glob("*.whole"))
    assert sum(path.stat().st_size for path in kept) <= most


def test_a_split_that_is_read_in_any_order_must_fit_into_the_cache(server):
    from eqssl.data.loading.remote import RemoteShards
    from eqssl.data.loading.streamed import StreamedImages

    with pytest.raises(ValueError, match=r"tiny: the images of split train .* raise machine.cache_mb"):
        StreamedImages(RemoteShards(server, 1000), "train")


def test_a_damaged_tar_is_named_and_leaves_nothing(folder, server, tmp_path):
    path = folder / "train-00001.tar"
    content = bytearray(path.read_bytes())
    for damage, reason in (
        (content[:-512], r"train-00001.tar: is truncated: \d+ bytes, index.json states \d+"),
        (content + b"x", r"train-00001.tar: is too long"),
        (b"x" + content[1:], r"train-00001.tar: SHA-256 is [0-9a-f]{64}, index.json states"),
    ):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=reason) as caught:
            load_split(server, "train", Budget(0, 10))
        assert server in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not list((tmp_path / "scratch").rglob("*.part"))
    path.write_bytes(content)
    load_split(server, "train", Budget(0, 10))


def test_a_tar_that_is_missing_and_a_server_that_is_not_there_are_named(folder, server, monkeypatch):
    monkeypatch.setattr("eqssl.data.loading.remote._PAUSE", 0.0)
    (folder / "train-00001.tar").unlink()
    with pytest.raises(FileNotFoundError, match=r"http://.*train-00001.tar"):
        load_split(server, "train", Budget(0, 10))
    with pytest.raises(OSError, match=r"http://127.0.0.1:9/x/index.json"):
        load_split("http://127.0.0.1:9/x", "train")
    with pytest.raises((ValueError, OSError), match=r"nosuch://x/index\.json"):
        load_split("nosuch://x", "train")


def test_a_cached_tar_that_was_damaged_is_fetched_again(folder, server, tmp_path):
    truth = load_split(folder, "train").images[:]
    load_split(server, "train", Budget(0, 10))
    for path in (tmp_path / "scratch/remote/tars").glob("*.whole"):
        content = bytearray(path.read_bytes())
        content[1000] ^= 1
        path.write_bytes(content)
    np.testing.assert_array_equal(load_split(server, "train", Budget(0, 10)).images[:], truth)


def test_several_processes_may_fetch_at_once(folder, server, tmp_path):
    code = (
        "import sys, hashlib; from eqssl.data.loading.batches import load_split\n"
        "from eqssl.data.loading.location import Budget\n"
        "images = load_split(sys.argv[1], 'train', Budget(0, 10)).images[:]\n"
        "print(hashlib.sha256(images.tobytes()).hexdigest())"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code, server], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    found = {run.communicate()[0].strip() for run in runs}
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert found == {hashlib.sha256(load_split(folder, "train").images.tobytes()).hexdigest()}
    assert fetched("train-00000.tar") == 1


# --- the cache


def put(cache, content, fetch=None):
    sha256 = hashlib.sha256(content).hexdigest()
    return cache.open(sha256, len(content), fetch or (lambda: iter([content])), "a.tar")


def test_the_least_recently_used_file_goes_first(tmp_path):
    cache = Cache(tmp_path / "c", 250)
    contents = [bytes([number]) * 100 for number in range(3)]
    put(cache, contents[0]).close()
    put(cache, contents[1]).close()
    put(cache, contents[0]).close()  # used again
    put(cache, contents[2]).close()
    there = [cache.path(hashlib.sha256(content).hexdigest()).exists() for content in contents]
    assert there == [True, False, True]


def test_a_file_in_use_stays(tmp_path):
    cache = Cache(tmp_path / "c", 250)
    with put(cache, b"a" * 100) as first, put(cache, b"b" * 100):
        with pytest.raises(ValueError, match=r"a.tar: has 100 bytes, and the cache has room for 50: raise"):
            put(cache, b"c" * 100)
        assert first.read() == b"a" * 100
    put(cache, b"c" * 100).close()
    with pytest.raises(ValueError, match=r"a.tar: has 251 bytes"):
        put(cache, b"d" * 251)


def test_what_a_killed_process_left_is_made_anew_or_removed(tmp_path):
    cache = Cache(tmp_path / "c", 250)
    put(cache, b"a" * 100).close()
    for content in (b"b" * 100, b"c" * 150):
        part = cache.path(hashlib.sha256(content).hexdigest()).with_suffix(".part")
        part.write_bytes(bytes(len(content)))
    assert put(cache, b"b" * 100).read() == b"b" * 100
    assert put(cache, b"d" * 150).read() == b"d" * 150
    assert sum(path.stat().st_size for path in (tmp_path / "c").iterdir()) <= 250


def test_a_transfer_that_fails_leaves_nothing(tmp_path):
    def broken():
        yield b"a" * 50
        raise OSError("http://x/a.tar: cannot be fetched: gone")

    cache = Cache(tmp_path / "c", 250)
    with pytest.raises(OSError, match="cannot be fetched: gone"):
        put(cache, b"a" * 100, broken)
    assert not [path for path in (tmp_path / "c").iterdir() if path.stat().st_size]
