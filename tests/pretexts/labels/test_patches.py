import math

import pytest
import torch
import torch.nn.functional as F
from label_tasks import TASKS, build
from scipy.special import j1

from eqssl.config.pretexts import PretextSettings
from eqssl.pretexts.labels.layouts import FREE_RADII, STEPS
from eqssl.pretexts.labels.patches import (
    cut,
    draw_gray,
    draw_shifts,
    middle_of,
    standardised,
    without_colours,
)
from eqssl.pretexts.labels.whole_pixels import whole_pixels


def test_patches_of_the_grid_lie_where_the_shifts_put_them():
    pretext = build("grid", "C4", size=3 * 14, margin=0.0)
    side = 3 * 14
    image = torch.arange(side * side, dtype=torch.float64).view(1, 1, side, side)
    shifts = torch.zeros(1, 9, 2, dtype=torch.int64)
    shifts[0, 0] = torch.tensor([1, -2])
    patches = pretext.layout.patches(image, shifts)
    for slot in range(9):
        down, right = shifts[0, slot].tolist()
        top, left = slot // 3 * 14 + 2 + down, slot % 3 * 14 + 2 + right
        expected = standardised(image[..., top : top + 10, left : left + 10])
        torch.testing.assert_close(patches[:, slot], expected)


def test_patches_of_other_images_are_whole_pixels_resized_alike():
    pretext = build("grid", "C4", size=28, margin=0.15)
    layout = pretext.layout
    assert (layout.apart, layout.size, layout.jitter) == (7, 4, 1)
    image = torch.rand(1, 1, 28, 28, dtype=torch.float64)
    patches = layout.patches(image, torch.zeros(1, 9, 2, dtype=torch.int64))
    for slot in range(9):
        top, left = slot // 3 * 7 + 5, slot % 3 * 7 + 5
        tile = image[..., top : top + 4, left : left + 4]
        larger = F.interpolate(tile, (10, 10), mode="bilinear", align_corners=False)
        torch.testing.assert_close(patches[:, slot], standardised(larger))


@pytest.mark.parametrize("side", [*range(12, 70), 96, 224, 225])
@pytest.mark.parametrize(("task", "cells"), [("grid", 3), ("jigsaw of 4", 2), ("jigsaw of 9", 3)])
@pytest.mark.parametrize("margin", [0.0, 0.15])
def test_sizes_in_whole_pixels_are_symmetric_and_leave_patches_apart(side, task, cells, margin):
    settings = PretextSettings.read({**TASKS[task], "margin": margin}, "tested")
    apart, patch, jitter = whole_pixels(settings, cells, side)
    extent = (cells - 1) * apart + patch
    assert (side - extent) % 2 == 0
    assert extent + 2 * jitter <= side - 2 * int(margin * side)
    assert patch + 2 * jitter <= apart
    scale = (side - 2 * int(margin * side)) / (cells * settings.cell)
    assert abs(apart - settings.cell * scale) <= 0.5
    assert abs(patch - settings.patch * scale) <= 1.5


def test_images_that_are_too_small_are_named_with_the_least_that_works():
    settings = PretextSettings.read({**TASKS["grid"], "margin": 0.15}, "tested")
    with pytest.raises(ValueError, match=r"images of 5 pixels.* images of at least 6 pixels"):
        whole_pixels(settings, 3, 5)
    whole_pixels(settings, 3, 6)


def neighbours_alike(patches):
    """The correlation of neighbouring pixels in the patches of each slot."""
    across = (patches[..., 1:] * patches[..., :-1]).mean((0, 2, 3))
    down = (patches[..., 1:, :] * patches[..., :-1, :]).mean((0, 2, 4))
    return torch.cat([across, down], 1)


@pytest.mark.parametrize(
    ("task", "group_name", "changes"),
    [
        ("grid", "C4", {}),
        ("jigsaw of 4", "C4", {}),
        ("jigsaw of 9", "D4", {}),
        ("ring", "C8", {"cell": 18, "patch": 10}),
    ],
)
@pytest.mark.parametrize("size", [28, 45])
def test_interpolation_does_not_tell_where_a_patch_was(task, group_name, changes, size):
    """On noise all slots have patches of the same distribution, or a network would read the slot there."""
    pretext = build(task, group_name, size=size, margin=0.15, **changes).float()
    noise = torch.rand(6000, 1, size, size, generator=torch.Generator().manual_seed(2))
    draw = pretext.draw(len(noise), torch.Generator().manual_seed(3))
    found = neighbours_alike(pretext.layout.patches(noise, draw["shifts"]))
    assert (found - found.mean(0)).abs().max() < 0.03


def test_the_control_fails_patches_of_a_resized_image_tell_their_place():
    noise = torch.rand(6000, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    large = middle_of(noise, 0.15, 42)
    shifts = draw_shifts(len(noise), 9, 2, torch.Generator().manual_seed(3))
    corners = torch.cartesian_prod(torch.arange(3), torch.arange(3)) * 14 + 2
    found = neighbours_alike(standardised(cut(large, corners + shifts, 10)))
    assert (found - found.mean(0)).abs().max() > 0.05


def test_patches_of_the_ring_lie_where_the_shifts_put_them():
    """A linear image sampled between pixels is known exactly."""
    pretext = build("ring", "C4", size=3 * 14, margin=0.0)
    side = 3 * 14
    centred = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    image = (3 * centred[:, None] + centred).view(1, 1, side, side)
    shifts = torch.zeros(1, STEPS + 1, 2, dtype=torch.float64)
    shifts[0, 1] = torch.tensor([0.3, -0.7])
    patches = pretext.layout.patches(image, shifts)
    offset = torch.arange(8, dtype=torch.float64) - 3.5
    inside = offset.square() + offset[:, None].square() <= 16
    for slot in range(STEPS + 1):
        angle, radius = 2 * math.pi * slot / STEPS, 14 if slot < STEPS else 0
        down = -radius * math.sin(angle) + float(shifts[0, slot, 0])
        right = radius * math.cos(angle) + float(shifts[0, slot, 1])
        expected = 3 * (down + offset[:, None]) + right + offset
        torch.testing.assert_close(patches[0, slot, 0], standardised(expected[None], inside)[0])


@pytest.mark.parametrize("task", ["grid", "ring"])
def test_shifts_are_no_larger_than_the_layout_says(task: str):
    pretext = build(task, "C4")
    shifts = pretext.draw(500, torch.Generator().manual_seed(0))["shifts"].double()
    length = shifts.abs().amax(-1) if task == "grid" else shifts.norm(dim=-1)
    largest = pretext.layout.jitter if task == "grid" else pretext.layout.radius
    assert 0.95 * largest < float(length.max()) <= largest
    assert shifts.mean((0, 1)).abs().max() < 0.1


def test_shifts_on_the_ring_are_as_dense_everywhere_in_their_disc():
    pretext = build("ring", "C4")
    shifts = pretext.draw(5000, torch.Generator().manual_seed(0))["shifts"]
    inside = shifts.norm(dim=-1) < pretext.layout.radius / 2
    assert float(inside.double().mean()) == pytest.approx(0.25, abs=0.02)


def test_radii_on_the_ring_are_zeros_of_the_first_harmonic():
    pretext = build("ring", "C4", jitter=2, cell=18)
    inner = 28 - 2 * int(0.1 * 28)
    for radius in (pretext.layout.radius * inner / (3 * 18), *FREE_RADII):
        assert abs(j1(2 * math.pi * radius)) < 1e-3


def test_a_ring_on_images_that_are_too_small_warns_that_interpolation_tells_places():
    changes = {"cell": 18, "patch": 10, "jitter": 1}
    small, large = (build("ring", "C8", size=size, **changes) for size in (12, 28))
    assert "interpolation may tell where a patch was: on images of 12" in small.warnings({})["places"]
    assert large.warnings({}) == {}
    assert 2 * small.layout.radius + 10 <= 2 * 18 * math.sin(math.pi / 8) + 1e-9


def test_each_patch_is_standardised_by_itself():
    patches = torch.rand(4, 9, 3, 10, 10) * 7 + 2
    out = standardised(patches)
    torch.testing.assert_close(out.mean((-3, -2, -1)), torch.zeros(4, 9), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var((-3, -2, -1), correction=0), torch.ones(4, 9))
    assert standardised(torch.full((1, 1, 4, 4), 0.3)).abs().max() < 1e-4


def test_the_inside_of_a_disc_is_standardised_by_itself():
    patches, inside = torch.rand(4, 3, 5, 5) + 2, torch.ones(5, 5, dtype=torch.bool)
    inside[0, 0] = inside[4, 4] = False
    out = standardised(patches, inside)
    assert bool((out[..., ~inside] == 0).all())
    kept = out[..., inside].flatten(1)
    torch.testing.assert_close(kept.mean(1), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(kept.var(1, correction=0), torch.ones(4))


def test_a_share_of_coloured_images_loses_its_colours():
    images = torch.rand(1000, 3, 2, 2)
    drawn = draw_gray(1000, 0.66, torch.Generator().manual_seed(0))
    gray = without_colours(images, drawn)
    flat = (gray == gray[:, :1]).flatten(1).all(1)
    assert torch.equal(flat, drawn)
    assert 0.6 < float(flat.float().mean()) < 0.72
    assert torch.equal(gray[~flat], images[~flat])
    torch.testing.assert_close(gray[flat][:, 0], images[flat].mean(1))


@pytest.mark.parametrize(
    ("task", "change", "reason"),
    [
        ("grid", {"patch": 9}, "pretexts.tested.patch: given 9 in a cell of 14"),
        ("grid", {"patch": 16}, "patch: given 16"),
        ("jigsaw of 4", {"jitter": 3}, "jitter: given 3, allowed: at most 2"),
        ("ring", {"jitter": 2}, r"patches of 8 pixels with jitter 2 overlap .* at most 10.7"),
        ("grid", {"head": "linear"}, "pretexts.tested.head: given 'linear'"),
        ("grid", {"pach": 3}, "pretexts.tested.pach: no such setting; did you mean 'patch'"),
        (
            "grid",
            {"hidden": [0]},
            r"pretexts\.tested\.hidden\.0: given 0, allowed: greater than",
        ),
    ],
)
def test_bad_settings_are_named(task: str, change: dict, reason: str):
    with pytest.raises(ValueError, match=reason):
        build(task, "C4", **change)


@pytest.mark.parametrize(("side", "new"), [(28, 42), (28, 30), (96, 48), (33, 45)])
@pytest.mark.parametrize("margin", [0.0, 0.15])
def test_the_middle_is_resized_as_torch_does_it_with_antialias(side: int, new: int, margin: float):
    images = torch.rand(3, 2, side, side)
    cut = int(margin * side)
    middle = images[..., cut : side - cut, cut : side - cut]
    expected = F.interpolate(middle, (new, new), mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(middle_of(images, margin, new), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("new", [42, 30])
def test_resizing_commutes_with_turns_and_flips(new: int):
    images = torch.rand(3, 1, 28, 28, dtype=torch.float64)
    resized = middle_of(images, 0.15, new)
    for move in (lambda x: x.rot90(1, (2, 3)), lambda x: x.flip(3), lambda x: x.transpose(2, 3)):
        torch.testing.assert_close(middle_of(move(images), 0.15, new), move(resized), atol=1e-13, rtol=0)


def test_images_are_resized_in_full_precision_under_autocast():
    images = torch.rand(3, 1, 28, 28)
    with torch.autocast("cpu", torch.bfloat16):
        found = middle_of(images, 0.15, 42)
    assert torch.equal(found, middle_of(images, 0.15, 42))
