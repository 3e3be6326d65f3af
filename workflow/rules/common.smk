# Settings, paths and code digests for the other files of rules.
import gc
import json
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

# Snakemake makes objects by the million for a thousand cells and keeps them: looking for garbage among them
# more often takes an eighth of the time of a dry run.
gc.set_threshold(200_000)

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))

from eqssl.config import jobs
from eqssl.config.claims import claims_of
from eqssl.config.grid import Cell
from eqssl.config.params import Params
from eqssl.data.shards.index import SPLITS
from eqssl.machine import raw_data, run, steps, store, transferred, verify
from eqssl.machine.code import PACKAGE
from eqssl.machine.files import sha256
from eqssl.training.trackers.registry import require_tracker

try:
    PARAMS = Params.check(config)
    if workflow.is_main_process:
        if workflow.local_exec and PARAMS.machine.tracker != "none":
            require_tracker(PARAMS.machine.tracker, "machine.tracker")
        run.hold()
        for name in dict.fromkeys(
            [PARAMS.dataset, *PARAMS.grid.dataset, *PARAMS.transfer.datasets]
        ):
            for path in PARAMS.datasets[name].inputs:
                raw_data.check_pointer(path)
except (ValueError, OSError) as error:
    raise WorkflowError(str(error)) from None

validate(config, "../schemas/params.schema.json", set_default=False)
run.prepare(ROOT, PARAMS.machine.jobs_per_gpu)
if workflow.is_main_process:
    store.own(store.RECORDS, "model", "metrics")
    # The profile counts GPUs, a job takes one of them: so many jobs find room on each.
    gpus = workflow.global_resources.get("gpu").value
    if workflow.local_exec and gpus is not None:
        workflow.register_resource("gpu", gpus * PARAMS.machine.jobs_per_gpu)

HAS_GPU = run.has_gpu()
SHARDS = "data/shards/{dataset}-{shard_id}"
CELL = "results/{dataset}/{group}/{pretext}/s{seed}-{cell_id}"
EVALUATION_ID = jobs.features_job(PARAMS).digest
PROBE_ID = jobs.probe_job(PARAMS).digest
FINE_ID = jobs.finetune_job(PARAMS).digest
EVALUATION = f"{CELL}/eval-{EVALUATION_ID}"
PROBE = f"{EVALUATION}/probe-{PROBE_ID}"
FINE = f"{CELL}/fine-{FINE_ID}"
TRANSFER = f"{CELL}/on-{{target}}-{{transfer_id}}"


# Rules say <cell>/encoder.json; the wildcards are inside the variable.
pathvars:
    shards=SHARDS,
    cell=CELL,
    evaluation=EVALUATION,
    probe=PROBE,
    fine=FINE,
    transfer=TRANSFER,
    transfer_probe=f"{TRANSFER}/probe-{PROBE_ID}",
    name="{dataset}-{group}-{pretext}-s{seed}-{cell_id}",


wildcard_constraints:
    dataset="|".join(PARAMS.datasets),
    target="|".join(PARAMS.datasets),
    group=r"\w+",
    pretext="|".join(PARAMS.pretexts),
    seed=r"\d+",
    shard_id=r"[0-9a-f]{8}",
    cell_id=r"[0-9a-f]{8}",
    transfer_id=r"[0-9a-f]{8}",


def checked(given, folder):
    """The folder that a path names, which has to be the one that the present settings make."""
    if given != folder:
        raise ValueError(
            f"{given}: other settings made it; the present ones make {folder}"
        )
    return folder


@cache
def raw_version(dataset):
    """What a data set's shards are made of; of files that are gone, what its shards say."""
    if not workflow.is_main_process:
        return ""
    try:
        return raw_data.version_of(
            dataset, PARAMS.datasets[dataset], shard_folder(dataset)
        )
    except (ValueError, OSError) as error:
        raise WorkflowError(str(error)) from None


def gpu(wildcards):
    """How many GPUs a job takes: one, unless it runs on this machine and that has none."""
    device = PARAMS.machine.device
    auto = HAS_GPU or not workflow.local_exec
    return int(device.startswith("cuda") or (device == "auto" and auto))


@cache
def cell_job(dataset, group, pretext, seed):
    """The job that makes the encoder of a cell. Thousands of cells ask for theirs several times each."""
    values = {"dataset": dataset, "group": group, "pretext": pretext, "seed": seed}
    return jobs.pretrain_job(PARAMS, Cell.read(values))


def job_of(wildcards):
    """The job that makes the encoder of the cell that a path names."""
    names = (wildcards.dataset, wildcards.group, wildcards.pretext)
    return cell_job(*names, int(wildcards.seed))


def shard_job(wildcards):
    """The job that makes a data set's shards, as JSON."""
    checked(SHARDS.format(**wildcards), jobs.shard_folder(PARAMS, wildcards.dataset))
    return jobs.shard_job(PARAMS, wildcards.dataset).json_text()


def pretrain_job(wildcards):
    """The job that makes a cell's encoder, as JSON."""
    return job_of(wildcards).json_text()


@cache
def shard_folder(dataset):
    """Folder of a data set's tars."""
    return jobs.shard_folder(PARAMS, dataset)


@cache
def data_page_job(dataset):
    """The job that draws the page of a data set."""
    return jobs.data_page_job(PARAMS, dataset)


def shard_index(wildcards):
    """index.json of the data set of a cell; it holds the hashes of the tars and stands for them."""
    checked(CELL.format(**wildcards), job_of(wildcards).folder)
    return f"{shard_folder(wildcards.dataset)}/index.json"


def target_index(wildcards):
    """index.json of the data set that an encoder reads."""
    cell = job_of(wildcards).cell
    folder = jobs.transfer_folder(PARAMS, cell, wildcards.target)
    checked(TRANSFER.format(**wildcards), folder)
    return f"{shard_folder(wildcards.target)}/index.json"


def shard_code(wildcards):
    """Digest of the code that makes shards."""
    return steps.shard_code(PARAMS.datasets[wildcards.dataset])


def pretrain_code(wildcards):
    """Digest of the code that decides a cell, the one that checkpoints carry too."""
    return steps.cell_code(job_of(wildcards))


@cache
def cells(name):
    """A file of every cell of the grid, by its path below the cell's folder."""
    found = [cell_job(c.dataset, c.group, c.pretext, c.seed) for c in PARAMS.cells()]
    return [f"{job.folder}/{name}" for job in found]


def transfers(cells):
    """The metrics.json of each transfer of cells."""
    return [
        f"{jobs.transfer_probe_folder(PARAMS, cell, target)}/metrics.json"
        for cell in cells
        for target in PARAMS.targets(cell)
    ]


def first_seeds(name):
    """A file of the first seed of each data set, group and pretext, as `cells`."""
    kept = [cell.seed == min(PARAMS.grid.seed) for cell in PARAMS.cells()]
    return [path for path, first in zip(cells(name), kept) if first]


def option(name, values):
    """The words of an option with these values; none without values."""
    return [name, *values] if values else []


@cache
def faulty(grid):
    """Files of earlier runs that are missing or damaged; Snakemake looks at times, and at the last files alone.

    Snakemake asks for them when it plans the jobs. What is damaged is removed then, unless nothing will run. The
    target `cell` looks at no other cell: a clone may have pulled that one alone.
    """
    lift_rate_limit()
    runs = bool(workflow.executor_plugin) and not workflow.dryrun and not workflow.touch
    return (
        verify.repair(PARAMS, remove=runs, grid=grid)
        if workflow.is_main_process
        else []
    )
