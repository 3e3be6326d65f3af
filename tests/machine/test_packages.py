"""Messages name the command that installs a package, and the command is right."""

from __future__ import annotations

import re
import tomllib

import pytest
from commands import ROOT

from eqssl.machine.packages import EXTRAS, import_failure, need


def test_extras_hold_the_packages_that_messages_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {"mlflow": "mlflow-skinny", "skimage": "scikit-image", "scmrepo": "dvc"}  # DVC brings scmrepo
    for module, extra in EXTRAS.items():
        listed = [re.match(r"[\w-]+", text)[0] for text in project["optional-dependencies"][extra]]
        assert names.get(module, module) in listed


def test_a_package_that_is_there_is_not_refused_and_an_unknown_one_is_named() -> None:
    need("numpy", "json")
    with pytest.raises(ValueError, match=r"^no_such_package is not installed: pip install no_such_package$"):
        need("numpy", "no_such_package")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModuleNotFoundError("No module named 'h5py'", name="h5py"), "h5py is not installed: pip install "),
        (
            ModuleNotFoundError("No module named 'h5py.x'", name="h5py.x"),
            "h5py cannot be imported: No module",
        ),
        (ImportError("libhdf5.so: wrong", name="h5py.defs"), "h5py cannot be imported: libhdf5.so: wrong"),
        (ImportError("no reason"), "no reason"),
    ],
)
def test_a_package_that_is_broken_is_not_called_missing(error: ImportError, told: str) -> None:
    assert import_failure(error).startswith(told)
