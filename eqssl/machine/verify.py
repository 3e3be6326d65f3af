"""`eqssl verify`: does every file still agree with the records, from the metrics down to the shards?

Snakemake compares times first, and looks only at the last files of the chain. Here the content is checked:
each record's seal, the hash of each file that a record names, and whether records belong together. A file is
hashed once. As long as its size, times and inode stay the same, its hash is taken from a cache.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from eqssl.config import jobs
from eqssl.config.grid import Cell
from eqssl.config.params import Params
from eqssl.machine.chain import Chain, Digests, Fault, Folders, Hash, cell_steps
from eqssl.machine.files import sha256
from eqssl.machine.finetuned import with_finetuned
from eqssl.machine.hashes import HashCache, cached_sha256
from eqssl.machine.live.progress import track
from eqssl.machine.published import Measured, check_data_pages, check_grid, check_published
from eqssl.machine.records import Record
from eqssl.machine.scratch import scratch
from eqssl.machine.store import published
from eqssl.machine.transferred import check_transfer_table, check_transfers

MANY = 100
"""From this number of cells on, progress is shown."""


def faults(params: Params, root: Path = Path(), hash_of: Hash = sha256, grid: bool = True) -> list[Fault]:
    """The files of the active cell and of the grid that are missing or do not agree with the records.

    A file that has not been made yet is not a fault: a record may be missing as long as no later step has
    one.

    Args:
        params: the settings; they name the cells and the folders.
        root: the folder of the project.
        hash_of: gives the SHA-256 of a file.
        grid: whether to look at the grid too.
    """
    chain = Chain(hash_of)
    wanted = list(params.cells()) if grid else []
    cells = list(dict.fromkeys([*wanted, params.cell]))
    found = {cell: _check_cell(chain, params, cell, root) for cell in _shown(cells)}
    transfers = {cell: check_transfers(chain, params, cell, root) for cell in cells}
    check_published(chain, params, root, found[params.cell])
    if grid:
        check_grid(chain, root, [found[cell] for cell in wanted])
        check_transfer_table(chain, root, [row for cell in wanted for row in transfers[cell]])
        check_data_pages(chain, params, root)
    return chain.faults


def _shown(cells: list[Cell]) -> Iterable[Cell]:
    """The cells, with progress if there are many."""
    return track(cells, len(cells), "verifying", "cells") if len(cells) >= MANY else cells


def _check_cell(chain: Chain, params: Params, cell: Cell, root: Path) -> Measured | None:
    """The records of a cell: shards, encoder, training, features, metrics, fine-tuning if it is asked for.

    Returns:
        Its metrics; None if they are not all there yet, or are faulty.
    """
    job = jobs.pretrain_job(params, cell)
    folders = Folders(
        root / jobs.shard_folder(params, cell.dataset),
        root / job.folder,
        root / jobs.evaluation_folder(params, cell),
        root / jobs.probe_folder(params, cell),
    )
    features, probe = jobs.features_job(params).digest, jobs.probe_job(params).digest
    steps = cell_steps(folders, Digests(job.data, job.digest, features, probe))
    finetuned = root / jobs.finetune_folder(params, cell) / "finetune.json"
    # beside the table that the step made first, a missing record was lost
    tuned = finetuned.exists() or finetuned.with_name("correct.parquet").exists()
    fewest = 2 if tuned else 0  # fine-tuning needs data and encoder
    while len(steps) > fewest and not steps[-1].path.exists():
        steps.pop()  # not made yet
    found: dict[str, Record | None] = {}
    for step in steps:
        found[step.name] = chain.check(step, found)
    more = None
    if tuned:
        digest = jobs.finetune_job(params).digest
        more = chain.step(finetuned, digest, data=found["data"], encoder=found["encoder"])
    metrics = found.get("metrics")
    if metrics is None or (params.finetune.shares and more is None):
        return None
    try:
        numbers = with_finetuned(published(metrics.values), metrics, more)
    except ValueError as error:
        chain.fault(finetuned, str(error))
        return None
    return Measured(numbers, (metrics.seal, *([more.seal] if more else [])))


def repair(params: Params, remove: bool, grid: bool) -> list[str]:
    """Remove what is damaged, so that the workflow makes it again, and say so.

    Args:
        params: the settings.
        remove: False to only say it, as a dry run does.
        grid: whether to look at the grid, and not at the active cell alone.

    Returns:
        The paths that must be made again, including the missing ones.

    Raises:
        ValueError: there is a folder where a file must be made.
        OSError: a damaged file cannot be removed.
    """
    with remembered_hashes() as hash_of:
        found = faults(params, hash_of=hash_of, grid=grid)
    for fault in found:
        if fault.path.is_dir():
            raise ValueError(f"{fault.path}: is a folder, but a file has to be made there: remove it")
        print(f"eqssl: {fault.reason}; it is made again", file=sys.stderr, flush=True)
        if remove:
            fault.path.unlink(missing_ok=True)
    return [str(fault.path) for fault in found]


@contextmanager
def remembered_hashes() -> Iterator[Hash]:
    """Gives hashes that are remembered in the scratch folder as long as a file does not change."""
    cache = HashCache(scratch() / "hashes.json")
    yield lambda path: cached_sha256(path, cache)
    with suppress(OSError):  # with a full disk the next run only takes longer
        cache.save()
