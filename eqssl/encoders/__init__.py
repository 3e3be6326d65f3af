"""Encoders: images to regular fields. Adding one is a file in this folder and a line in `_CLASSES`.

This module imports no encoder: names are looked up first, modules when one is built.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eqssl.encoders.base import Encoder
    from eqssl.encoders.build import build_encoder
    from eqssl.encoders.release.fold import release
    from eqssl.encoders.release.saving import load_encoder, save_encoder

# name in params.yaml -> module in this folder : class
_CLASSES = {
    "cnn": "cnn:Network",
    "resnet18": "resnet:ResNet18",
    "resnet34": "resnet:ResNet34",
    "resnet50": "resnet:ResNet50",
    "wide_resnet16_8": "wide_resnet:WideResNet16x8",
    "wide_resnet28_10": "wide_resnet:WideResNet28x10",
}

_LAZY = {
    "Encoder": "eqssl.encoders.base",
    "build_encoder": "eqssl.encoders.build",
    "load_encoder": "eqssl.encoders.release.saving",
    "release": "eqssl.encoders.release.fold",
    "save_encoder": "eqssl.encoders.release.saving",
}

__all__ = [
    "Encoder",
    "build_encoder",
    "load_encoder",
    "module_of",
    "names",
    "network",
    "release",
    "save_encoder",
]


def names() -> list[str]:
    """Names that `encoder.name` takes."""
    return sorted(_CLASSES)


def module_of(name: str) -> str:
    """Dotted name of the module that holds an encoder.

    Raises:
        ValueError: if there is no encoder of that name.
    """
    if name not in _CLASSES:
        raise ValueError(f"encoder.name: given {name!r}, allowed: {', '.join(names())}")
    return f"{__name__}.{_CLASSES[name].partition(':')[0]}"


def network(name: str) -> type[Encoder]:
    """The class of an encoder.

    Raises:
        ValueError: if there is no encoder of that name.
    """
    found: type[Encoder] = getattr(import_module(module_of(name)), _CLASSES[name].partition(":")[2])
    return found


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
