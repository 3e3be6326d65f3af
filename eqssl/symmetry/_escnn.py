"""The only module that imports escnn, with the workarounds that its import needs.

- escnn imports `lie_learn`, which needs numpy < 2 and is used for SO(3) only. It is not installed: an empty
  module of that name takes its place, and raises an error if it is asked for an SO(3) matrix.
- With scikit-learn installed, escnn uses `randomized_svd` on an `np.matrix`, which scikit-learn refuses
  (escnn issue 112) and which is not deterministic. Without it, escnn uses scipy's exact SVD.
- escnn imports scikit-learn only for that, and `scipy.stats` only for an initialisation that is not used
  here. Neither is loaded, which saves half of the time of the import.
"""

from __future__ import annotations

import importlib.metadata
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from eqssl.machine.packages import install, missing

SUPPORTED = ("1.0.11", "1.0.13")


def _no_so3(*_: object, **__: object) -> NoReturn:
    raise NotImplementedError("SO(3) needs the package lie_learn, which is not used here")


def _provide_lie_learn() -> None:
    """Register an empty lie_learn.representations.SO3.wigner_d, unless escnn has been imported already."""
    name = ""
    for part in ("lie_learn", "representations", "SO3", "wigner_d"):
        name = f"{name}.{part}" if name else part
        if name not in sys.modules:
            module = types.ModuleType(name)
            module.__path__ = []
            sys.modules[name] = module
    sys.modules[name].wigner_D_matrix = _no_so3  # type: ignore[attr-defined]


@contextmanager
def _left_out() -> Iterator[None]:
    """Within the block, importing scikit-learn fails and `scipy.stats` is empty, unless already loaded."""
    replaced = {"sklearn": None, "scipy.stats": types.ModuleType("scipy.stats")}
    replaced = {name: module for name, module in replaced.items() if name not in sys.modules}
    sys.modules.update(replaced)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in replaced:
            del sys.modules[name]


def _check_version() -> None:
    try:
        version = importlib.metadata.version("escnn")
    except importlib.metadata.PackageNotFoundError:
        raise ImportError(missing("escnn")) from None
    if version not in SUPPORTED:
        raise ImportError(
            f"escnn {version} is not supported (allowed: {', '.join(SUPPORTED)}): {install('escnn')}"
        )


_check_version()
_provide_lie_learn()
with warnings.catch_warnings(), _left_out():
    warnings.filterwarnings("ignore", message=".*py3nj.*")
    import escnn.group._numerical
    from escnn import group, gspaces, nn

escnn.group._numerical.randomized_svd = None

__all__ = ["group", "gspaces", "nn"]
