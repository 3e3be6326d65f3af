"""Decoding image files by what they hold."""

from __future__ import annotations

from eqssl.data.images import jpeg, npy, png, tiff
from eqssl.data.images.ordinary import ordinary, rows_may_be_missing
from eqssl.data.images.pixels import Decoded, Pixels, check_size
from eqssl.data.images.pnm import deep_pnm
from eqssl.data.images.upright import upright

__all__ = ["Decoded", "decode", "decode_image", "stored_image"]

# how a file starts -> Pillow's name of the format
_OTHERS = {b"GIF87a": "GIF", b"GIF89a": "GIF", b"BM": "BMP"}
_PNM = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf")
_PLAIN_PNG = (b"\x08\x00", b"\x08\x02")  # gray and RGB of 8 bits, as this package writes them
_KNOWN = "PNG, JPEG, WebP, TIFF, BMP, GIF, PNM or npy file"


def decode(content: bytes) -> Decoded:
    """Decode an image file as it is meant to be seen, with all bits of its values.

    Images are turned upright as EXIF or TIFF metadata says. Profiles of colour and gamma are ignored: values
    are those of the file. Gray and gray palettes have one channel; other palettes, CMYK, YCbCr and Lab of 8
    bits become RGB; other files keep their channels. Values are uint8, uint16 or float32, whichever holds
    those of the file exactly.

    Raises:
        ValueError: with the reason; the caller adds the file.
    """
    return _decoded(content, whole=True)


def decode_image(content: bytes) -> Pixels:
    """Decode an image that this package stored, and whose checksum says that it is whole.

    Raises:
        ValueError: with the reason; the caller adds the file and key.
    """
    pixels, alpha = _decoded(content, whole=False)
    if alpha is not None:
        raise ValueError("has transparent pixels, which no stored image has")
    return pixels


def stored_image(content: bytes, shape: tuple[int, ...], kind: str) -> Pixels:
    """Decode an image that this package stored, and compare it with what index.json states.

    Args:
        content: the image file.
        shape: (channels, height, width).
        kind: type of the values, uint8 or uint16.

    Raises:
        ValueError: with the reason; the caller adds the file and key.
    """
    image = decode_image(content)
    if image.dtype != kind:
        raise ValueError(f"pixels of type {image.dtype}, index.json states {kind}")
    height, width, channels = image.shape
    if (channels, height, width) != shape:
        raise ValueError(f"image of shape {(channels, height, width)}, index.json states {shape}")
    return image


def _decoded(content: bytes, whole: bool) -> Decoded:
    try:
        if content.startswith(jpeg.START):
            return _jpeg(content)
        if content.startswith(png.START):
            return _png(content, whole)
        if content.startswith(npy.START):
            return Decoded(npy.npy_pixels(content), None)
        if content.startswith(tiff.STARTS):
            return tiff.tiff_image(content)
        return _other(content)
    except Exception as error:  # decoders raise errors of any type
        reason = str(error).replace("\n", " ") or type(error).__name__
        raise ValueError(f"cannot be decoded as an image: {reason}") from None


def _jpeg(content: bytes) -> Decoded:
    header = jpeg.jpeg_header(content)
    check_size(header.width, header.height)
    if header.bits != 8:
        raise ValueError(f"is a JPEG of more than 8 bits per channel ({header.bits}); save it as PNG or TIFF")
    if not header.plain:
        raise ValueError("is a lossless or arithmetic-coded JPEG; save it as PNG")
    if header.several or header.described or header.channels not in (1, 3):
        if header.channels in (1, 3):  # Pillow does not notice all that is missing
            jpeg.jpeg_pixels(content, header.channels)
        return ordinary(content, "JPEG")
    pixels = jpeg.jpeg_pixels(content, header.channels)
    if pixels is None:
        return ordinary(content, "JPEG")
    return Decoded(upright(pixels, header.orientation).copy() if header.orientation != 1 else pixels, None)


def _png(content: bytes, whole: bool) -> Decoded:
    if not whole and content[24:26] in _PLAIN_PNG:
        return ordinary(content, "PNG")
    header = png.png_header(content)
    check_size(header.width, header.height, 4, -(-header.bits // 8))
    if header.frames > 1:
        raise ValueError("is an animation; save the images as files of their own")
    if header.bits > 8:
        return png.deep_png(content, header)
    key = header.transparent
    if key is not None:  # Pillow stretches gray of fewer bits, but not this colour
        key = tuple((value & (2**header.bits - 1)) * 255 // (2**header.bits - 1) for value in key)
    decoded = ordinary(content, "PNG", transparent=key)
    if whole and (header.interlaced or header.colour == 3 or rows_may_be_missing(decoded.pixels)):
        png.check_whole(content, header)
    return decoded


def _other(content: bytes) -> Decoded:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ordinary(content, "WEBP")
    for start, kind in _OTHERS.items():
        if content.startswith(start):
            return ordinary(content, kind)
    if content.startswith(_PNM):
        pixels = deep_pnm(content)
        return ordinary(content, "PPM") if pixels is None else Decoded(pixels, None)
    raise ValueError(f"is no {_KNOWN}{_guess(content)}")


def _guess(content: bytes) -> str:
    """What a file may be that is not read."""
    if content[4:8] == b"ftyp":
        return " (it may be HEIC, AVIF or a film; export it as JPEG or PNG)"
    if content[4:8] == b"jP  " or content.startswith(b"\xff\x4f\xff\x51"):
        return " (it is JPEG 2000; export it as PNG or TIFF)"
    if content[128:132] == b"DICM":
        return " (it is DICOM; export it as PNG, TIFF or npy)"
    if content.startswith(b"SIMPLE  ="):
        return " (it is FITS; export it as TIFF or npy)"
    return ""
