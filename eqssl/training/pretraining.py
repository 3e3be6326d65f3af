"""`eqssl pretrain`: train an encoder on shards."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from eqssl import pretexts
from eqssl.config.jobs import PretrainJob
from eqssl.config.settings import digest
from eqssl.data.loading.batches import Batches, Split, load_split
from eqssl.data.loading.location import DEFAULT, Budget, open_shards
from eqssl.data.shards.fitness import check_fitness
from eqssl.data.shards.index import INDEX_FILE, ShardIndex
from eqssl.encoders.build import build_encoder
from eqssl.encoders.release.saving import save_encoder
from eqssl.machine.files import atomic, write_text
from eqssl.machine.provenance import record
from eqssl.machine.records import write_record
from eqssl.machine.scratch import Claim, claimed, fingerprint, scratch
from eqssl.machine.steps import cell_code
from eqssl.pretexts.base import Pretext
from eqssl.training.compiling import compiled, require_compiler
from eqssl.training.device import choose_device, reproducible
from eqssl.training.loop import Trainer
from eqssl.training.measured import Measured
from eqssl.training.precision import choose_precision
from eqssl.training.warned import warned

if TYPE_CHECKING:
    from eqssl.training.trackers.base import Tracker

Measure = Callable[[Pretext, Split, int, int, torch.device, torch.dtype], Measured]
"""From pretext, validation images, batch size, seed, device and precision to what was measured."""
Follow = Callable[[PretrainJob, Path], "Tracker"]
"""From the job and the folder of the unfinished training to what records its progress."""
STATE_FILE, LOG_FILE = "state.safetensors", "log.jsonl"


def pretrain(
    job: PretrainJob,
    shards: str | Path,
    out: Path,
    device: str = "auto",
    checkpoint_seconds: float = 20.0,
    measure: Measure | None = None,
    budget: Budget = DEFAULT,
    follow: Follow | None = None,
) -> None:
    """Train the encoder of a cell, or resume its training where a killed process stopped.

    Writes into `out`: loss.csv, log.jsonl, encoder.safetensors, encoder.json and, last of all, pretrain.json.
    Until then the state is kept in `$EQSSL_SCRATCH/<fingerprint>/` (else `$DVC_ROOT/.scratch`, else
    `./.scratch`), where the fingerprint covers everything that decides the weights. On a CPU the result is
    the same bit for bit, however often the training was interrupted.

    Args:
        job: the settings.
        shards: folder of the tars and their index.json, or its address.
        out: folder of the results.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps` ...
        checkpoint_seconds: least time between two checkpoints.
        measure: measures the trained pretext on validation images, for pretrain.json.
        budget: how much loading may keep in the scratch folder; no result depends on it.
        follow: opens a tracker of the training; no result depends on it.

    Raises:
        ValueError: for bad settings or damaged shards, or if the loss is no longer finite.
        OSError: if a file cannot be read or written.
        SystemExit: after SIGTERM (code 143) or SIGINT (130), with the state saved.
    """
    chosen = choose_device(device)
    precision = choose_precision(job.pretrain.precision, chosen)
    if job.pretrain.compile:
        require_compiler(chosen)
    index = open_shards(shards, budget).index
    if index.dataset != job.dataset:
        raise ValueError(f"{shards}: holds data set {index.dataset!r}, the job is for {job.dataset!r}")
    if digest(index.job) != job.data:
        reason = f"made by job {digest(index.job)}, but {job.data} is wanted: mixed up"
        raise ValueError(f"{index.folder / INDEX_FILE}: {reason}")
    check_fitness(job, index)
    facts: dict[str, Any] = {"device": chosen.type, "precision": str(precision).removeprefix("torch.")}
    folder = scratch() / fingerprint({**facts, **_what_decides(job, index)})
    with (
        reproducible(chosen, job.pretrain.threads),
        _own_random_numbers(chosen, job.seed),
        claimed(folder) as claim,
    ):
        pretext = _build(job, index).to(chosen)
        trainer = None
        if pretext.trains:
            generator = torch.Generator(chosen).manual_seed(_seed(job.seed, "views"))
            batches = Batches(load_split(shards, "train", budget), job.pretrain.batch_size, job.seed, chosen)
            trainer = Trainer(pretext, batches, job.pretrain, generator, precision, _title(job), folder.name)
            with compiled(pretext.encoder) if job.pretrain.compile else nullcontext():
                _train(trainer, claim, checkpoint_seconds, partial(follow, job) if follow else None)
        found = Measured({}, {})
        if trainer and measure:
            found = _measured(measure, job, pretext, shards, budget, chosen, precision)
        facts |= {"measured": found.numbers, "diagnostics": found.details}
        _write(job, index, pretext, trainer, facts, folder, out)
        claim.drop()


def _build(job: PretrainJob, index: ShardIndex) -> Pretext:
    """The pretext and its encoder, which starts with the same weights for every pretext."""
    encoder = build_encoder(
        job.encoder,
        job.group,
        index.image_shape,
        index.mean,
        index.std,
        torch.Generator().manual_seed(_seed(job.seed, "encoder")),
        index.mask,
    )
    heads = torch.Generator().manual_seed(_seed(job.seed, "heads"))
    return pretexts.attach(job.pretext, job.task, encoder, job.views, len(index.classes), heads)


def _train(
    trainer: Trainer, claim: Claim, checkpoint_seconds: float, follow: Callable[[Path], Tracker] | None
) -> None:
    state = claim.folder / STATE_FILE
    if state.exists():
        _go_on(trainer, state)
    with follow(claim.folder) if follow and trainer.step < trainer.steps else nullcontext() as tracker:
        trainer.train(state, claim.folder / LOG_FILE, checkpoint_seconds, tracker)
    if not all(bool(parameter.isfinite().all()) for parameter in trainer.pretext.parameters()):
        raise ValueError(f"{trainer.title}: the weights are no longer finite after the last step")
    if claim.is_awaited():
        trainer.save(state)


def _go_on(trainer: Trainer, state: Path) -> None:
    """Restore a checkpoint. A damaged or foreign one costs time, never the result: training starts again."""
    try:
        trainer.load(state)
    except ValueError as error:
        _say(f"{error}; it is ignored, training starts from the beginning")
        return
    _say(f"{trainer.title}: going on after step {trainer.step} of {trainer.steps}")


def _measured(
    measure: Measure,
    job: PretrainJob,
    pretext: Pretext,
    shards: str | Path,
    budget: Budget,
    device: torch.device,
    precision: torch.dtype,
) -> Measured:
    """Measurements of the trained pretext on validation images."""
    split = load_split(shards, "val", budget)
    if not len(split):
        return Measured({}, {})
    seed = _seed(job.seed, "diagnostics")
    return measure(pretext, split, job.pretrain.batch_size, seed, device, precision)


def _write(
    job: PretrainJob,
    index: ShardIndex,
    pretext: Pretext,
    trainer: Trainer | None,
    facts: dict[str, Any],
    folder: Path,
    out: Path,
) -> None:
    """Write the outputs: files, then the record of the encoder, then that of the training.

    The encoder's record holds no times, so that the same training gives the same bytes again.
    """
    versions = record()
    rows = trainer.rows if trainer else []
    seconds, steps = (trainer.seconds, trainer.step) if trainer else (0.0, 0)
    names = trainer.meter.names if trainer else ["loss"]
    write_text(out / "loss.csv", _loss_table(names, rows))
    log = folder / LOG_FILE
    with atomic(out / "log.jsonl") as temporary:
        if trainer and log.exists():
            shutil.copyfile(log, temporary)
    summary = {
        "seconds": round(seconds, 3),
        "images_per_second": round(steps * job.pretrain.batch_size / seconds, 1) if seconds else 0.0,
        "epochs": len(rows),
        "steps": steps,
        "final_loss": rows[-1][0] if rows else None,
        "pretext": pretext.described(),
        "warnings": [entry._asdict() for entry in warned(pretext, names, rows).values()],
        **facts,
        "versions": versions,
    }
    extra = {
        "encoder": job.encoder.plain(),
        "dataset": job.dataset,
        "pretext": job.pretext,
        "seed": job.seed,
        "data": index.digest,
        "origin": index.origin,
        "licence": index.licence,
        **({"range": index.range} if index.range else {}),
        "job": job.plain(),
        "versions": versions,
    }
    seal = save_encoder(pretext.encoder.eval(), out, extra, {"data": index.seal})
    write_record(out / "pretrain.json", summary, ["loss.csv", "log.jsonl"], {"encoder": seal})


def _loss_table(names: list[str], rows: list[list[float]]) -> str:
    """CSV of the epochs, with every digit that a float has."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *names])
    writer.writerows([epoch, *map(repr, row)] for epoch, row in enumerate(rows, 1))
    return text.getvalue()


def _what_decides(job: PretrainJob, index: ShardIndex) -> dict[str, Any]:
    return {
        "job": job.plain(),
        "data": index.digest,
        "code": cell_code(job),
        "torch": torch.__version__,
    }


def _seed(seed: int, purpose: str) -> int:
    """A different seed for each purpose, so that no two generators repeat each other."""
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:8], "little") >> 1


@contextmanager
def _own_random_numbers(device: torch.device, seed: int) -> Iterator[None]:
    """Within the block torch's global generator depends on the seed alone, for layers such as dropout."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(_seed(seed, "global"))
        yield


def _title(job: PretrainJob) -> str:
    return f"{job.dataset}/{job.group}/{job.pretext}/s{job.seed}"


def _say(text: str) -> None:
    print(f"eqssl: {text}", file=sys.stderr, flush=True)
