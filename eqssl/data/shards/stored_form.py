"""The form in which images are stored: square, resized, turned if asked for, cut to the inscribed disc."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

from eqssl.config.sources import SourceSettings
from eqssl.data.disc import disc
from eqssl.data.images import Decoded, decode
from eqssl.data.images.jpeg import START, jpeg_header
from eqssl.data.images.pixels import Pixels, check_channels, check_size
from eqssl.data.shards.intensities import Range, rescaled
from eqssl.data.shards.turning import stored_angle, turned
from eqssl.data.sources.base import Sample

# of red, green and blue in gray, times 65,536: Rec. 601, the same as Pillow's
_LUMA = (19595, 38470, 7471)


def stored_form(
    sample: Sample, settings: SourceSettings, scale: Range | None = None
) -> UInt8[np.ndarray, "s s c"] | UInt16[np.ndarray, "s s c"]:
    """The stored form of an image: `prepared`, in range, turned by its own angle, cut to the disc.

    Args:
        sample: the image.
        settings: of the data set.
        scale: intensities that become 0 and the largest value; None keeps the values of 8-bit images. Of
            `settings.range`, fixed numbers are used without it, percentiles must be measured before.

    Raises:
        ValueError: the image is damaged, or does not fit the settings; the caller adds its name.
    """
    if scale is None and isinstance(settings.range, tuple):
        scale = settings.range
    image = prepared(sample, settings)
    if scale is not None:
        image = rescaled(image, scale)
    elif image.dtype != np.uint8:
        raise ValueError(_deep(image))
    if settings.turned:
        image = turned(image, stored_angle(sample.split, sample.index))
    if settings.mask == "disc":
        image = image * disc(len(image))[:, :, None]
    return np.ascontiguousarray(image)


def prepared(sample: Sample, settings: SourceSettings) -> Pixels:
    """An image with background, channels and size as the settings say, and its own intensities.

    Raises:
        ValueError: as for `stored_form`.
    """
    return of_one_form(read(sample, settings), settings)


def read(sample: Sample, settings: SourceSettings) -> Decoded:
    """An image as it is at the source.

    Raises:
        ValueError: as for `stored_form`.
    """
    if isinstance(sample.image, bytes):
        decoded = decode(sample.image)
    else:
        decoded = Decoded(sample.image, None)
        _check_pixels(sample.image)
    if decoded.pixels.dtype != np.uint8 and settings.range is None:
        raise ValueError(_deep(decoded.pixels))
    return decoded


def of_one_form(decoded: Decoded, settings: SourceSettings) -> Pixels:
    """Background, channels and size as the settings say; see `prepared`."""
    return square(with_channels(opaque(decoded, settings), settings.channels), settings.size)


def opaque(decoded: Decoded, settings: SourceSettings) -> Pixels:
    """An image without alpha, over the background that `settings.alpha` says.

    Raises:
        ValueError: some pixel is transparent, and the setting says nothing.
    """
    pixels, alpha = decoded
    if alpha is None:
        return pixels
    clear = int((alpha < np.iinfo(alpha.dtype).max).sum())
    if settings.alpha == "refuse":
        raise ValueError(
            f"has {clear} transparent pixels of {alpha.size}; `alpha: black` or `alpha: white` says what is "
            "behind them"
        )
    if pixels.dtype == np.float32:
        raise ValueError("has transparent pixels of floats, for which no background is known")
    top, whole = int(np.iinfo(pixels.dtype).max), int(np.iinfo(alpha.dtype).max)
    behind = top if settings.alpha == "white" else 0
    share = alpha[:, :, None].astype(np.uint64)
    mixed = pixels.astype(np.uint64) * share + behind * (whole - share)
    return ((mixed + whole // 2) // whole).astype(pixels.dtype)


def with_channels(pixels: Pixels, channels: int | None) -> Pixels:
    """An image with so many channels: RGB becomes gray by Rec. 601, and gray is repeated to RGB.

    Raises:
        ValueError: there is no rule from the channels that it has to those.
    """
    given = pixels.shape[2]
    if channels is None or channels == given:
        return pixels
    if (given, channels) == (1, 3):
        return np.repeat(pixels, 3, 2)
    if (given, channels) != (3, 1):
        raise ValueError(
            f"has {given} channels, `channels` is {channels}; allowed: as many, 1 for RGB and 3 for gray"
        )
    if pixels.dtype == np.float32:
        return (pixels.astype(np.float64) @ (np.array(_LUMA) / 65536)).astype(np.float32)[:, :, None]
    gray = (pixels.astype(np.uint64) @ np.array(_LUMA, np.uint64) + 32768) >> 16
    return gray.astype(pixels.dtype)[:, :, None]


def square(image: Pixels, size: int | None) -> Pixels:
    """Cut out the largest centred square and, if `size` is given, resize it with antialiasing."""
    height, width, _ = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = image[top : top + side, left : left + side]
    if size is None or size == side:
        return image
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return _resized(image, size)
    channels = [_resized(image[:, :, channel], size) for channel in range(image.shape[2])]
    return np.stack(channels, 2)


def needs_no_change(content: bytes, settings: SourceSettings) -> bool:
    """Whether a file can be stored as it is: a JPEG that decodes to the very pixels of its stored form.

    Only the header is read, so the file may still be damaged.
    """
    if settings.turned or settings.mask != "none" or settings.range is not None:
        return False
    if not content.startswith(START):
        return False
    try:
        header = jpeg_header(content)
        check_size(header.width, header.height)
    except ValueError:  # decoding it says why
        return False
    return (
        header.width == header.height == (settings.size or header.width)
        and header.bits == 8
        and header.plain
        and header.channels in (1, 3)
        and settings.channels in (None, header.channels)
        and header.orientation not in range(2, 9)
        and not header.described
        and not header.several
    )


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    """An image that Pillow can hold: RGB or one channel of 8 bits, or one channel of 16 bits or floats."""
    kind = image.dtype
    picture = Image.fromarray(np.ascontiguousarray(image if kind == np.uint8 else image.astype(np.float32)))
    made = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))
    return made if kind != np.uint16 else np.clip(np.rint(made), 0, 65535).astype(np.uint16)


def _check_pixels(pixels: Pixels) -> None:
    """Refuse an array that is no image, from a source that gives arrays."""
    if pixels.ndim != 3 or pixels.dtype not in (np.uint8, np.uint16, np.float32):
        raise ValueError(
            f"is an array of {pixels.dtype} of shape {pixels.shape}, allowed: uint8, uint16 or float32, "
            "rows x columns x channels"
        )
    check_channels(pixels)
    check_size(pixels.shape[1], pixels.shape[0], pixels.shape[2], pixels.dtype.itemsize)
    if pixels.dtype == np.float32 and not np.isfinite(pixels).all():
        raise ValueError("has pixels that are infinite or not a number")


def _deep(pixels: Pixels) -> str:
    return (
        f"has more than 8 bits per channel ({pixels.dtype}, {pixels.min():g} to {pixels.max():g}); "
        "`range: [LOW, HIGH]` says which intensities become black and white, or "
        "`range: {percentiles: [1, 99]}` measures them"
    )
