"""Several processes prepare images: the same bytes, the same errors, and nothing left when one is killed."""

import dataclasses
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from tiny_source import TinySource, job, samples

from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_source


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).iterdir()}


def files(count=80, side=12):
    """Image files of three formats."""
    random = np.random.default_rng(0)
    for i in range(count):
        buffer = io.BytesIO()
        image = Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8))
        image.save(buffer, ("PNG", "JPEG", "BMP")[i % 3])
        split = "test" if i % 4 == 0 else "train"
        yield dataclasses.replace(
            samples(1, 0)[0], key=f"k{i}", image=buffer.getvalue(), split=split, index=i
        )


@pytest.mark.parametrize("settings", [{"mask": "none"}, {"turned": True, "size": 8, "store": "jpeg"}])
def test_bytes_are_equal_for_any_number_of_processes(tmp_path, settings):
    for processes in (1, 2, 3):
        given = TinySource(files(), ("cat",))
        write_source(given, job(**settings), tmp_path / str(processes), processes)
    assert hashes(tmp_path / "1") == hashes(tmp_path / "2") == hashes(tmp_path / "3")


@pytest.mark.parametrize("processes", [1, 2])
def test_the_first_error_in_the_order_of_the_source_is_told(tmp_path, processes):
    class Failing(TinySource):
        def samples(self):
            yield from super().samples()
            raise ValueError("the source ends badly")

    given = list(files())
    with pytest.raises(ValueError, match="the source ends badly"):
        write_source(Failing(given, ("cat",)), job(mask="none"), tmp_path / "out", processes)
    given[70] = dataclasses.replace(given[70], image=b"no image")
    with pytest.raises(ValueError, match=r"data set tiny: train image 'k70': cannot be decoded"):
        write_source(Failing(given, ("cat",)), job(mask="none"), tmp_path / "out", processes)
    given[60] = dataclasses.replace(given[60], key="k1")
    with pytest.raises(ValueError, match=r"test image 'k1': another image has this key"):
        write_source(Failing(given, ("cat",)), job(mask="none"), tmp_path / "out", processes)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_is_one_sentence_and_leaves_nothing(tmp_path):
    me = psutil.Process()

    def kill():
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            workers = [child for child in me.children() if "spawn_main" in " ".join(child.cmdline())]
            if workers:
                os.kill(workers[0].pid, signal.SIGKILL)
                return
            time.sleep(0.01)

    class Endless(TinySource):
        def samples(self):
            for i in range(100_000):
                yield dataclasses.replace(self._samples[0], key=f"k{i}")

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(OSError, match="a process that prepares images ended unexpectedly") as caught:
        write_source(Endless(list(files(1)), ("cat",)), job(), tmp_path / "out", 2)
    killer.join()
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert not [child for child in me.children() if "spawn_main" in " ".join(child.cmdline())]


FIRST_DIES_WHILE_THE_SECOND_STARTS = """
import os, signal, sys, time
from multiprocessing.context import SpawnProcess
from eqssl.data.shards.workers import InOrder
from eqssl.data.sources.base import Sample

started, start = [], SpawnProcess.start
def with_a_death(process):
    if started and sys.argv[1] == "before":
        kill()
    start(process)
    started.append(process)
    if len(started) == 2 and sys.argv[1] == "after":
        kill()
def kill():
    os.kill(started[0].pid, signal.SIGKILL)
    time.sleep(1)  # the pool notices

if __name__ == "__main__":
    SpawnProcess.start = with_a_death
    try:
        list(InOrder(len, 2)(Sample(f"k{i}", b"image", None, None, i) for i in range(1000)))
    except OSError as error:
        print(error, [process.is_alive() for process in started])
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_that_dies_while_another_starts_is_no_endless_wait(tmp_path, moment):
    program = tmp_path / "program.py"
    program.write_text(FIRST_DIES_WHILE_THE_SECOND_STARTS)
    command = [sys.executable, str(program), moment]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=True)
    assert "a process that prepares images ended unexpectedly" in ended.stdout
    assert "True" not in ended.stdout


def test_jpegs_that_need_no_change_are_stored_as_they_came(tmp_path):
    given = {sample.key: sample.image for sample in files()}
    write_source(TinySource(files(), ("cat",)), job(mask="none"), tmp_path)
    index = ShardIndex.load(tmp_path)
    passed = 0
    for columns in index.splits.values():
        for key, tar, offset, size in zip(
            columns.keys, columns.tar, columns.offset, columns.size, strict=True
        ):
            content = (tmp_path / index.tars[tar].name).read_bytes()[offset : offset + size]
            if given[key].startswith(b"\xff\xd8"):
                passed += content == given[key]
            else:
                assert content.startswith(b"\x89PNG")
    assert passed == 27
    train = [np.asarray(Image.open(io.BytesIO(given[key]))) for key in index.splits["train"].keys]
    assert index.mean == pytest.approx((np.stack(train) / 255).mean((0, 1, 2)))
    assert index.std == pytest.approx((np.stack(train) / 255).std((0, 1, 2)))
    assert index.mask == "none"


def deep(count=60, shape=(12, 12, 1), split="train"):
    random = np.random.default_rng(1)
    for i in range(count):
        image = random.integers(500, 3000, shape, dtype=np.uint16)
        where = split if split is None or i < count * 3 // 4 else "test"
        if where == "test":
            image = image + np.uint16(40_000)
        yield dataclasses.replace(samples(1, 0)[0], key=f"k{i}", image=image, split=where, index=i)


@pytest.mark.parametrize("processes", [1, 2])
def test_percentiles_are_those_of_the_training_images_alone_and_recorded(tmp_path, processes):
    given = {sample.key: sample.image for sample in deep()}
    settings = job(range={"percentiles": [1, 99]}, mask="none")
    write_source(TinySource(list(deep()), ("cat",)), settings, tmp_path, processes)
    index = ShardIndex.load(tmp_path)
    train = np.concatenate([given[key].ravel() for key in index.splits["train"].keys])
    low, high = np.percentile(train, [1, 99], method="inverted_cdf")
    assert index.range == (low, high)
    assert index.pixels == "uint16"
    stored = np.rint(np.clip((train.astype(float) - low) / (high - low), 0, 1) * 65535) / 65535
    assert index.mean == pytest.approx((stored.mean(),))
    assert index.std == pytest.approx((stored.std(),))


def test_percentiles_of_images_without_splits_are_those_of_the_training_split_that_is_made(tmp_path):
    given = {sample.key: sample.image for sample in deep(split=None)}
    write_source(TinySource(list(deep(split=None)), ("cat",)), job(range={"percentiles": [0, 100]}), tmp_path)
    index = ShardIndex.load(tmp_path)
    train = [given[key] for key in index.splits["train"].keys]
    assert index.range == (np.min(train), np.max(train))


def test_a_given_range_is_recorded_and_many_channels_are_kept(tmp_path):
    given = {sample.key: sample.image for sample in deep(shape=(12, 12, 5))}
    settings = job(range=[0, 65535], mask="none")
    write_source(TinySource(list(deep(shape=(12, 12, 5))), ("cat",)), settings, tmp_path)
    index = ShardIndex.load(tmp_path)
    assert (index.range, index.image_shape) == ((0, 65535), (5, 12, 12))
    train = np.stack([given[key] for key in index.splits["train"].keys]) / 65535
    assert index.mean == pytest.approx(train.mean((0, 1, 2)))
    columns = index.splits["val"]
    content = (tmp_path / index.tars[columns.tar[0]].name).read_bytes()
    image = np.load(io.BytesIO(content[columns.offset[0] :][: columns.size[0]]))
    np.testing.assert_array_equal(image, given[columns.keys[0]])


def shard_command(tmp_path, threads):
    data = {"source": "fashion_mnist_sample", "turned": True}
    text = json.dumps({"dataset": "f", "data": data, "shards": {"count": 1, "validation": 0.1, "seed": 0}})
    command = [sys.executable, "-m", "eqssl", "shard", "--job", text, "--out", str(tmp_path / "out")]
    return [*command, "--threads", str(threads)]


@pytest.mark.parametrize("threads", [0, 65])
def test_a_number_of_processes_out_of_range_is_refused(tmp_path, threads):
    run = subprocess.run(shard_command(tmp_path, threads), capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == f"eqssl: error: --threads: given {threads}, allowed: 1 to 64\n"


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="one core"
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_the_command_and_sigterm_leaves_nothing(tmp_path, number):
    with subprocess.Popen(shard_command(tmp_path, 2), stderr=subprocess.PIPE) as command:
        main = psutil.Process(command.pid)
        deadline = time.monotonic() + 60
        workers = []
        while len(workers) < 2 and time.monotonic() < deadline and command.poll() is None:
            time.sleep(0.05)
            workers = [child for child in main.children() if "spawn_main" in " ".join(child.cmdline())]
        assert len(workers) == 2
        command.send_signal(number)
        error = command.communicate(timeout=60)[1].decode()
    assert not psutil.wait_procs(workers, timeout=20)[1]
    if number == signal.SIGTERM:
        assert "Traceback" not in error
        assert not (tmp_path / "out").exists()
