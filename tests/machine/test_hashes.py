import hashlib
import json
import os
import subprocess
import sys
import time

import pytest

from eqssl.machine import hashes
from eqssl.machine.hashes import TICK, HashCache, cached_sha256, identity


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    time.sleep(2 * TICK / 1e9)
    return path


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "scratch" / "hashes.json"


@pytest.fixture
def read(monkeypatch):
    """Names of the files that were read from end to end."""
    seen, inner = [], hashes.hashed
    monkeypatch.setattr(hashes, "hashed", lambda file, path: seen.append(path.name) or inner(file, path))
    return seen


def known(path, cache):
    found = HashCache(cache)
    digest = cached_sha256(path, found)
    found.save()
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    return digest


def test_a_file_is_read_once(file, cache, read):
    assert known(file, cache) == known(file, cache)
    assert read == ["file"]


def test_a_written_file_is_read_again_even_if_size_and_time_are_set_back(file, cache, read):
    first, before = known(file, cache), file.stat()
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert known(file, cache) != first
    assert read == ["file", "file"]


def test_a_replaced_file_is_read_again(file, cache, read):
    other = file.with_name("other")
    other.write_bytes(b"CONTENT")
    first = known(file, cache)
    other.replace(file)
    assert known(file, cache) != first
    assert len(read) == 2


def test_a_file_written_a_moment_ago_is_not_trusted(tmp_path, cache, read):
    path = tmp_path / "new"
    path.write_bytes(b"1")
    known(path, cache)
    known(path, cache)
    assert len(read) == 2


DAMAGES = {
    "deleted": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "an edited digit": lambda path: path.write_text(path.read_text().replace('"sha256":"', '"sha256":"0')),
    "not text": lambda path: path.write_bytes(b"\xff\n\xfe"),
    "lists in lists": lambda path: write(path, "[" * 10**6),
    "another type": lambda path: write(path, '{"/a": {"identity": "x", "sha256": 3}}'),
    "a list": lambda path: write(path, "[]"),
    "a number without end": lambda path: write(path, "9" * 10**5),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


def write(path, text):
    path.write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}\n")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_an_empty_one(file, cache, read, damage):
    known(file, cache)
    DAMAGES[damage](cache)
    known(file, cache)
    known(file, cache)
    assert len(read) == 2


def test_files_that_are_gone_are_forgotten(file, cache, tmp_path):
    known(file, cache)
    other = tmp_path / "other"
    other.write_bytes(b"other")
    time.sleep(2 * TICK / 1e9)
    file.unlink()
    known(other, cache)
    assert list(json.loads(cache.read_text().splitlines()[1])) == [str(other)]


def test_what_two_processes_add_is_kept(file, cache, tmp_path, read):
    other = tmp_path / "other"
    other.write_bytes(b"other")
    time.sleep(2 * TICK / 1e9)
    one, two = HashCache(cache), HashCache(cache)
    cached_sha256(file, one)
    cached_sha256(other, two)
    one.save()
    two.save()
    known(file, cache)
    known(other, cache)
    assert len(read) == 2


def test_nothing_is_written_if_nothing_is_new(file, cache):
    known(file, cache)
    before = identity(cache)
    known(file, cache)
    assert identity(cache) == before


def test_processes_at_once_leave_a_whole_cache(tmp_path, cache):
    files = [tmp_path / f"file-{number}" for number in range(20)]
    for path in files:
        path.write_text(path.name)
    time.sleep(2 * TICK / 1e9)
    code = (
        "import sys; from pathlib import Path; from eqssl.machine.hashes import *\n"
        "for name in sys.argv[2:]:\n"
        "    cache = HashCache(Path(sys.argv[1])); cached_sha256(Path(name), cache); cache.save()\n"
    )
    command = [sys.executable, "-c", code, str(cache), *map(str, files)]
    runs = [subprocess.Popen(command) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    for path in files:
        known(path, cache)
    assert [path.name for path in cache.parent.iterdir()] == ["hashes.json"]


def test_what_is_no_plain_file_is_refused_and_never_waited_for(tmp_path, cache):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ValueError, match="is not a plain file"):
            cached_sha256(path, HashCache(cache))
    with pytest.raises(FileNotFoundError, match="nothing"):
        cached_sha256(tmp_path / "nothing", HashCache(cache))


def test_none_of_many_known_files_is_read_again(file, cache, read):
    held = HashCache(cache)
    for number in range(10**4):
        path = cache.parent.parent / f"{number}"
        path.touch()
        held.put(path, identity(path), "0" * 64)
    held.save()
    again = HashCache(cache)
    found = {cached_sha256(cache.parent.parent / f"{number}", again) for number in range(10**4)}
    assert found == {"0" * 64}
    assert read == []
