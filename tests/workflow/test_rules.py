"""The rules without running them: style, lint, what a dry run plans, and errors before any job."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from project_copy import ROOT, TOOLS, Project

from eqssl.config import jobs
from eqssl.config.params import Params, merged


def test_snakefmt_has_nothing_to_change() -> None:
    command = [str(TOOLS / "snakefmt"), "--check", "Snakefile", "workflow"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_lint_is_clean(project: Project) -> None:
    assert "Congratulations" in project.run("snakemake", "--lint")


def test_dry_run_plans_every_cell_once(project: Project) -> None:
    text = project.run("snakemake", "-n", "all")
    planned = dict(re.findall(r"^(\w+) +(\d+)$", text, flags=re.MULTILINE))
    assert planned == {
        "shard": "1",
        "pretrain": "4",
        "features": "4",
        "probe": "4",
        "summary": "1",
        "publish": "1",
        "html": "1",
        "data_page": "1",
        "all": "1",
        "total": "18",
    }
    params = Params.load(project.folder / "params.yaml")
    for cell in params.cells():
        assert f"{jobs.probe_folder(params, cell)}/metrics.json" in text


def test_fine_tuning_is_planned_for_every_cell_once_it_has_shares(project: Project) -> None:
    assert "eqssl finetune" not in project.run("snakemake", "-n", "-p", "all")
    project.change(finetune={"shares": [10, 100]})
    text = project.run("snakemake", "-n", "-p", "all")
    assert re.search(r"^finetune +4$", text, flags=re.MULTILINE)
    params = Params.load(project.folder / "params.yaml")
    records = [f"{jobs.finetune_folder(params, cell)}/finetune.json" for cell in params.cells()]
    gathered = next(line for line in text.splitlines() if "eqssl summary" in line)
    assert gathered.split("--finetuned ")[1].split(" > ")[0].split() == records
    text = project.run("snakemake", "-n", "cell")
    assert re.search(r"^finetune +1$", text, flags=re.MULTILINE)


def test_transfers_are_planned_to_every_data_set_but_the_own_one(project: Project) -> None:
    assert "eqssl transfer" not in project.run("snakemake", "-n", "-p", "all")
    project.change(transfer={"datasets": ["small", "fashion_mnist_sample"]})
    text = project.run("snakemake", "-n", "-p", "all")
    planned = dict(re.findall(r"^(\w+) +(\d+)$", text, flags=re.MULTILINE))
    assert [planned[rule] for rule in ("shard", "features", "transfer", "transfer_probe")] == list("2444")
    params = Params.load(project.folder / "params.yaml")
    cells, target = list(params.cells()), "fashion_mnist_sample"
    folders = [jobs.transfer_probe_folder(params, cell, target) for cell in cells]
    gathered = next(line for line in text.splitlines() if "eqssl transfer-table" in line)
    table, records = gathered.split("--table ")[1].split(" > ")[0].split(" ", 1)
    assert (table, records.split()) == ("metrics/transfer.csv", [f"{f}/metrics.json" for f in folders])
    for cell in cells:
        folder = jobs.transfer_folder(params, cell, target)
        command = next(line for line in text.splitlines() if f"--out {folder} " in line)
        job = json.loads(re.search(r"--job '(.*?)' --shards (\S+)", command)[1])  # type: ignore[index]
        assert jobs.TransferJob.read(job) == jobs.transfer_job(params, target)
        assert f"--shards {jobs.shard_folder(params, target)} " in command
    text = project.run("snakemake", "-n", "cell")
    assert re.search(r"^transfer_probe +1$", text, flags=re.MULTILINE)


def test_a_transfer_of_other_settings_is_refused(project: Project) -> None:
    params = Params.load(project.folder / "params.yaml")
    right = jobs.transfer_folder(params, params.cell, "fashion_mnist_sample")
    wrong = re.sub(r"-[0-9a-f]{8}$", "-00000000", right)
    text = project.run("snakemake", "-n", f"{wrong}/equivariance.json", code=1)
    assert f"{wrong}: other settings made it; the present ones make {right}" in text


def test_a_dry_run_imports_neither_torch_nor_escnn(project: Project) -> None:
    project.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    text = project.run("snakemake", "-n", "all")
    imported = set(re.findall(r"^import time: +\d+ \| +\d+ \| +([\w.]+)$", text, flags=re.MULTILINE))
    assert {"eqssl.config.params", "snakemake.workflow"} <= imported
    assert imported.isdisjoint({"torch", "escnn", "sklearn", "scipy"})


def test_targets_cell_and_report_plan_their_part(project: Project) -> None:
    assert "pretrain        1\n" in project.run("snakemake", "-n", "cell")
    assert re.search(r"^pretrain +4$", project.run("snakemake", "-n", "html"), flags=re.MULTILINE)


def test_jobs_in_the_rules_are_those_of_the_package(project: Project) -> None:
    params = Params.load(project.folder / "params.yaml")
    text = project.run("snakemake", "-n", "-p", "all")
    for cell in params.cells():
        folder = jobs.cell_folder(params, cell)
        command = next(line for line in text.splitlines() if f"--out {folder} " in line)
        job = json.loads(re.search(r"--job '(.*?)' --shards", command)[1])  # type: ignore[index]
        assert jobs.PretrainJob.read(job) == jobs.pretrain_job(params, cell)


def test_a_path_of_other_settings_is_refused(project: Project) -> None:
    params = Params.load(project.folder / "params.yaml")
    right = jobs.cell_folder(params, params.cell)
    wrong = re.sub(r"-[0-9a-f]{8}$", "-00000000", right)
    text = project.run("snakemake", "-n", f"{wrong}/encoder.json", code=1)
    assert f"{wrong}: other settings made it; the present ones make {right}" in text
    assert project.run("snakemake", "-n", f"{right}/encoder.json")


BAD = [
    (
        {"group": "C5"},
        ["group", "'C5'", "'trivial', 'C2', 'C4', 'C8', 'D1', 'D2', 'D4', 'D8', 'SO2' or 'O2'"],
    ),
    ({"pretrain": {"epoch": 3}}, ["pretrain.epoch", "no such setting", "epochs"]),
    ({"pretexts": {"labels": {"haed": "plain"}}}, ["pretexts.labels.haed", "no such setting", "head"]),
]


@pytest.mark.parametrize(("changes", "words"), BAD)
def test_a_bad_setting_stops_snakemake_before_any_job(
    project: Project, changes: dict[str, object], words: list[str]
) -> None:
    project.change(**changes)
    text = project.run("snakemake", "--cores", "1", "all", code=1)
    for word in words:
        assert word in text
    assert "Traceback" not in text
    assert not (project.folder / "results").exists()
    assert not (project.folder / "logs").exists()


def provided_gpus(project: Project, *options: str) -> str:
    """Snakemake says it when something runs, so one small job runs: the shards."""
    params = Params.load(project.folder / "params.yaml")
    folder = jobs.shard_folder(params, "small")
    plain = ("--logger-eqssl-display", "snakemake", *options)
    text = project.run("snakemake", "--cores", "1", "--force", *plain, "--", f"{folder}/index.json")
    return re.search(r"^Provided resources: .*\bgpu=\D*(\d+)", text, flags=re.MULTILINE)[1]  # type: ignore[index]


def test_jobs_that_share_a_gpu_find_room_for_all_of_them(project: Project) -> None:
    assert provided_gpus(project) == "1"
    project.change(machine={"jobs_per_gpu": 5})
    assert provided_gpus(project) == "5"
    assert provided_gpus(project, "--resources", "gpu=2") == "10"


def test_how_many_jobs_share_a_gpu_is_in_no_command_so_that_nothing_runs_again(project: Project) -> None:
    listed = []
    for number in (1, 5):
        project.change(machine={"jobs_per_gpu": number})
        text = project.run("snakemake", "-n", "-p", "all")
        listed.append(sorted(line for line in text.splitlines() if "python -m eqssl " in line))
    assert listed[0] == listed[1] != []


def test_default_profile_judges_by_content() -> None:
    for name in ("default", "slurm"):
        profile = yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())
        assert profile["max-checksum-file-size"] == "100GB"
        assert profile["show-failed-logs"] is True


def test_dvc_knows_every_section_that_decides_a_result() -> None:
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["cell"]
    assert set(stage["params"]) == set(Params.model_fields) - {"machine", "grid"}


def test_dvc_exp_run_refuses_a_bad_setting(project: Project) -> None:
    project.run("git", "init", "-q", "-b", "main")
    project.commit("start")
    text = project.run("dvc", "exp", "run", "-S", "pretext=eq_label", code=255)
    assert "pretext: given 'eq_label', allowed: " in text
    assert "eq_labels" in text
    assert not (project.folder / "results").exists()


def test_requirements_are_versions_only() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line) for line in pins)
    names = [line.split("==")[0].lower() for line in pins]
    assert names == sorted(names)
    assert "escnn" not in names
    assert {"torch", "setuptools", "snakemake", "dvc"} <= set(names)


def test_merged_is_what_snakemake_makes_of_two_configfiles(project: Project) -> None:
    """The other tests write one params.yaml with `merged`; CI gives Snakemake two files."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    small = yaml.safe_load((ROOT / "tests/workflow/small.yaml").read_text())
    (project.folder / "params.yaml").write_text(yaml.safe_dump(params))
    (project.folder / "data/raw/small").mkdir(parents=True)
    text = project.run("snakemake", "-n", "--configfile", "tests/workflow/small.yaml", "--", "all")
    expected = Params.check(merged(params, small))
    for cell in expected.cells():
        assert jobs.probe_folder(expected, cell) in text


def test_modules_run_from_the_working_tree(project: Project) -> None:
    """A copy of the code, such as DVC's temporary workspace, uses itself and not the installed package."""
    code = "import eqssl; print(eqssl.__file__)"
    out = project.run(sys.executable, "-c", code).strip()
    assert Path(out).is_relative_to(project.folder)


def test_a_tracker_reaches_training_alone(project: Project) -> None:
    project.change(machine={"tracker": "mlflow"})
    commands = [
        line for line in project.run("snakemake", "-n", "-p", "all").splitlines() if "-m eqssl" in line
    ]
    tracked = [line for line in commands if "--tracker mlflow" in line]
    assert len(tracked) == 4
    assert all("-m eqssl pretrain" in line for line in tracked)


def test_a_tracker_without_its_library_stops_before_any_job(project: Project) -> None:
    project.change(machine={"tracker": "wandb"})
    program = "import sys; sys.modules['wandb'] = None; from snakemake.cli import main; main()"
    text = project.run(sys.executable, "-c", program, "--cores", "1", "all", code=1)
    told = "machine.tracker: given wandb, but wandb is not installed: pip install 'eqssl[trackers]'"
    assert told in text
    assert not (project.folder / "results").exists()
