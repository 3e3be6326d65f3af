"""Draw the figures of the pages on pretexts: `python tools/draw_pretexts.py [FOLDER]`.

Each label task is drawn with its settings in params.yaml, on an image that comes with eqssl. FOLDER is
docs/pretexts unless given. The same versions of the libraries draw the same bytes each time.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from eqssl import pretexts
from eqssl.config.params import Params
from eqssl.config.sources import SourceSettings
from eqssl.data.shards.stored_form import stored_form
from eqssl.data.sources import open_source
from eqssl.machine.files import atomic
from eqssl.pretexts import combined
from eqssl.pretexts.base import Pretext
from eqssl.pretexts.labels.base import LabelTask
from eqssl.report.combined_figure import draw_combined
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
    "combined": Drawing("eq_labels_inv_contrastive", "C4", 1, 2, 0),
}


def stored_image() -> Tensor:
    """The image as shards hold it, of shape (channel, side, side)."""
    settings = SourceSettings.read({"source": "fashion_mnist_sample", "turned": False})
    sample = next(found for found in open_source(settings).samples() if found.index == IMAGE)
    return torch.from_numpy(stored_form(sample, settings)).permute(2, 0, 1)


def _pack(path: Path) -> None:
    """Rewrite a PNG with a palette of 256 colours, which makes it less than half as long."""
    with Image.open(path) as opened:
        packed = opened.convert("RGB").quantize(256)
    with atomic(path) as temporary:
        packed.save(temporary, format="PNG", optimize=True)


def _sum(task: Pretext) -> combined.Combined:
    assert isinstance(task, combined.Combined)  # noqa: S101 - the only entry above that is no label task
    return task


def main() -> None:
    """Write all figures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pretexts"
    params, image = Params.load(ROOT / "params.yaml"), stored_image()
    for name, drawing in DRAWINGS.items():
        changed = params.model_copy(update={"group": drawing.group})
        task = pretexts.build(drawing.pretext, changed, image_shape=tuple(image.shape))
        told = (image, drawing.label, task.group.elements[drawing.element], drawing.seed)
        figure = draw_task(task, *told) if isinstance(task, LabelTask) else draw_combined(_sum(task), *told)
        path = folder / f"{name}.png"
        save_figure(figure, path)
        _pack(path)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
