"""Encoders: images to regular fields. Adding one is a file in this folder and a line in `_MODULES`.

This module imports no encoder: names are looked up first, modules when one is built.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eqssl.encoders.base import Encoder
    from eqssl.encoders.saving import load_encoder, save_encoder
    from eqssl.encoders.width import create

# name in params.yaml -> module; the module's class `Network` is the encoder
_MODULES = {"cnn": "eqssl.encoders.cnn"}

_LAZY = {
    "Encoder": "eqssl.encoders.base",
    "create": "eqssl.encoders.width",
    "load_encoder": "eqssl.encoders.saving",
    "save_encoder": "eqssl.encoders.saving",
}

__all__ = ["Encoder", "create", "load_encoder", "module_of", "names", "network", "save_encoder"]


def names() -> list[str]:
    """Names that `encoder.name` takes."""
    return sorted(_MODULES)


def module_of(name: str) -> str:
    """Dotted name of the module that holds an encoder.

    Raises:
        ValueError: if there is no encoder of that name.
    """
    if name not in _MODULES:
        raise ValueError(f"encoder.name: given {name!r}, allowed: {', '.join(names())}")
    return _MODULES[name]


def network(name: str) -> type[Encoder]:
    """The class of an encoder."""
    found: type[Encoder] = import_module(module_of(name)).Network
    return found


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
