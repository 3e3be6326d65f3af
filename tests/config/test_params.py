import copy
import datetime
from pathlib import Path

import pydantic
import pytest
import yaml

from eqssl.config.params import Cell, Params, merged

VALUES = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())


def changed(key: str, value: object) -> dict:
    values = copy.deepcopy(VALUES)
    *path, last = key.split(".")
    table = values
    for part in path:
        table = table[part]
    table[last] = value
    return values


def test_the_shipped_settings_are_the_quick_real_run():
    params = Params.check(VALUES)
    assert params.cell == Cell(dataset="fashion_mnist_rot_sample", group="C4", pretext="eq_labels", seed=0)
    cells = list(params.cells())
    assert len(cells) == 18
    assert {cell.group for cell in cells} == {"trivial", "C4", "D4"}


def test_settings_are_frozen():
    params = Params.check(VALUES)
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        params.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "pretrain.epohcs",
            3,
            r"pretrain\.epohcs: no such setting; did you mean 'epochs'\? \(allowed: batch_size",
        ),
        ("epochs", 3, r"epochs: no such setting.*\(allowed: dataset"),
        ("pretrain.epochs", "three", r"pretrain\.epochs: given 'three', allowed: a valid integer"),
        ("pretrain.epochs", 1.5, r"pretrain\.epochs: given 1\.5, allowed: a valid integer"),
        ("pretrain.epochs", True, r"pretrain\.epochs: given True, allowed: a valid integer"),
        ("pretrain.epochs", -1, r"pretrain\.epochs: given -1, allowed: 0 to 100000"),
        ("pretrain.learning_rate", "1e-3", r"pretrain\.learning_rate: given '1e-3', allowed: a valid number"),
        (
            "pretrain.optimiser",
            "adam",
            r"pretrain\.optimiser: given 'adam', allowed: 'adamw', 'lars' or",
        ),
        (
            "group",
            "C3",
            r"group: given 'C3', allowed: 'trivial', 'C2', 'C4', 'C8', 'D1', 'D2', 'D4', 'D8', 'SO2' or 'O2'",
        ),
        ("grid.group", ["C4", "C16"], r"grid\.group\.1: given 'C16', allowed: 'trivial'"),
        ("grid.group", [], r"grid\.group: given \[\], allowed: "),
        ("dataset", "cifar", r"dataset: given 'cifar', allowed: fashion_mnist, "),
        ("grid.dataset", ["cifar"], r"grid\.dataset: given 'cifar', allowed: fashion_mnist, "),
        ("pretext", "eq_label", r"pretext: given 'eq_label', allowed: .*contrastive, .*eq_jigsaw"),
        (
            "grid.pretext",
            ["eq_label"],
            r"grid\.pretext: given 'eq_label', allowed: .*contrastive, .*eq_jigsaw",
        ),
        ("pretext", "eq_label", r"pretext: given 'eq_label', .*; did you mean 'eq_labels'\?"),
        ("encoder.name", "vgg", r"encoder\.name: given 'vgg', allowed: cnn"),
        ("encoder.name", "resnet", r"encoder\.name: given 'resnet', .*; did you mean 'resnet50'\?"),
        ("encoder.name", 3, r"encoder\.name: given 3, allowed: cnn"),
        ("encoder.width", [], r"encoder\.width: given \[\], allowed: at least 1 entry"),
        ("encoder.width", [4, 0], r"encoder\.width\.1: given 0, allowed: 1 to 65536"),
        ("encoder.kernal", 3, r"encoder\.kernal: no such setting; did you mean 'kernel'\?"),
        ("encoder.equivariant_stages", 5, r"encoder\.equivariant_stages: given 5, allowed: at most 4, the"),
        (
            "encoder.name",
            "wide_resnet16_8",
            r"encoder\.width: given \[6, 12, 24, 96\], allowed: 3 numbers, the stages of wide_resnet16_8, or",
        ),
        (
            "datasets.fashion_mnist_sample.path",
            "/x",
            r"path: no such setting of fashion_mnist_sample, only of fashion_mnist, folder, .*webdataset \(",
        ),
        ("datasets.mine", {"turned": True}, r"datasets\.mine\.source: is missing \(allowed: fashion_mnist, "),
        ("datasets.mine", {"source": "parquet", "turned": True}, r"^datasets\.mine\.path: is missing$"),
        (
            "datasets.a-b",
            {"source": "fashion_mnist", "turned": True},
            r"a-b: given 'a-b', allowed: a name of",
        ),
        (
            "datasets.mine",
            {"source": "zip", "turned": True},
            r"datasets\.mine\.source: given 'zip', allowed: ",
        ),
        ("datasets.mine", {"source": "parquet"}, r"datasets\.mine\.path: is missing"),
        ("pretexts.labels.pach", 3, r"pretexts\.labels\.pach: no such setting; did you mean 'patch'\?"),
        (
            "pretexts.labels.task",
            "jigsw",
            r"pretexts\.labels\.task: given 'jigsw', .*; did you mean 'jigsaw'\?",
        ),
        ("pretexts.labels.hidden", "x", r"hidden: given 'x', allowed: a valid integer or a list$"),
        (
            "pretexts.labels.hidden",
            [8, "x"],
            r"pretexts\.labels\.hidden\.1: given 'x', allowed: a valid integer",
        ),
        ("pretexts.labels.cell", "x", r"^pretexts\.labels\.cell: given 'x', allowed: a valid integer$"),
        (
            "pretexts.labels.patch",
            9,
            r"^pretexts\.labels\.patch: given 9 in a cell of 14, allowed: cell minus",
        ),
        (
            "pretexts.jigsaw.permutations",
            25,
            r"jigsaw\.permutations: given 25, allowed: 2 to 24, the orders of 4",
        ),
        ("pretexts.mine", {}, r"pretexts\.mine\.task: is missing \(allowed: .*combined, "),
        (
            "pretexts.labels.pretrain",
            {"epochs": None},
            r"pretrain\.epochs: given None, allowed: a valid integer",
        ),
        (
            "pretexts.labels.pretrain",
            {"epochs": 0},
            r"labels\.pretrain\.warmup_epochs: given 0\.5, allowed: at most",
        ),
        (
            "pretexts.eq_labels_inv_contrastive.parts.contrast.pretext.temprature",
            0.1,
            r"^pretexts\.eq_labels_inv_contrastive\.parts\.contrast\.pretext\.temprature: no such setting;",
        ),
        ("pretexts.labels.task", "rotnet", r"pretexts\.labels\.task: given 'rotnet', allowed: .*combined"),
        ("pretexts.labels.pretrain", {"epohcs": 2}, r"pretexts\.labels\.pretrain\.epohcs: no such setting"),
        ("pretexts.labels.pretrain", 2, r"pretexts\.labels\.pretrain: given 2, allowed: a table"),
        ("pretexts.labels", "x", r"pretexts\.labels: given 'x', allowed: a table of settings"),
        (
            "views.crop_scale",
            [1.0, 0.2],
            r"views\.crop_scale: given \[1\.0, 0\.2\], allowed: the smaller number first",
        ),
        (
            "pretexts.inv_byol.second_view",
            {"crop_scale": [0.9, 0.5]},
            r"^pretexts\.inv_byol\.second_view\.crop_scale: given \[0\.9, 0\.5\], allowed: the smaller",
        ),
        (
            "pretexts.inv_e_ssl.parts.contrast.pretext.second_view",
            {"crop_ratio": [2.0, 1.0]},
            r"^pretexts\.inv_e_ssl\.parts\.contrast\.pretext\.second_view\.crop_ratio: given \[2\.0, 1\.0\],",
        ),
        (
            "pretexts.inv_contrastive.angles",
            12,
            r"angles: given 12, allowed: a multiple of 8",
        ),
        (
            "pretexts.inv_swav.crops",
            {"count": 1, "size": 1, "scale": [0.1, 0.3]},
            r"^pretexts\.inv_swav\.crops\.size: given 1, allowed: 2 to 4096",
        ),
        ("pretexts.inv_byol.momentum", 1.5, r"inv_byol\.momentum: given 1\.5, allowed: 0 to 1"),
        ("features.turned", -1, r"features\.turned: given -1, allowed: 0 to 1000000"),
        ("probe.stages", 3, r"probe\.stages: given 3, allowed: 1 to 2, the number of features\.stages"),
        ("probe.stages", 0, r"probe\.stages: given 0, allowed: 1 to 64"),
        ("probe.classifiers", ["svm", "logistic"], r"probe\.classifiers: .* allowed: 'logistic' first"),
        ("probe.classifiers", ["logistic", "svn"], r"probe\.classifiers.*'svn', .*'ridge' or 'svm'"),
        ("probe.classifiers", ["logistic", "logistic"], r"probe\.classifiers: given 'logistic' twice"),
        ("probe.classifiers", [], r"probe\.classifiers: "),
        ("features.views", ["grid", "stored"], r"features\.views: .* allowed: 'stored' first"),
        ("pretrain.warmup_epochs", 99.0, r"pretrain\.warmup_epochs: given 99\.0, allowed: at most epochs"),
        ("pretrain.learning_rate", float("inf"), r"learning_rate: given .*inf.*, allowed: a finite number"),
        ("seed", datetime.date(2026, 1, 2), r"seed: given '2026-01-02', allowed: a valid integer"),
        ("seed", -1, r"seed: given -1, allowed: 0 to 9223372036854775807"),
        ("shards", 8, r"shards: given 8, allowed: a table of settings"),
    ],
)
def test_a_bad_value_names_its_key_what_was_given_and_what_is_allowed(key: str, value: object, message: str):
    with pytest.raises(ValueError, match=message):
        Params.check(changed(key, value))


def test_several_mistakes_are_all_named():
    values = changed("pretrain.epohcs", 3)
    values["shards"]["count"] = 0
    del values["seed"]
    with pytest.raises(ValueError, match="is missing") as caught:
        Params.check(values)
    assert len(str(caught.value).splitlines()) == 3


def test_a_pretext_that_refuses_a_group_says_why():
    message = (
        r"grid\.group: given 'C8' with pretext 'eq_labels': a turn off the pixel grid .*set layout: ring"
    )
    with pytest.raises(ValueError, match=message):
        Params.check(changed("grid.group", ["C4", "C8"]))
    with pytest.raises(ValueError, match=r"^group: given 'C8' with pretext 'eq_labels': a turn off"):
        Params.check(changed("group", "C8"))


def test_a_missing_or_broken_settings_file_is_named(tmp_path):
    with pytest.raises(OSError, match=r"absent\.yaml"):
        Params.load(tmp_path / "absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(ValueError, match=r"broken\.yaml: not YAML"):
        Params.load(broken)
    broken.write_text("- 1")
    with pytest.raises(ValueError, match=r"broken\.yaml: given \[1\], allowed: a table"):
        Params.load(broken)


@pytest.mark.parametrize(
    ("name", "twin", "message"),
    [
        ("eq_labels", "label", r"twin: given 'label', allowed: .*contrastive, .*; did you mean 'labels'\?"),
        ("eq_labels", "eq_labels", r"twin: given 'eq_labels', allowed: .*contrastive, (?!.*eq_labels,)"),
        (
            "labels",
            "eq_labels",
            r"twin: given 'eq_labels', but labels is plain; allowed: twin: labels in eq_labels",
        ),
        (
            "eq_ring",
            "eq_labels",
            r"twin: given 'eq_labels', allowed: an entry without symmetry and without a twin",
        ),
    ],
)
def test_a_twin_is_another_entry_without_symmetry(name: str, twin: str, message: str):
    with pytest.raises(ValueError, match=rf"^pretexts\.{name}\." + message):
        Params.check(changed(f"pretexts.{name}.twin", twin))


def test_twins_are_those_that_entries_name():
    assert Params.check(VALUES).twins() == {
        "eq_labels": "labels",
        "eq_ring": "ring",
        "eq_jigsaw": "jigsaw",
        "eq_orientation": "orientation",
        "eq_relative_turn": "relative_turn",
        "inv_contrastive": "contrastive",
        "inv_moco": "moco",
        "inv_moco_v3": "moco_v3",
        "inv_byol": "byol",
        "inv_simsiam": "simsiam",
        "inv_barlow": "barlow",
        "inv_vicreg": "vicreg",
        "inv_swav": "swav",
        "inv_dino": "dino",
        "inv_e_ssl": "e_ssl",
    }


def test_settings_without_twins_stay_valid():
    values = copy.deepcopy(VALUES)
    for entry in values["pretexts"].values():
        entry.pop("twin", None)
    assert Params.check(values).twins() == {}


def test_settings_as_plain_values_are_the_same_settings():
    params = Params.check(changed("pretexts.labels.pretrain", {"epochs": 9}))
    plain = params.plain()
    assert Params.check(plain) == params
    assert plain["pretexts"]["labels"]["pretrain"] == {"epochs": 9}
    assert "twin" not in plain["pretexts"]["labels"]


def test_a_pretext_can_change_how_it_is_trained():
    params = Params.check(changed("pretexts.labels.pretrain", {"epochs": 9}))
    assert params.pretrain_settings("labels").epochs == 9
    assert params.pretrain_settings("labels").batch_size == params.pretrain.batch_size
    assert params.pretrain_settings("eq_labels") == params.pretrain


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml")))
def test_published_settings_are_valid(path: Path):
    Params.check(merged(VALUES, yaml.safe_load(path.read_text())))


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        (
            {"mine": {"labelled": False}},
            r"transfer\.datasets\.0: given 'mine', allowed: .*, which have labels$",
        ),
        (
            {"mine": {"channels": 3}, "fashion_mnist_rot_sample": {"channels": 1}},
            r"^transfer\.datasets\.0: given 'mine' of 3 channels with datasets\.fashion_mnist_rot_sample\."
            r"channels: 1, allowed: a data set of as many channels, or datasets\.mine\.channels: 1$",
        ),
    ],
)
def test_a_target_without_labels_or_of_other_channels_is_refused(entries, reason):
    values = merged(VALUES, {"datasets": {"mine": {"source": "folder", "path": "x"}}})
    values = merged(values, {"transfer": {"datasets": ["mine"]}})
    assert Params.check(values).transfer.datasets == ("mine",)
    with pytest.raises(ValueError, match=reason):
        Params.check(merged(values, {"datasets": entries}))


def test_settings_that_lack_the_section_transfer_transfer_nothing():
    values = {key: value for key, value in VALUES.items() if key != "transfer"}
    assert Params.check(values).transfer == Params.check(VALUES).transfer
