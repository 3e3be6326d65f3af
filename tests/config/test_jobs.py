from pathlib import Path

import pytest
import yaml

from eqssl.config import jobs
from eqssl.config.params import Cell, Params
from eqssl.config.settings import digest

VALUES = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())


def replaced(params: Params, section: str, **changes: object) -> Params:
    values = params.plain()
    values[section] = {**values[section], **changes}
    return Params.check(values)


def folders(params: Params) -> dict[str, str]:
    return {
        "shards": jobs.shard_folder(params, params.dataset),
        "cell": jobs.cell_folder(params, params.cell),
        "evaluation": jobs.evaluation_folder(params, params.cell),
        "probe": jobs.probe_folder(params, params.cell),
    }


def differing(one: Params, other: Params) -> set[str]:
    a, b = folders(one), folders(other)
    return {name for name in a if a[name] != b[name]}


@pytest.mark.parametrize(
    ("section", "change", "moved"),
    [
        ("shards", {"seed": 1}, {"shards", "cell", "evaluation", "probe"}),
        ("encoder", {"kernel": 5}, {"cell", "evaluation", "probe"}),
        ("views", {"blur": 0.5}, {"cell", "evaluation", "probe"}),
        ("pretrain", {"epochs": 99}, {"cell", "evaluation", "probe"}),
        ("features", {"seed": 1}, {"evaluation", "probe"}),
        ("probe", {"seed": 1}, {"probe"}),
        ("machine", {"checkpoint_seconds": 1.0}, set()),
        ("machine", {"tracker": "mlflow"}, set()),
        ("grid", {"seed": [0, 1]}, set()),
    ],
)
def test_a_setting_moves_what_it_decides_and_nothing_else(params: Params, section, change, moved):
    assert differing(params, replaced(params, section, **change)) == moved


def test_another_pretexts_settings_do_not_move_a_cell(params: Params):
    changed = replaced(params, "pretexts", labels={**params.pretexts["labels"].plain(), "hidden": 64})
    assert differing(params, changed) == set()
    cell = Cell(dataset=params.dataset, group="C4", pretext="labels", seed=0)
    assert jobs.cell_folder(params, cell) != jobs.cell_folder(changed, cell)


def test_what_a_pretext_changes_in_its_training_counts(params: Params):
    changed = replaced(
        params, "pretexts", eq_labels={**params.pretexts["eq_labels"].plain(), "pretrain": {"epochs": 99}}
    )
    assert differing(params, changed) == {"cell", "evaluation", "probe"}
    assert jobs.pretrain_job(changed, changed.cell).pretrain.epochs == 99


def test_a_twin_decides_no_result(params: Params):
    values = params.plain()
    del values["pretexts"]["eq_labels"]["twin"]
    changed = Params.check(values)
    assert differing(params, changed) == set()
    assert (
        jobs.pretrain_job(params, params.cell).json_text()
        == jobs.pretrain_job(changed, params.cell).json_text()
    )


def test_a_job_holds_the_task_alone(params: Params):
    changed = replaced(
        params, "pretexts", eq_labels={**params.pretexts["eq_labels"].plain(), "pretrain": {"epochs": 99}}
    )
    task = jobs.pretrain_job(changed, changed.cell).plain()["task"]
    assert task == {key: value for key, value in VALUES["pretexts"]["eq_labels"].items() if key != "twin"}


def test_jobs_survive_the_command_line(params: Params):
    for cell in params.cells():
        job = jobs.pretrain_job(params, cell)
        assert jobs.PretrainJob.model_validate_json(job.json_text()) == job
        assert job.cell == cell
    shard = jobs.shard_job(params, params.dataset)
    assert jobs.ShardJob.model_validate_json(shard.json_text()) == shard


def test_equal_numbers_have_one_digest():
    assert digest({"a": 1, "b": [1.0, 2]}) == digest({"b": [1, 2.0], "a": 1.0})
    assert digest({"a": 1}) != digest({"a": True})
    assert digest({"a": 1}) != digest({"a": "1"})
    assert len(digest({})) == 8


def test_a_transfer_is_decided_by_the_shards_of_its_target_and_by_the_features(params: Params):
    def folder(given: Params) -> str:
        return jobs.transfer_folder(given, params.cell, "sky").rpartition("/")[2]

    assert folder(params).startswith("on-sky-")
    plain = params.datasets["sky"].plain()
    assert folder(replaced(params, "datasets", sky={**plain, "size": 32})) != folder(params)
    assert folder(replaced(params, "features", seed=1)) != folder(params)
    for section, change in (("probe", {"seed": 1}), ("transfer", {"datasets": ["sky", "textures"]})):
        changed = replaced(params, section, **change)
        assert folder(changed) == folder(params)
        assert folders(changed)["cell"] == folders(params)["cell"]
    probe = replaced(params, "probe", seed=1)
    assert jobs.transfer_probe_folder(probe, params.cell, "sky") != jobs.transfer_probe_folder(
        params, params.cell, "sky"
    )


def test_a_cell_is_transferred_to_all_data_sets_but_its_own(params: Params):
    assert params.targets(params.cell) == ()
    changed = replaced(params, "transfer", datasets=["sky", params.dataset, "textures"])
    assert changed.targets(params.cell) == ("sky", "textures")
