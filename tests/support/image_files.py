"""Image files made byte by byte, so that a test knows what they hold."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (13, 17, 3), dtype=np.uint8)
GRAY = RGB[:, :, :1].copy()
SMOOTH = np.add.outer(np.arange(24) * 5, np.arange(32) * 3)[:, :, None].astype(np.uint8) + np.array(
    [0, 10, 20], np.uint8
)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(samples, bits, colour, before=b"", rows=None):
    """A PNG of samples h x w x n; `before` holds chunks before the pixels, `rows` how many rows come."""
    height, width = samples.shape[:2]
    shifts = np.arange(bits - 1, -1, -1)
    lines = []
    for row in samples[:rows]:
        ones = (row.reshape(-1, 1).astype(np.int64) >> shifts) & 1
        lines.append(b"\0" + np.packbits(ones.ravel().astype(np.uint8)).tobytes())
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(lines)))
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + chunk(b"IEND", b"")


def saved(image, kind, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff_of(values, **options):
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def oriented(value):
    exif = Image.Exif()
    exif[0x112] = value
    return exif
