"""Images that are stored are read back as they are, or within the loss that was chosen."""

import numpy as np
import pytest
from image_files import GRAY, RANDOM, RGB, SMOOTH, saved

from eqssl.data.images import decode_image, encode_image, encode_png


def test_stored_images_are_read_back_as_they_are():
    for pixels in (
        RGB,
        GRAY,
        RANDOM.integers(0, 65536, (8, 8, 1), dtype=np.uint16),
        RANDOM.integers(0, 65536, (8, 8, 3), dtype=np.uint16),
        RANDOM.integers(0, 65536, (8, 8, 32), dtype=np.uint16),
        RANDOM.integers(0, 256, (8, 8, 2), dtype=np.uint8),
        RANDOM.integers(0, 256, (8, 8, 5), dtype=np.uint8),
    ):
        ending, content = encode_image(pixels, "png", 95)
        plain = pixels.shape[2] == 1 or (pixels.dtype == np.uint8 and pixels.shape[2] == 3)
        assert ending == ("png" if plain else "npy")
        found = decode_image(content)
        assert found.dtype == pixels.dtype
        np.testing.assert_array_equal(found, pixels)
        assert encode_image(pixels, "png", 10) == (ending, content)
    assert encode_image(RGB, "png", 95)[1] == encode_png(RGB) == saved(RGB, "PNG")


@pytest.mark.parametrize(("store", "ending"), [("jpeg", "jpg"), ("webp", "webp")])
def test_a_lossy_store_keeps_its_quality_and_refuses_what_it_cannot_hold(store, ending):
    found, best = encode_image(SMOOTH, store, 95)
    assert found == ending
    assert np.abs(decode_image(best).astype(int) - SMOOTH).max() <= 8
    assert len(encode_image(RGB, store, 30)[1]) < len(encode_image(RGB, store, 95)[1])
    for pixels in (RGB.astype(np.uint16), RGB[:, :, :2], np.zeros((4, 4, 7), np.uint8)):
        with pytest.raises(ValueError, match=f"`store: {store}` cannot hold"):
            encode_image(pixels, store, 95)


def test_gray_is_stored_as_gray_in_jpeg():
    assert decode_image(encode_image(GRAY, "jpeg", 95)[1]).shape == GRAY.shape
    # WebP knows no gray: three equal channels would not be the stored one
    with pytest.raises(ValueError, match=r"`store: webp` cannot hold"):
        encode_image(GRAY, "webp", 95)


def test_a_transparent_image_is_never_taken_for_a_stored_one():
    rgba = RANDOM.integers(0, 256, (13, 17, 4), dtype=np.uint8)
    with pytest.raises(ValueError, match="transparent"):
        decode_image(saved(rgba, "PNG"))
