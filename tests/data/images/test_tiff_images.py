"""TIFF: every depth and number of channels, pages, and what is refused."""

import io
import struct
import sys
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
import tifffile
from image_files import oriented, saved, tiff_of

from eqssl.data.images import decode
from eqssl.data.images.tiff_tags import orientation_of

RANDOM = np.random.default_rng(0)


def noise(kind, *shape):
    if np.dtype(kind).kind == "f":
        return RANDOM.normal(0, 1000, shape).astype(np.float32).astype(kind)
    most = min(np.iinfo(kind).max, 2**24)
    return RANDOM.integers(max(np.iinfo(kind).min, -(2**24)), most, shape, endpoint=True, dtype=kind)


def the_same(content, pixels, alpha=None):
    found = decode(content)
    assert found.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(found.pixels, pixels)
    if alpha is None:
        assert found.alpha is None
    else:
        np.testing.assert_array_equal(found.alpha, alpha)


@pytest.mark.parametrize("kind", ["u1", "u2", "i1", "i2", "i4", "u4", "f2", "f4", "f8"])
@pytest.mark.parametrize("channels", [1, 3, 5, 32])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_every_type_and_number_of_channels_keeps_its_values(kind, channels, planar):
    values = noise(kind, 9, 7, channels)
    expected = values if kind in ("u1", "u2") else values.astype(np.float32)
    np.testing.assert_array_equal(expected.astype(np.float64), values.astype(np.float64))
    photometric = "rgb" if channels == 3 else "minisblack"
    given = np.moveaxis(values, -1, 0) if planar == "separate" and channels > 1 else values
    more = {"planarconfig": planar} if channels > 1 else {}
    for order, compression in (("<", None), (">", "zlib"), ("<", "lzw"), (">", "zstd")):
        content = tiff_of(
            given if channels > 1 else given[:, :, 0],
            photometric=photometric,
            byteorder=order,
            compression=compression,
            **more,
        )
        the_same(content, expected)


@pytest.mark.parametrize(
    "more", [{"tile": (16, 16)}, {"rowsperstrip": 3}, {"predictor": True}, {"bigtiff": True}]
)
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_tiles_strips_predictors_and_bigtiff_keep_values(kind, more):
    values = noise(kind, 37, 21, 3)
    the_same(tiff_of(values, photometric="rgb", compression="zlib", **more), values)
    the_same(tiff_of(values[:, :, 0], photometric="minisblack", compression="zlib", **more), values[:, :, :1])


def test_12_bits_are_read_as_they_are():
    values = RANDOM.integers(0, 4096, (9, 8), dtype=np.uint16)
    bits = ((values.reshape(-1, 1) >> np.arange(11, -1, -1)) & 1).astype(np.uint8)
    entries = [(256, 8), (257, 9), (258, 12), (259, 1), (262, 1), (273, 200), (277, 1), (278, 9), (279, 108)]
    table = b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4)
    the_same(head.ljust(200, b"\0") + np.packbits(bits.ravel()).tobytes(), values[:, :, None])


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_black_is_0_where_a_file_says_that_white_is(kind):
    values = noise(kind, 9, 7)
    content = tiff_of(values, photometric="miniswhite")
    the_same(content, (np.iinfo(kind).max - values)[:, :, None])
    with pytest.raises(ValueError, match="0 is white"):
        decode(tiff_of(noise("f4", 9, 7), photometric="miniswhite"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_deep_files_are_turned_as_plain_ones(kind, orientation):
    values = noise(kind, 9, 7, 3)
    plain = saved(values.astype(np.uint8), "PNG", exif=oriented(orientation))
    seen = decode(plain).pixels
    content = tiff_of(
        values.astype(np.uint8).astype(kind),
        photometric="rgb",
        extratags=[(274, "H", 1, orientation, True)],
    )
    the_same(content, seen.astype(kind))


@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize(("colours", "photometric"), [(3, "rgb"), (1, "minisblack")])
def test_an_extra_channel_is_alpha_only_if_the_file_says_so(kind, colours, photometric):
    values = noise(kind, 9, 7, colours + 1)

    def content(meaning):
        return tiff_of(values, photometric=photometric, extrasamples=(meaning,), planarconfig="contig")

    the_same(content("unassalpha"), values[:, :, :-1], values[:, :, -1])
    the_same(content("unspecified"), values)
    values[:, :, -1] = np.iinfo(kind).max
    the_same(content("unassalpha"), values[:, :, :-1])


def test_alpha_after_several_bands_is_alpha():
    values = noise("u2", 9, 7, 5)
    content = tiff_of(values, photometric="rgb", extrasamples=("unspecified", "unassalpha"))
    the_same(content, values[:, :, :-1], values[:, :, -1])
    twice = tiff_of(values, photometric="rgb", extrasamples=("unassalpha", "unassalpha"))
    with pytest.raises(ValueError, match="several alpha"):
        decode(twice)


def test_alpha_that_colours_are_multiplied_by_is_divided_out():
    alpha = np.array([[0, 1, 100, 255]], np.uint8).repeat(3, 0)
    for scale, kind in ((1, np.uint8), (257, np.uint16)):
        plain = np.full((3, 4, 3), 200, np.uint8)
        multiplied = (plain.astype(float) * alpha[..., None] / 255).round()
        values = np.concatenate([multiplied, alpha[..., None]], 2).astype(kind) * kind(scale)
        found = decode(tiff_of(values, photometric="rgb", extrasamples=("assocalpha",)))
        np.testing.assert_array_equal(found.alpha, values[:, :, 3])
        again = found.pixels.astype(float) * found.alpha[..., None] / np.iinfo(kind).max
        np.testing.assert_array_equal(again[:, 1:].round(), values[:, 1:, :3])


# --- pages


def test_stacks_are_refused_with_a_hint():
    stack = noise("u2", 5, 9, 7)
    for content in (
        tiff_of(stack, photometric="minisblack"),
        tiff_of(stack.astype(np.uint8), photometric="minisblack"),
        tiff_of(stack, imagej=True, metadata={"axes": "ZYX"}),
        tiff_of(stack, imagej=True, metadata={"axes": "TYX"}),
        tiff_of(stack[None].repeat(2, 0), imagej=True, metadata={"axes": "ZCYX"}),
        tiff_of(stack, ome=True, metadata={"axes": "ZYX"}),
        tiff_of(stack, ome=True, metadata={"axes": "TYX"}),
        tiff_of(stack, photometric="minisblack", metadata={"axes": "QYX"}, truncate=True),
        tiff_of(noise("u2", 16, 32, 32), photometric="minisblack", volumetric=True, tile=(16, 16, 16)),
    ):
        with pytest.raises(ValueError, match="a file of its own"):
            decode(content)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_pages_that_the_file_calls_channels_are_channels(kind):
    planes = noise(kind, 4, 9, 7)
    expected = np.moveaxis(planes, 0, -1)
    the_same(tiff_of(planes, imagej=True, metadata={"axes": "CYX"}), expected)
    the_same(tiff_of(planes, ome=True, metadata={"axes": "CYX"}, photometric="minisblack"), expected)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_smaller_copies_beside_the_image_are_left_out(kind, tmp_path):
    full = noise(kind, 64, 48, 3)
    for name, where in (("parts.tif", "subifds"), ("pages.tif", "subfiletype")):
        with tifffile.TiffWriter(tmp_path / name) as file:
            more = {"subifds": 1} if where == "subifds" else {}
            file.write(full, photometric="rgb", metadata=None, **more)
            file.write(full[::2, ::2].copy(), photometric="rgb", subfiletype=1, metadata=None)
        the_same((tmp_path / name).read_bytes(), full)
    with tifffile.TiffWriter(tmp_path / "first.tif") as file:
        file.write(full[::2, ::2].copy(), photometric="rgb", subfiletype=1, metadata=None)
        file.write(full, photometric="rgb", metadata=None)
    the_same((tmp_path / "first.tif").read_bytes(), full)


def test_raw_files_of_cameras_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.dng") as file:
        file.write(noise("u1", 16, 16, 3), photometric="rgb", subfiletype=1, subifds=1, metadata=None)
        file.write(noise("u2", 64, 64), photometric="cfa", metadata=None)
    with pytest.raises(ValueError, match="raw files of cameras"):
        decode((tmp_path / "a.dng").read_bytes())
    with pytest.raises(ValueError, match="raw pixels of a camera"):
        decode(tiff_of(noise("u2", 64, 64), photometric="cfa"))


# --- refused


def test_values_that_no_stored_type_holds_are_refused():
    for values in (noise("f8", 9, 7) + 0.1, np.full((9, 7), 2**24 + 1, np.uint32)):
        with pytest.raises(ValueError, match="does not hold exactly"):
            decode(tiff_of(values, photometric="minisblack"))
    for bad in (np.nan, np.inf, -np.inf):
        values = noise("f4", 9, 7)
        values[3, 4] = bad
        with pytest.raises(ValueError, match="infinite or not a number"):
            decode(tiff_of(values, photometric="minisblack"))
    with pytest.raises(ValueError, match="complex"):
        decode(tiff_of(noise("f4", 9, 7).astype(np.complex64), photometric="minisblack"))
    with pytest.raises(ValueError, match="33 channels"):
        decode(tiff_of(noise("u2", 9, 7, 33), photometric="minisblack", planarconfig="contig"))


def test_a_missing_library_is_named_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ValueError, match=r"more than 8 bits per channel.*pip install 'eqssl\[microscopy\]'"):
        decode(DEEP)
    plain = noise("u1", 9, 7, 3)
    the_same(saved(plain, "TIFF", compression="tiff_lzw"), plain)


DEEP = tiff_of(noise("u2", 64, 64), photometric="minisblack", rowsperstrip=8)


def test_a_truncated_file_is_an_error():
    for compression in (None, "zlib", "lzw", "zstd"):
        for kind in ("u1", "u2"):
            values = noise(kind, 64, 64, 3)
            whole = tiff_of(values, photometric="rgb", compression=compression, rowsperstrip=8)
            the_same(whole, values)
            for size in (len(whole) - 100, len(whole) // 2, 300, 60, 9, 4):
                with pytest.raises(ValueError, match="cannot be decoded as an image"):
                    decode(whole[:size])


def strips(content, change):
    """A TIFF whose lengths of strips are changed."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        tag = file.pages[0].tags[279]
        kind = {3: "H", 4: "I"}[int(tag.dtype)]
        values = [change(value) for value in tag.value]
        packed = struct.pack(f"<{len(values)}{kind}", *values)
    return content[: tag.valueoffset] + packed + content[tag.valueoffset + len(packed) :]


def test_strips_that_hold_too_few_pixels_are_an_error():
    for content in (
        DEEP,
        tiff_of(noise("u2", 64, 64, 5), photometric="minisblack", planarconfig="contig", rowsperstrip=8),
    ):
        for change in (lambda n: 0, lambda n: n // 2, lambda n: n - 2):
            with pytest.raises(ValueError, match="cannot be decoded as an image"):
                decode(strips(content, change))


@pytest.mark.parametrize("compression", ["zlib", "zstd", "lzma", "lzw", "packbits"])
def test_strips_that_expand_to_too_few_pixels_are_an_error(compression):
    short = tiff_of(noise("u2", 8, 64), photometric="minisblack", compression=compression, rowsperstrip=64)
    with tifffile.TiffFile(io.BytesIO(short)) as file:
        tags = file.pages[0].tags
        places = [tags[257].valueoffset, tags[278].valueoffset]
    changed = bytearray(short)
    for place in places:
        changed[place : place + 2] = struct.pack("<H", 64)
    with pytest.raises(ValueError, match="cannot be decoded as an image"):
        decode(bytes(changed))


@pytest.mark.parametrize("compression", ["zlib", "zstd", "lzma"])
def test_a_strip_that_expands_to_gigabytes_takes_little_memory(compression):
    whole = tiff_of(
        np.zeros((8192, 8192), np.uint16),
        photometric="minisblack",
        compression=compression,
        rowsperstrip=8192,
    )
    assert len(whole) < 10**6
    with tifffile.TiffFile(io.BytesIO(whole)) as file:
        places = [file.pages[0].tags[code].valueoffset for code in (256, 257, 278)]
    small = bytearray(whole)
    for place in places:
        small[place : place + 2] = struct.pack("<H", 16)
    tracemalloc.start()
    with suppress(ValueError):
        decode(bytes(small))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10**7


def test_headers_that_cannot_be_right_are_refused_at_once():
    entry = struct.Struct("<HHII").pack
    loop = b"II*\0" + struct.pack("<IH", 8, 1) + entry(256, 4, 1, 5) + struct.pack("<I", 8)
    many = b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(100)
    long = b"II*\0" + struct.pack("<IH", 8, 1) + entry(273, 4, 2**32 - 1, 8) + bytes(4)
    big = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**63) + bytes(100)
    for content in (loop, many, long, big, b"II*\0", b"MM\0*\xff\xff\xff\xff"):
        with pytest.raises(ValueError, match="cannot be decoded as an image"):
            decode(content)
    for content in (loop, many, long, big, b"", b"MM\0*"):
        assert orientation_of(content) == 1


def test_an_ome_file_that_names_other_files_reads_none_of_them(tmp_path):
    secret = tmp_path / "secret.tif"
    secret.write_bytes(DEEP)
    words = (
        '<?xml version="1.0"?><OME><Image ID="Image:0"><Pixels ID="P" DimensionOrder="XYZCT" Type="uint16" '
        'SizeX="64" SizeY="64" SizeZ="1" SizeC="2" SizeT="1"><TiffData IFD="0" PlaneCount="1">'
        f'<UUID FileName="{secret}">urn:uuid:1</UUID></TiffData></Pixels></Image></OME>'
    )
    values = noise("u2", 64, 64)
    content = tiff_of(values, photometric="minisblack", description=words, metadata=None)
    the_same(content, values[:, :, None])


def test_a_palette_has_16_bits_and_one_of_8_is_refused():
    places, colours = noise("u1", 9, 7), noise("u1", 256, 3)
    content = tiff_of(places, photometric="palette", colormap=colours.T.astype(np.uint16) * 257)
    the_same(content, colours[places])
    with pytest.raises(ValueError, match="has a palette of 8 bits, "):
        decode(tiff_of(places, photometric="palette", colormap=colours.T.astype(np.uint16)))
    black = tiff_of(places, photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    the_same(black, np.zeros((9, 7, 1), np.uint8))
