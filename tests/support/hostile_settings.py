"""Hostile texts of params.yaml and of jobs, each with words of the expected message."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import yaml

VALUES = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
HUGE = 10**9


def changed(key: str, value: object) -> str:
    """The text of params.yaml with another value."""
    values = copy.deepcopy(VALUES)
    *path, last = key.split(".")
    table: dict[str, Any] = values
    for part in path:
        table = table[part]
    table[last] = value
    return yaml.safe_dump(values, sort_keys=False)


def instead(section: str, text: str) -> str:
    """The text of params.yaml with the given YAML in place of a section."""
    values = {key: value for key, value in VALUES.items() if key != section}
    return f"{yaml.safe_dump(values, sort_keys=False)}\n{section}: {text}\n"


def laughs(levels: int) -> str:
    """YAML whose aliases stand for 10 ** levels nodes."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


def merging(levels: int) -> str:
    """The same by merge keys."""
    lines = ["a0: &a0 {x: 1, y: 2}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


def combined(depth: int) -> dict[str, Any]:
    """A sum of pretexts of a sum of pretexts ..."""
    entry: dict[str, Any] = {"task": "random"}
    for _ in range(depth):
        entry = {"task": "combined", "parts": {"a": {"weight": 1.0, "pretext": entry}}}
    return entry


# name: (text, words of the message)
DOCUMENTS: dict[str, tuple[str | bytes, list[str]]] = {
    "aliases for 10^9 nodes": (laughs(9), ["aliases"]),
    "merge keys for 10^9 nodes": (merging(9), ["aliases"]),
    "an alias of itself": ("a: &a [*a]\n", ["alias"]),
    "an unknown alias": ("a: *b\n", ["not YAML", "alias"]),
    "100,000 opening brackets": ("a: " + "[" * 100_000, ["levels"]),
    "lists 1,000 deep": ("a: " + "[" * 1000 + "]" * 1000, ["levels"]),
    "tables 1,000 deep": ("a: " + "{a: " * 1000 + "}" * 1000, ["levels"]),
    "10,000 indented tables": ("\n".join(" " * i + "a:" for i in range(500)), ["levels"]),
    "a million entries": ("a: [" + "1," * 200_000 + "]", ["entries"]),
    "ten megabytes": ("# " + "x" * 10_000_000 + "\na: 1\n", ["bytes"]),
    "empty": ("", ["table"]),
    "a null": ("null\n", ["table"]),
    "a number": ("7\n", ["table"]),
    "a list": ("- 1\n- 2\n", ["table"]),
    "a long text": ("x" * 100_000, ["line 1", "letters"]),
    "two documents": ("a: 1\n---\nb: 2\n", ["not YAML"]),
    "not UTF-8": (b"a: \xff\xfe\x80\n", ["UTF-8"]),
    "UTF-16": ("a: 1\n".encode("utf-16"), ["UTF-8"]),
    "a zero byte": (b"a: \0\n", ["not YAML"]),
    "a tab": ("a:\n\t- 1\n", ["not YAML"]),
    "a tag of Python": ("a: !!python/object/apply:os.system [true]\n", ["not YAML"]),
    "a tag of its own": ("a: !mine 3\n", ["not YAML"]),
    "a template of Snakemake": ("__use_yte__: true\n" + changed("seed", 0), ["__use_yte__", "template"]),
    "a key twice": (changed("seed", 0) + "seed: 1\n", ["seed", "twice"]),
    "a key twice in a section": (
        instead("shards", "{count: 8, validation: 0.1, seed: 0, count: 9}"),
        ["count"],
    ),
    "a list as a key": (instead("shards", "{? [a, b] : 1}"), ["key"]),
    "a table as a key": (instead("shards", "{? {a: b} : 1}"), ["key"]),
    "a number as a key": (instead("shards", "{1: 1}"), ["shards", "key", "1"]),
    "a date as a key": (instead("shards", "{2026-01-02: 1}"), ["shards", "key"]),
    "a null as a key": (instead("shards", "{~: 1}"), ["shards", "key", "None"]),
    "a truth value as a key": (instead("shards", "{yes: 1}"), ["shards", "key", "True"]),
    "NaN as a key": (instead("shards", "{.nan: 1}"), ["shards", "key"]),
    "a key of two lines": (instead("shards", '{"a\\nb": 1}'), ["shards"]),
    "a key of 100,000 letters": (instead("shards", f"{{? {'k' * 100_000} : 1}}"), ["line", "letters"]),
    "an impossible date": (changed("seed", 0) + "x: 2026-99-99\n", ["month"]),
    "a number of 5,000 digits": (instead("seed", "9" * 5000), ["digits"]),
    "a set": (instead("shards", "!!set {a, b}"), ["shards", "set"]),
    "bytes": (instead("dataset", "!!binary aGVsbG8="), ["dataset", "bytes"]),
    "half a surrogate": (instead("dataset", '"\\ud800"'), ["line"]),
}

# (key, value, words of the message)
SETTINGS: list[tuple[str, object, list[str]]] = [
    ("grid.seed", [0, 0], ["grid.seed", "0"]),
    ("grid.seed", [3, 1, 2, 1], ["grid.seed", "given 1", "once"]),
    ("grid.group", ["C4", "D4", "C4"], ["grid.group", "'C4'", "once"]),
    ("grid.dataset", ["fashion_mnist_rot_sample"] * 2, ["grid.dataset", "once"]),
    ("grid.pretext", ["random", "random"], ["grid.pretext", "'random'", "once"]),
    ("grid.seed", list(range(20_001)), ["grid"]),
    ("grid.seed", list(range(5000)), ["grid", "cells", "machine.most_cells"]),
    ("grid.seed", None, ["grid.seed", "a list"]),
    ("grid.seed", {}, ["grid.seed", "a list"]),
    ("grid.seed", [[0]], ["grid.seed.0"]),
    ("grid.seed", [-1], ["grid.seed.0"]),
    ("grid.seed", [2**63], ["grid.seed.0"]),
    ("grid.seed", [2**200], ["grid.seed.0"]),
    ("grid.seed", ["x"] * 5000, ["grid.seed.0"]),
    ("grid.seed", [0.0], ["grid.seed.0"]),
    ("grid.seed", [True], ["grid.seed.0"]),
    ("grid", None, ["grid", "a table"]),
    ("machine.most_cells", 0, ["machine.most_cells"]),
    ("machine.most_cells", 10**12, ["machine.most_cells"]),
    ("machine.jobs_per_gpu", 0, ["machine.jobs_per_gpu"]),
    ("machine.jobs_per_gpu", 65, ["machine.jobs_per_gpu"]),
    ("machine.jobs_per_gpu", 1.5, ["machine.jobs_per_gpu"]),
    ("machine.jobs_per_gpu", True, ["machine.jobs_per_gpu"]),
    ("machine.jobs_per_gpu", "all", ["machine.jobs_per_gpu"]),
    ("machine.checkpoint_seconds", 0, ["machine.checkpoint_seconds"]),
    ("machine.checkpoint_seconds", float("nan"), ["machine.checkpoint_seconds"]),
    ("machine.tracker", "comet", ["machine.tracker", "'comet'", "'tensorboard'", "'none'"]),
    ("machine.tracker", None, ["machine.tracker", "'none'"]),
    ("machine.tracker", ["mlflow"], ["machine.tracker", "'mlflow'"]),
    ("machine.device", "cuda; rm -rf x", ["machine.device"]),
    ("machine.device", "x" * 5000, ["machine.device"]),
    ("machine.device", "", ["machine.device"]),
    ("probe.shares", [100, 100], ["probe.shares", "100", "once"]),
    ("probe.shares", [], ["probe.shares", "at least 1"]),
    ("probe.shares", [0], ["probe.shares.0", "1 to 100"]),
    ("probe.draws", HUGE, ["probe.draws", "1 to "]),
    ("probe.iterations", HUGE, ["probe.iterations", "1 to "]),
    ("probe.neighbours", 10**12, ["probe.neighbours", "1 to "]),
    ("probe.bootstrap", HUGE, ["probe.bootstrap", "100 to "]),
    ("probe.strengths", [1e-7, 1.0, HUGE], ["probe.strengths.2", "13 to "]),
    ("probe.strengths", [1.0, 1e-7, 15], ["probe.strengths", "smaller"]),
    ("probe.strengths", [1e-7, 1e-7, 15], ["probe.strengths", "smaller"]),
    ("transfer.datasets", ["fashion_mnist"] * 2, ["transfer.datasets", "'fashion_mnist'", "once"]),
    ("transfer.datasets", ["nowhere"], ["transfer.datasets.0", "'nowhere'", "allowed: fashion_mnist"]),
    ("transfer.datasets", ["sky", "nuclei"], ["transfer.datasets.1", "'nuclei'", "have labels"]),
    ("transfer.datasets", ["a/b"], ["transfer.datasets.0", "'a/b'"]),
    ("transfer.datasets", None, ["transfer.datasets", "a list"]),
    ("finetune.shares", [10, 10], ["finetune.shares", "10", "once"]),
    ("finetune.shares", [101], ["finetune.shares.0", "1 to 100"]),
    ("finetune.epochs", HUGE, ["finetune.epochs", "1 to "]),
    ("finetune.least_steps", HUGE, ["finetune.least_steps", "1 to "]),
    ("finetune.learning_rate", 0.0, ["finetune.learning_rate"]),
    ("finetune.warmup", 1.5, ["finetune.warmup", "0 to 1"]),
    ("probe.strengths", [1e-7, 1.0], ["probe.strengths"]),
    ("probe.strengths", [1e-7, 1.0, 15, 3], ["probe.strengths"]),
    ("probe.strengths", [5e-324, 1.0, 15], ["probe.strengths.0"]),
    ("probe.temperature", 5e-324, ["probe.temperature"]),
    ("probe.tolerance", float("inf"), ["probe.tolerance"]),
    ("features.views", ["stored", "grid", "grid"], ["features.views", "once"]),
    ("features.views", ["stored"] * 1000, ["features.views"]),
    ("features.stages", HUGE, ["features.stages", "1 to "]),
    ("pretrain.epochs", HUGE, ["pretrain.epochs", "0 to "]),
    ("pretrain.epochs", 10**400, ["pretrain.epochs"]),
    ("pretrain.batch_size", HUGE, ["pretrain.batch_size", "2 to "]),
    ("pretrain.threads", HUGE, ["pretrain.threads", "1 to "]),
    ("pretrain.threads", -1, ["pretrain.threads", "1 to "]),
    ("pretrain.learning_rate", 1e308, ["pretrain.learning_rate"]),
    ("pretrain.weight_decay", float("-inf"), ["pretrain.weight_decay"]),
    ("pretrain.warmup_epochs", -0.1, ["pretrain.warmup_epochs"]),
    ("encoder.width", [HUGE] * 4, ["encoder.width.0", "1 to "]),
    ("encoder.width", [4] * 5000, ["encoder.width", "at most"]),
    ("encoder.width", 10**9, ["encoder.width"]),
    ("encoder.kernel", HUGE, ["encoder.kernel", "3 or 5"]),
    ("encoder.kernel", [3], ["encoder.kernel", "3 or 5"]),
    ("encoder.name", {}, ["encoder.name"]),
    ("encoder.name", None, ["encoder.name"]),
    ("encoder.equivariant_stages", HUGE, ["encoder.equivariant_stages"]),
    ("shards.count", HUGE, ["shards.count", "1 to "]),
    ("shards.validation", float("nan"), ["shards.validation"]),
    ("shards.validation", 1.0, ["shards.validation"]),
    ("datasets.fashion_mnist.size", HUGE, ["datasets.fashion_mnist.size", "1 to "]),
    ("datasets.fashion_mnist.path", "", ["datasets.fashion_mnist.path"]),
    ("datasets.fashion_mnist.path", "a\0b", ["datasets.fashion_mnist.path"]),
    ("datasets.fashion_mnist.path", "a\nb", ["datasets.fashion_mnist.path"]),
    ("datasets.fashion_mnist.path", "a" * 9000, ["datasets.fashion_mnist.path"]),
    ("datasets", {}, ["dataset"]),
    ("datasets", [], ["datasets", "a table"]),
    ("datasets.x" + "y" * 300, {"source": "fashion_mnist_sample", "turned": True}, ["datasets"]),
    ("dataset", "../../etc", ["dataset"]),
    ("dataset", "x" * 300, ["dataset"]),
    ("pretexts.labels.hidden", HUGE, ["pretexts.labels.hidden"]),
    ("pretexts.labels.hidden", [8] * 5000, ["pretexts.labels.hidden", "at most"]),
    ("pretexts.labels.hidden", [], ["pretexts.labels.hidden"]),
    ("pretexts.labels.cell", HUGE, ["pretexts.labels.cell", "2 to "]),
    ("pretexts.labels.jitter", HUGE, ["pretexts.labels.jitter", "0 to "]),
    ("pretexts.labels.twin", ["a"], ["pretexts.labels.twin"]),
    ("pretexts.jigsaw.set_seed", 10**30, ["pretexts.jigsaw.set_seed"]),
    ("pretexts.jigsaw.draws", HUGE, ["pretexts.jigsaw.draws", "1 to "]),
    ("pretexts.jigsaw.permutations", HUGE, ["pretexts.jigsaw.permutations", "2 to "]),
    ("pretexts.contrastive.embedding", HUGE, ["pretexts.contrastive.embedding", "1 to "]),
    ("pretexts.contrastive.temperature", 1e-320, ["pretexts.contrastive.temperature"]),
    ("pretexts.contrastive.pretrain", {"epochs": HUGE}, ["pretexts.contrastive.pretrain.epochs", "0 to "]),
    ("pretexts.sums", combined(60), ["levels"]),
    ("pretexts.sums", {"task": "combined", "parts": {}}, ["pretexts.sums.parts", "at least 1"]),
    ("pretexts.labels", {"task": ["relative_location"]}, ["pretexts.labels.task"]),
    ("pretexts", None, ["pretexts", "a table"]),
    ("views.crop_ratio", [1e-300, 1e300], ["views.crop_ratio"]),
    ("views.crop_scale", [1e-300, 1.0], ["views.crop_scale"]),
    ("views.crop_scale", [0.1, 0.2, 0.3], ["views.crop_scale"]),
    ("views.turn", {"a": 1}, ["views.turn"]),
    ("views", "x" * 9000, ["views", "a table"]),
]

# name: (text of --job, words of the message)
JOBS: dict[str, tuple[str, list[str]]] = {
    "100,000 opening brackets": ("[" * 100_000, ["not JSON"]),
    "tables 25,000 deep": ('{"a":' * 25_000, ["not JSON"]),
    "lists 500 deep": ('{"probe":' + "[" * 500 + "]" * 500 + "}", ["levels"]),
    "a number of 5,000 digits": ('{"probe": ' + "9" * 5000 + "}", ["digits"]),
    "a number of 30 digits": ('{"probe": ' + "9" * 30 + "}", ["probe"]),
    "NaN": ('{"probe": NaN}', ["NaN"]),
    "infinity": ('{"probe": {"tolerance": 1e999}}', ["tolerance"]),
    "a null": ("null", ["a table"]),
    "a list": ("[1]", ["a table"]),
    "a text": ('"x"', ["a table"]),
    "empty": ("", ["not JSON"]),
    "a section that is null": ('{"probe": null}', ["probe", "a table"]),
    "a section of 40,000 entries": (json.dumps({"probe": [0] * 40_000}), ["probe", "a table"]),
    "a key twice": ('{"probe": {}, "probe": {}}', ["probe", "twice"]),
    "half a surrogate": ('{"\\ud800": 1}', ["UTF-8"]),
    "half a surrogate as a value": ('{"probe": "\\ud800"}', ["UTF-8"]),
}
TWINS: dict[str, str] = {
    "100,000 opening brackets": "[" * 100_000,
    "tables 20,000 deep": '{"a":' * 20_000,
    "a number of 5,000 digits": "9" * 5000,
    "a null": "null",
    "a null twin": '{"a": null}',
    "a list as a twin": '{"a": ["b"]}',
    "a key twice": '{"a": "b", "a": "c"}',
    "a long text": '"' + "x" * 100_000 + '"',
}
