"""Draw the figures of the pages on pretexts: `python tools/draw_pretexts.py [FOLDER [NAME ...]]`.

Each pretext is drawn with its settings in params.yaml, on images that come with eqssl: label tasks as
`DRAWINGS` says, and every joint-embedding pretext that absorbs turns beside its plain twin. FOLDER is
docs/pretexts unless given, and names choose some of the figures. The same versions of the libraries draw the
same bytes each time.
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from eqssl import pretexts
from eqssl.config.params import Params
from eqssl.config.sources import SourceSettings
from eqssl.data.shards.stored_form import stored_form
from eqssl.data.sources import open_source
from eqssl.machine.files import atomic
from eqssl.pretexts import combined
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.pretexts.labels.base import LabelTask
from eqssl.report.combined_figure import draw_combined
from eqssl.report.joint_figure import draw_joint
from eqssl.report.pretext_figures import draw_task
from eqssl.report.style import save_figure

ROOT = Path(__file__).parent.parent
IMAGE = 0
"""Which training image: an ankle boot, which no turn and no mirroring leaves as it is."""


class Drawing(NamedTuple):
    """What a figure shows: an entry of the `pretexts` table, a group, the g of the second row, and y."""

    pretext: str
    group: str
    element: int
    label: int
    seed: int


DRAWINGS = {
    "relative_location": Drawing("eq_labels", "C4", 1, 2, 0),
    "ring": Drawing("eq_ring", "D4", 5, 1, 0),
    "jigsaw": Drawing("eq_jigsaw", "C4", 1, 20, 0),
    "orientation": Drawing("eq_orientation", "D4", 4, 1, 0),
    "relative_turn": Drawing("eq_relative_turn", "D4", 4, 1, 0),
    "combined": Drawing("eq_labels_inv_contrastive", "C4", 1, 2, 0),
}


JOINT = ("C4", 1, 5)
"""The group, the g and the seed of all figures of joint-embedding pretexts."""
BATCH = 16


def stored_images(count: int) -> Tensor:
    """The first training images as shards hold them, of shape (count, channel, side, side)."""
    settings = SourceSettings.read({"source": "fashion_mnist_sample", "turned": False})
    samples = sorted(islice(open_source(settings).samples(), count), key=lambda found: found.index != IMAGE)
    stored = [torch.from_numpy(stored_form(sample, settings)) for sample in samples]
    return torch.stack(stored).permute(0, 3, 1, 2)


def shape_of(image: Tensor) -> tuple[int, int, int]:
    """Channels, rows and columns of an image."""
    channels, rows, columns = image.shape
    return channels, rows, columns


def joint_entries(params: Params) -> dict[str, str]:
    """For each kind of joint-embedding pretext the first entry that absorbs turns and declares its twin."""
    found: dict[str, str] = {}
    for name in params.twins():
        entry = params.pretexts[name]
        if issubclass(entry.imported(), JointEmbedding) and not entry.is_plain:
            found.setdefault(entry.task, name)
    return found


def _pack(path: Path) -> None:
    """Rewrite a PNG with a palette of 256 colours, which makes it less than half as long."""
    with Image.open(path) as opened:
        packed = opened.convert("RGB").quantize(256)
    with atomic(path) as temporary:
        packed.save(temporary, format="PNG", optimize=True)


def _labels(params: Params, drawing: Drawing) -> Figure:
    """The figure of a label task, or of a sum."""
    image = stored_images(IMAGE + 1)[0]
    changed = params.model_copy(update={"group": drawing.group})
    task = pretexts.build(drawing.pretext, changed, image_shape=shape_of(image))
    told = (image, drawing.label, task.group.elements[drawing.element], drawing.seed)
    if isinstance(task, LabelTask):
        return draw_task(task, *told)
    assert isinstance(task, combined.Combined)  # noqa: S101 - the only entry above that is no label task
    return draw_combined(task, *told)


def _joint(params: Params, entry: str) -> Figure:
    """The figure of a joint-embedding pretext."""
    group, element, seed = JOINT
    images, changed = stored_images(BATCH), params.model_copy(update={"group": group})
    shape = shape_of(images[0])
    task, twin = (pretexts.build(name, changed, image_shape=shape) for name in (entry, params.twins()[entry]))
    assert isinstance(task, JointEmbedding)  # noqa: S101 - as `joint_entries` chooses them
    assert isinstance(twin, JointEmbedding)  # noqa: S101 - a twin is of the same kind
    return draw_joint(task, twin, images, task.group.elements[element], seed)


def main(folder: str | Path = ROOT / "docs" / "pretexts", *names: str) -> None:
    """Write all figures, or those that are named."""
    params = Params.load(ROOT / "params.yaml")
    joint = joint_entries(params)
    for name in names or (*DRAWINGS, *joint):
        figure = _labels(params, DRAWINGS[name]) if name in DRAWINGS else _joint(params, joint[name])
        path = Path(folder) / f"{name}.png"
        save_figure(figure, path)
        _pack(path)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
