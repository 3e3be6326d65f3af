"""Prototypes, the teacher of DINO, and views of several sizes."""

import pytest
import small_encoders
import torch
from entries import PARAMS, build, changed, stored, turned
from steps import loss_of_views, step

from eqssl import pretexts
from eqssl.config.pretexts import PretextSettings
from eqssl.losses.similarity import similarity

NAMES = ["inv_swav", "swav", "inv_dino", "dino"]
CROPS = {"count": 3, "size": 12, "scale": [0.1, 0.3]}


def train(pretext, progress, after):
    optimiser = torch.optim.AdamW(pretext.parameter_groups(), lr=0.01, weight_decay=0.1)
    pretext.train()(step(stored(), progress=progress)).loss.backward()
    optimiser.step()
    pretext.after_step(after)


@pytest.mark.parametrize("name", NAMES)
def test_prototypes_stay_as_they_are_while_they_are_frozen_and_then_move_on_the_sphere(name):
    pretext = changed(name, "C4", frozen=0.5)
    before = pretext.prototypes.weight.detach().clone()
    torch.testing.assert_close(before.flatten(1).norm(dim=1), torch.ones(len(before)))
    train(pretext, 0.25, 0.5)
    assert torch.equal(pretext.prototypes.weight, before)
    assert torch.equal(pretext.prototypes.weight.grad, torch.zeros_like(before))
    train(pretext, 0.5, 0.75)
    assert not torch.allclose(pretext.prototypes.weight, before, atol=1e-3)
    torch.testing.assert_close(
        pretext.prototypes.weight.detach().flatten(1).norm(dim=1), torch.ones(len(before))
    )


@pytest.mark.parametrize("name", NAMES)
def test_prototypes_have_no_weight_decay(name):
    pretext = build(name, "C4")
    (group,) = [
        g for g in pretext.parameter_groups() if any(p is pretext.prototypes.weight for p in g["params"])
    ]
    assert group["weight_decay"] == 0
    assert len(group["params"]) == 1


def test_prototypes_are_fields_of_the_same_shape_for_both_twins():
    for group_name in ("trivial", "C4", "D8"):
        shapes = [tuple(build(name, group_name).prototypes.weight.shape) for name in NAMES]
        order = build("dino", group_name).group.order
        counts = [PARAMS.pretexts[name].prototypes for name in NAMES]
        assert shapes == [(count, 64 // order, order) for count in counts]


# ---- the teacher of DINO


def test_the_teachers_temperature_rises_in_a_straight_line_until_the_warm_up_ends():
    given = {"first_teacher_temperature": 0.04, "teacher_temperature": 0.08, "warmup": 0.5}
    rising = changed("inv_dino", "C4", **given).teacher_temperature
    found = [rising(share) for share in (0.0, 0.125, 0.25, 0.5, 0.75, 1.0)]
    assert found == pytest.approx([0.04, 0.05, 0.06, 0.08, 0.08, 0.08])
    constant = changed("inv_dino", "C4", **{**given, "warmup": 0.0}).teacher_temperature
    assert [constant(0.0), constant(1.0)] == pytest.approx([0.08, 0.08])


def test_the_loss_of_a_step_uses_the_temperature_of_its_progress():
    early = changed("inv_dino", "C4", warmup=0.5)
    losses = [early.eval()(step(stored(), progress=p)).loss.item() for p in (0.1, 0.4, 0.6, 0.8)]
    assert losses[0] != losses[1]
    assert losses[2] == losses[3]


@pytest.mark.parametrize("name", ["inv_dino", "dino"])
def test_the_centre_is_a_running_mean_of_the_teachers_scores(name):
    pretext, settings = build(name, "C4").train(), PARAMS.pretexts[name]
    expected = torch.zeros(256)
    for number in range(3):
        other = build(name, "C4").train()
        other.load_state_dict(pretext.state_dict())
        views = other.draw_turned_views(stored(seed=number), torch.Generator().manual_seed(number))
        z = torch.cat(other.embed_each(views, other.embed_slowly))
        taught = other.momentum.copies[2].weight
        scores = similarity(z, taught, other.group, settings.similarity)
        loss = pretext(step(stored(seed=number), seed=number)).loss
        torch.testing.assert_close(pretext.centre, expected)  # not before the step is done
        loss.backward()
        pretext.after_step(0.1)
        kept = settings.centre_momentum
        expected = kept * expected + (1 - kept) * sum(scores.unbind()) / len(scores)
    torch.testing.assert_close(pretext.centre, expected, atol=1e-5, rtol=1e-4)


# ---- views of several sizes


@pytest.mark.parametrize("name", NAMES)
def test_small_views_follow_the_two_of_usual_size_and_are_embedded_by_the_trained_branch(name):
    pretext = changed(name, "C4", crops=CROPS)
    drawn = pretext.draw_views(stored(), torch.Generator().manual_seed(0))
    assert [view.shape[-1] for view in drawn] == [28, 28, 12, 12, 12]
    assert pretext.views[1].settings.crop_scale == (0.1, 0.3)
    assert pretext.views[0].settings == pretext.view_settings
    pretext.train()(step(stored(), progress=0.9)).loss.backward()
    assert all(p.grad is not None for p in pretext.parameters() if p.requires_grad)


@pytest.mark.parametrize("group_name", ["C4", "D4"])
@pytest.mark.parametrize("name", ["inv_swav", "inv_dino"])
def test_every_small_view_can_be_turned_by_itself_but_not_for_the_twin(name, group_name):
    for given in (name, name.removeprefix("inv_")):
        pretext = changed(given, group_name, crops=CROPS).double().eval()
        views = [view.double() for view in pretext.draw_views(stored(), torch.Generator().manual_seed(0))]
        expected = float(loss_of_views(pretext, *views, progress=0.9).detach())
        moved = [turned(view, group_name, 100 * number) for number, view in enumerate(views)]
        found = float(loss_of_views(pretext, *moved, progress=0.9).detach())
        if given == name:
            assert found == pytest.approx(expected, rel=1e-10)
        else:
            assert abs(found - expected) > 1e-5


@pytest.mark.parametrize("name", ["inv_byol", "moco", "inv_swav"])
def test_the_second_view_may_have_settings_of_its_own(name):
    second = {"blur": 1.0, "solarise": 0.2}
    pretext = changed(name, "C4", second_view=second)
    first, other = pretext.views[:2]
    assert first.settings == pretext.view_settings
    assert other.settings == pretext.view_settings.model_copy(update=second)
    assert len(pretext.draw_views(stored(), torch.Generator().manual_seed(0))) == 2
    assert pretext(step(stored())).loss.isfinite()


def test_a_second_view_that_does_not_fit_is_refused_with_its_key():
    with pytest.raises(ValueError, match=r"second_view\.crop_scale: given \[0\.3, 0\.1\]"):
        changed("inv_byol", "C4", second_view={"crop_scale": [0.3, 0.1]})


def test_small_views_of_a_size_that_breaks_the_symmetry_are_refused_with_those_that_work(params):
    """13 pixels are good for strides of 2, 12 are not."""
    encoder = small_encoders.new("C4", size=13, width=[4, 8], downsampling="strided")
    values = {**params.pretexts["inv_swav"].plain(), "crops": CROPS}
    entry = PretextSettings.read(values, "pretexts.inv_swav")
    with pytest.raises(ValueError, match=r"^crops\.size: given 12: .* sizes of images that work: 11 or 13"):
        pretexts.attach("inv_swav", entry, encoder, params.views, 4)
