"""What must hold for every entry of the `pretexts` table. A new entry is tested here automatically."""

import shutil
from collections import Counter

import pytest
import torch
from entries import (
    JOINT,
    LABELS,
    PARAMS,
    SELF_SUPERVISED,
    TRAINED,
    TWINS,
    build,
    kind_of,
    stored,
    task_of,
    turned,
    with_groups,
)
from steps import loss_of_views, step

from eqssl import pretexts
from eqssl.machine import code
from eqssl.symmetry import assert_equivariant, equivariance_error
from eqssl.training import checkpoints

BROKEN = 1e-2
"""How far something without symmetry must at least be off."""
SYMMETRIC = [pair for pair in LABELS + JOINT if pair[1] != "trivial"]
PLAIN = [pair for pair in LABELS + JOINT if pair[1] == "trivial"]


def drawn_input(pretext, seed=0):
    """Images, labels and draw of a label task."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(8, *pretext.encoder.image_shape, generator=generator, dtype=torch.float64)
    labels = torch.arange(8) % len(pretext.labels)
    return images, labels, pretext.draw(8, generator)


def given_views(pretext, seed):
    """Views as the pretext would draw them, of noise."""
    generator = torch.Generator().manual_seed(seed)
    return [view.double() for view in pretext.draw_views(stored(6, seed=seed), generator)]


def turned_views(views, group_name, seed):
    return [turned(view, group_name, seed + 100 * number) for number, view in enumerate(views)]


def test_every_task_of_the_registry_has_an_entry():
    assert {task_of(name) for name in PARAMS.pretexts} == set(pretexts.names())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("name", "group_name"), LABELS)
def test_condition_a_the_corruption_commutes_with_the_group(name, group_name, channels):
    pretext = build(name, group_name, (channels, 28, 28)).double()
    images, labels, draw = drawn_input(pretext)
    inputs = pretext.corrupt(images, labels, draw)
    for g in pretext.group.elements:
        moved = pretext.labels.permutation(g)[labels]
        found = pretext.corrupt(pretext.act_on_image(images, g), moved, pretext.act_on_draw(draw, labels, g))
        torch.testing.assert_close(found, pretext.act_on_input(inputs, g), atol=1e-9, rtol=0)


@pytest.mark.parametrize(("name", "group_name"), LABELS)
def test_condition_b_the_network_commutes_with_the_group(name, group_name):
    pretext = build(name, group_name).double().eval()
    inputs = pretext.corrupt(*drawn_input(pretext))
    told = {"output": pretext.labels, "act": pretext.act_on_input}
    assert equivariance_error(pretext.logits, pretext.group, inputs, **told) < 1e-10


@pytest.mark.parametrize(("name", "group_name"), JOINT)
def test_condition_c_every_view_can_be_turned_by_itself(name, group_name):
    pretext = build(name, group_name).double().eval()
    views = given_views(pretext, 1)
    expected = float(loss_of_views(pretext, *views).detach())
    for seed in range(3):
        found = loss_of_views(pretext, *turned_views(views, group_name, seed))
        assert float(found.detach()) == pytest.approx(expected, rel=1e-10, abs=1e-10)
    assert_equivariant(pretext.embed, pretext.group, views[0], 1e-10)


@pytest.mark.parametrize(("name", "group_name"), SYMMETRIC)
def test_the_twin_of_an_entry_breaks_its_condition(name, group_name):
    twin = build(TWINS[name], group_name).double().eval()
    if (name, group_name) in LABELS:
        inputs = twin.corrupt(*drawn_input(twin))
        told = {"output": twin.labels, "act": twin.act_on_input}
        assert equivariance_error(twin.logits, twin.group, inputs, **told) > BROKEN
        return
    views = given_views(twin, 1)
    moved = loss_of_views(twin, *turned_views(views, group_name, 0))
    assert abs(float((moved - loss_of_views(twin, *views)).detach())) > 1e-5
    assert equivariance_error(twin.embed, twin.group, views[0]) > BROKEN


@pytest.mark.parametrize(("name", "group_name"), SYMMETRIC + PLAIN)
def test_twins_have_the_same_task_views_encoder_and_widths(name, group_name):
    pretext, twin = build(name, group_name), build(TWINS[name], group_name)
    assert type(pretext) is type(twin)
    assert pretext.views == twin.views
    own = pretext.encoder.state_dict()
    assert all(torch.equal(own[key], value) for key, value in twin.encoder.state_dict().items())
    images = stored(4)
    shapes = [shapes_out_of_linear_maps(one, step(images)) for one in (pretext, twin)]
    assert shapes[0] == shapes[1]


def shapes_out_of_linear_maps(pretext, one_step):
    """How many numbers for each input come out of each layer that is not the encoder's and has weights."""
    seen = Counter()
    inner = {id(module) for module in pretext.encoder.modules()}
    layers = [m for m in pretext.modules() if id(m) not in inner and "Linear" in type(m).__name__]
    outer = [m for m in layers if not any(m is not n and m in n.modules() for n in layers)]

    def note(module, inputs, output):
        seen[output.numel()] += 1

    hooks = [module.register_forward_hook(note) for module in outer]
    pretext(one_step)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize(("name", "group_name"), PLAIN)
def test_without_symmetry_an_entry_and_its_twin_have_as_many_weights(name, group_name):
    pretext, twin = build(name, group_name), build(TWINS[name], group_name)
    counts = [sum(p.numel() for p in one.parameters()) for one in (pretext, twin)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize(("name", "group_name"), with_groups(TRAINED))
def test_the_loss_reaches_every_trained_weight(name, group_name):
    pretext = build(name, group_name).train()
    loss, scalars = pretext(step(stored(), torch.arange(8) % 4, seed=3))
    loss.backward()
    groups = [parameter for group in pretext.parameter_groups() for parameter in group["params"]]
    assert {id(p) for p in groups} == {id(p) for p in pretext.parameters() if p.requires_grad}
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in groups)
    assert all(p.grad is None for p in pretext.parameters() if not p.requires_grad)
    assert all(value.shape == () and not value.requires_grad for value in scalars.values())


@pytest.mark.parametrize("name", SELF_SUPERVISED)
def test_self_supervised_losses_do_not_look_at_labels(name):
    def loss(labels):
        return build(name, "C4")(step(stored(), labels, seed=1)).loss

    expected = loss(None)
    assert torch.equal(loss(torch.arange(8) % 4), expected)
    assert torch.equal(loss(torch.zeros(8, dtype=torch.int64)), expected)


@pytest.mark.parametrize("name", TRAINED)
def test_a_stopped_training_of_every_entry_ends_with_the_same_bytes(name, trainer, tmp_path):
    """Stopped after three of five steps, and continued by another trainer."""

    def start():
        return trainer(build(name, "C4", (1, 12, 12)), epochs=1)

    def train(trained):
        trained.train(tmp_path / "state.safetensors", tmp_path / "log.jsonl", 1000.0)
        state = {**trained.pretext.state_dict(), **checkpoints.optimiser_state(trained.optimiser)}
        return {key: value.contiguous().numpy().tobytes() for key, value in state.items()}, trained.rows

    expected = train(start())
    first, after_step = start(), []
    inner = first.pretext.after_step

    def saving(progress):
        after_step.append(progress)
        inner(progress)

    first.pretext.after_step = saving
    update = first._update

    def stopping(images, labels):
        update(images, labels)
        if len(after_step) == 3:
            first.save(tmp_path / "kept.safetensors")

    first._update = stopping
    assert train(first) == expected
    second = start()
    second.restore(*checkpoints.load(tmp_path / "kept.safetensors"))
    assert second.step == 3
    assert train(second) == expected


@pytest.fixture
def copied_package(tmp_path, monkeypatch):
    """A copy of eqssl whose files a test may change."""
    folder = tmp_path / "eqssl"
    shutil.copytree(code.PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__", "embedded"))
    monkeypatch.setattr(code, "PACKAGE", folder)
    forget()
    yield folder
    forget()


def forget():
    for function in (code.code_digest, code._read, code.all_modules):
        function.cache_clear()


@pytest.mark.parametrize("name", list(PARAMS.pretexts))
def test_a_change_of_an_entrys_code_changes_its_digest(name, copied_package):
    modules = PARAMS.pretexts[name].modules()
    assert kind_of(name).__module__ in modules
    for module in modules:
        before = code.code_digest(*modules)
        path = copied_package.joinpath(*module.split(".")[1:]).with_suffix(".py")
        path.write_text(path.read_text() + "\nCHANGED = 1\n")
        forget()
        assert code.code_digest(*modules) != before
