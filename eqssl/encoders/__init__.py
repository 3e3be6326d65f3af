"""Encoders: images to regular fields.

A new one is a file in this folder and a class in `eqssl/config/encoders.py`. This module imports no encoder.
The module of an encoder is imported when one is built.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from eqssl.config.encoders import EncoderSettings

if TYPE_CHECKING:
    from eqssl.encoders.base import Encoder
    from eqssl.encoders.build import build_encoder
    from eqssl.encoders.frame_averaging import FrameAveraged, frame_averaged
    from eqssl.encoders.protocol import RegularEncoder
    from eqssl.encoders.release.pretrained import pretrained_names
    from eqssl.encoders.release.saving import load_encoder, save_encoder

_LAZY = {
    "Encoder": "eqssl.encoders.base",
    "FrameAveraged": "eqssl.encoders.frame_averaging",
    "RegularEncoder": "eqssl.encoders.protocol",
    "build_encoder": "eqssl.encoders.build",
    "frame_averaged": "eqssl.encoders.frame_averaging",
    "load_encoder": "eqssl.encoders.release.saving",
    "pretrained_names": "eqssl.encoders.release.pretrained",
    "save_encoder": "eqssl.encoders.release.saving",
}

__all__ = [
    "Encoder",
    "FrameAveraged",
    "RegularEncoder",
    "build_encoder",
    "frame_averaged",
    "load_encoder",
    "names",
    "network",
    "pretrained_names",
    "save_encoder",
]


def names() -> list[str]:
    """The values that `encoder.name` may have.

    Example:
        >>> import eqssl
        >>> eqssl.encoders.names()
        ['cnn', 'resnet18', 'resnet34', 'resnet50', 'wide_resnet16_8', 'wide_resnet28_10']
    """
    return list(EncoderSettings.kinds())


def network(name: str) -> type[Encoder]:
    """The class of an encoder.

    Raises:
        ValueError: if there is no encoder of that name.

    Example:
        >>> import eqssl
        >>> eqssl.encoders.network("resnet18").default_width
        (64, 128, 256, 512)
    """
    found: type[Encoder] = EncoderSettings.named(name, "encoder.name").imported()
    return found


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
