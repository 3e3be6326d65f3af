import json

from eqssl.training.log import Log


def test_lines_of_steps_to_come_and_broken_lines_are_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    Log(path, 0).write({"step": 3, "loss": 0.5})
    Log(path, 3).write({"step": 6, "loss": 0.25})
    with path.open("a") as file:
        file.write('{"step": 9, "loss": 0.1}\n[]\n{"step": 2, "lo')
    Log(path, 6).write({"step": 8, "loss": 0.125})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(3, 0.5), (6, 0.25), (8, 0.125)]
