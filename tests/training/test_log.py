import json
import os
import pty
import subprocess
import sys

from eqssl.training import log
from eqssl.training.log import Log, progress


def test_lines_of_steps_to_come_and_broken_lines_are_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    Log(path, 0).write({"step": 3, "loss": 0.5})
    Log(path, 3).write({"step": 6, "loss": 0.25})
    with path.open("a") as file:
        file.write('{"step": 9, "loss": 0.1}\n[]\n{"step": 2, "lo')
    Log(path, 6).write({"step": 8, "loss": 0.125})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(3, 0.5), (6, 0.25), (8, 0.125)]


def test_a_log_file_gets_a_plain_line_now_and_then(monkeypatch, capsys):
    now = 100.0
    monkeypatch.setattr(log.time, "monotonic", lambda: now)
    with progress("a/b", 50, 5) as show:
        for step in range(1, 51):
            now += 1
            show(step, step // 10 + 1, 1 / step, 1234.5, 50 - step)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert lines[0] == "a/b: epoch 2/5, loss 0.1000, 1,234 images/s, 0:00:40 left"


PROGRAM = """
from eqssl.training.log import progress
with progress("a/b", 10, 2) as show:
    show(5, 1, 0.25, 99.0, 61.0)
    show(10, 2, 0.125, 99.0, 0.0)
"""


def test_a_terminal_gets_a_bar():
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    subprocess.run([sys.executable, "-c", PROGRAM], stderr=theirs, env=environment, check=True)
    os.close(theirs)
    text = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "epoch 2/2, loss 0.1250, 99 images/s, 0:00:00 left" in text
    assert "━" in text
