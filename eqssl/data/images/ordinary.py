"""Images of 8 bits per channel, decoded by Pillow."""

from __future__ import annotations

import io
import warnings
from threading import Lock

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from eqssl.data.images.pixels import MOST_PIXELS, Decoded, check_size, split_alpha
from eqssl.data.images.upright import turned_upright

_WARNINGS = Lock()  # the filters of warnings belong to all threads
_ORIENTATION = 0x112
_METADATA = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")  # where an orientation may be


def ordinary(
    content: bytes, kind: str, frame: int = 0, transparent: tuple[int, ...] | None = None
) -> Decoded:
    """Decode an image of 8 bits or fewer per channel.

    Gray and gray palettes are one channel, everything else is RGB: CMYK by the plain formula
    (255 - C) (255 - K) / 255, YCbCr as JPEG has it, Lab as sRGB. Gray of fewer bits is stretched to 0 to 255.

    Args:
        content: the file.
        kind: Pillow's name of its format; Pillow itself might run other programs for some.
        frame: number of the page, for TIFF, in which other pages are smaller copies.
        transparent: the one transparent colour of a PNG.

    Raises:
        ValueError: it is an animation, too large or of a kind that is not supported.
        Exception: whatever Pillow raises for a damaged file.
    """
    with _opened(content, kind) as image:
        check_size(image.width, image.height)
        if kind == "JPEG":
            _check_pictures(image)
        elif kind != "TIFF" and getattr(image, "is_animated", False):
            raise ValueError("is an animation or a stack; save the images as files of their own")
        if frame:
            image.seek(frame)
        image.load()
        if transparent is None and image.mode == "L":
            key = image.info.get("transparency") if kind == "GIF" else None
            transparent = (key,) if isinstance(key, int) else None
        pixels, alpha = _by_mode(image)
        turn = _orientation(image) if kind != "TIFF" else 1  # Pillow has turned a TIFF upright itself
    if transparent is not None:
        seen = np.where((pixels == np.array(transparent)).all(2), 0, 255).astype(np.uint8)
        alpha = None if seen.all() else seen
    return turned_upright(Decoded(pixels, alpha), turn)


def orientation_in(content: bytes, kind: str) -> int:
    """The orientation that the metadata of a file states, also behind its pixels; 1 if there is none.

    Args:
        content: the file, whose size was checked.
        kind: Pillow's name of its format.

    Raises:
        Exception: whatever Pillow raises for a damaged file.
    """
    with _opened(content, kind) as image:
        image.load()
        return _orientation(image)


def rows_may_be_missing(pixels: UInt8[np.ndarray, "h w c"]) -> bool:
    """Whether the last row is black, as all rows are that were not in the file."""
    return not pixels[-1].any()


def _opened(content: bytes, kind: str) -> Image.Image:
    """The image before any pixel is decoded. Pillow has its own limits, some of which only give warnings."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Image.open(io.BytesIO(content), formats=(kind,))
        except UnidentifiedImageError:
            raise ValueError(f"is a damaged {kind} file, or one of a kind that is not supported") from None
        except Image.DecompressionBombError:
            raise ValueError(
                f"has more than {MOST_PIXELS} pixels, which is the most that is allowed"
            ) from None


def _by_mode(image: Image.Image) -> Decoded:
    mode = image.mode
    if mode in ("L", "RGB"):
        values = np.array(image)  # a copy: torch wants it writable
        return Decoded(values[:, :, None] if mode == "L" else values, None)
    if mode in ("P", "PA"):
        return _palette(image)
    if mode in ("LA", "RGBA", "La", "RGBa"):
        values = np.array(image)
        return split_alpha(values, values.shape[2] - 1, premultiplied=mode.endswith("a"))
    if mode == "1":
        return Decoded(np.array(image.convert("L"))[:, :, None], None)
    if mode in ("CMYK", "YCbCr"):
        return Decoded(np.array(image.convert("RGB")), None)
    if mode == "LAB":
        return Decoded(_from_lab(image), None)
    if mode == "F":
        values = np.array(image)[:, :, None]
        if not np.isfinite(values).all():
            raise ValueError("has pixels that are infinite or not a number")
        return Decoded(values, None)
    raise ValueError(f"has more than 8 bits per channel or unknown channels (mode {mode})")


def _palette(image: Image.Image) -> Decoded:
    """Look up the colours. A palette of nothing but grays is a gray image, as in most BMP and GIF of gray."""
    colours = np.array(image.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
    gray = len(colours) > 0 and bool((colours == colours[:, :1]).all())
    clear = "transparency" in image.info or (image.palette is not None and image.palette.mode != "RGB")
    if image.mode == "P" and not clear:
        values = np.array(image.convert("RGB"))
        return Decoded(values[:, :, :1].copy() if gray else values, None)
    values = np.array(image.convert("RGBA"))
    return split_alpha(values[:, :, [0, 3]] if gray else values, 1 if gray else 3)


def _from_lab(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """Lab of the white point D50 as sRGB, by littlecms."""
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    moved = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))
    if moved is None:
        raise ValueError("the Lab image cannot be converted")
    return np.array(moved)


def _orientation(image: Image.Image) -> int:
    if not any(key in image.info for key in _METADATA):
        return 1
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = image.getexif().get(_ORIENTATION, 1)
        except Exception:  # damaged metadata, of any kind; viewers show such an image as it is
            return 1
    return found if isinstance(found, int) else 1


def _check_pictures(image: Image.Image) -> None:
    """Refuse a JPEG with several pictures of one size. Previews and gain maps of phones are smaller."""
    first = image.size
    for number in range(1, getattr(image, "n_frames", 1)):
        image.seek(number)
        if image.size == first:
            raise ValueError("holds several pictures of the same size; save each as a file of its own")
    if getattr(image, "n_frames", 1) > 1:
        image.seek(0)
