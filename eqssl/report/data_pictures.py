"""The contact sheet of a data set: stored images, random views, and inputs that label tasks make of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from PIL import Image
from torch import Tensor

from eqssl import pretexts
from eqssl.config.drawn import DrawnTask
from eqssl.config.encoders import CnnSettings
from eqssl.config.jobs import DataPageJob
from eqssl.data.images.pixels import Pixels
from eqssl.data.loading.pixels import pixel_values, shared_tensor
from eqssl.data.shards.index import UNLABELLED, ShardIndex
from eqssl.encoders.build import build_encoder
from eqssl.pretexts.labels.base import LabelTask
from eqssl.pretexts.views import ViewSpec, draw_views
from eqssl.report.data_intensities import chosen
from eqssl.report.pictures import Picture, StoredImages, address_of, in_colours, sheet, small

IMAGES, VIEWS = 12, 2
LARGEST = 256
"""Side of a picture in pixels; larger images are made smaller."""
SHOWN = 112
"""Side of a picture on the page."""
_ANY_ENCODER = CnnSettings(name="cnn", width=(1,), kernel=3, match="channels", group_pooling="mean")


@dataclass(frozen=True)
class Shot:
    """A picture.

    Attributes:
        address: a `data:` address.
        width, height: on the page, in pixels.
        words: what it shows.
        below: what is written below it.
    """

    address: str
    width: int
    height: int
    words: str
    below: str = ""


@dataclass(frozen=True)
class Line:
    """An image, and what is made of it.

    Attributes:
        key, name: its key, and what the source calls it.
        label: name of its class; None if it has none.
        shots: the pictures, in the order of the headings.
    """

    key: str
    name: str
    label: str | None
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class ContactSheet:
    """The lines, and for each column its heading and what stands below it."""

    headings: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]


def contact_sheet(stored: StoredImages, job: DataPageJob) -> ContactSheet:
    """Draw twelve training images, the same ones each time.

    Raises:
        ValueError: a tar or an image is damaged, or the images fit no task or view; says why.
        OSError: a tar cannot be read.
    """
    index = stored.index
    columns = index.splits["train"]
    tasks = [_task(drawn, job, index) for drawn in job.tasks]
    lines = []
    for number, row in enumerate(chosen(columns.keys, IMAGES)):
        image, key = stored.pixels("train", row), columns.keys[row]
        generator = torch.Generator().manual_seed(number)
        values = pixel_values(shared_tensor(np.ascontiguousarray(image.transpose(2, 0, 1))))[None]
        shots = [_stored(image)]
        specs = [ViewSpec(VIEWS, None, job.views)]
        shots += [_view(view) for view in draw_views(values, specs, generator, index.mask)]
        shots += [_input(task, values.float() / 255, generator) for task in tasks]
        label = columns.labels[row]
        named = columns.names[row] if columns.names else ""
        lines.append(Line(key, named, None if label == UNLABELLED else index.classes[label], tuple(shots)))
    return ContactSheet(_headings(job), tuple(lines))


def _headings(job: DataPageJob) -> tuple[tuple[str, str], ...]:
    views = [("random view", "")] * VIEWS
    tasks = [(", ".join(drawn.names), f"{drawn.task.task}, group {drawn.group}") for drawn in job.tasks]
    return (("stored", ""), *views, *tasks)


def _task(drawn: DrawnTask, job: DataPageJob, index: ShardIndex) -> LabelTask:
    """The task around a tiny encoder, since what it makes of an image depends on no weight."""
    like = (index.image_shape, index.mean, index.std)
    generator = torch.Generator().manual_seed(0)
    encoder = build_encoder(_ANY_ENCODER, drawn.group, *like, generator, index.mask)
    settings = drawn.task.model_copy(update={"hidden": 1})
    task = pretexts.attach(drawn.names[0], settings, encoder, job.views, len(index.classes), generator)
    assert isinstance(task, LabelTask)  # noqa: S101 - its settings are those of a label task
    return task


def _stored(image: Pixels) -> Shot:
    """The image itself, without loss unless it has to be made smaller."""
    return _single(in_colours(image), "the stored image", lossless=True)


def _view(view: Float[Tensor, "1 channel side side"]) -> Shot:
    return _single(in_colours(_bytes(view[0])), "a random view", lossless=False)


def _single(image: UInt8[np.ndarray, "side side 3"], words: str, lossless: bool, below: str = "") -> Shot:
    picture = Image.fromarray(image)
    if len(image) > LARGEST:
        picture = picture.resize((LARGEST, LARGEST), Image.Resampling.BOX)
    return Shot(address_of(picture, lossless), SHOWN, SHOWN, words, below)


def _input(task: LabelTask, image: Float[Tensor, "1 channel side side"], generator: torch.Generator) -> Shot:
    """What the network gets, from its smallest value in black to its largest in white."""
    label = task.draw_labels(1, generator)
    inputs = task.corrupt(image, label, task.draw(1, generator))[0, ..., :3, :, :]
    low, high = inputs.aminmax()
    scaled = (inputs - low) / (high - low).clamp(min=1e-6)
    below, words = f"label {int(label)}", "the input of the network"
    if scaled.ndim == 3:
        return _single(in_colours(_bytes(scaled)), words, lossless=False, below=below)
    picture = sheet(_in_rows([small(in_colours(_bytes(patch))) for patch in scaled]))
    return Shot(address_of(picture, lossless=True), *picture.size, f"{words}, {len(scaled)} patches", below)


def _in_rows(patches: Sequence[Picture]) -> list[Sequence[Picture]]:
    """A square of patches if their number is one, else a row."""
    side = math.isqrt(len(patches))
    step = side if side**2 == len(patches) else len(patches)
    return [patches[start : start + step] for start in range(0, len(patches), step)]


def _bytes(image: Float[Tensor, "channel side side"]) -> Shaped[np.ndarray, "side side channel"]:
    scaled = (image.clamp(0, 1) * 255).round().byte()
    return scaled.permute(1, 2, 0).contiguous().numpy()
