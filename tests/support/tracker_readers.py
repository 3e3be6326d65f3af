"""What trackers wrote, read back: by the libraries' own readers, and of W&B by the layout of its files."""

from __future__ import annotations

import csv
import io
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7


@dataclass
class Written:
    """A run: its parameters as text, the points (step, value) of each curve, and how it ended, if told."""

    name: str
    parameters: dict[str, str] = field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    ended: str | None = None

    def steps(self, name: str = "loss") -> list[int]:
        return [step for step, _ in self.curves[name]]


def written(kind: str, folder: Path) -> list[Written]:
    """The runs of a kind of tracker, sorted by their names."""
    return sorted(READERS[kind](folder), key=lambda run: run.name)


def _tensorboard(folder: Path) -> Iterator[Written]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    top = folder / "tensorboard"
    for place in sorted({file.parent for file in top.rglob("events.*")}):
        events = EventAccumulator(str(place), size_guidance={"scalars": 0})
        events.Reload()
        run = Written(str(place.relative_to(top)))
        for name in events.Tags()["scalars"]:
            run.curves[name] = [(event.step, event.value) for event in events.Scalars(name)]
        for metadata in events.summary_metadata.values():
            if metadata.plugin_data.plugin_name != "hparams":
                continue
            session = plugin_data_pb2.HParamsPluginData.FromString(
                metadata.plugin_data.content
            ).session_start_info
            for name, value in session.hparams.items():
                run.parameters[name] = str(getattr(value, value.WhichOneof("kind")))
        yield run


def _mlflow(folder: Path) -> Iterator[Written]:
    from mlflow.tracking import MlflowClient

    from eqssl.machine.variables import environment
    from eqssl.training.trackers.mlflow import OFFLINE

    with environment(**OFFLINE):
        client = MlflowClient(tracking_uri=(folder / "mlflow").resolve().as_uri())
    (experiment,) = client.search_experiments(filter_string="name = 'eqssl'")
    for found in client.search_runs([experiment.experiment_id]):
        run = Written(found.info.run_name, dict(found.data.params), ended=found.info.status)
        for name in found.data.metrics:
            history = client.get_metric_history(found.info.run_id, name)
            run.curves[name] = [(point.step, point.value) for point in history]
        yield run


def _dvclive(folder: Path) -> Iterator[Written]:
    import yaml

    top = folder / "dvclive"
    for latest in top.rglob("metrics.json"):
        place = latest.parent
        parameters = yaml.safe_load((place / "params.yaml").read_text())
        run = Written(str(place.relative_to(top)), {name: str(value) for name, value in parameters.items()})
        curves = place / "plots/metrics"
        for file in curves.rglob("*.tsv"):
            rows = list(csv.DictReader(io.StringIO(file.read_text()), delimiter="\t"))
            name = str(file.relative_to(curves).with_suffix(""))
            run.curves[name] = [(int(row["step"]), float(row[file.stem])) for row in rows]
        assert json.loads(latest.read_text())["step"] == max(run.steps())
        yield run


def _wandb(folder: Path) -> Iterator[Written]:
    """The folders of one id belong to one run, in the order of their times."""
    import wandb

    wandb.teardown()  # as at the end of a program: its other process has written everything then
    runs: dict[str, Written] = {}
    for file in sorted((folder / "wandb").glob("offline-run-*/run-*.wandb")):
        records = list(_records(file))
        (start,) = (record.run for record in records if record.WhichOneof("record_type") == "run")
        assert start.project == "eqssl"
        run = runs.setdefault(start.run_id, Written(start.display_name))
        run.ended = None
        for update in start.config.update:
            if update.key != "_wandb":
                run.parameters[update.key] = str(json.loads(update.value_json))
        for record in records:
            if record.WhichOneof("record_type") == "exit":
                run.ended = str(record.exit.exit_code)
            for item in record.history.item:
                name = item.key or "/".join(item.nested_key)
                if not name.startswith("_"):
                    point = (record.history.step.num, json.loads(item.value_json))
                    run.curves.setdefault(name, []).append(point)
    yield from runs.values()


def _records(file: Path) -> Iterator[Any]:
    """The records of a W&B file: LevelDB's log format after a header, with plain CRC-32 sums."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, parts = file.read_bytes(), HEADER, b""
    assert data[:4] == b":W&B"
    while position + 7 <= len(data):
        left = BLOCK - position % BLOCK
        if left < 7:  # too little for a header: zeros up to the next block
            position += left
            continue
        checksum, length, kind = struct.unpack_from("<IHB", data, position)
        content = data[position + 7 : position + 7 + length]
        assert zlib.crc32(bytes([kind]) + content) == checksum
        position += 7 + length
        parts += content
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


READERS = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb, "dvclive": _dvclive}
