"""A dry run of a thousand cells: processor time and memory of `snakemake -n all`.

    python bench/dry_run.py [--rounds N] [--json FILE]

The settings are those of params.yaml with another grid: 5 groups, 10 pretexts and 20 seeds. It runs in a copy
of the files that git tracks, which has no results, so each job is new. The same with a single cell is
measured too: that is the cost of starting Snakemake.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from eqssl.config.params import Params
from eqssl.machine.provenance import record

ROOT = Path(__file__).resolve().parents[1]
GROUPS = ("trivial", "C2", "C4", "D2", "D4")
PRETEXTS, SEEDS = 10, 20


def settings(groups: int, pretexts: int, seeds: int) -> dict[str, Any]:
    """params.yaml with a grid of the given numbers of groups, seeds and pretexts that accept all `GROUPS`."""
    params = Params.load(ROOT / "params.yaml")
    fitting = [n for n, entry in params.pretexts.items() if not any(map(entry.refusal, GROUPS))]
    grid = {
        "dataset": [params.dataset],
        "group": list(GROUPS[:groups]),
        "pretext": fitting[:pretexts],
        "seed": list(range(seeds)),
    }
    return {**yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")), "grid": grid}


def copy_of_the_tree(folder: Path) -> None:
    """The files that git tracks, as they are now."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())


def dry_run(folder: Path) -> dict[str, float]:
    """Processor seconds and megabytes of one dry run."""
    command = [sys.executable, "-m", "snakemake", "-n", "all", "--cores", "1"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    with (folder / "dry_run.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        # unlike `wait` it gives the usage of this process alone
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError((folder / "dry_run.log").read_text()[-2000:])
    return {"seconds": usage.ru_utime + usage.ru_stime, "megabytes": usage.ru_maxrss / 1024}


def measure(rounds: int) -> list[dict[str, Any]]:
    """The smallest values of several rounds, in which the large grid and the single cell take turns."""
    grids = ((len(GROUPS), PRETEXTS, SEEDS), (1, 1, 1))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_of_the_tree(folder)
        for _ in range(rounds):
            for groups, pretexts, seeds in grids:
                text = yaml.safe_dump(settings(groups, pretexts, seeds), sort_keys=False)
                (folder / "params.yaml").write_text(text, encoding="utf-8")
                rows.append({"cells": groups * pretexts * seeds, **dry_run(folder)})
    found = []
    for cells in dict.fromkeys(row["cells"] for row in rows):
        own = [row for row in rows if row["cells"] == cells]
        found.append(
            {
                "cells": cells,
                "processor_seconds": round(min(row["seconds"] for row in own), 2),
                "megabytes": round(min(row["megabytes"] for row in own)),
            }
        )
    return found


def main() -> None:
    """Measure, print, and write the numbers to a file if one is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each grid is run (default: 3)")
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args()
    rows = measure(options.rounds)
    for row in rows:
        print(f"{row['cells']:5} cells: {row['processor_seconds']:.2f} s, {row['megabytes']} MB")
    if options.json:
        result = {"benchmark": "dry_run", "machine": record(), "rows": rows}
        options.json.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
