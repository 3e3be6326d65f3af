"""The command for features that other software made: probe-features."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from eqssl.cli.adding import ENCODERS, Commands, add
from eqssl.cli.holding import processor
from eqssl.cli.reading import check_project, job_of

if TYPE_CHECKING:
    from eqssl.config.jobs import ProbeJob
    from eqssl.config.sources import SplitName


def add_commands(commands: Commands) -> None:
    """Add the command to the parser."""
    examples = [
        "eqssl probe-features --features photos.parquet --out probed",
        "eqssl probe-features --train train.parquet --test test.parquet --out probed",
    ]
    probe = add(commands, "probe-features", _probe_features, ENCODERS, examples)
    probe.add_argument("--train", type=Path, help="Parquet file of the training images")
    probe.add_argument("--val", type=Path, help="of validation images (default: part of the training images)")
    probe.add_argument("--test", type=Path, help="of the test images")
    probe.add_argument("--features", type=Path, help="one file with a column `split`, instead of the others")
    probe.add_argument("--out", required=True, type=Path, help="folder of the outputs")
    probe.add_argument("--job", help="settings of the probes as JSON (default: section `probe` of --params)")
    probe.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings file")


def _probe_features(options: argparse.Namespace) -> None:
    """Fit probes on features that other software made, and write their metrics."""
    files = _files(options)
    job = _job(options)
    with processor(1):
        from eqssl.evaluation.foreign_probing import evaluate_foreign

        values = evaluate_foreign(job, files, options.out)
    print(f"validation images: {values['details']['foreign']['validation']}")
    for name, value in values.items():
        if f"{name}_lo" in values:
            low, high = (100 * values[name + end] for end in ("_lo", "_hi"))
            print(f"{name}: {100 * value:.2f} % ({low:.2f} to {high:.2f})")
    for reason in values["details"]["left_out"]:
        print(f"left out: {reason}")
    print(f"written: {options.out / 'metrics.json'}")


def _files(options: argparse.Namespace) -> dict[SplitName, Path] | Path:
    """The file of each split that was given, or the one of all."""
    given: dict[SplitName, Path | None] = {"train": options.train, "val": options.val, "test": options.test}
    splits = {split: path for split, path in given.items() if path is not None}
    if options.features is not None:
        if splits:
            raise ValueError(f"--features: given with --{next(iter(splits))}, allowed: one or the other")
        return Path(options.features)
    for split, path in given.items():
        if path is None and split != "val":
            raise ValueError(f"--{split}: missing; or give one file with a column `split` by --features")
    return splits


def _job(options: argparse.Namespace) -> ProbeJob:
    from eqssl.config.jobs import ProbeJob, probe_job
    from eqssl.config.params import Params

    if options.job is not None:
        return job_of(ProbeJob, options.job)
    check_project(options.params)
    job = probe_job(Params.load(options.params))
    return ProbeJob(probe=job.probe.model_copy(update={"stages": 1}))  # other software tells no stages apart
