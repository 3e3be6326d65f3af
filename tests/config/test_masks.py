import copy
from pathlib import Path

import pytest
import yaml

from eqssl.config.groups import GROUPS, exact_groups
from eqssl.config.masks import group_refusal, turn_refusal, views_refusal
from eqssl.config.params import Params, merged

VALUES = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
OWN = {"source": "parquet", "path": "data/raw/own"}
WHOLE = {
    "dataset": "own",
    "datasets": {"own": {**OWN, "mask": "none"}},
    "views": {"turn": "grid"},
    "features": {"views": ["stored", "grid"]},
    "pretext": "inv_contrastive",
    "grid": {"dataset": ["own"], "pretext": ["inv_contrastive", "random"]},
}


def checked(*changes):
    values = copy.deepcopy(VALUES)
    for change in (WHOLE, *changes):
        values = merged(values, change)
    return Params.check(values)


def test_images_without_a_mask_have_grid_groups_and_no_turn_by_any_angle():
    assert checked().datasets["own"].mask == "none"
    groups = exact_groups()
    assert groups == ["trivial", "C2", "C4", "D1", "D2", "D4"]
    assert len(list(checked({"grid": {"group": groups}}).cells())) == 12
    checked({"views": {"turn": "none"}})


@pytest.mark.parametrize("group", ["C8", "D8", "SO2", "O2"])
@pytest.mark.parametrize("where", ["group", "grid.group"])
def test_a_group_off_the_pixel_grid_is_refused_with_what_is_allowed(where, group):
    change = {"group": group} if where == "group" else {"grid": {"group": ["C4", group]}}
    with pytest.raises(
        ValueError, match=rf"^{where}: given '{group}' with datasets\.own\.mask: none: "
    ) as caught:
        checked(change)
    assert str(caught.value).endswith("allowed: trivial, C2, C4, D1, D2, D4, or mask: disc")
    assert "\n" not in str(caught.value)
    checked(change, {"datasets": {"own": {"mask": "disc"}}})


def test_views_by_any_angle_are_refused_with_what_is_allowed():
    with pytest.raises(
        ValueError, match=r"^views\.turn: given 'angle' with datasets\.own\.mask: none: .*grid"
    ):
        checked({"views": {"turn": "angle"}})
    with pytest.raises(ValueError, match=r"^features\.views: given 'angle' .*allowed: stored, grid, or mask"):
        checked({"features": {"views": ["stored", "grid", "angle"]}})


def test_a_second_view_by_any_angle_is_refused_for_the_pretexts_that_are_used():
    own = {"pretexts": {"inv_contrastive": {"second_view": {"turn": "angle"}}}}
    with pytest.raises(
        ValueError,
        match=r"^pretexts\.inv_contrastive\.second_view\.turn: given 'angle' with .*allowed: none, grid",
    ):
        checked(own)
    assert checked({"pretexts": {"inv_byol": {"second_view": {"turn": "angle"}}}})


def test_a_data_set_that_no_cell_uses_does_not_matter():
    used = {"dataset": "fashion_mnist_sample", "grid": {"dataset": ["fashion_mnist_sample"]}}
    assert checked(used, {"views": {"turn": "angle"}, "grid": {"group": ["C8"]}, "group": "C8"})


@pytest.mark.parametrize("where", ["pretext", "grid.pretext"])
def test_learning_from_labels_that_are_ignored_is_refused(where):
    change = (
        {"pretext": "supervised"} if where == "pretext" else {"grid": {"pretext": ["random", "supervised"]}}
    )
    assert checked(change)
    reason = (
        rf"^{where}: given 'supervised' with datasets\.own\.labelled: false: it learns from labels; allowed"
    )
    with pytest.raises(ValueError, match=reason):
        checked(change, {"datasets": {"own": {"labelled": False}}})


def test_a_sum_with_a_supervised_part_needs_labels():
    parts = {"a": {"weight": 1.0, "pretext": {"task": "supervised"}}}
    entry = {"sum": {"task": "combined", "parts": parts}}
    params = checked({"pretexts": entry})
    assert params.pretexts["sum"].needs_labels
    assert not params.pretexts["eq_labels_inv_contrastive"].needs_labels
    assert [name for name, task in params.pretexts.items() if task.needs_labels] == ["supervised", "sum"]


@pytest.mark.parametrize("group", GROUPS)
def test_the_disc_refuses_nothing(group):
    assert group_refusal("disc", group) is None
    assert turn_refusal("disc", "angle") is views_refusal("disc", ["angle"]) is None
    assert (group_refusal("none", group) is None) == (group in exact_groups())
