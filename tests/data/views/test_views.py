import itertools
import math

import kornia
import numpy as np
import pytest
import torch

from eqssl.config.views import ViewSettings
from eqssl.data.views.colour import ColourChange, blur, blur_radius, change_colours
from eqssl.data.views.normalise import cut_disc, normalise
from eqssl.data.views.random_view import random_view
from eqssl.symmetry.turning import resample, sampling_matrices, turn

PLAIN = {
    "crop_scale": (1.0, 1.0),
    "crop_ratio": (0.75, 1.3333),
    "turn": "none",
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "jitter": 0.0,
    "grayscale": 0.0,
    "blur": 0.0,
    "solarise": 0.0,
}


def settings(**changes):
    return ViewSettings(**{**PLAIN, **changes})


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def stored(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def whole(count):
    return torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(count, 4)


def upright(count):
    return torch.zeros(count), torch.zeros(count, dtype=torch.bool)


def no_change(count, **changes):
    neutral = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
    return ColourChange(
        **{name: torch.as_tensor(changes.get(name, value)).expand(count) for name, value in neutral.items()}
    )


def close(given, expected, tolerance=1e-5):
    torch.testing.assert_close(given, expected, rtol=0, atol=tolerance)


# --- geometry


@pytest.mark.parametrize("side", [9, 28, 96])
def test_quarter_turns_equal_rot90(side):
    images = noise(12, 2, side, side)
    quarters = torch.arange(-4, 8)
    expected = torch.stack([torch.rot90(x, int(k), (-2, -1)) for x, k in zip(images, quarters, strict=True)])
    close(turn(images, 90.0 * quarters), expected)
    assert not torch.allclose(turn(images, -90.0 * quarters), expected, atol=0.1)


def test_turn_by_any_angle_equals_kornia():
    images, degrees = noise(16, 3, 21, 21), 720 * noise(16, seed=1) - 360
    expected = kornia.geometry.transform.rotate(images, degrees, padding_mode="zeros", align_corners=True)
    close(turn(images, degrees), expected, 1e-4)


def test_turn_of_a_dot_is_counter_clockwise():
    image = torch.zeros(1, 1, 11, 11)
    image[0, 0, 5, 9] = 1  # to the right of the centre
    turned = turn(image, torch.tensor([90.0]))
    assert turned[0, 0, 1, 5] == pytest.approx(1, abs=1e-5)  # above it


def test_crop_equals_kornia_with_the_same_box():
    side, count = 20, 24
    images = noise(count, 2, side, side)
    sizes = 0.3 + 0.7 * noise(count, 2, seed=1)
    centres = (2 * noise(count, 2, seed=2) - 1) * (1 - sizes)
    given = resample(images, sampling_matrices(torch.cat([centres, sizes], 1), *upright(count)))
    # kornia takes the places, in pixels, of the centres of the view's corner pixels
    middle, reach = (centres + 1) * side / 2 - 0.5, sizes * (side - 1) / 2
    signs = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    corners = middle[:, None] + signs * reach[:, None]
    expected = kornia.geometry.transform.crop_and_resize(images, corners, (side, side), align_corners=True)
    close(given, expected, 1e-4)


def test_mirroring_comes_first_then_the_turn_then_the_crop():
    images = noise(1, 1, 16, 16)
    quarter = torch.tensor([0.5, 0.5, 0.5, 0.5])[None]  # the lower right quarter
    matrices = sampling_matrices(quarter, torch.tensor([90.0]), torch.tensor([True]))
    turned = torch.rot90(images.flip(-1), 1, (-2, -1))
    matrices_after = sampling_matrices(quarter, *upright(1))
    close(resample(images, matrices), resample(turned, matrices_after))


def symmetries(image):
    return [torch.rot90(x, k, (-2, -1)) for x in (image, image.flip(-1)) for k in range(4)]


def test_grid_views_are_the_eight_symmetries_each_as_often():
    image = stored(1, 1, 13, 13)
    views = random_view(image.expand(800, 1, 13, 13), settings(turn="grid"), generator())
    candidates = torch.stack([cut_disc(x) for x in symmetries(image[0] / 255)])
    errors = (views[:, None] - candidates[None]).abs().amax((2, 3, 4))
    assert errors.min(1).values.max() < 1e-5
    counts = torch.bincount(errors.argmin(1), minlength=8)
    chi_squared = float(((counts - 100.0) ** 2 / 100).sum())
    assert chi_squared < 24.3  # 0.1 % of chi-squared with 7 degrees of freedom


def test_a_view_without_any_change_is_the_image():
    images = stored(8, 3, 12, 12)
    close(random_view(images, settings(), generator()), cut_disc(images / 255))


def test_angles_are_uniform_and_half_of_the_views_are_mirrored():
    image = torch.zeros(1, 1, 65, 65, dtype=torch.uint8)
    image[0, 0, 30:35, 50:55] = 255  # to the right: its direction is the angle
    image[0, 0, 12:16, 30:35] = 90  # above: tells a mirrored image
    views = random_view(image.expand(600, 1, 65, 65), settings(turn="angle"), generator(1))[:, 0]
    axis = torch.arange(65) - 32.0
    bright = (views > 0.6).float()
    x = (bright * axis).sum((1, 2)) / bright.sum((1, 2))
    y = -(bright * axis[:, None]).sum((1, 2)) / bright.sum((1, 2))
    faint = ((views > 0.2) & (views < 0.45)).float()
    side = x * -(faint * axis[:, None]).sum((1, 2)) - y * (faint * axis).sum((1, 2))
    mirrored = side < 0
    assert 0.43 < mirrored.float().mean() < 0.57
    angles = torch.rad2deg(torch.atan2(y, x)) % 360
    edges = np.histogram(angles.numpy(), bins=12, range=(0, 360))[0]
    assert ((edges - 50) ** 2 / 50).sum() < 31.3  # 0.1 %, 11 degrees of freedom


def measured_boxes(count, seed=0, **changes):
    """Centres and sizes of the crops in pixels and shares, read from views of two ramps."""
    ramp = 4 * torch.arange(64, dtype=torch.uint8)  # a value is four times its column, or row
    image = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64)])
    views = random_view(image.expand(count, 2, 64, 64), settings(**changes), generator(seed)) * 255 / 4
    middle, low, high = slice(31, 33), slice(15, 17), slice(47, 49)
    width = (views[:, 0, middle, high] - views[:, 0, middle, low]).mean((1, 2)) / 32
    height = (views[:, 1, high, middle] - views[:, 1, low, middle]).mean((1, 2)) / 32
    return views[:, :, middle, middle].mean((2, 3)), width, height


def test_shares_of_the_crops_are_uniform_and_ratios_fit():
    _, width, height = measured_boxes(4000, crop_scale=(0.3, 1.0))
    area = (width * height).double()
    assert area.mean() == pytest.approx(0.65, abs=0.015)
    ordered = (area.sort().values - 0.3) / 0.7
    distance = (ordered - (torch.arange(4000) + 0.5) / 4000).abs().max()
    assert distance < 1.95 / math.sqrt(4000)  # Kolmogorov and Smirnov, 0.1 %
    ratio = width / height
    assert 0.74 < ratio.min() < 0.76
    assert 1.31 < ratio.max() < 1.35
    assert max(width.max(), height.max()) < 1.003
    small = area < 0.5  # every ratio fits into these
    logarithm = torch.log(ratio[small])
    assert logarithm.mean() == pytest.approx(0, abs=0.03)
    assert logarithm.std() == pytest.approx(2 * math.log(4 / 3) / math.sqrt(12), rel=0.06)


def test_ratios_of_large_crops_are_uniform_over_those_that_fit():
    _, width, height = measured_boxes(2000, crop_scale=(0.85, 0.85))
    share = (torch.log(width / height) / -math.log(0.85) + 1) / 2
    distance = (share.sort().values - (torch.arange(2000) + 0.5) / 2000).abs().max()
    assert distance < 1.95 / math.sqrt(2000)


def test_crops_lie_anywhere_in_the_image():
    centres, width, height = measured_boxes(3000, crop_scale=(0.25, 0.25), crop_ratio=(1.0, 1.0))
    assert width.sub(0.5).abs().max() < 0.01
    assert height.sub(0.5).abs().max() < 0.01
    places = (centres - 15.5) / 32
    assert -0.02 < places.min() < 0.02
    assert 0.98 < places.max() < 1.02
    assert places.mean(0).sub(0.5).abs().max() < 0.02
    assert abs(float(torch.corrcoef(places.T)[0, 1])) < 0.06


def test_ratio_that_never_fits_becomes_the_nearest_that_does():
    _, width, height = measured_boxes(200, crop_scale=(0.81, 0.81), crop_ratio=(2.0, 3.0))
    close(width, torch.ones(200), 0.01)
    close(height, torch.full((200,), 0.81), 0.01)


# --- colours


def test_brightness_equals_kornia():
    images, factors = 0.6 * noise(8, 3, 10, 10), 0.5 + noise(8, seed=1)
    expected = kornia.enhance.adjust_brightness_accumulative(images, factors)
    close(change_colours(images, no_change(8, brightness=factors)), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_contrast_equals_kornia(channels):
    images, factors = noise(8, channels, 10, 10), 0.5 + noise(8, seed=1)
    expected = kornia.enhance.adjust_contrast_with_mean_subtraction(images, factors)
    close(change_colours(images, no_change(8, contrast=factors)), expected)


def test_grayscale_equals_kornia():
    images = noise(8, 3, 10, 10)
    expected = kornia.color.rgb_to_grayscale(images).expand(8, 3, 10, 10)
    close(change_colours(images, no_change(8, saturation=0.0)), expected)


def test_all_changes_together_equal_one_pixel_at_a_time():
    images = noise(3, 3, 5, 5)
    numbers = [0.7 + 0.6 * noise(3, seed=seed) for seed in (1, 2, 3)]
    hue = noise(3, seed=4) - 0.5
    given = change_colours(images, ColourChange(*numbers, hue))
    yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    for i in range(3):
        bright, contrast, saturation = (float(n[i]) for n in numbers)
        x = images[i].double().numpy() * bright
        mean = np.einsum("c,chw->hw", yiq[0], x).mean()
        for r, c in itertools.product(range(5), range(5)):
            luma, first, second = yiq @ (contrast * (x[:, r, c] - mean) + mean)
            colour = complex(first, second) * saturation * np.exp(2j * np.pi * float(hue[i]))
            pixel = np.linalg.solve(yiq, [luma, colour.real, colour.imag]).clip(0, 1)
            assert given[i, :, r, c].numpy() == pytest.approx(pixel, abs=1e-5)


def test_gray_pixels_keep_their_gray_under_saturation_and_hue():
    images = noise(4, 1, 6, 6).expand(4, 3, 6, 6)
    close(change_colours(images, no_change(4, saturation=1.7, hue=noise(4))), images)


def test_jitter_and_grayscale_touch_their_share_of_the_images():
    images = 80 + stored(1, 3, 12, 12) // 4
    batch = images.expand(1500, 3, 12, 12)
    same = cut_disc(images / 255)
    views = random_view(batch, settings(jitter=0.8), generator())
    changed = (views - same).abs().amax((1, 2, 3)) > 1e-4
    assert 0.76 < changed.float().mean() < 0.84
    views = random_view(batch, settings(grayscale=0.2), generator())
    gray = (views - views.mean(1, keepdim=True)).abs().amax((1, 2, 3)) < 1e-5
    assert 0.16 < gray.float().mean() < 0.24
    kept = (views - same).abs().amax((1, 2, 3)) < 1e-5
    assert torch.equal(kept, ~gray)


def test_brightness_factors_are_uniform():
    image = torch.full((4000, 1, 9, 9), 100, dtype=torch.uint8)
    views = random_view(image, settings(jitter=1.0, contrast=0.0, brightness=0.4), generator())
    factors = (views[:, 0, 4, 4] * 255 / 100).sort().values
    expected = 0.6 + 0.8 * (torch.arange(4000) + 0.5) / 4000
    assert (factors - expected).abs().max() < 0.8 * 1.95 / math.sqrt(4000)


# --- blur


@pytest.mark.parametrize("radius", [1, 3])
def test_blur_equals_kornia(radius):
    images, sigma = noise(6, 2, 15, 15), 0.1 + 1.9 * noise(6, seed=1)
    kernel = 2 * radius + 1
    expected = kornia.filters.gaussian_blur2d(images, (kernel, kernel), torch.stack([sigma, sigma], 1))
    on = torch.tensor([True] * 5 + [False])
    given = blur(images, sigma, radius, on)
    close(given[:5], expected[:5])
    assert torch.equal(given[5], images[5])


def test_blur_touches_its_share_of_the_images():
    image = stored(1, 1, 28, 28)
    views = random_view(image.expand(1000, 1, 28, 28), settings(blur=0.3), generator())
    blurred = (views - cut_disc(image / 255)).abs().amax((1, 2, 3)) > 1e-4
    assert 0.22 < blurred.float().mean() < 0.34  # the least sigmas change next to nothing
    assert [blur_radius(side) for side in (28, 32, 96, 224)] == [1, 1, 4, 11]


# --- the batch, the generator, the device


FULL = {"turn": "angle", "crop_scale": (0.3, 1.0), "jitter": 0.8, "grayscale": 0.2, "blur": 0.5}


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_image_gets_its_own_view(channels):
    images = stored(1, channels, 16, 16).expand(64, channels, 16, 16)
    views = random_view(images, settings(**FULL), generator())
    assert views.dtype == torch.float32
    assert views.shape == images.shape
    assert len({view.numpy().tobytes() for view in views}) == 64
    assert views.min() >= 0
    assert views.max() <= 1 + 1e-6
    assert views.isfinite().all()


def test_views_depend_on_the_given_generator_alone():
    images = stored(8, 3, 16, 16)
    torch.manual_seed(1)
    first = random_view(images, settings(**FULL), generator(5))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = random_view(images, settings(**FULL), generator(5))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, second)
    assert not torch.equal(first, random_view(images, settings(**FULL), generator(6)))


def test_crops_stay_the_same_when_another_setting_changes():
    images = stored(8, 1, 16, 16)
    with_jitter = generator(3), generator(3)
    plain = random_view(images, settings(crop_scale=(0.3, 1.0)), with_jitter[0])
    gray = random_view(images, settings(crop_scale=(0.3, 1.0), grayscale=1.0, blur=0.0), with_jitter[1])
    assert torch.equal(plain, gray)  # one channel has no colour to lose
    assert torch.equal(with_jitter[0].get_state(), with_jitter[1].get_state())


def test_stored_images_stay_as_they_were():
    images = stored(8, 3, 16, 16)
    copy = images.clone()
    random_view(images, settings(**FULL), generator())
    as_floats = images / 255
    close(
        random_view(as_floats, settings(**FULL), generator()),
        random_view(images, settings(**FULL), generator()),
    )
    assert torch.equal(as_floats, copy / 255)
    assert torch.equal(images, copy)


def test_views_are_exact_under_autocast_too():
    images = stored(8, 3, 16, 16)
    expected = random_view(images, settings(**FULL), generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(random_view(images, settings(**FULL), generator()), expected)
        close(turn(images / 255, torch.full((8,), 90.0)), torch.rot90(images / 255, 1, (-2, -1)))


def test_everything_outside_the_disc_is_black():
    views = random_view(torch.full((32, 3, 17, 17), 200, dtype=torch.uint8), settings(**FULL), generator())
    outside = torch.tensor(
        [[(r - 8) ** 2 + (c - 8) ** 2 > (17 / 2) ** 2 for c in range(17)] for r in range(17)]
    )
    assert views[..., outside].abs().max() == 0
    assert views[..., ~outside].mean() > 0.3


@pytest.mark.parametrize("side", [4, 9, 28])
def test_cut_disc_keeps_every_pixel_of_the_disc(side):
    images = stored(2, 3, side, side) // 2 + 1
    cut = cut_disc(images)
    assert cut.dtype == torch.uint8
    m = (side - 1) / 2
    for r, c in itertools.product(range(side), range(side)):
        kept = (r - m) ** 2 + (c - m) ** 2 <= (side / 2) ** 2
        assert torch.equal(cut[..., r, c], images[..., r, c] * kept)
    for k in range(4):
        assert torch.equal(cut_disc(torch.rot90(images, k, (-2, -1))), torch.rot90(cut, k, (-2, -1)))


def test_normalise_takes_bytes_and_floats():
    images, mean, std = stored(4, 3, 6, 6), (0.2, 0.5, 0.7), (0.1, 0.3, 0.2)
    expected = (images.double() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    close(normalise(images, mean, std), expected.float())
    close(normalise(images / 255, mean, std), expected.float())
    assert normalise(images, mean, std).dtype == torch.float32


def test_constants_made_in_inference_mode_still_take_gradients():
    mean, std = (0.123,), (0.456,)  # numbers that no other test has put into the cache
    with torch.inference_mode():
        normalise(stored(1, 1, 31, 31), mean, std)
        cut_disc(stored(1, 1, 31, 31))
    images = noise(1, 1, 31, 31).requires_grad_()
    cut_disc(normalise(images, mean, std)).sum().backward()
    assert images.grad is not None
    assert images.grad.max() == pytest.approx(1 / 0.456)


def test_wrong_shapes_and_types_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 5\)"):
        random_view(stored(2, 3, 4, 5), settings(), generator())
    with pytest.raises(ValueError, match="floating point"):
        turn(stored(2, 3, 4, 4), torch.zeros(2))
    with pytest.raises(ValueError, match="squares"):
        cut_disc(stored(2, 3, 4, 5))
    with pytest.raises(ValueError, match="2 means"):
        normalise(stored(2, 3, 4, 4), (0.5, 0.5), (0.5, 0.5))
