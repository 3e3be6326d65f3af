"""Images whose corners count (`mask: none`): views, conditions A, B and C, and what must be refused."""

import pytest
import torch
from entries import EXACT, JOINT, LABELS, PARAMS, small_params, stored, turned
from steps import loss_of_views

from eqssl import pretexts
from eqssl.config.views import ViewSettings
from eqssl.data.views import cut_disc, random_view
from eqssl.encoders import build_encoder, load_encoder, save_encoder
from eqssl.evaluation.equivariance import equivariance_errors, measure
from eqssl.evaluation.moves import draw_moves, view_of
from eqssl.symmetry import equivariance_error, group
from eqssl.symmetry.turning import turn

BROKEN = 1e-2
GRID = PARAMS.views.model_copy(update={"turn": "grid"})


def encoder(group_name, channels=1, side=28, mask="none"):
    settings = small_params("C4").encoder
    generator = torch.Generator().manual_seed(0)
    shape = (channels, side, side)
    return build_encoder(settings, group_name, shape, [0.5] * channels, [0.25] * channels, generator, mask)


def build(name, group_name):
    generator = torch.Generator().manual_seed(0)
    return pretexts.attach(name, PARAMS.pretexts[name], encoder(group_name), GRID, 4, generator)


def plain_views(turn="none", **changes):
    values = dict.fromkeys(ViewSettings.model_fields, 0.0)
    return ViewSettings(
        **{**values, "crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "turn": turn, **changes}
    )


def corners(images):
    return (images - cut_disc(images)).abs().sum()


def test_a_whole_view_is_one_of_the_eight_symmetries_with_its_corners():
    images = stored(40, side=12)
    views = random_view(images, plain_views("grid"), torch.Generator().manual_seed(0), mask="none")
    D4, found = group("D4"), set()
    for image, view in zip(images.float() / 255, views, strict=True):
        matches = [i for i, g in enumerate(D4.elements) if torch.allclose(D4.act(image, g), view, atol=1e-5)]
        found.add(matches[0])
    assert len(found) == 8
    cut = random_view(images, plain_views("grid"), torch.Generator().manual_seed(0))
    assert torch.equal(cut, cut_disc(views))
    assert corners(views) > BROKEN
    assert corners(cut) == 0


def test_a_turn_by_any_angle_is_refused_everywhere():
    images = stored(2, side=12)
    with pytest.raises(ValueError, match=r"views\.turn: given 'angle' .* mask 'none'.*allowed: none, grid"):
        random_view(images, plain_views("angle"), torch.Generator(), mask="none")
    with pytest.raises(ValueError, match=r"features\.views: given 'angle' .* mask 'none'"):
        view_of(images, "angle", torch.zeros(2, dtype=torch.int64), torch.zeros(2), "none")
    for name in ("C8", "D8", "SO2", "O2"):
        with pytest.raises(ValueError, match=f"group: given '{name}' .* mask 'none'.*allowed: trivial, C2"):
            encoder(name)


@pytest.mark.parametrize(("name", "group_name"), LABELS)
def test_conditions_a_and_b_hold_with_corners(name, group_name):
    pretext = build(name, group_name).double().eval()
    generator = torch.Generator().manual_seed(0)
    images = stored(8).double() / 255
    labels, draw = torch.arange(8) % len(pretext.labels), pretext.draw(8, generator)
    inputs = pretext.corrupt(images, labels, draw)
    for g in pretext.group.elements:
        moved = pretext.labels.permutation(g)[labels]
        found = pretext.corrupt(pretext.act_on_image(images, g), moved, pretext.act_on_draw(draw, labels, g))
        torch.testing.assert_close(found, pretext.act_on_input(inputs, g), atol=1e-9, rtol=0)
    told = {"output": pretext.labels, "act": pretext.act_on_input}
    assert equivariance_error(pretext.logits, pretext.group, inputs, **told) < 1e-10


@pytest.mark.parametrize(("name", "group_name"), JOINT)
def test_condition_c_holds_with_corners_and_a_turn_off_the_grid_breaks_it(name, group_name):
    pretext = build(name, group_name).double().eval()
    views = [view.double() for view in pretext.draw_views(stored(6), torch.Generator().manual_seed(1))]
    assert all(corners(view) > BROKEN for view in views)
    expected = float(loss_of_views(pretext, *views).detach())
    moved = [turned(view, group_name, number) for number, view in enumerate(views)]
    assert float(loss_of_views(pretext, *moved).detach()) == pytest.approx(expected, rel=1e-9)
    off = turn(views[0], torch.full((6,), 45.0, dtype=torch.float64))
    assert abs(float(loss_of_views(pretext, off, views[1]).detach()) / expected - 1) > 1e-6


@pytest.mark.parametrize("name", EXACT)
def test_measured_equivariance_is_exact_with_corners_and_angles_are_left_out(name):
    network = encoder(name).eval()
    images = stored(24)
    found = measure(network, images, 0)
    assert found["error"] < 1e-5
    assert found["angles"] == []
    assert len(found["elements"]) == group(name).order
    cut = measure(encoder(name, mask="disc").eval(), images, 0)
    assert len(cut["angles"]) == 23
    assert cut["retrieval"]["queries"] == found["retrieval"]["queries"] == 24


def test_corners_reach_the_features():
    network, images = encoder("C4").eval(), stored(8)
    elements, angles = map(torch.from_numpy, draw_moves(8, 0))
    whole = view_of(images, "stored", elements, angles, "none")
    assert torch.equal(whole, images)
    assert not torch.equal(view_of(images, "stored", elements, angles), images)
    grid = view_of(images, "grid", elements, angles, "none")
    assert torch.equal(grid, group("D4").act_each(images, elements))
    with torch.no_grad():
        values = network.invariant((images / 255 - 0.5) / 0.25)
        cut = network.invariant((cut_disc(images) / 255 - 0.5) / 0.25)
    assert (values - cut).norm() / values.norm() > BROKEN


def test_the_measurement_finds_an_encoder_that_breaks_the_symmetry_with_corners():
    """The control: one pixel in a corner decides, which the mask of the disc would hide."""

    def spoilt(mask):
        network = encoder("C4", mask=mask).eval()
        inner = network.stages
        network.stages = lambda x: [values + x[:, :1, :1, :1].flatten(1)[..., None] for values in inner(x)]
        return equivariance_errors(network, stored(24))["invariant"]

    with torch.no_grad():
        assert spoilt("none") > BROKEN
        assert spoilt("disc") < 1e-5


def test_the_record_of_an_encoder_keeps_its_mask(tmp_path):
    for mask in ("none", "disc"):
        save_encoder(encoder("D4", mask=mask), tmp_path / mask, {})
        assert load_encoder(tmp_path / mask).mask == mask
