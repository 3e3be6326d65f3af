"""Copies of the working tree, in which Snakemake, DVC and git run for real."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import commands
import pytest
import yaml

from eqssl.config.params import merged

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
OWN_VARIABLES = ("DVC", "GIT", "EQSSL", "PYTEST")
SAME = (
    "*.safetensors",
    "*.parquet",
    "*.tar",
    "index.json",
    "encoder.json",
    "finetune.json",
    "loss.csv",
    "predictions.csv",
)
MADE = ("results/", "metrics/", "model/", "bench/", "dvc.lock")


@dataclass
class Project:
    """A copy of the project in a folder of its own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        variables = {
            "PYTHONPATH": str(self.folder),
            "GIT_CONFIG_GLOBAL": str(self.folder.parent / "gitconfig"),
            "DVC_NO_ANALYTICS": "1",
            **self.environment,
        }
        (self.folder.parent / "gitconfig").write_text("[user]\nname = Test\nemail = test@example.org\n")
        given = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options}
        return subprocess.Popen(command, cwd=self.folder, env=commands.environment(**variables), **given)

    def run(self, *command: str, code: int | None = 0) -> str:
        """Run a command; give stdout and stderr. `code` is the exit code that it must have, None for any."""
        with self.start(*command) as process:
            text, _ = process.communicate(timeout=600)
        if code is not None and process.returncode != code:
            pytest.fail(f"{' '.join(command)}: exit code {process.returncode}\n{text}")
        return text

    def eqssl(self, *arguments: str, code: int | None = 0) -> str:
        return self.run(sys.executable, "-m", "eqssl", *arguments, code=code)

    def change(self, **changes: Any) -> None:
        """Change settings in params.yaml."""
        path = self.folder / "params.yaml"
        values = merged(yaml.safe_load(path.read_text()), changes)
        path.write_text(yaml.safe_dump(values, sort_keys=False))

    def duplicate(self, folder: Path) -> Project:
        """A copy of this copy, with its results."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def contents(self) -> dict[str, bytes]:
        """Every file that the same settings must give again, byte for byte, by its path."""
        roots = [self.folder / name for name in ("results", "data/shards", "model", "metrics")]
        files = [file for root in roots for pattern in SAME for file in root.rglob(pattern)]
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in files}

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", message)


def copied(folder: Path, images: Path) -> Project:
    listing = ["git", "-C", str(ROOT), "ls-files", "-coz", "--exclude-standard"]
    files = subprocess.run(listing, capture_output=True, check=True, text=True).stdout.split("\0")
    for name in filter(None, files):
        source, target = ROOT / name, folder / name
        if source.is_file() and (source.name == ".gitignore" or not name.startswith(MADE)):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)
    result = Project(folder)
    result.change(**yaml.safe_load((ROOT / "tests/workflow/small.yaml").read_text()))
    result.change(datasets={"small": {"path": str(images)}})
    return result
