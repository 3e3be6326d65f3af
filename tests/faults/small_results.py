"""Results of the real steps of the pipeline, for a small data set and three cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from training_fixtures import ROOT, Pictures

from eqssl.config import jobs
from eqssl.config.grid import Cell
from eqssl.config.params import Params
from eqssl.data.shards.index import SPLITS
from eqssl.data.shards.writing import write_source
from eqssl.encoders import load_encoder
from eqssl.encoders.release.exporting import export
from eqssl.evaluation.features import extract
from eqssl.evaluation.finetuning import finetune
from eqssl.evaluation.probing import evaluate
from eqssl.evaluation.summary import summarise
from eqssl.machine.store import publish
from eqssl.report import write_report
from eqssl.training import pretrain

GROUPS, SEEDS = ("C4", "C2"), (0, 1)
BUILT = (("C4", 0), ("C4", 1), ("C2", 0))
"""Group and seed of each cell that is made; damage is done to the first."""
SHARDS = ("index.json", "train-00000.tar", "val-00001.tar", "test-00000.tar")


def small_params() -> Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values |= {"dataset": "pictures", "group": "C4", "pretext": "mine", "seed": 0}
    values["datasets"] = {"pictures": {"source": "fashion_mnist_sample", "turned": False}}
    values["shards"] = {"count": 2, "validation": 0.2, "seed": 0}
    values["encoder"]["width"] = [4, 8]
    values["pretrain"] |= {"epochs": 1, "batch_size": 32, "warmup_epochs": 0.0}
    values["features"] |= {"stages": 1, "views": ["stored"], "turned": 4}
    values["probe"] |= {"shares": [100], "draws": 1, "strengths": [0.01, 1.0, 13], "bootstrap": 100}
    values["finetune"] |= {"shares": [50], "draws": 1, "epochs": 1, "least_steps": 1, "bootstrap": 100}
    values["pretexts"] = {"mine": {"task": "supervised"}}
    values["grid"] = {"dataset": ["pictures"], "group": [*GROUPS], "pretext": ["mine"], "seed": [*SEEDS]}
    return Params.check(values)


@dataclass(frozen=True)
class Results:
    """The folder of a project, and where its files are.

    Attributes:
        root: the folder.
        params: its settings.
    """

    root: Path
    params: Params

    def cell(self, group: str, seed: int) -> Cell:
        return Cell(dataset="pictures", group=group, pretext="mine", seed=seed)

    @property
    def shards(self) -> Path:
        return self.root / jobs.shard_folder(self.params, "pictures")

    def files(self, group: str = "C4", seed: int = 0) -> dict[str, Path]:
        """Name -> path of every file of a cell."""
        cell = self.cell(group, seed)
        home = self.root / jobs.cell_folder(self.params, cell)
        evaluation = self.root / jobs.evaluation_folder(self.params, cell)
        probe = self.root / jobs.probe_folder(self.params, cell)
        fine = self.root / jobs.finetune_folder(self.params, cell)
        trained = ("encoder.safetensors", "encoder.json", "loss.csv", "log.jsonl", "pretrain.json")
        return {
            **{name: home / name for name in trained},
            **{f"{name}.parquet": evaluation / f"features/{name}.parquet" for name in (*SPLITS, "turned")},
            "equivariance.json": evaluation / "equivariance.json",
            **{name: probe / name for name in ("metrics.json", "predictions.csv", "correct.parquet")},
            "finetune.json": fine / "finetune.json",
            "fine/correct.parquet": fine / "correct.parquet",
        }

    def path(self, name: str) -> Path:
        """The path of a file of the first cell or of its shards."""
        return self.shards / name if name in SHARDS else self.files()[name]

    def twin(self, name: str, group: str, seed: int) -> Path:
        """The same file of another cell; of shards, that of another data set."""
        return self.root / "other" / name if name in SHARDS else self.files(group, seed)[name]

    # --- the steps, each as the rules of workflow/ run it

    def shard(self) -> None:
        job = jobs.shard_job(self.params, "pictures")
        write_source(Pictures(), job, self.shards)
        shuffled = job.shards.model_copy(update={"seed": 1})
        write_source(Pictures(), job.model_copy(update={"shards": shuffled}), self.root / "other")

    def pretrain(self, out: Path | None = None, group: str = "C4", seed: int = 0) -> None:
        job = jobs.pretrain_job(self.params, self.cell(group, seed))
        pretrain(job, self.shards, out or self.root / job.folder, "cpu")

    def features(self, out: Path | None = None, group: str = "C4", seed: int = 0) -> None:
        files, job = self.files(group, seed), jobs.pretrain_job(self.params, self.cell(group, seed))
        home, target = files["encoder.json"].parent, out or files["equivariance.json"].parent
        extract(jobs.features_job(self.params), self.shards, home, target, "cpu", job.digest)

    def probe(self, out: Path | None = None, group: str = "C4", seed: int = 0) -> None:
        files, job = self.files(group, seed), jobs.pretrain_job(self.params, self.cell(group, seed))
        home, evaluation = files["encoder.json"].parent, files["equivariance.json"].parent
        target = out or files["metrics.json"].parent
        features = jobs.features_job(self.params).digest
        evaluate(jobs.probe_job(self.params), evaluation, home, target, job.digest, features)

    def finetune(self, out: Path | None = None, group: str = "C4", seed: int = 0) -> None:
        files, job = self.files(group, seed), jobs.pretrain_job(self.params, self.cell(group, seed))
        home, target = files["encoder.json"].parent, out or files["finetune.json"].parent
        finetune(jobs.finetune_job(self.params), self.shards, home, target, "cpu", job.digest)

    def publish(self, out: Path | None = None) -> None:
        files, into = self.files(), out or self.root
        home, targets = files["encoder.json"].parent, (into / "metrics", into / "model")
        publish(files["metrics.json"], home, *targets, finetuned=files["finetune.json"])

    def summary(self, out: Path | None = None) -> None:
        into = (out or self.root) / "metrics"
        metrics, finetuned = (
            [self.files(*place)[name] for place in BUILT] for name in ("metrics.json", "finetune.json")
        )
        summarise(metrics, into / "grid.csv", into / "grid.json", finetuned)

    def report(self, out: Path | None = None) -> None:
        files = [self.files(*place) for place in BUILT]
        pairs = [(of["metrics.json"], of["loss.csv"]) for of in files]
        write_report(pairs, (out or self.root / "report") / "index.html", {})

    def load(self, out: Path) -> None:
        load_encoder(self.files()["encoder.json"].parent)

    def export(self, out: Path) -> None:
        export(self.files()["encoder.json"].parent, out)


STEPS: dict[str, tuple[Callable[[Results, Path], None], tuple[str, ...]]] = {
    "pretrain": (Results.pretrain, ("index.json", "train-00000.tar")),
    "features": (Results.features, (*SHARDS, "encoder.json", "encoder.safetensors")),
    "finetune": (Results.finetune, (*SHARDS, "encoder.json", "encoder.safetensors")),
    "load": (Results.load, ("encoder.json", "encoder.safetensors")),
    "export": (Results.export, ("encoder.json", "encoder.safetensors")),
    "probe": (
        Results.probe,
        (
            "encoder.json",
            "pretrain.json",
            "equivariance.json",
            "train.parquet",
            "val.parquet",
            "test.parquet",
            "turned.parquet",
        ),
    ),
    "publish": (
        Results.publish,
        (
            "encoder.json",
            "encoder.safetensors",
            "pretrain.json",
            "loss.csv",
            "metrics.json",
            "predictions.csv",
            "finetune.json",
        ),
    ),
    "summary": (Results.summary, ("metrics.json", "finetune.json")),
    "report": (Results.report, ("metrics.json", "predictions.csv", "pretrain.json", "loss.csv")),
}
"""Step -> how it is done into a folder, and the files that it reads."""


def build(root: Path) -> Results:
    """Do every step."""
    results = Results(root, small_params())
    results.shard()
    for place in BUILT:
        results.pretrain(None, *place)
        results.features(None, *place)
        results.probe(None, *place)
        results.finetune(None, *place)
    results.publish()
    results.summary()
    return results
