"""A pretext, a source and an encoder are one new file each, and one class in `eqssl/config`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]

PRETEXT = '''
"""How bright is this image?"""

from torch import nn

from eqssl.pretexts.base import Outcome, Pretext


class Brightness(Pretext):
    """Tell the mean of an image from its invariant feature."""

    def build(self, settings, classes, generator):
        self.scale = settings.scale
        self.head = nn.Linear(self.encoder.fields, 1)

    def forward(self, step):
        x = step.images.float() / 255
        told = self.head(self.encoder.invariant(self.normalised(x)))[:, 0]
        return Outcome(self.scale * (told - x.mean((1, 2, 3))).square().mean(), {})
'''
PRETEXT_SETTINGS = '''
class BrightnessSettings(PretextSettings):
    """How bright is this image?"""

    implementation: ClassVar[str] = "eqssl.pretexts.brightness:Brightness"

    task: Literal["brightness"]
    scale: Positive
'''

SOURCE = '''
"""Squares of all sizes."""

import numpy as np

from eqssl.data.sources.base import Sample


class Squares:
    """White squares; the label is whether one is large."""

    classes = ("small", "large")
    licence = "CC0"
    origin = "drawn"
    notes = ()

    def __init__(self, settings):
        self.images = settings.images

    def count(self):
        return 2 * self.images

    def samples(self):
        for split in ("train", "test"):
            for i in range(self.images):
                side = 3 + 6 * (i % 2)
                image = np.full((16, 16, 1), 20, np.uint8)
                image[4 : 4 + side, 4 : 4 + side] = 255 - 2 * i - (split == "test")
                yield Sample(f"{split}-{i:03d}", image, i % 2, split, i)
'''
SOURCE_SETTINGS = '''
class SquaresSettings(SourceSettings):
    """Squares of all sizes."""

    implementation: ClassVar[str] = "eqssl.data.sources.squares:Squares"

    source: Literal["squares"]
    images: int
'''

ENCODER = '''
"""Two convolutions."""

from torch import nn

from eqssl.encoders.base import Encoder


class Shallow(Encoder):
    """A convolution from the image, and one more."""

    name = "shallow"
    default_width = (8, 16)

    def build(self, layers):
        shape = self.shape
        self.first = nn.Sequential(*layers[0].activated_lift(shape.image[0], shape.fields[0], shape.kernel))
        self.second = nn.Sequential(*layers[1].activated(self.incoming(1), shape.fields[1], shape.kernel))

    def maps(self, images):
        first = self.first(images)
        return [first, self.second(first)]
'''
ENCODER_SETTINGS = '''
class ShallowSettings(EncoderSettings):
    """Two convolutions."""

    implementation: ClassVar[str] = "eqssl.encoders.shallow:Shallow"
    stages: ClassVar[int] = 2

    name: Literal["shallow"]
'''

# new file, its text, file of the settings, the class that is added there
ADDED = [
    ("pretexts/brightness.py", PRETEXT, "config/pretexts.py", PRETEXT_SETTINGS),
    ("data/sources/squares.py", SOURCE, "config/sources.py", SOURCE_SETTINGS),
    ("encoders/shallow.py", ENCODER, "config/encoders.py", ENCODER_SETTINGS),
]

USE = """
from pathlib import Path

import torch

import eqssl
from eqssl.config import jobs
from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_shards
from eqssl.pretexts.base import Step
from eqssl.symmetry import assert_equivariant, group

assert Path(eqssl.__file__).is_relative_to(Path.cwd())
params = eqssl.Params.load("params.yaml")
assert {cell.pretext for cell in params.cells()} == {"bright", "both"}

write_shards(jobs.shard_job(params, "squares"), Path("shards"))
index = ShardIndex.load(Path("shards"))
assert index.image_shape == (1, 16, 16)

pretext = eqssl.pretexts.build("both", params, image_shape=index.image_shape).double()
encoder = pretext.encoder
assert type(encoder).__name__ == "Shallow"
for mode in (encoder.train, encoder.eval):
    mode()
    images = torch.rand(4, 1, 16, 16, dtype=torch.float64)
    assert_equivariant(encoder, group("D4"), images, 1e-10)

loss, numbers = pretext.float()(Step((images * 255).byte(), None, torch.Generator(), 0.0))
loss.backward()
assert set(numbers) == {"one/loss"}
assert all(parameter.grad is not None for parameter in pretext.parameters())
print("every addition works")
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package with three additions, made as in CONTRIBUTING.md, and settings that use them."""
    folder = tmp_path / "tree"
    shutil.copytree(
        ROOT / "eqssl", folder / "eqssl", ignore=shutil.ignore_patterns("__pycache__", "embedded")
    )
    for name, text, settings, kind in ADDED:
        (folder / "eqssl" / name).write_text(text)
        path = folder / "eqssl" / settings
        before, marker, after = path.read_text().partition("\n# New ")
        assert marker
        path.write_text(f"{before}{kind}\n{marker}{after}")
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    bright = {"task": "brightness", "scale": 2.0}
    values["pretexts"] |= {
        "bright": {**bright, "twin": "random"},
        "both": {"task": "combined", "parts": {"one": {"weight": 1.0, "pretext": bright}}},
    }
    values["datasets"]["squares"] = {"source": "squares", "turned": True, "images": 20}
    values["shards"]["count"] = 2
    values["encoder"] |= {"name": "shallow", "width": [8, 16]}
    values["grid"] = {"dataset": ["squares"], "group": ["D4"], "pretext": ["bright", "both"], "seed": [0]}
    values |= {"dataset": "squares", "group": "D4", "pretext": "bright"}
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    return folder


def run(tree: Path, program: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, cwd=tree, env=environment, check=False)


def test_one_file_and_one_class_add_a_pretext_a_source_and_an_encoder(tree: Path):
    answer = run(tree, USE)
    assert answer.stdout.endswith("every addition works\n"), answer.stdout + answer.stderr


def test_settings_of_what_was_added_are_checked_like_all_others(tree: Path):
    path = tree / "params.yaml"
    path.write_text(path.read_text().replace("task: brightness", "task: brightnes"))
    answer = run(tree, "import eqssl; eqssl.Params.load()")
    allowed = r"pretexts\.bright\.task: given 'brightnes', allowed: [a-z0-9_, ]*\bbrightness, "
    assert re.search(allowed, answer.stderr)
    assert "pretexts.both.parts.one.pretext.task: given 'brightnes'" in answer.stderr
    assert "did you mean 'brightness'?" in answer.stderr
