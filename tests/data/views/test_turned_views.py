"""Views that tell their turns, solarised ones, and draws that consecutive images share."""

import pytest
import torch
from test_views import FULL, close, generator, noise, settings, stored

from eqssl.data.views.colour import solarise
from eqssl.data.views.normalise import cut_disc
from eqssl.data.views.random_view import _Draws, random_turned_view, random_view
from eqssl.symmetry.turning import turn

# --- solarisation


def test_solarisation_inverts_values_above_one_half_of_some_images():
    images = noise(3, 2, 5, 5)
    given = solarise(images, torch.tensor([True, False, True]))
    for image, found, changed in zip(images, given, (True, False, True), strict=True):
        for value, new in zip(image.flatten().tolist(), found.flatten().tolist(), strict=True):
            assert new == (pytest.approx(1 - value) if changed and value > 0.5 else value)


def test_solarisation_touches_its_share_of_the_images_after_the_blur_and_before_the_disc():
    image = stored(1, 1, 28, 28)
    images = image.expand(1000, 1, 28, 28)
    blurred = random_view(images, settings(blur=1.0), generator())
    views = random_view(images, settings(blur=1.0, solarise=0.2), generator())
    inverted = (views != blurred).flatten(1).any(1)
    assert 0.16 < inverted.float().mean() < 0.24
    assert torch.equal(views[inverted], cut_disc(torch.minimum(blurred, 1 - blurred))[inverted])
    white = torch.full((1, 1, 28, 28), 255, dtype=torch.uint8)
    whole = random_view(white, settings(solarise=1.0), generator(), mask="none")
    close(whole, torch.zeros(1, 1, 28, 28))


def test_solarisation_changes_no_crop():
    images = stored(8, 1, 16, 16) // 3  # all values below one half
    plain, solarised = (
        random_view(images, settings(**{**FULL, "jitter": 0.0, "solarise": share}), generator())
        for share in (0.0, 1.0)
    )
    close(plain, solarised)


# --- turns


@pytest.mark.parametrize("turn_by", ["none", "grid", "angle"])
def test_a_view_tells_the_turn_that_it_was_given(turn_by):
    images = stored(64, 2, 13, 13)
    views, turns = random_turned_view(images, settings(turn=turn_by), generator())
    assert torch.equal(views, random_view(images, settings(turn=turn_by), generator()))
    mirrored = torch.where(turns.mirrored[:, None, None, None], (images / 255).flip(-1), images / 255)
    close(views, cut_disc(turn(mirrored, turns.degrees)))
    assert turns.mirrored.any().item() is (turn_by != "none")
    if turn_by == "grid":
        assert set(turns.degrees.tolist()) == {0.0, 90.0, 180.0, 270.0}
    if turn_by != "none":  # the opposite turn is another one
        assert not torch.allclose(views, cut_disc(turn(mirrored, -turns.degrees)), atol=0.1)


# --- draws that consecutive images share


def shared_views(count, shared, **changes):
    """Views of one image `count` times, and their turns."""
    images = stored(1, 3, 12, 12).expand(count, -1, -1, -1)
    drawn = settings(crop_scale=(0.2, 1.0), jitter=0.8, grayscale=0.2, **changes)
    return random_turned_view(images, drawn, generator(), shared=shared)


@pytest.mark.parametrize("turning", ["none", "grid", "angle"])
def test_images_that_share_their_draws_have_the_same_crop_angle_and_colours(turning):
    views, turns = shared_views(64, 2, turn=turning)
    alike = [torch.equal(a, b) for a, b in zip(views[0::2], views[1::2], strict=True)]
    mirrored = turns.mirrored
    assert torch.equal(turns.degrees[0::2], turns.degrees[1::2])
    assert alike == (mirrored[0::2] == mirrored[1::2]).tolist()
    assert all(alike) == (turning == "none")
    others = [torch.equal(a, b) for a, b in zip(views[1:-1:2], views[2::2], strict=True)]
    assert not any(others)


def test_blur_and_solarisation_are_drawn_for_each_image_also_of_a_pair():
    for change in ({"blur": 0.5}, {"solarise": 0.5}):
        views, _ = shared_views(64, 2, **change)
        alike = [torch.equal(a, b) for a, b in zip(views[0::2], views[1::2], strict=True)]
        assert any(alike)
        assert not all(alike)


def test_a_smaller_rest_shares_the_draws_of_the_images_before_it():
    views, _ = shared_views(8, 3)
    assert all(torch.equal(views[0], views[i]) for i in (1, 2))
    assert all(torch.equal(views[3], views[i]) for i in (4, 5, 6, 7))
    assert not torch.equal(views[0], views[3])
    few, _ = shared_views(2, 3)
    assert torch.equal(few[0], few[1])


def test_images_that_share_nothing_have_the_views_of_before():
    images = stored(6, 1, 12, 12)
    drawn = settings(turn="angle", jitter=0.8)
    expected = random_view(images, drawn, generator())
    assert torch.equal(random_turned_view(images, drawn, generator(), shared=1)[0], expected)
    assert torch.equal(random_turned_view(images, drawn, generator(), shared=2)[0][0], expected[0])


def test_solarisation_is_independent_of_the_blur_and_of_the_right_share():
    """It takes bits of the number that decides how strong a blur is."""
    numbers = torch.rand(200_000, generator=torch.Generator().manual_seed(0))
    draws = _Draws(*[numbers] * len(_Draws._fields))
    on = draws.solarise < 0.2
    assert on.float().mean().item() == pytest.approx(0.2, abs=0.003)
    for low in (0.0, 0.25, 0.5, 0.75):
        part = (numbers >= low) & (numbers < low + 0.25)
        assert on[part].float().mean().item() == pytest.approx(0.2, abs=0.006)
