"""Every kind of image file gives the values that it holds, upright, with all bits."""

import io
import warnings

import numpy as np
import pytest
from image_files import GRAY, RANDOM, RGB, SMOOTH, chunk, oriented, png_of, saved, tiff_of
from PIL import Image

from eqssl.data.images import decode


def the_same(found, pixels, alpha=None):
    assert found.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(found.pixels, pixels)
    if alpha is None:
        assert found.alpha is None
    else:
        assert found.alpha.dtype == alpha.dtype
        np.testing.assert_array_equal(found.alpha, alpha)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_files_of_8_bits_give_their_values(kind):
    more = {"lossless": True} if kind == "WEBP" else {}
    the_same(decode(saved(RGB, kind, **more)), RGB)
    if kind != "WEBP":
        the_same(decode(saved(GRAY[:, :, 0], kind)), GRAY)
    found = decode(saved(RGB, kind, **more)).pixels
    assert found.flags.writeable  # torch wants it


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_gives_what_pillow_gives(progressive, subsampling):
    content = saved(SMOOTH, "JPEG", progressive=progressive, subsampling=subsampling)
    the_same(decode(content), np.asarray(Image.open(io.BytesIO(content))))
    gray = saved(SMOOTH[:, :, 0], "JPEG", progressive=progressive)
    the_same(decode(gray), np.asarray(Image.open(io.BytesIO(gray)))[:, :, None])


def test_jpeg_that_keeps_rgb_gives_what_pillow_gives():
    content = saved(SMOOTH, "JPEG", keep_rgb=True, quality=100)
    the_same(decode(content), np.asarray(Image.open(io.BytesIO(content))))
    assert np.abs(decode(content).pixels.astype(int) - SMOOTH).max() <= 2


# --- orientation

SEEN = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", SEEN)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "TIFF"])
def test_images_are_turned_upright(kind, orientation):
    more = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    flat = decode(saved(SMOOTH, kind, **more)).pixels
    found = decode(saved(SMOOTH, kind, exif=oriented(orientation), **more))
    the_same(found, SEEN[orientation](flat))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("orientation", SEEN)
@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_of_16_bits_is_turned_upright(colour, channels, orientation, late):
    deep = RANDOM.integers(0, 65536, (9, 7, channels), dtype=np.uint16)
    exif = chunk(b"eXIf", oriented(orientation).tobytes().removeprefix(b"Exif\0\0"))
    content = png_of(deep, 16, colour)
    place = content.index(b"IEND" if late else b"IDAT") - 4
    seen = SEEN[orientation](deep)
    alpha = (seen[:, :, -1],) if colour in (4, 6) else ()
    the_same(decode(content[:place] + exif + content[place:]), seen[:, :, : 3 if channels > 2 else 1], *alpha)


def test_an_orientation_that_means_nothing_or_is_damaged_changes_nothing():
    plain = decode(saved(SMOOTH, "JPEG")).pixels
    for exif in (oriented(0), oriented(9), b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0", b"Exif\0\0MM"):
        the_same(decode(saved(SMOOTH, "JPEG", exif=exif)), plain)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        the_same(decode(saved(SMOOTH, "PNG", exif=b"II*\0\x08\0\0\0\x05\0\x12\x01")), SMOOTH)


def test_alpha_is_turned_with_its_image():
    rgba = RANDOM.integers(0, 256, (13, 17, 4), dtype=np.uint8)
    the_same(
        decode(saved(rgba, "PNG", exif=oriented(6))),
        np.rot90(rgba[:, :, :3], -1),
        np.rot90(rgba[:, :, 3], -1),
    )


def test_an_orientation_in_xmp_is_followed_as_viewers_do():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    plain = decode(saved(SMOOTH, "JPEG")).pixels
    the_same(decode(saved(SMOOTH, "JPEG", xmp=xmp)), np.rot90(plain, -1))


# --- 16 bits and fewer than 8


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3)])
def test_png_of_16_bits_keeps_both_bytes(colour, channels):
    deep = RANDOM.integers(0, 65536, (9, 7, channels), dtype=np.uint16)
    the_same(decode(png_of(deep, 16, colour)), deep)


@pytest.mark.parametrize(("colour", "channels"), [(4, 1), (6, 3)])
def test_png_of_16_bits_with_alpha_keeps_both_bytes(colour, channels):
    deep = RANDOM.integers(0, 65536, (9, 7, channels + 1), dtype=np.uint16)
    the_same(decode(png_of(deep, 16, colour)), deep[:, :, :-1], deep[:, :, -1])
    deep[:, :, -1] = 65535
    the_same(decode(png_of(deep, 16, colour)), deep[:, :, :-1])
    deep[0, 0, -1] = 65534  # its upper byte alone would be opaque
    assert decode(png_of(deep, 16, colour)).alpha[0, 0] == 65534


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3)])
def test_the_one_transparent_colour_of_a_png_is_transparent(colour, channels):
    for bits in (8, 16):
        pixels = RANDOM.integers(0, 2**bits, (9, 7, channels)).astype(f"u{bits // 8}")
        pixels[2, 3] = [5, 6, 7][:channels]
        expected = np.where((pixels == pixels[2, 3]).all(2), 0, 2**bits - 1).astype(pixels.dtype)
        key = chunk(b"tRNS", pixels[2, 3].astype(">u2").tobytes())
        the_same(decode(png_of(pixels, bits, colour, key)), pixels, expected)
        absent = chunk(b"tRNS", np.full(channels, 2**bits - 1, ">u2").tobytes())
        pixels[pixels == 2**bits - 1] = 0
        the_same(decode(png_of(pixels, bits, colour, absent)), pixels)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_of_few_bits_is_stretched(bits):
    given = RANDOM.integers(0, 2**bits, (9, 13, 1), dtype=np.uint8)
    stretched = (given.astype(int) * 255 // (2**bits - 1)).astype(np.uint8)
    the_same(decode(png_of(given, bits, 0)), stretched)
    key = chunk(b"tRNS", (1).to_bytes(2, "big"))
    expected = np.where(given[:, :, 0] == 1, 0, 255).astype(np.uint8)
    the_same(decode(png_of(given, bits, 0, key)), stretched, expected)


def test_pnm_of_more_than_8_bits_is_not_scaled():
    for channels, kind in ((1, "P5"), (3, "P6")):
        deep = RANDOM.integers(0, 4096, (5, 4, channels), dtype=np.uint16)
        content = f"{kind}\n# made by hand\n4 5\n4095\n".encode() + deep.astype(">u2").tobytes()
        the_same(decode(content), deep)
        with pytest.raises(ValueError, match="truncated"):
            decode(content[:-1])
        with pytest.raises(ValueError, match="several images"):
            decode(content + content)
    with pytest.raises(ValueError, match="more than 8 bits per channel"):
        decode(b"P2\n1 1\n4095\n77\n")
    values = RANDOM.normal(size=(5, 4)).astype(np.float32)
    found = decode(b"Pf\n4 5\n-1.0\n" + values[::-1].astype("<f4").tobytes())
    the_same(found, values[:, :, None])
    values[0, 0] = np.nan
    with pytest.raises(ValueError, match="not a number"):
        decode(b"Pf\n4 5\n-1.0\n" + values.astype("<f4").tobytes())


def test_a_missing_library_is_named_with_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    deep = RANDOM.integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    with pytest.raises(ValueError, match=r"more than 8 bits per channel.*pip install 'eqssl\[microscopy\]'"):
        decode(png_of(deep, 16, 2))
    the_same(decode(png_of(deep[:, :, :1], 16, 0)), deep[:, :, :1])  # gray needs no other library


# --- palettes, 1 bit, alpha


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_a_palette_is_looked_up_and_is_gray_if_all_its_colours_are(kind):
    colours = RANDOM.integers(0, 256, (256, 3), dtype=np.uint8)
    places = RANDOM.integers(0, 256, (13, 17), dtype=np.uint8)
    for table in (colours, np.repeat(colours[:, :1], 3, 1), np.repeat(np.arange(256)[:, None], 3, 1)):
        image = Image.fromarray(places, "L").convert("P")
        image.putdata(places.ravel().tolist())
        image.putpalette(table.astype(np.uint8).tobytes())
        expected = table.astype(np.uint8)[places]
        gray = (table == table[:, :1]).all()
        the_same(decode(saved(image, kind)), expected[:, :, :1] if gray else expected)


def test_a_palette_with_transparent_entries_has_alpha():
    colours = RANDOM.integers(0, 256, (16, 3), dtype=np.uint8)
    seen = RANDOM.integers(0, 256, 16, dtype=np.uint8)
    places = RANDOM.integers(0, 16, (9, 7, 1), dtype=np.uint8)
    before = chunk(b"PLTE", colours.tobytes()) + chunk(b"tRNS", seen.tobytes())
    the_same(decode(png_of(places, 8, 3, before)), colours[places[:, :, 0]], seen[places[:, :, 0]])
    opaque = chunk(b"PLTE", colours.tobytes()) + chunk(b"tRNS", b"\xff" * 16)
    the_same(decode(png_of(places, 4, 3, opaque)), colours[places[:, :, 0]])


def test_one_bit_is_black_and_white():
    given = RANDOM.integers(0, 2, (9, 13)).astype(bool)
    expected = (given * 255).astype(np.uint8)[:, :, None]
    for kind, more in (("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "group4"})):
        the_same(decode(saved(Image.fromarray(given), kind, **more)), expected)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_comes_beside_the_pixels_and_not_at_all_if_all_is_opaque(kind):
    rgba = RANDOM.integers(0, 256, (13, 17, 4), dtype=np.uint8)
    more = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    the_same(decode(saved(rgba, kind, **more)), rgba[:, :, :3], rgba[:, :, 3])
    rgba[:, :, 3] = 255
    the_same(decode(saved(rgba, kind, **more)), rgba[:, :, :3])
    if kind != "WEBP":
        both = rgba[:, :, :2].copy()
        the_same(decode(saved(Image.fromarray(both, "LA"), kind)), both[:, :, :1], both[:, :, 1])


# --- other colour spaces


def test_cmyk_follows_the_plain_formula_inverted_or_not():
    ink = np.full((16, 16, 4), [200, 100, 50, 30], np.uint8)
    expected = ((255 - ink[..., :3].astype(float)) * (255 - ink[..., 3:]) / 255).round()
    for kind, more in (("TIFF", {}), ("JPEG", {"quality": 100})):  # JPEG keeps CMYK inverted, as Adobe does
        found = decode(saved(Image.fromarray(ink, "CMYK"), kind, **more))
        assert found.pixels.shape == (16, 16, 3)
        assert np.abs(found.pixels.astype(float) - expected).max() <= 2


def test_lab_becomes_srgb():
    # red, white and gray of sRGB in Lab of D50
    lab = np.array([[[54.29, 80.81, 69.89], [100, 0, 0], [53.39, 0, 0]]])
    stored = np.stack([lab[..., 0] * 2.55, lab[..., 1], lab[..., 2]], 2).round().astype(np.int16)
    content = tiff_of((stored % 256).astype(np.uint8), photometric="cielab")  # a and b are signed
    found = decode(content).pixels.astype(int)
    assert (
        np.abs(found[0] - [[254, 0, 0], [255, 255, 255], [127, 127, 127]]).max() <= 6
    )  # Lab is rounded to 8 bits


def test_profiles_and_gamma_change_nothing():
    gamma = chunk(b"gAMA", (100_000).to_bytes(4, "big"))
    the_same(decode(png_of(RGB, 8, 2, gamma)), RGB)


# --- several images


def test_animations_are_refused_and_one_frame_is_not():
    frames = [Image.fromarray(np.roll(RGB, i, 0)) for i in range(3)]
    for kind, more in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        several = saved(frames[0], kind, save_all=True, append_images=frames[1:], **more)
        with pytest.raises(ValueError, match=r"animation.*files of their own"):
            decode(several)
        one = decode(saved(frames[0], kind, save_all=True, **more)).pixels
        assert one.shape == RGB.shape


def test_a_jpeg_with_a_smaller_preview_is_its_first_picture_and_with_an_equal_one_refused():
    first, small = Image.fromarray(SMOOTH), Image.fromarray(SMOOTH[::2, ::2].copy())
    content = saved(first, "MPO", save_all=True, append_images=[small], quality=90)
    assert content.startswith(b"\xff\xd8\xff")
    the_same(decode(content), np.asarray(Image.open(io.BytesIO(content))))
    with pytest.raises(ValueError, match="several pictures of the same size"):
        decode(saved(first, "MPO", save_all=True, append_images=[first]))


# --- damage


def test_a_truncated_file_is_an_error_and_never_gray():
    large = RANDOM.integers(1, 256, (64, 64, 3), dtype=np.uint8)
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"):
        whole = saved(large, kind)
        for part in (whole[: len(whole) // 2], whole[: len(whole) * 9 // 10], whole[:20], whole[:3]):
            with pytest.raises(ValueError, match="cannot be decoded as an image"):
                decode(part)
    jpeg = saved(large, "JPEG")
    with pytest.raises(ValueError, match="premature end"):
        decode(jpeg[: len(jpeg) // 2] + b"\xff\xd9")
    xmp = saved(large, "JPEG", xmp=b"<a tiff:Orientation='1'/>")
    with pytest.raises(ValueError, match="premature end"):  # the same where Pillow must read it
        decode(xmp[: len(xmp) * 3 // 4] + b"\xff\xd9")


@pytest.mark.parametrize(("bits", "colour"), [(8, 0), (8, 2), (8, 6), (16, 0), (16, 2), (4, 0)])
def test_a_png_whose_rows_are_missing_is_an_error(bits, colour):
    samples = RANDOM.integers(1, 2**bits, (20, 20, {0: 1, 2: 3, 6: 4}[colour]))
    assert decode(png_of(samples, bits, colour)).pixels.shape[:2] == (20, 20)
    for rows in (0, 10, 19):
        with pytest.raises(ValueError, match="cannot be decoded as an image"):
            decode(png_of(samples, bits, colour, rows=rows))


def test_a_png_whose_last_rows_are_black_is_whole():
    black = RGB.copy()
    black[5:] = 0
    the_same(decode(saved(black, "PNG")), black)


def test_bytes_before_the_end_of_a_jpeg_do_no_harm():
    content = saved(SMOOTH, "JPEG")
    expected = decode(content).pixels
    the_same(decode(content[:-2] + b"\0\0\0" + content[-2:]), expected)
    the_same(decode(content + b"trailing"), expected)


def test_a_jpeg_of_12_bits_is_named_as_such():
    content = bytearray(saved(SMOOTH, "JPEG"))
    content[content.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(ValueError, match="more than 8 bits per channel"):
        decode(bytes(content))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no PNG, JPEG"),
        (b"hello", "is no PNG, JPEG"),
        (b"\0\0\0\x20ftypheic", "HEIC"),
        (b"\0" * 128 + b"DICM", "DICOM"),
        (b"SIMPLE  =                    T", "FITS"),
        (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"),
        (b"\xff\xd8\xff", "truncated"),
        (b"\xff\xd8\xff\xd9", "truncated"),
        (b"\xff\xd8\xff" + b"\xff" * 10_000, "truncated"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
    ],
)
def test_what_is_no_image_is_named(content, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        decode(content)
    assert "0x" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bombs_are_refused_before_they_are_decoded():
    small = np.zeros((1, 1, 1), np.uint8)
    wide = png_of(small, 8, 0).replace(b"\0\0\0\1\0\0\0\1\x08", (2**13 + 1).to_bytes(4, "big") * 2 + b"\x08")
    deep = png_of(small, 16, 6).replace(b"\0\0\0\1\0\0\0\1\x10", (2**13).to_bytes(4, "big") * 2 + b"\x10")
    frame = b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0\xff\xda\0\x02"
    for content in (wide, deep, frame, b"P5 999999 999999 65535\n"):
        with pytest.raises(ValueError, match=r"allowed: at most|truncated"):
            decode(content)
    with pytest.raises(ValueError, match=r"allowed: at most 67108864"):
        decode(wide)
