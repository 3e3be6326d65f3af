import math

import pytest
import torch
import torch.nn.functional as F
from label_tasks import build

from eqssl.pretexts.labels.layouts import STEPS
from eqssl.pretexts.labels.patches import draw_gray, middle_of, standardised, without_colours


def test_patches_of_the_grid_lie_where_the_shifts_put_them():
    pretext = build("grid", "C4", margin=0.0)
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


def test_patches_of_the_ring_lie_where_the_shifts_put_them():
    """A linear image sampled between pixels is known exactly."""
    pretext = build("ring", "C4", margin=0.0)
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
def test_shifts_are_no_larger_than_asked(task: str):
    pretext = build(task, "C4")
    shifts = pretext.draw(500, torch.Generator().manual_seed(0))["shifts"].double()
    length = shifts.abs().amax(-1) if task == "grid" else shifts.norm(dim=-1)
    assert 0.95 * pretext.settings.jitter < float(length.max()) <= pretext.settings.jitter
    assert shifts.mean((0, 1)).abs().max() < 0.1


def test_shifts_on_the_ring_are_as_dense_everywhere_in_their_disc():
    shifts = build("ring", "C4").draw(5000, torch.Generator().manual_seed(0))["shifts"]
    assert float((shifts.norm(dim=-1) < 0.5).double().mean()) == pytest.approx(0.25, abs=0.02)


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
