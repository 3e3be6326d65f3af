"""Files that are not valid DVC pointers: `eqssl guard` names the file and the reason."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hostile_settings import laughs

from eqssl.machine import store

TEXTS = {
    "a text": ("x", "a table"),
    "a list": ("- 1", "a table"),
    "a number": ("7", "a table"),
    "outs are a text": ("outs: x", "outs: given 'x', allowed: a list"),
    "outs are a table": ("outs: {a: 1}", "outs: given .* allowed: a list"),
    "an out is a text": ("outs: [x]", "outs.0: given 'x', allowed: a table"),
    "files are a text": ("outs: [{nfiles: many}]", "outs.0.nfiles: given 'many'"),
    "files are a list": ("outs: [{nfiles: [1]}]", "outs.0.nfiles"),
    "files are a float": ("outs: [{nfiles: 1.5}]", "outs.0.nfiles"),
    "files are infinite": ("outs: [{nfiles: .inf}]", "outs.0.nfiles"),
    "files are true": ("outs: [{nfiles: true}]", "outs.0.nfiles"),
    "fewer files than none": ("outs: [{nfiles: -1}]", "outs.0.nfiles"),
    "5,000 digits of files": (f"outs: [{{nfiles: {'9' * 5000}}}]", "digits"),
    "a key twice": ("outs: []\nouts: []", "twice"),
    "not YAML": ("outs: [", "not YAML"),
    "a tag": ("outs: !!python/name:os.system", "not YAML"),
    "aliases for 10^9 nodes": (laughs(9), "aliases"),
    "1,000 levels": ("[" * 1000, "levels"),
    "a megabyte": ("#" * 1_000_000, "bytes"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_that_is_not_a_pointer_is_named(name: str, tmp_path: Path) -> None:
    text, reason = TEXTS[name]
    pointer = tmp_path / "results.dvc"
    pointer.write_text(text)
    with pytest.raises(ValueError, match=rf"^{pointer}: .*{reason}") as caught:
        store.guard([pointer])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "~", "outs:", "outs: []", "outs: [{}]", "outs: [~]", "outs: [{nfiles: 3}]"]
)
def test_an_empty_pointer_is_valid(text: str, tmp_path: Path) -> None:
    (tmp_path / "results.dvc").write_text(text)
    store.guard([tmp_path / "results.dvc"])


def test_a_damaged_pointer_of_the_last_commit_is_named(tmp_path: Path) -> None:
    pointer = tmp_path / "results.dvc"
    pointer.write_bytes(b"outs: \xff [")
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)
    pointer.write_text("outs: []")
    with pytest.raises(ValueError, match=rf"^{pointer} at the last commit: outs: given "):
        store.guard([pointer])


def test_a_pipe_as_a_pointer_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "results.dvc")
    with pytest.raises(OSError, match=r"results\.dvc: is a named pipe, allowed: a regular file"):
        store.guard([tmp_path / "results.dvc"])


def test_own_leaves_links_to_anything_but_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to a pipe").symlink_to("pipe")
    (tmp_path / "to nothing").symlink_to("nowhere")
    (tmp_path / "to a folder").symlink_to(tmp_path)
    store.own(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_symlink()) == [
        "to a folder",
        "to a pipe",
        "to nothing",
    ]
