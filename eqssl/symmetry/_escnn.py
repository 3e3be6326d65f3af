"""The only module that imports escnn, with the workarounds that its import needs.

- escnn imports `lie_learn` at its top, which needs numpy < 2 and serves SO(3) alone. It is not installed;
  an empty module of that name takes its place, and asking it for an SO(3) matrix says so.
- With scikit-learn installed, escnn factorises with `randomized_svd` on an `np.matrix`, which scikit-learn
  refuses (escnn issue 112) and which is not deterministic. Without it escnn takes scipy's exact SVD.
- escnn imports scikit-learn for that alone, and `scipy.stats` for a way to draw weights that is not used
  here. Neither is loaded for escnn's sake: that is half of the time its import takes.
"""

from __future__ import annotations

import importlib.metadata
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

SUPPORTED = ("1.0.11", "1.0.13")
INSTALL = "pip install --no-deps escnn==1.0.11"


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
    """Within the block, importing scikit-learn fails and `scipy.stats` is empty, unless they are loaded."""
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
        raise ImportError(f"escnn is not installed: {INSTALL}") from None
    if version not in SUPPORTED:
        raise ImportError(f"escnn {version} is not supported (allowed: {', '.join(SUPPORTED)}): {INSTALL}")


_check_version()
_provide_lie_learn()
with warnings.catch_warnings(), _left_out():
    warnings.filterwarnings("ignore", message=".*py3nj.*")
    import escnn.group._numerical
    from escnn import group, gspaces, nn

escnn.group._numerical.randomized_svd = None

__all__ = ["group", "gspaces", "nn"]
