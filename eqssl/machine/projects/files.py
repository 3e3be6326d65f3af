"""Files that a checkout of eqssl and a project of its own have in common.

They stand at the top of a checkout. `setup.py` puts copies of them into the package, as `eqssl/project`.
"""

from __future__ import annotations

from pathlib import Path

SHARED = (
    "Snakefile",
    "workflow",
    "profiles",
    "params.yaml",
    "dvc.yaml",
    ".dvc/.gitignore",
    ".dvc/config",
    ".dvcignore",
    ".gitattributes",
    ".gitignore",
    "data/.gitignore",
    "metrics/.gitignore",
    "model/.gitignore",
)
INSTALLED = "project"
_PACKAGE = Path(__file__).resolve().parents[2]


def shared(name: str) -> Path:
    """Where a file or folder of `SHARED` lies: in the installed package, or in the checkout.

    Raises:
        OSError: it lies in neither.
    """
    for place in (_PACKAGE / INSTALLED, _PACKAGE.parent):
        if (place / name).exists():
            return place / name
    raise FileNotFoundError(
        f"{name}: neither in {_PACKAGE / INSTALLED} nor in {_PACKAGE.parent}; "
        "install eqssl from a wheel or a clone"
    )
