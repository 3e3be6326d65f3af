"""What drawings of joint-embedding pretexts show: their losses tell the truth about condition (C)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from entries import TWINS, build, changed, stored, task_of
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Annotation
from steps import loss_of_views

from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.pretexts.joint.momentum import MomentumEmbedding
from eqssl.report.branches_figure import LOSSES, branches_of
from eqssl.report.joint_figure import draw_joint, losses_around_turn
from eqssl.report.style import save_figure

BASES = {task_of(name): name for name in TWINS if task_of(name) in LOSSES}
SMALLER = {"swav": {"queue": 16}, "moco": {"queue": 16}}


def pair(task: str, group: str = "C4", channels: int = 1) -> tuple[JointEmbedding, JointEmbedding]:
    """A pretext around a small encoder, and its plain twin."""
    entries, shape = (BASES[task], TWINS[BASES[task]]), (channels, 28, 28)
    return tuple(changed(name, group, shape, **SMALLER.get(task, {})) for name in entries)


def drawn(task: str, group: str = "C4", number: int = 1, channels: int = 1):
    """The pretext, its twin, the images, the element and the figure."""
    pretext, twin = pair(task, group, channels)
    images, element = stored(6, channels=channels), pretext.group.elements[number]
    return pretext, twin, images, element, draw_joint(pretext, twin, images, element, 3)


def words(axes) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_text()]


def pixels(axes) -> torch.Tensor:
    (image,) = axes.images
    values = torch.from_numpy(np.array(image.get_array()))
    return values[None] if values.ndim == 2 else values.permute(2, 0, 1)


def test_every_base_of_the_registry_is_drawn():
    assert set(BASES) == set(LOSSES)


@pytest.mark.parametrize("task", LOSSES)
def test_the_loss_with_turns_absorbed_stays_and_that_of_the_twin_changes(task: str):
    pretext, twin, images, element, figure = drawn(task)
    assert words(figure.axes[-1])[6] == "none"
    views = pretext.draw_views(images, torch.Generator().manual_seed(3))
    own, other = (losses_around_turn(one, views, element) for one in (pretext, twin))
    assert own.stays
    assert not other.stays
    assert abs(other.after - other.before) > 1e-4
    # an independent computation of the number that is written
    numbers = [f"{loss:.5f}" for loss in own + other]
    first = [view.double() for view in views]
    expected = loss_of_views(pretext.double().train(), *first, progress=0.5)
    assert numbers[0] == f"{float(expected.detach()):.5f}"
    table = words(figure.axes[-1])
    assert [table[i] for i in (4, 5, 8, 9)] == numbers
    assert table[3] == "similarity max"
    assert table[7] == "plain twin"
    assert float(table[10]) == pytest.approx(other.after - other.before, abs=1e-5)


def test_with_nothing_to_turn_neither_loss_changes():
    """The control: without symmetry the twin has nothing to fail at."""
    *_, figure = drawn("simclr", "trivial", 0)
    assert [words(figure.axes[-1])[i] for i in (6, 10)] == ["none", "none"]


@pytest.mark.parametrize(("group", "number", "channels"), [("C4", 3, 1), ("D4", 5, 3)])
def test_the_first_row_shows_the_image_two_views_and_the_turned_one(group: str, number: int, channels: int):
    pretext, _, images, element, figure = drawn("simclr", group, number, channels)
    first, second = pretext.draw_views(images, torch.Generator().manual_seed(3))
    expected = [images.float() / 255, first, second, pretext.group.act(first, element)]
    for axes, image in zip(figure.axes[:4], expected, strict=True):
        torch.testing.assert_close(pixels(axes), image[0])
    assert [axes.get_title(loc="left") for axes in figure.axes[:4]] == ["x", "v", "w", "g v"]


@pytest.mark.parametrize("task", LOSSES)
def test_the_boxes_are_the_modules_that_there_are(task: str):
    pretext, *_, figure = drawn(task)
    found, shown = branches_of(pretext), "\n".join(words(figure.axes[4]))
    momentum = isinstance(pretext, MomentumEmbedding)
    assert found.follows == momentum == ("weights follow" in shown) == ("momentum\nencoder" in shown)
    assert ("predictor" in shown) == (task in {"byol", "moco_v3", "simsiam"})
    assert ("prototypes" in shown) == (task in {"swav", "dino"})
    assert ("queue of 16 earlier embeddings" in shown) == (task in {"moco", "swav"})
    assert ("centre" in shown) == (task == "dino")
    broken = [box for box in figure.axes[4].patches if box.get_linestyle() != "-"]
    assert len(broken) == found.fixed + bool(found.below)
    assert bool(broken) == (task not in {"simclr", "barlow_twins", "vicreg"})


@pytest.mark.parametrize("task", LOSSES)
def test_both_branches_lead_to_the_loss(task: str):
    axes = drawn(task)[-1].axes[4]
    boxes = [box for box in axes.patches if isinstance(box, FancyBboxPatch)]
    loss = max(boxes, key=FancyBboxPatch.get_height)
    ends = [arrow.xy for arrow in axes.texts if isinstance(arrow, Annotation)]
    assert sum(right == loss.get_x() for right, _ in ends) == 2
    assert all(line.get_xdata()[1] < loss.get_x() for line in axes.lines)


def test_drawing_changes_nothing_of_the_pretext():
    pretext, twin = pair("dino")
    states = [{key: value.clone() for key, value in one.state_dict().items()} for one in (pretext, twin)]
    draw_joint(pretext, twin, stored(4), pretext.group.elements[1], 0)
    for one, before in zip((pretext, twin), states, strict=True):
        assert "draw_turned_views" not in vars(one)
        assert all(torch.equal(value, before[key]) for key, value in one.state_dict().items())


def test_the_same_drawing_has_the_same_bytes(tmp_path: Path):
    contents = []
    for name in ("one", "two"):
        save_figure(drawn("moco")[-1], tmp_path / f"{name}.png")
        contents.append((tmp_path / f"{name}.png").read_bytes())
    assert contents[0] == contents[1]


def test_pairs_that_are_no_twins_are_refused():
    pretext, twin = pair("simclr")
    told = (pretext.group.elements[1], 0)
    with pytest.raises(ValueError, match="given SimCLR and BYOL, allowed: two of the same kind"):
        draw_joint(pretext, pair("byol")[1], stored(4), *told)
    with pytest.raises(ValueError, match="given similarities None and max, allowed: one that absorbs turns"):
        draw_joint(twin, pretext, stored(4), *told)
    with pytest.raises(ValueError, match="images: given 1, allowed: at least 2"):
        draw_joint(pretext, twin, stored(1), *told)


def test_other_similarities_are_named():
    pretext, twin = changed("inv_contrastive", "C4", similarity="softmax"), build("contrastive", "C4")
    figure = draw_joint(pretext, twin, stored(4), pretext.group.elements[1], 0)
    assert "similarity softmax" in words(figure.axes[-1])
