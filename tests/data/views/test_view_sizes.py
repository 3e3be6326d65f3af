"""Views that differ in size from the image: which pixels they show, and what keeps them smooth."""

import pytest
import torch
import torch.nn.functional as F
from test_views import close, generator, noise, settings, stored

from eqssl.data.views.normalise import cut_disc
from eqssl.data.views.random_view import random_view, samples_per_pixel
from eqssl.symmetry.turning import resample, sampling_matrices

EVERYTHING = {"crop_scale": (0.3, 1.0), "turn": "angle", "jitter": 0.8, "blur": 0.5}


def view(images, size, **changes):
    return random_view(images, settings(**changes), generator(), size)


def test_the_size_of_the_image_gives_the_same_bits_as_no_size():
    images = stored(8, 3, 28, 28)
    assert torch.equal(view(images, 28, **EVERYTHING), view(images, None, **EVERYTHING))


@pytest.mark.parametrize("size", [5, 14, 28, 40])
def test_a_view_has_its_size_is_cut_to_its_disc_and_takes_the_same_random_numbers(size):
    images, drawn = torch.full((8, 1, 28, 28), 255, dtype=torch.uint8), generator()
    found = random_view(images, settings(**EVERYTHING), drawn, size)
    assert found.shape == (8, 1, size, size)
    assert torch.equal(found, cut_disc(found.clone()))
    reference = generator()
    random_view(images, settings(**EVERYTHING), reference)
    assert torch.equal(drawn.get_state(), reference.get_state())


@pytest.mark.parametrize("factor", [2, 4, 6])
def test_a_shrunk_image_holds_means_of_blocks_of_pixels(factor):
    images = noise(4, 2, 48, 48)
    close(view(images, 48 // factor), cut_disc(F.avg_pool2d(images, factor)))


def test_a_crop_that_fills_a_small_view_is_not_smoothed():
    """A crop of a half of the side has a pixel of the image for each pixel of a view of half the size."""
    images = noise(50, 1, 28, 28)
    found = view(images, 14, crop_scale=(0.25, 0.25), crop_ratio=(1.0, 1.0))
    same = random_view(images, settings(crop_scale=(0.25, 0.25), crop_ratio=(1.0, 1.0)), generator())
    assert samples_per_pixel(28, 14, settings(crop_scale=(0.25, 0.25), crop_ratio=(1.0, 1.0))) == 1
    # the view of the image's own size lies on the same box, four pixels for one
    inner = torch.zeros(14, 14, dtype=torch.bool)
    inner[4:10, 4:10] = True
    close(F.avg_pool2d(same, 2)[..., inner].mean(), found[..., inner].mean(), 0.02)
    assert float(found[..., inner].std()) > 0.6 * float(images.std())


@pytest.mark.parametrize("size", [4, 5, 9, 14, 20])
def test_no_pixel_is_left_out_of_a_shrunk_view(size):
    side = 28
    dots = torch.eye(side * side).view(-1, 1, side, side)
    seen = view(dots, size).sum((1, 2, 3)).view(side, side)
    place = torch.linspace(-1, 1, side)
    inner = place[:, None].hypot(place) < 0.6  # further out the view is cut, by whole pixels of its own
    assert float(seen[inner].min()) > 0


def test_stripes_that_a_small_view_cannot_show_become_gray():
    stripes = torch.tensor([0.0, 1.0]).repeat(24).expand(1, 1, 48, 48)
    middle = (slice(None), slice(None), slice(2, 7), slice(2, 7))
    assert float((view(stripes, 9)[middle] - 0.5).abs().max()) < 0.1
    matrices = sampling_matrices(torch.tensor([[0.0, 0, 1, 1]]), torch.zeros(1), torch.zeros(1).bool())
    assert float((resample(stripes, matrices, 9)[middle] - 0.5).abs().max()) > 0.3  # what smoothing is for


@pytest.mark.parametrize(
    ("side", "size", "scale", "expected"),
    [
        (28, 28, (0.3, 1.0), 1),
        (28, 14, (0.3, 1.0), 1),
        (28, 13, (0.3, 1.0), 3),
        (224, 96, (0.05, 0.14), 1),
        (224, 56, (0.3, 1.0), 4),
        (224, 56, (0.01, 0.05), 1),
        (10, 40, (1.0, 1.0), 1),
    ],
)
def test_samples_are_as_dense_as_the_largest_box_needs(side, size, scale, expected):
    assert samples_per_pixel(side, size, settings(crop_scale=scale)) == expected


@pytest.mark.parametrize("size", [5, 9, 14, 20])
def test_a_turned_image_gives_the_turned_view(size):
    images = noise(4, 1, 28, 28)
    close(view(images.rot90(1, (-2, -1)), size), view(images, size).rot90(1, (-2, -1)))
    close(view(images.flip(-1), size), view(images, size).flip(-1))


def test_sizes_that_are_not_positive_are_refused():
    with pytest.raises(ValueError, match="size of a view: given 0, allowed: at least 1"):
        view(stored(2, 1, 28, 28), 0)
