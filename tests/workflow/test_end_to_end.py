"""The pipeline, Snakemake, DVC and git together, on a grid that takes seconds."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from project_copy import Project

OF_THE_MOMENT = ("details", "seconds_pretrain", "made_of", "seal")
NOTHING = "Nothing to be done (all requested files are present and up to date)."
POINTERS = ("results.dvc", "provenance.dvc", "data/shards.dvc")


def planned(text: str) -> dict[str, int]:
    """How many jobs of the steps that compute Snakemake says it runs."""
    counts = re.findall(r"^(shard|pretrain|features|probe) +(\d+)$", text, flags=re.MULTILINE)
    return {name: int(count) for name, count in counts}


def edit(project: Project, addition: str, *modules: str) -> str:
    """What the dry run plans after a line was added to modules."""
    texts = {path: path.read_text() for path in (project.folder / "eqssl" / name for name in modules)}
    for path, text in texts.items():
        path.write_text(text + addition)
    out = project.run("snakemake", "-n", "all")
    for path, text in texts.items():
        path.write_text(text)
    return out


def results(folder: Path) -> dict[str, object]:
    """The results of a cell without what differs between runs: times and the record of the machine."""
    metrics = {}
    for path in sorted(folder.rglob("metrics.json")):
        values = json.loads(path.read_text())
        metrics[str(path.relative_to(folder))] = {
            key: value for key, value in values.items() if key not in OF_THE_MOMENT
        }
    names = ("encoder.safetensors", "loss.csv", "predictions.csv")
    files = [path for name in names for path in sorted(folder.rglob(name))]
    assert metrics
    assert len(files) >= len(names)
    return {"metrics": metrics, **{str(path.relative_to(folder)): path.read_bytes() for path in files}}


def test_a_run_makes_tables_report_and_copies_of_the_active_cell(built: Project) -> None:
    with (built.folder / "metrics/grid.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["pretext"] for row in rows] == ["contrastive", "eq_labels_inv_contrastive", "random"]
    cell = json.loads((built.folder / "metrics/cell.json").read_text())
    assert cell["pretext"] == "contrastive"
    assert "details" not in cell
    assert set(cell) == {name for name, value in rows[0].items() if value}
    assert "<table" in (built.folder / "report/index.html").read_text()
    assert "360 images:" in (built.folder / "report/data/small.html").read_text()
    for name in (
        "metrics/predictions.csv",
        "metrics/loss.csv",
        "model/encoder.safetensors",
        "model/encoder.json",
    ):
        assert (built.folder / name).stat().st_size > 0
    assert len(list((built.folder / "benchmarks").rglob("*.tsv"))) == 10
    assert not list(built.folder.glob("results/**/.*"))


def test_changed_times_alone_rerun_nothing(copy: Project) -> None:
    for path in [
        *copy.folder.glob("results/**/*"),
        *copy.folder.glob("data/shards/**/*"),
        *copy.folder.glob("m*/*"),
    ]:
        moment = time.time() - random.uniform(0, 1e6)  # noqa: S311
        os.utime(path, (moment, moment))
    assert NOTHING in copy.run("snakemake", "-n", "all")


def test_a_dry_run_prints_no_table_of_an_earlier_run(copy: Project) -> None:
    for option in ("-n", "--dry-run"):
        text = copy.run(sys.executable, "-m", "eqssl", "run", "--cores", "2", option, "all")
        assert NOTHING in text
        assert "report:" not in text
        assert "Linear probe" not in text
    assert "Linear probe" in copy.run(sys.executable, "-m", "eqssl", "run", "--cores", "2", "all")


def test_another_twin_makes_the_report_anew_and_nothing_else(copy: Project) -> None:
    copy.change(pretexts={"eq_labels_inv_contrastive": {"twin": "contrastive"}})
    text = copy.run("snakemake", "-n", "all")
    steps = dict(re.findall(r"^(\w+) +(\d+)$", text, flags=re.MULTILINE))
    assert steps == {"html": "1", "all": "1", "total": "2"}
    copy.run("snakemake", "--cores", "2", "html")
    page = (copy.folder / "report/index.html").read_text()
    assert "Minus its plain twin" in page


COMPUTE = {
    "losses/nt_xent.py": {"pretrain": 2},
    "pretexts/joint/simclr.py": {"pretrain": 2},
    "pretexts/labels/location.py": {"pretrain": 1},
    "training/loop.py": {"pretrain": 3},
    "evaluation/probing.py": {"probe": 3},
    "data/sources/parquet.py": {"shard": 1},
}
"""Modules, and how many of its steps run again in the grid of `built` when a module gets a statement."""
COMPUTE_NOTHING_HERE = (
    "pretexts/supervised.py",
    "data/sources/fashion_mnist.py",
    "report/tables.py",
    "fast_cpu/__init__.py",
    "training/trackers/base.py",
    "training/trackers/mlflow.py",
    "config/pretexts.py",
    "machine/files.py",
    "cli/people.py",
)


@pytest.mark.parametrize("module", COMPUTE)
def test_a_statement_reruns_every_cell_that_uses_it(copy: Project, module: str) -> None:
    plan = planned(edit(copy, "_extra = 1\n", module))
    assert {step: plan.get(step, 0) for step in COMPUTE[module]} == COMPUTE[module]


def test_a_statement_that_no_cell_runs_and_a_comment_rerun_none(copy: Project) -> None:
    assert planned(edit(copy, "_extra = 1\n", *COMPUTE_NOTHING_HERE)) == {}
    assert NOTHING in edit(copy, "# a comment\n", *COMPUTE, *COMPUTE_NOTHING_HERE)


def test_another_tracker_reruns_nothing(copy: Project) -> None:
    copy.change(machine={"tracker": "tensorboard"})
    assert NOTHING in copy.run("snakemake", "-n", "all")


@pytest.mark.slow
def test_a_tracked_experiment_has_the_same_results_and_leaves_git(copy: Project, tmp_path: Path) -> None:
    copy.run("dvc", "commit", "-q", "-f")
    copy.commit("grid")
    plain = copy.duplicate(tmp_path / "plain")
    for project, changes in ((plain, []), (copy, ["-S", "machine.tracker=dvclive"])):
        project.run("dvc", "exp", "run", "-q", "-n", "new", "-S", "pretext=supervised", *changes)
    cell = "results/small/C4/supervised"
    assert results(copy.folder / cell) == results(plain.folder / cell)
    assert len(list(copy.folder.glob("logs/trackers/dvclive/small/C4/supervised/*/*/metrics.json"))) == 1
    files = []
    for project in (plain, copy):
        (name,) = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps/**/new").split()
        files.append(project.run("git", "ls-tree", "-r", "--name-only", name))
    assert "params.yaml" in files[0]
    assert files[0] == files[1]
    assert copy.run("git", "diff", "HEAD", "--", "dvc.yaml") == ""


@pytest.mark.slow
def test_a_setting_reruns_what_it_decides(copy: Project) -> None:
    def after(**changes: object) -> dict[str, int]:
        before = (copy.folder / "params.yaml").read_text()
        copy.change(**changes)
        plan = planned(copy.run("snakemake", "-n", "all"))
        (copy.folder / "params.yaml").write_text(before)
        return plan

    assert after(probe={"draws": 3}) == {"probe": 3}
    assert after(features={"seed": 1}) == {"features": 3, "probe": 3}
    assert after(pretrain={"epochs": 1}) == {"pretrain": 3, "features": 3, "probe": 3}
    assert after(shards={"seed": 1}) == {"shard": 1, "pretrain": 3, "features": 3, "probe": 3}
    assert after(machine={"checkpoint_seconds": 1, "device": "cpu"}) == {}


def test_a_clone_pulls_results_and_runs_experiments(copy: Project, tmp_path: Path) -> None:
    copy.run("git", "init", "-q", "--bare", str(tmp_path / "remote.git"))
    copy.run("git", "remote", "add", "origin", str(tmp_path / "remote.git"))
    copy.run("dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    copy.run("dvc", "commit", "-q", "-f")
    copy.commit("grid")
    copy.run("dvc", "push", "-q")
    copy.run("git", "push", "-q", "origin", "main")

    copy.run("git", "clone", "-q", "-b", "main", str(tmp_path / "remote.git"), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.run("dvc", "pull", "-q")
    assert NOTHING in clone.run("snakemake", "-n", "all")
    assert "up to date" in clone.run("dvc", "status")

    # a finished cell: nothing is computed
    text = clone.run("dvc", "exp", "run", "-n", "finished", "-S", "pretext=random")
    assert planned(text) == {}
    # a new one: that cell and nothing else
    text = clone.run("dvc", "exp", "run", "-n", "new", "-S", "pretext=supervised")
    assert planned(text) == {"pretrain": 1, "features": 1, "probe": 1}
    folders = {path.name for path in (clone.folder / "results/small/C4").iterdir()}
    assert folders == {"contrastive", "eq_labels_inv_contrastive", "random", "supervised"}

    diff = json.loads(clone.run("dvc", "metrics", "diff", "--json", "finished", "new"))["metrics/cell.json"]
    assert diff["epochs"] == {"old": 0, "new": 2, "diff": 2}
    table = clone.run("dvc", "exp", "show", "--csv", "--only-changed")
    assert all(name in table for name in ("finished", "new", "pretext", "acc_stored_100"))
    assert NOTHING in clone.run("snakemake", "-n", "cell")


@pytest.mark.slow
def test_a_temporary_experiment_is_adopted(copy: Project) -> None:
    copy.run("dvc", "commit", "-q", "-f")
    copy.commit("grid")
    copy.run("dvc", "exp", "run", "-q", "--temp", "-n", "aside", "-S", "pretext=supervised")
    assert not (copy.folder / "results/small/C4/supervised").exists()
    assert re.fullmatch(r"aside: [1-9]\d* files adopted\n", copy.eqssl("adopt", "aside"))
    assert "aside: 0 files adopted" in copy.eqssl("adopt", "aside")
    copy.change(grid={"pretext": ["contrastive", "random", "supervised"]})
    assert planned(copy.run("snakemake", "-n", "all")) == {}
    assert "eqssl: error: experiment nowhere: " in copy.eqssl("adopt", "nowhere", code=1)


@pytest.mark.slow
def test_an_experiment_may_be_the_first_thing_that_is_run(project: Project) -> None:
    project.run("git", "init", "-q", "-b", "main")
    project.commit("start")
    text = project.run("dvc", "exp", "run", "-n", "first", "-S", "pretext=random")
    assert planned(text) == {"shard": 1, "pretrain": 1, "features": 1, "probe": 1}
    assert "first" in project.run("dvc", "exp", "show", "--csv", "--only-changed")


def test_a_store_that_lost_a_cell_is_refused(copy: Project) -> None:
    copy.run("dvc", "commit", "-q", "-f")
    copy.commit("grid")
    shutil.rmtree(copy.folder / "results/small/C4/random")
    copy.run("dvc", "commit", "-q", "-f", *POINTERS)
    text = copy.eqssl("guard", *POINTERS, code=1)
    assert re.match(r"eqssl: error: results\.dvc: holds \d+ files, but \d+ at the last commit", text)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_the_same(copy: Project, tmp_path: Path) -> None:
    copy.change(pretrain={"epochs": 12}, machine={"checkpoint_seconds": 0.05})
    undisturbed = copy.duplicate(tmp_path / "undisturbed")
    undisturbed.eqssl("run", "cell")

    cells = copy.folder / "results/small/C4/contrastive"
    known = set(cells.iterdir())
    process = copy.start(sys.executable, "-m", "eqssl", "run", "cell")
    deadline = time.monotonic() + 120
    while not list(copy.folder.glob(".scratch/*/state.safetensors")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not [path for path in cells.rglob("encoder.safetensors") if path.parent not in known]

    text = copy.eqssl("run", "cell")
    assert "clearing it" in text
    log = next(
        path for path in copy.folder.glob("logs/pretrain/*contrastive*") if "12/12" in path.read_text()
    )
    assert re.search(r"go|resum|continu", log.read_text()), log.read_text()
    assert results(copy.folder / "results") == results(undisturbed.folder / "results")


def test_bad_data_are_one_message_and_leave_nothing(
    copy: Project, small_images: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_images, tmp_path / "images")
    file = next((tmp_path / "images").glob("train*.parquet"))
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    copy.change(datasets={"small": {"path": str(tmp_path / "images")}})
    text = copy.run("snakemake", "--cores", "1", "cell", code=1)
    message = next(line for line in text.splitlines() if "eqssl: error: " in line)
    assert message.startswith("shard small failed: ")
    assert file.name in message
    assert "(logs/shard/" in message
    assert "Traceback" not in text
    assert "CalledProcessError" not in text
