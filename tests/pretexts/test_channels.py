"""Every entry of the table on images of 1 to 32 channels, of 8 bits and of 16."""

import pytest
import torch
from entries import PARAMS, SELF_SUPERVISED, TRAINED, build, stored
from steps import step

from eqssl.config.views import ViewSettings
from eqssl.data.views import random_view
from eqssl.data.views.colour import ColourChange, change_colours
from eqssl.evaluation.equivariance import measure
from eqssl.evaluation.moves import draw_moves, view_of
from eqssl.pretexts.labels.base import LabelTask
from eqssl.symmetry import equivariance_error

CHANNELS = (1, 2, 3, 4, 5, 32)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", TRAINED)
def test_a_step_of_every_entry_reaches_every_weight(name, channels):
    pretext = build(name, "C4", (channels, 28, 28)).train()
    optimiser = torch.optim.SGD(pretext.parameters(), lr=0.1)
    loss = pretext(step(stored(channels=channels), torch.arange(8) % 4)).loss
    loss.backward()
    assert bool(loss.isfinite())
    trained = [p for p in pretext.parameters() if p.requires_grad]
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in trained)
    before = [p.detach().clone() for p in pretext.parameters()]
    optimiser.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, pretext.parameters(), strict=True))


@pytest.mark.parametrize("channels", [2, 4, 32])
def test_the_first_layer_sees_every_channel(channels):
    network = build("inv_contrastive", "C4", (channels, 28, 28)).encoder.eval()
    images = torch.rand(2, channels, 28, 28)
    with torch.no_grad():
        expected = network(images)
        for channel in range(channels):
            changed = images.clone()
            changed[:, channel] = 0
            assert not torch.allclose(network(changed), expected, atol=1e-4)
        assert equivariance_error(network, network.group, images) < 1e-4


@pytest.mark.parametrize("name", SELF_SUPERVISED)
def test_images_of_16_bits_are_read_as_shares_of_255(name):
    """The loader gives their stored values / 257; whole ones are the same images as those of 8 bits."""
    images = stored()
    expected = build(name, "C4").eval()(step(images, seed=1)).loss
    found = build(name, "C4").eval()(step(images.float(), seed=1)).loss
    assert torch.allclose(found, expected, atol=1e-5)
    finer = build(name, "C4").eval()(step(images * (254 / 255) + 0.5, seed=1)).loss
    assert bool(finer.isfinite())


def test_test_images_of_16_bits_are_read_as_shares_of_255():
    network, images = build("inv_contrastive", "C4").encoder.eval(), stored(12)
    elements, angles = map(torch.from_numpy, draw_moves(12, 0))
    for view in ("stored", "grid", "angle"):
        expected = view_of(images, view, elements, angles)
        found = view_of(images.float(), view, elements, angles)
        scale = 1 if view == "angle" else 255
        assert torch.allclose(found, expected / scale, atol=1e-6)
        assert found.max() <= 1
    expected, found = measure(network, images, 0), measure(network, images.float(), 0)
    assert found["retrieval"] == expected["retrieval"]
    assert found["error"] == pytest.approx(expected["error"], abs=1e-6)
    assert [a["error"] for a in found["angles"]] == pytest.approx([a["error"] for a in expected["angles"]])


def settings(**changes):
    values = dict.fromkeys(ViewSettings.model_fields, 0.0)
    return ViewSettings(
        **{**values, "crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "turn": "none", **changes}
    )


@pytest.mark.parametrize("channels", CHANNELS)
def test_hue_saturation_and_gray_change_images_of_three_channels_alone(channels):
    images = stored(8, 12, channels)
    plain = random_view(images, settings(), torch.Generator().manual_seed(0))
    for changes in ({"saturation": 0.9, "jitter": 1.0}, {"hue": 0.4, "jitter": 1.0}, {"grayscale": 1.0}):
        found = random_view(images, settings(**changes), torch.Generator().manual_seed(0))
        assert torch.allclose(found, plain, atol=1e-5) == (channels != 3)


@pytest.mark.parametrize("channels", CHANNELS)
def test_brightness_and_contrast_change_images_of_any_channels_as_stated(channels):
    images = torch.rand(8, channels, 12, 12, generator=torch.Generator().manual_seed(0))
    one, zero = torch.ones(8), torch.zeros(8)
    brighter = change_colours(images, ColourChange(1.5 * one, one, one, zero))
    torch.testing.assert_close(brighter, (1.5 * images).clamp(0, 1), atol=1e-5, rtol=0)
    if channels != 3:  # there the mean is that of the luma
        flat = change_colours(images, ColourChange(one, 0 * one, one, zero))
        mean = images.mean((1, 2, 3), keepdim=True).expand_as(images)
        torch.testing.assert_close(flat, mean, atol=1e-5, rtol=0)


@pytest.mark.parametrize("channels", [2, 3, 4, 32])
def test_label_tasks_on_patches_lose_the_differences_of_channels_as_often_as_told(channels):
    pretext = build("eq_labels", "C4", (channels, 28, 28))
    assert isinstance(pretext, LabelTask)
    draw = pretext.draw(2000, torch.Generator().manual_seed(0))
    assert float(draw["gray"].float().mean()) == pytest.approx(PARAMS.pretexts["eq_labels"].gray, abs=0.05)
    images = stored(4, channels=channels).float() / 255
    all_gray = {"gray": torch.ones(4, dtype=torch.bool), "shifts": draw["shifts"][:4]}
    patches = pretext.corrupt(images, torch.arange(4), all_gray)
    assert torch.allclose(patches, patches[:, :, :1].expand_as(patches), atol=1e-5)
    none_gray = {**all_gray, "gray": torch.zeros(4, dtype=torch.bool)}
    patches = pretext.corrupt(images, torch.arange(4), none_gray)
    assert not torch.allclose(patches, patches[:, :, :1].expand_as(patches), atol=1e-2)
