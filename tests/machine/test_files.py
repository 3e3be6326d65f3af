import hashlib
import json
import os
import stat

import pytest

from eqssl.machine.files import atomic, read_json, sha256, write_json, write_text


def test_a_file_is_whole_or_absent(tmp_path):
    target = tmp_path / "deep" / "file"

    def fail():
        with atomic(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list(target.parent.iterdir()) == []


def test_an_earlier_file_outlives_a_failure(tmp_path):
    target = tmp_path / "file"
    write_text(target, "old")

    def fail():
        with atomic(target) as temporary:
            temporary.write_text("new")
            assert target.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_files_can_be_read_by_others(tmp_path):
    write_text(tmp_path / "file", "x")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_json_is_the_same_bytes_for_the_same_values(tmp_path):
    write_json(tmp_path / "a", {"b": 1, "a": [0.1]})
    write_json(tmp_path / "b", {"a": [0.1], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads((tmp_path / "a").read_text()) == {"a": [0.1], "b": 1}


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_json_that_was_written_is_read_back(tmp_path):
    write_json(tmp_path / "a", {"b": 1, "a": [0.1]})
    assert read_json(tmp_path / "a", ("a", "b")) == {"b": 1, "a": [0.1]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ('{"a": NaN}', "not JSON: NaN is not a number"),
        ("[1]", "given list, allowed: a table of values"),
        ('{"a": 1}', "b, c: missing"),
    ],
)
def test_a_json_file_without_the_needed_table_is_refused(tmp_path, text, reason):
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(ValueError, match=rf"file\.json: {reason}"):
        read_json(tmp_path / "file.json", ("a", "b", "c"))


def test_sha256_is_that_of_the_bytes_of_the_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_a_device_is_not_replaced(tmp_path):
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    with pytest.raises(OSError, match=r"null: is a device, allowed: a file$"):
        write_text(device, "text")
    assert device.is_char_device()


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for read in (read_json, sha256):
        with pytest.raises(OSError, match=r"pipe\.json: is a named pipe, allowed: a regular file"):
            read(tmp_path / "pipe.json")
