"""Hostile data: `eqssl shard` names the file and the reason, quickly and with little memory."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pytest
from hostile_sources import GOOD, IDX, PARQUET, dictionary_bomb, files, rows

from eqssl import cli
from eqssl.config.sources import SourceSettings
from eqssl.data.images import decode_image
from eqssl.data.sources import open_source
from eqssl.data.sources.arrays.idx import read_idx

SECONDS = 20.0
BYTES = 1.5e9
POOLS: list[pa.MemoryPool] = []  # arrays may outlive a test, and return their memory to its pool
SHARDS = {"count": 1, "validation": 0.25, "seed": 0}


def job(folder: Path, **more: object) -> str:
    data = {"source": "parquet", "path": str(folder), "turned": True, **more}
    return json.dumps({"dataset": "mine", "data": data, "shards": SHARDS})


@pytest.fixture
def pool() -> Iterator[pa.MemoryPool]:
    """A separate memory pool for Arrow, which counts what one test allocates."""
    before = pa.default_memory_pool()
    POOLS.append(pa.proxy_memory_pool(before))
    yield POOLS[-1]
    pa.set_memory_pool(before)


@pytest.mark.parametrize("name", PARQUET)
def test_data_that_cannot_be_right_is_refused(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], pool: pa.MemoryPool
) -> None:
    make, reason = PARQUET[name]
    source = tmp_path / "source"
    source.mkdir()
    make(source)
    pa.set_memory_pool(pool)
    started = time.monotonic()
    assert cli.main(["shard", "--job", job(source), "--out", str(tmp_path / "out")]) == 1
    assert time.monotonic() - started < SECONDS
    assert pool.max_memory() < BYTES
    said = capfd.readouterr().err
    lines = [line for line in said.splitlines() if line.startswith("eqssl: error: ")]
    assert len(lines) == 1
    assert "Traceback" not in said
    assert "Warning" not in said
    assert len(lines[0]) < 1000
    assert re.search(reason, lines[0])
    assert not (tmp_path / "out").exists()


def test_an_image_that_a_dictionary_repeats_is_read_a_few_rows_at_a_time(
    tmp_path: Path, pool: pa.MemoryPool
) -> None:
    dictionary_bomb(tmp_path)
    pa.set_memory_pool(pool)
    settings = SourceSettings.read({"source": "parquet", "path": str(tmp_path), "turned": False})
    samples = list(islice(open_source(settings).samples(), 3))
    assert [sample.index for sample in samples] == [0, 1, 2]
    assert pool.max_memory() < BYTES


@pytest.mark.parametrize("name", IDX)
def test_an_idx_file_that_cannot_be_right_is_named(name: str, tmp_path: Path) -> None:
    content, reason = IDX[name]
    path = tmp_path / name
    path.write_bytes(content)
    started = time.monotonic()
    with pytest.raises(ValueError, match=rf"{reason}") as caught:
        read_idx(path)
    assert time.monotonic() - started < SECONDS
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_a_pipe_in_the_place_of_an_idx_file_is_not_waited_for(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"train{suffix}"
    os.mkfifo(path)
    with pytest.raises(OSError, match=rf"^{path}: is a named pipe, allowed: a regular file"):
        read_idx(path)


def test_good_data_beside_a_pipe_is_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    files(rows([GOOD] * 16), rows([GOOD] * 4))(source)
    os.mkfifo(source / "notes")
    assert cli.main(["shard", "--job", job(source), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/index.json").is_file()


def test_small_groups_of_rows_give_the_same_shards(tmp_path: Path) -> None:
    made = []
    for size in (1, 5, 1000):
        source = tmp_path / f"source-{size}"
        source.mkdir()
        files(rows([GOOD] * 16), rows([GOOD] * 4), row_group_size=size)(source)
        assert cli.main(["shard", "--job", job(source), "--out", str(tmp_path / f"out-{size}")]) == 0
        made.append((tmp_path / f"out-{size}" / "train-00000.tar").read_bytes())
    assert made[0] == made[1] == made[2]


def test_images_are_decoded_in_many_threads_at_once() -> None:
    found: list[bytes] = []

    def decode() -> None:
        found.extend(decode_image(GOOD).tobytes() for _ in range(50))

    threads = [threading.Thread(target=decode) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {decode_image(GOOD).tobytes()}
    assert len(found) == 400
