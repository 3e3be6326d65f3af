"""How fast Snakemake may start jobs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RULES = Path(__file__).parents[2] / "workflow/rules/limits.smk"
SNAKEFILE = """
include: {rules!r}
rule all:
    input: lambda wildcards: {lift} or []
    output: "done"
    shell: "touch {{output}}"
"""


def limits(folder: Path, lift: str, *options: str) -> list[str]:
    """The lines in which Snakemake says how many jobs may start in how many seconds."""
    (folder / "Snakefile").write_text(SNAKEFILE.format(rules=str(RULES), lift=lift))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--verbose", *options]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert (folder / "done").exists()
    return [line for line in (answer.stdout + answer.stderr).splitlines() if "Submitting maximum" in line]


def test_local_jobs_start_without_the_limit_whose_timers_add_up(tmp_path: Path) -> None:
    assert limits(tmp_path, "lift_rate_limit()") == []


@pytest.mark.parametrize(
    ("lift", "options", "number"),
    [("None", (), 100), ("lift_rate_limit()", ("--max-jobs-per-timespan", "7/1s"), 7)],
)
def test_without_lifting_and_with_a_limit_of_ones_own_it_stays(
    tmp_path: Path, lift: str, options: tuple[str, ...], number: int
) -> None:
    (line,) = limits(tmp_path, lift, *options)
    assert f"maximum {number} job(s)" in line
