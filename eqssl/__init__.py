"""Self-supervised learning for group-equivariant networks, as a pipeline.

The names below are the public interface; each is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eqssl import data, encoders, evaluation, losses, nn, pretexts, report, symmetry, training
    from eqssl.config.params import Params
    from eqssl.encoders import load_encoder
    from eqssl.symmetry import GSet, group

__all__ = [
    "GSet",
    "Params",
    "data",
    "encoders",
    "evaluation",
    "group",
    "load_encoder",
    "losses",
    "nn",
    "pretexts",
    "report",
    "symmetry",
    "training",
]

_OBJECTS = {
    "GSet": "eqssl.symmetry",
    "Params": "eqssl.config.params",
    "group": "eqssl.symmetry",
    "load_encoder": "eqssl.encoders",
}

try:
    __version__ = version("eqssl")
except PackageNotFoundError:  # used from a source tree that was not installed
    __version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _OBJECTS:
        return getattr(import_module(_OBJECTS[name]), name)
    if name in __all__:
        return import_module(f"eqssl.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
