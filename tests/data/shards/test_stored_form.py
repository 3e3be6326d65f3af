"""The stored form of an image: background, channels, size, range, turn and mask."""

import io
import math

import numpy as np
import pytest
from image_files import oriented, png_of, saved
from PIL import Image

from eqssl.config.sources import SourceSettings
from eqssl.data.disc import disc
from eqssl.data.images import decode, decode_image, encode_image
from eqssl.data.shards.stored_form import needs_no_change, prepared, square, stored_form
from eqssl.data.shards.turning import stored_angle, turned
from eqssl.data.sources.base import Sample

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (16, 16, 3), dtype=np.uint8)
RGBA = RANDOM.integers(0, 256, (16, 16, 4), dtype=np.uint8)


def settings(**more):
    return SourceSettings.read({"source": "fashion_mnist_sample", "mask": "none", **more})


def sample(image):
    return Sample("a", image, 0, "train", 7)


# --- background


@pytest.mark.parametrize(("alpha", "behind"), [("black", 0), ("white", 255)])
@pytest.mark.parametrize("bits", [8, 16])
def test_transparent_pixels_show_the_background_that_is_set(alpha, behind, bits):
    scale = 1 if bits == 8 else 257
    content = png_of(RGBA.astype(int) * scale, bits, 6)
    share = RGBA[:, :, 3:] / 255
    expected = (RGBA[:, :, :3] * share + behind * (1 - share)) * scale
    found = prepared(sample(content), settings(alpha=alpha, range=[0, 255 * scale]))
    assert found.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert np.abs(found - expected).max() <= 0.5 + 1e-9


def test_transparent_pixels_are_refused_unless_a_background_is_set():
    with pytest.raises(ValueError, match=r"transparent pixels of 256; `alpha: black` or `alpha: white`"):
        stored_form(sample(saved(RGBA, "PNG")), settings())
    opaque = RGBA.copy()
    opaque[:, :, 3] = 255
    np.testing.assert_array_equal(stored_form(sample(saved(opaque, "PNG")), settings()), RGBA[:, :, :3])
    opaque[3, 4, 3] = 254
    with pytest.raises(ValueError, match="has 1 transparent pixels of 256"):
        stored_form(sample(saved(opaque, "PNG")), settings())


# --- channels


def test_channels_are_made_by_the_rules():
    gray = np.asarray(Image.fromarray(RGB).convert("L"))[:, :, None]
    np.testing.assert_array_equal(stored_form(sample(RGB), settings(channels=1)), gray)
    np.testing.assert_array_equal(stored_form(sample(gray), settings(channels=3)), gray.repeat(3, 2))
    np.testing.assert_array_equal(stored_form(sample(RGB), settings(channels=3)), RGB)
    five = RANDOM.integers(0, 256, (16, 16, 5), dtype=np.uint8)
    np.testing.assert_array_equal(stored_form(sample(five), settings(channels=5)), five)
    for image, channels in ((five, 1), (five, 3), (RGB, 5), (gray, 5)):
        with pytest.raises(ValueError, match=f"has {image.shape[2]} channels, `channels` is {channels}"):
            stored_form(sample(image), settings(channels=channels))


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_deep_rgb_becomes_gray_with_the_same_weights(kind):
    deep = (RANDOM.random((9, 9, 3)) * 65535).astype(kind)
    found = prepared(sample(deep), settings(channels=1, range=[0, 65535]))
    expected = deep.astype(float) @ [0.299, 0.587, 0.114]
    assert found.dtype == kind
    assert np.abs(found[:, :, 0] - expected).max() <= 1.5


# --- size


def test_8_bits_are_resized_to_the_bytes_of_pillow():
    wide = RANDOM.integers(0, 256, (40, 61, 3), dtype=np.uint8)
    for image in (wide, wide[:, :, :1], wide.transpose(1, 0, 2)):
        for size in (12, 40, 55):
            side = min(image.shape[:2])
            top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
            cut = image[top : top + side, left : left + side]
            flat = cut[:, :, 0] if cut.shape[2] == 1 else cut
            expected = np.asarray(Image.fromarray(flat).resize((size, size), Image.Resampling.BICUBIC))
            np.testing.assert_array_equal(square(image, size), expected.reshape(size, size, -1))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_all_types_and_channels_are_resized_alike(kind, channels):
    image = RANDOM.integers(20, 230, (30, 40, channels)).astype(np.uint8)
    plain = np.stack([square(image[:, :, i : i + 1], 11)[:, :, 0] for i in range(channels)], 2)
    found = square(image.astype(kind), 11)
    assert found.dtype == kind
    assert found.shape == (11, 11, channels)
    assert np.abs(found.astype(float) - plain).max() <= 1.01
    constant = np.full((30, 40, channels), 200, kind)
    assert (square(constant, 11) == 200).all()
    sharp = np.zeros((30, 40, channels), kind)
    sharp[:, ::2] = 255 if kind == np.uint8 else 65535
    assert np.abs(square(sharp, 7)[:, 2:-2].astype(float) / sharp.max() - 0.5).max() < 0.06  # antialiased


# --- range


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_a_range_maps_to_all_of_16_bits_and_cuts_off_the_rest(kind):
    image = RANDOM.integers(0, 5000, (9, 9, 2)).astype(kind)
    found = stored_form(sample(image), settings(range=[1000, 4000]))
    expected = np.clip((image.astype(float) - 1000) / 3000 * 65535, 0, 65535)
    assert found.dtype == np.uint16
    assert np.abs(found - expected).max() <= 0.5
    measured = stored_form(sample(image), settings(range={"percentiles": [1, 99]}), (1000, 4000))
    np.testing.assert_array_equal(measured, found)


def test_8_bits_stay_8_bits_in_a_range():
    found = stored_form(sample(RGB), settings(range=[50, 100]))
    assert found.dtype == np.uint8
    assert np.abs(found - np.clip((RGB.astype(float) - 50) / 50 * 255, 0, 255)).max() <= 0.5
    np.testing.assert_array_equal(stored_form(sample(RGB), settings()), RGB)
    np.testing.assert_array_equal(stored_form(sample(RGB), settings(range=[0, 255])), RGB)


def test_the_whole_range_of_16_bits_changes_nothing():
    deep = RANDOM.integers(0, 65536, (9, 9, 3), dtype=np.uint16)
    found = stored_form(sample(deep), settings(range=[0, 65535]))
    np.testing.assert_array_equal(found, deep)
    ending, content = encode_image(found, "png", 95)
    assert ending == "npy"
    np.testing.assert_array_equal(decode_image(content), deep)


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_deep_images_without_a_range_are_refused(kind):
    image = RANDOM.integers(0, 5000, (9, 9, 1)).astype(kind)
    with pytest.raises(ValueError, match=r"more than 8 bits per channel .*`range: \[LOW, HIGH\]`"):
        stored_form(sample(image), settings())
    with pytest.raises(ValueError, match=r"8 bits per channel .*`range"):
        prepared(sample(image), settings())
    with pytest.raises(ValueError, match=r"8 bits per channel .*`range"):  # percentiles nobody measured
        stored_form(sample(image), settings(range={"percentiles": [1, 99]}))


def test_arrays_that_are_no_images_are_refused():
    for image, reason in (
        (np.full((9, 9, 1), np.nan, np.float32), "not a number"),
        (np.zeros((9, 9, 33), np.uint8), "33 channels"),
        (np.zeros((9, 9), np.uint8), "rows x columns x channels"),
        (np.zeros((9, 9, 1), np.int32), "allowed: uint8, uint16 or float32"),
        (np.zeros((0, 9, 1), np.uint8), "9 x 0 pixels"),
    ):
        with pytest.raises(ValueError, match=reason):
            stored_form(sample(image), settings(range=[0, 1]))


# --- turn and mask


def test_the_mask_cuts_corners_or_keeps_them():
    inside = disc(16)[:, :, None]
    np.testing.assert_array_equal(stored_form(sample(RGB), settings()), RGB)
    np.testing.assert_array_equal(stored_form(sample(RGB), settings(mask="disc")), RGB * inside)
    deep = RGB.astype(np.uint16) * 257
    found = stored_form(sample(deep), settings(mask="disc", range=[0, 65535]))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, deep * inside)


def test_deep_images_are_turned_as_others_are():
    angle = stored_angle("train", 7)
    expected = turned(RGB, angle) * disc(16)[:, :, None]
    found = stored_form(sample(RGB), settings(mask="disc", turned=True))
    np.testing.assert_array_equal(found, expected)
    deep = stored_form(
        sample(RGB.astype(np.uint16) * 257), settings(mask="disc", turned=True, range=[0, 65535])
    )
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - expected).max() <= 0.51
    assert math.isclose(float(turned(np.full((8, 8, 1), 65535, np.uint16), 90.0).max()), 65535)


# --- JPEGs that are stored as they came


def test_a_jpeg_that_needs_no_change_decodes_to_its_stored_form():
    for image in (RGB, RGB[:, :, 0]):
        for more in ({}, {"progressive": True}, {"subsampling": 2}, {"exif": oriented(1)}):
            content = saved(image, "JPEG", **more)
            for which in (settings(), settings(size=16), settings(channels=1 if image.ndim == 2 else 3)):
                assert needs_no_change(content, which)
                np.testing.assert_array_equal(stored_form(sample(content), which), decode_image(content))
                assert decode(content).alpha is None


def test_a_jpeg_that_is_changed_is_not_stored_as_it_came():
    plain = saved(RGB, "JPEG")
    for which in (
        settings(mask="disc"),
        settings(turned=True, mask="disc"),
        settings(size=8),
        settings(channels=1),
        settings(range=[0, 255]),
        settings(range={"percentiles": [1, 99]}),
    ):
        assert not needs_no_change(plain, which)
    wide = RANDOM.integers(0, 256, (16, 17, 3), dtype=np.uint8)
    deep = bytearray(plain)
    deep[deep.index(b"\xff\xc0") + 4] = 12
    for content in (
        saved(RGB, "PNG"),
        saved(wide, "JPEG"),
        saved(RGB, "JPEG", exif=oriented(6)),
        saved(RGB, "JPEG", xmp=b"<a tiff:Orientation='6'/>"),
        saved(Image.fromarray(RGBA, "CMYK"), "JPEG"),
        bytes(deep),
        plain[:10],
        b"",
    ):
        assert not needs_no_change(content, settings())
    assert Image.open(io.BytesIO(plain)).size == (16, 16)
