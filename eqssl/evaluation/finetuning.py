"""`eqssl finetune`: accuracies of an encoder that is trained further on shares of the labels."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int

from eqssl.config.finetuning import FinetuneSettings
from eqssl.config.grid import IDENTITY, short_name
from eqssl.config.jobs import FinetuneJob
from eqssl.config.sources import SplitName
from eqssl.data.loading.batches import Split, load_split
from eqssl.data.loading.location import DEFAULT, Budget
from eqssl.data.shards.index import SPLITS, UNLABELLED
from eqssl.encoders import load_encoder
from eqssl.encoders.base import Encoder
from eqssl.evaluation.amounts import batch_size
from eqssl.evaluation.belonging import check_belongs
from eqssl.evaluation.correct import NAME as CORRECT_FILE
from eqssl.evaluation.correct import write_correct
from eqssl.evaluation.draws import nested_draws
from eqssl.evaluation.head import Classifier, with_head
from eqssl.evaluation.intervals import accuracy_intervals
from eqssl.evaluation.labelled import label_counts, why_no_accuracies
from eqssl.evaluation.moves import draw_moves
from eqssl.evaluation.tuning import Labelled, Moves, Plan, predict, tune
from eqssl.machine import provenance
from eqssl.machine.cell_numbers import check_identity
from eqssl.machine.live.progress import progress, track
from eqssl.machine.records import Record, read_record, write_record
from eqssl.machine.scratch import claimed, fingerprint, scratch
from eqssl.machine.steps import finetune_code
from eqssl.training import checkpoints
from eqssl.training.device import choose_device, reproducible

RECORD = "finetune.json"
_HEADER_BYTES = 2**26

Correct = Bool[np.ndarray, "draws images"]


class Run(NamedTuple):
    """One fine-tuning: a draw of a share of the labels.

    Attributes:
        share: in per cent.
        draw: number of the draw; 0 for all labels.
        rows: numbers of its images in the training split.
    """

    share: int
    draw: int
    rows: Int[np.ndarray, " images"]


class Tuning(NamedTuple):
    """What every run of a cell shares.

    Attributes:
        job: settings.
        encoder: the frozen encoder, on its device.
        splits: the splits.
        title: names the cell in messages.
        folder: of the weights of finished runs.
    """

    job: FinetuneJob
    encoder: Encoder
    splits: Mapping[SplitName, Split]
    title: str
    folder: Path

    def new(self) -> Classifier:
        """The classifier that a run starts with."""
        return with_head(self.encoder, len(self.splits["train"].index.classes))

    def images(self, split: SplitName) -> Labelled:
        """The labelled images of a split."""
        return Labelled(self.splits[split], np.flatnonzero(self.splits[split].labels != UNLABELLED))

    def path(self, run: Run) -> Path:
        """The file of a finished run's weights."""
        return self.folder / f"{run.share}-{run.draw}.safetensors"


def finetune(
    job: FinetuneJob,
    shards: str | Path,
    encoder: str | Path,
    out: str | Path,
    device: str = "auto",
    cell: str | None = None,
    budget: Budget = DEFAULT,
) -> None:
    """Write finetune.json into `out`, and correct.parquet, which says of each test image who was right.

    For each share of the labels and each draw, a copy of the encoder with a new linear head on its invariant
    feature is trained as a whole (`eqssl.evaluation.tuning`). Validation images choose the epoch. When all
    choices are made, test images are read. Where there can be no accuracies, `details.runs` says why. The
    weights of finished runs are kept in the scratch folder until the end, so that a killed process goes on
    with the run in which it was stopped. On a CPU the same inputs give the same bytes.

    Args:
        job: settings.
        shards: folder of the data set's shards, or its address.
        encoder: folder of encoder.safetensors and encoder.json.
        out: folder to write into.
        device: `auto`, `cpu`, `cuda` ...
        cell: digest of the job that must have made the encoder; None for any.
        budget: how much loading may keep in the scratch folder; no result depends on it.

    Raises:
        ValueError: bad settings, an encoder of other shards or of another job, or a damaged file; the message
            names file, key and reason.
        OSError: a file is missing or cannot be written.
    """
    place, out = choose_device(device), Path(out)
    record = read_record(Path(encoder) / "encoder.json", ("job", "data")).check_job(cell)
    check_identity(record, record.job)
    network = load_encoder(encoder).to(place)
    splits = {name: load_split(shards, name, budget) for name in SPLITS}
    index = splits["train"].index
    check_belongs(network, record, index)
    identity = {key: record.values[key] for key in IDENTITY}
    title = short_name(identity)
    with (
        reproducible(place, threads=1),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        claimed(scratch() / _fingerprint(job, network, record, index.seal, place)) as claim,
    ):
        tuning = Tuning(job, network, splits, title, claim.folder)
        correct, details = _measured(tuning)
        keys = [splits["test"].keys[row] for row in tuning.images("test").rows] if correct else []
        write_correct(out / CORRECT_FILE, keys, correct)
        values = {
            **identity,
            **_metrics(correct, job.finetune),
            "job": job.plain(),
            "details": {
                **details,
                "encoder": {"job": record.job},
                "device": place.type,
                "versions": provenance.record(),
            },
        }
        made_of = {"encoder": record.seal, "data": index.seal}
        write_record(out / RECORD, values, [CORRECT_FILE], made_of)
        claim.drop()


def _fingerprint(job: FinetuneJob, network: Encoder, record: Record, data: str, place: torch.device) -> str:
    """Stands for everything that decides the weights."""
    return fingerprint(
        {
            "job": job.plain(),
            "encoder": record.seal,
            "data": data,
            "code": finetune_code(type(network).__module__),
            "torch": torch.__version__,
            "device": place.type,
        }
    )


def _measured(tuning: Tuning) -> tuple[dict[str, Correct], dict[str, Any]]:
    """For each metric, whether each draw's classifier was right about each test image; and the details."""
    labels = {name: split.labels for name, split in tuning.splits.items()}
    details: dict[str, Any] = {"labels": label_counts(labels)}
    reason = why_no_accuracies(labels, tuning.splits["train"].index.classes)
    if reason:
        return {}, {**details, "runs": reason, "left_out": []}
    runs, left_out = _runs(tuning)
    records = _trained(tuning, runs)
    return _tested(tuning, runs), {**details, "runs": records, "left_out": left_out}


def _runs(tuning: Tuning) -> tuple[list[Run], list[str]]:
    """The runs, and a sentence for each share that is too small for a balanced draw."""
    train, settings = tuning.images("train"), tuning.job.finetune
    classes = train.split.index.classes
    runs, left_out = [], []
    for share in settings.shares:
        if share == 100:
            runs.append(Run(share, 0, train.rows))
            continue
        try:
            draws = nested_draws(train.labels, [share], settings.draws, classes, settings.seed)[share]
        except ValueError as error:
            left_out.append(f"{share} % of the labels: {error}")
            continue
        runs += [Run(share, draw, train.rows[chosen]) for draw, chosen in enumerate(draws)]
    return runs, left_out


def _trained(tuning: Tuning, runs: list[Run]) -> dict[str, list[dict[str, Any]]]:
    """Do the runs that are not done yet; gives share -> how each draw went."""
    settings, held = tuning.job.finetune, tuning.images("val")
    plans = [Plan.of(settings, len(run.rows)) for run in runs]
    steps = [plan.epochs * plan.steps for plan in plans]
    size = batch_size(tuning.encoder)
    records: dict[str, list[dict[str, Any]]] = {}
    started, own = time.monotonic(), 0
    with progress(f"fine-tuning {tuning.title}", sum(steps), "steps") as show:
        for number, run in enumerate(runs):
            before = sum(steps[:number])

            def shown(done: int, detail: str, before: int = before, run: Run = run, own: int = own) -> None:
                left = (time.monotonic() - started) / (own + done) * (sum(steps) - before - done)
                show(before + done, f"{run.share} % of the labels, {detail}", left)

            record = _kept(tuning, run, tuning.new())
            if record is None:
                model, seed = tuning.new(), _seed(settings.seed, run)
                train = Labelled(tuning.splits["train"], run.rows)
                record = tune(model, train, held, settings, tuning.job.views, seed, size, shown)
                checkpoints.save(tuning.path(run), checkpoints.module_state(model), record)
                own += steps[number]
            records.setdefault(str(run.share), []).append(record)
    return records


def _kept(tuning: Tuning, run: Run, model: Classifier) -> dict[str, Any] | None:
    """How a finished run went, with its weights put into the model; None if it has to be done.

    A damaged file costs time, never the result.
    """
    path, own = tuning.path(run), sum(tensor.nbytes for tensor in model.state_dict().values())
    with suppress(FileNotFoundError):
        try:
            tensors, record = checkpoints.load(path, own + _HEADER_BYTES)
        except ValueError as error:
            print(f"eqssl: {error}; it is made again", file=sys.stderr, flush=True)
        else:
            checkpoints.restore_module(model, tensors)
            return record
    return None


def _tested(tuning: Tuning, runs: list[Run]) -> dict[str, Correct]:
    """Read the test images, in every view, with the chosen weights of every run."""
    test, job = tuning.images("test"), tuning.job
    moves = draw_moves(len(test.split), job.test_seed)
    size = batch_size(tuning.encoder)
    found: dict[str, list[Bool[np.ndarray, " images"]]] = {
        f"fine_acc_{view}_{share}": []
        for view in job.test_views
        for share in dict.fromkeys(run.share for run in runs)
    }
    tasks = [(run, view) for run in runs for view in job.test_views]
    model = tuning.new()
    for run, view in track(tasks, len(tasks), f"testing {tuning.title}"):
        if view == job.test_views[0] and _kept(tuning, run, model) is None:
            raise OSError(f"{tuning.path(run)}: was written but cannot be read back")
        right = predict(model, test, size, Moves(view, *moves)) == test.labels
        found[f"fine_acc_{view}_{run.share}"].append(right)
    return {name: np.stack(values) for name, values in found.items()}


def _metrics(correct: Mapping[str, Correct], settings: FinetuneSettings) -> dict[str, float]:
    """Accuracies with the ends of their intervals."""
    if not correct:
        return {}
    ends = accuracy_intervals(list(correct.values()), settings.bootstrap, settings.seed)
    metrics: dict[str, float] = {}
    for (name, values), (low, high) in zip(correct.items(), ends.tolist(), strict=True):
        metrics |= {name: float(values.mean()), f"{name}_lo": low, f"{name}_hi": high}
    return metrics


def _seed(seed: int, run: Run) -> int:
    """A different seed for each run, so that no two of them draw the same numbers."""
    text = f"{seed} fine-tuning {run.share} {run.draw}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
