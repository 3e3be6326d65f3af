"""The one decoder of image files, by what a file holds, and the encoder of stored images."""

from eqssl.data.images.decoding import Decoded, decode, decode_image, stored_image
from eqssl.data.images.encoding import encode_image, encode_png
from eqssl.data.images.pixels import MOST_BYTES, MOST_CHANNELS, MOST_PIXELS

__all__ = [
    "MOST_BYTES",
    "MOST_CHANNELS",
    "MOST_PIXELS",
    "Decoded",
    "decode",
    "decode_image",
    "encode_image",
    "encode_png",
    "stored_image",
]
