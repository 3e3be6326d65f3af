"""Put the files that a project shares with a checkout into the package (eqssl/machine/projects/files.py)."""

import runpy
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FILES = runpy.run_path("eqssl/machine/projects/files.py")


class WithProject(build_py):
    """The package's modules and data, and the shared files; an editable installation has them at hand."""

    def run(self) -> None:
        """Copy them."""
        super().run()
        if self.editable_mode:
            return
        place = Path(self.build_lib) / "eqssl" / FILES["INSTALLED"]
        shutil.rmtree(place, ignore_errors=True)
        for name in FILES["SHARED"]:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            if Path(name).is_dir():
                shutil.copytree(name, place / name)
            else:
                shutil.copyfile(name, place / name)


setup(cmdclass={"build_py": WithProject})
