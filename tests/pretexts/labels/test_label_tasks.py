"""The two conditions that make labels equivariant, for every label task, group and image size."""

import pytest
import torch
from label_tasks import GRID, TASKS, build, drawn, examples
from steps import step

from eqssl.nn.linear import EquivariantLinear
from eqssl.pretexts.labels.base import LabelTask
from eqssl.symmetry import equivariance_error, group, group_names

EXACT = group_names(exact=True)
OFF_GRID = [name for name in group_names() if name not in EXACT]
# pairs of a task and an exact group that make sense
PAIRS = [
    (task, name)
    for task in TASKS
    for name in EXACT
    if not (task.endswith("of the group") and name == "trivial")
]
# those of which a group moves a label: the difference of two quarter turns is the same after a third one
MOVING = [
    (task, name) for task in TASKS for name in ("C4", "D4") if name == "D4" or "relative turn" not in task
]
# how far something without symmetry must at least be off
BROKEN = 1e-2
# the same for relative turns, few of which C2 and D1 move: on noise that leaves little to break
BROKEN_TURNS = 1e-3


@pytest.mark.parametrize("size", [28, 32, 45])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("task", "name"), PAIRS)
def test_condition_a_the_task_commutes_with_the_group(task: str, name: str, channels: int, size: int):
    """t(g x, g . y) = g t(x, y), with everything that is drawn turned along."""
    pretext = build(task, name, channels, size)
    images, labels, draw = drawn(pretext)
    inputs = pretext.corrupt(images, labels, draw)
    for g in pretext.group.elements:
        found = pretext.corrupt(
            pretext.act_on_image(images, g),
            pretext.labels.permutation(g)[labels],
            pretext.act_on_draw(draw, labels, g),
        )
        torch.testing.assert_close(found, pretext.act_on_input(inputs, g), atol=1e-9, rtol=0)


@pytest.mark.parametrize(("task", "name"), MOVING)
def test_a_label_that_stays_behind_breaks_condition_a(task: str, name: str):
    pretext = build(task, name)
    images, labels, draw = drawn(pretext)
    worst = 0.0
    for g in pretext.group.elements:
        found = pretext.corrupt(pretext.act_on_image(images, g), labels, pretext.act_on_draw(draw, labels, g))
        expected = pretext.act_on_input(pretext.corrupt(images, labels, draw), g)
        worst = max(worst, float((found - expected).abs().max()))
    assert worst > 0.1


@pytest.mark.parametrize("task", [task for task in TASKS if "orientation" not in task])
def test_draws_that_stay_behind_break_condition_a(task: str):
    pretext = build(task, "D4")
    images, labels, draw = drawn(pretext)
    for g in pretext.group.elements[1:]:
        found = pretext.corrupt(pretext.group.act(images, g), pretext.labels.permutation(g)[labels], draw)
        expected = pretext.act_on_input(pretext.corrupt(images, labels, draw), g)
        assert (found - expected).abs().max() > 0.1


@pytest.mark.parametrize(("size", "training"), [(28, True), (28, False), (32, False), (45, True)])
@pytest.mark.parametrize(("task", "name"), PAIRS)
def test_condition_b_encoder_and_head_commute_with_the_group(task: str, name: str, size: int, training: bool):
    """logits(g u) = P(g) logits(u)."""
    pretext = build(task, name, channels=3, size=size).train(training)
    inputs = pretext.corrupt(*drawn(pretext))
    error = equivariance_error(
        pretext.logits, pretext.group, inputs, output=pretext.labels, act=pretext.act_on_input
    )
    assert error < 1e-10


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, name in PAIRS if name != "trivial"])
def test_the_plain_twin_fails_condition_b_and_is_as_wide(task: str, name: str):
    pretext, twin = build(task, name), build(task, name, head="plain").eval()
    inputs = twin.corrupt(*drawn(twin))
    error = equivariance_error(twin.logits, twin.group, inputs, output=twin.labels, act=twin.act_on_input)
    assert error > (BROKEN_TURNS if "relative turn" in task else BROKEN)
    maps = [module for module in pretext.head.modules() if isinstance(module, EquivariantLinear)]
    plain = [module for module in twin.head.modules() if isinstance(module, torch.nn.Linear)]
    shapes = [(m.out_fields * m.pairs.shape[0], m.in_fields * m.pairs.shape[1]) for m in maps]
    assert shapes == [(m.out_features, m.in_features) for m in plain]
    assert torch.equal(pretext.labels.action, twin.labels.action)


@pytest.mark.parametrize("task", ["grid", "ring", "orientation in quarters"])
def test_without_symmetry_a_task_and_its_plain_twin_are_the_same(task: str):
    pretext, twin = build(task, "trivial"), build(task, "trivial", head="plain")
    inputs = pretext.corrupt(*drawn(pretext))
    torch.testing.assert_close(pretext.logits(inputs), twin.logits(inputs), atol=1e-12, rtol=0)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["C4", "D4"])
def test_the_loss_of_a_turned_image_with_its_turned_label_is_the_same(task: str, name: str):
    pretext = build(task, name).eval()
    images, labels, draw = drawn(pretext)

    def loss(x, y, d):
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(pretext.logits(pretext.corrupt(x, y, d)), y))

    expected = loss(images, labels, draw)
    for g in pretext.group.elements:
        turned = loss(
            pretext.act_on_image(images, g),
            pretext.labels.permutation(g)[labels],
            pretext.act_on_draw(draw, labels, g),
        )
        assert turned == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("task", TASKS)
def test_what_is_drawn_is_different_for_each_image_and_each_draw(task: str):
    pretext = build(task, "D4", channels=3)
    first, second = (pretext.draw(200, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    again = pretext.draw(200, torch.Generator().manual_seed(0))
    assert first.keys() == second.keys()
    for key, values in first.items():
        if task == "orientation of the group":
            continue  # the trivial stabiliser has one element
        assert torch.equal(values, again[key])
        assert not torch.equal(values, second[key])
        assert len(values.unique(dim=0)) > 1
    labels = pretext.draw_labels(4000, torch.Generator().manual_seed(0))
    counts = labels.bincount(minlength=len(pretext.labels))
    assert counts.min() > 0.5 * 4000 / len(pretext.labels)


@pytest.mark.parametrize("task", TASKS)
def test_the_loss_reaches_every_weight(task: str):
    """At the start it is of the order of log |Y|, and every weight has a gradient."""
    pretext = build(task, "C4").float().train()
    images = (torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(2)) * 255).byte()
    loss, scalars = pretext(step(images, seed=3))
    assert 0.3 < float(loss.detach()) / torch.tensor(len(pretext.labels)).log() < 3
    assert 0 <= float(scalars["accuracy"]) <= 1
    loss.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in pretext.parameters())


# ---- groups off the pixel grid


@pytest.mark.parametrize("name", OFF_GRID)
def test_the_ring_is_exact_at_the_elements_of_the_grid(name: str):
    pretext = build("ring", name).eval()
    images, labels, draw = drawn(pretext)
    inputs = pretext.corrupt(images, labels, draw)
    with torch.no_grad():
        logits = pretext.logits(inputs)
        for g in pretext.group.grid_elements:
            moved = pretext.labels.permutation(g)[labels]
            found = pretext.corrupt(pretext.group.act(images, g), moved, pretext.act_on_draw(draw, labels, g))
            torch.testing.assert_close(found, pretext.act_on_input(inputs, g), atol=1e-9, rtol=0)
            expected = pretext.labels.act_on_logits(logits, g)
            assert float((pretext.logits(found) - expected).norm() / expected.norm()) < 1e-6


@pytest.mark.parametrize("name", ["C8", "D8"])
def test_the_ring_is_nearly_exact_at_other_elements(name: str):
    """On smooth images the patches of a turned image are the turned patches, up to interpolation."""
    pretext = build("ring", name, size=64, jitter=0)
    rows, columns = torch.meshgrid(*[torch.linspace(-3, 3, 64, dtype=torch.float64)] * 2, indexing="ij")
    images = torch.stack([(1.3 * rows + 0.4).sin() * (0.8 * columns).cos()]).expand(8, 1, 64, 64) * 0.4 + 0.5
    labels = torch.arange(8)
    draw = pretext.draw(8, torch.Generator().manual_seed(0))
    inputs = pretext.corrupt(images, labels, draw)
    for g in set(pretext.group.elements) - set(pretext.group.grid_elements):
        moved = pretext.labels.permutation(g)[labels]
        found = pretext.corrupt(pretext.group.act(images, g), moved, pretext.act_on_draw(draw, labels, g))
        expected = pretext.act_on_input(inputs, g)
        # the rim of a turned disc is cut off by the square that it is turned in
        inner = torch.zeros(8, 8, dtype=torch.float64)
        inner[2:6, 2:6] = 1
        near = float(((found - expected) * inner).norm() / (expected * inner).norm())
        stays = float(((inputs - expected) * inner).norm() / (expected * inner).norm())
        assert near < 0.2
        assert near < 0.5 * stays


@pytest.mark.parametrize("name", OFF_GRID)
@pytest.mark.parametrize("task", [task for task in TASKS if task != "ring"])
def test_other_tasks_refuse_groups_off_the_grid_and_say_why(task: str, name: str):
    reason = "square cells" if task in GRID else "interpolation would tell"
    with pytest.raises(ValueError, match=rf"given '{name}' .*{reason}.* allowed: "):
        build(task, name)


def test_every_label_task_of_the_registry_is_tested_here():
    from eqssl import pretexts

    tested = {entry["task"] for entry in TASKS.values()}
    for name in pretexts.names():
        assert issubclass(pretexts.task_class(name), LabelTask) == (name in tested)
    assert set(GRID) <= set(TASKS)
    assert {group(name).is_exact for name in EXACT} == {True}
    assert examples(build("ring", "C4")).shape == (8, 1, 28, 28)
