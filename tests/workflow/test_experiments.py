"""DVC reads and changes the settings: every nested key, and experiments of earlier layouts."""

from __future__ import annotations

import json

import pytest
import yaml
from project_copy import ROOT, Project

from eqssl.config.params import Params

# `+` where the file does not have the key yet
CHANGES = {
    "pretexts.eq_labels.patch": ("8", 8),
    "encoder.width": ("[4,8]", (4, 8)),
    "pretexts.eq_labels_inv_contrastive.parts.location.weight": ("0.7", 0.7),
    "pretexts.eq_labels_inv_contrastive.parts.contrast.pretext.temperature": ("0.5", 0.5),
    "+datasets.small.size": ("20", 20),
    "pretexts.labels.hidden": ("[16,8]", (16, 8)),
    "grid.seed": ("[0,3]", (0, 3)),
}


@pytest.fixture
def repository(project: Project) -> Project:
    """A copy with a commit whose params.yaml is from before entries named their twins."""
    project.run("git", "init", "-q", "-b", "main")
    path = project.folder / "params.yaml"
    values = yaml.safe_load(path.read_text())
    for entry in values["pretexts"].values():
        entry.pop("twin", None)
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    project.commit("before twins")
    return project


def found(settings: object, key: str) -> object:
    for part in key.removeprefix("+").split("."):
        settings = settings[part] if isinstance(settings, dict) else getattr(settings, part)
    return settings


def test_every_nested_key_can_be_set_on_the_command_line(repository: Project) -> None:
    given = [word for key, (text, _) in CHANGES.items() for word in ("-S", f"{key}={text}")]
    repository.run("dvc", "exp", "run", "--queue", *given)
    text = repository.run("git", "show", "refs/exps/celery/stash:params.yaml")
    params = Params.check(yaml.safe_load(text))
    assert {key: found(params, key) for key in CHANGES} == {key: value for key, (_, value) in CHANGES.items()}
    (repository.folder / "params.yaml").write_text(text)
    assert '"width":[4,8]' in repository.run("snakemake", "-n", "-p", "all")


def test_an_experiment_of_earlier_settings_is_shown_and_compared(repository: Project) -> None:
    metrics = repository.folder / "metrics" / "cell.json"
    metrics.parent.mkdir(exist_ok=True)
    for accuracy, name in ((0.5, "earlier"), (0.75, "later")):
        metrics.write_text(json.dumps({"accuracy": accuracy}))
        repository.run("git", "add", "-f", "metrics/cell.json")
        repository.commit(name)
        repository.run("git", "tag", name)
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        repository.change(pretexts=params["pretexts"], encoder={"kernel": 5})
    shown = repository.run("dvc", "exp", "show", "--csv", "--rev", "earlier")
    assert "earlier" in shown
    assert "0.5" in shown
    compared = repository.run("dvc", "metrics", "diff", "--md", "earlier", "later")
    assert "0.25" in compared
    changed = repository.run("dvc", "params", "diff", "--md", "earlier", "later")
    assert "pretexts.eq_labels.twin" in changed
    assert "encoder.kernel" in changed
