"""The entries of the `pretexts` table in this repository, sorted by the tests that apply to them.

A new entry is tested automatically: its task is found in the registry, and its twin by its key `twin`.
"""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from eqssl import pretexts
from eqssl.config.params import Params
from eqssl.config.pretexts import PretextSettings
from eqssl.pretexts.base import Pretext
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.pretexts.labels.base import LabelTask
from eqssl.symmetry import group, group_names

PARAMS = Params.load(Path(__file__).parents[2] / "params.yaml")
TWINS = PARAMS.twins()
EXACT = group_names(exact=True)


def kind_of(name: str) -> type[Pretext]:
    """The class of an entry's task."""
    kind: type[Pretext] = PARAMS.pretexts[name].imported()
    return kind


def task_of(name: str) -> str:
    return PARAMS.pretexts[name].task


TRAINED = [name for name in PARAMS.pretexts if kind_of(name).trains]
SELF_SUPERVISED = [name for name in TRAINED if task_of(name) != "supervised"]


def with_groups(names: list[str], groups: list[str] = EXACT) -> list[tuple[str, str]]:
    """Pairs of an entry and a group that it accepts."""
    return [
        (name, group_name)
        for name in names
        for group_name in groups
        if not PARAMS.pretexts[name].refusal(group_name)
    ]


def with_twins(kind: type[Pretext], groups: list[str] = EXACT) -> list[tuple[str, str]]:
    """Entries of one kind that have a twin, each with every group that it accepts."""
    return with_groups([name for name in TWINS if issubclass(kind_of(name), kind)], groups)


LABELS, JOINT = with_twins(LabelTask), with_twins(JointEmbedding)


@cache
def small_params(group_name: str, width: tuple[int, ...] = (4, 8)) -> Params:
    """The settings with a small encoder."""
    encoder = PARAMS.encoder.model_copy(update={"width": width})
    return PARAMS.model_copy(update={"group": group_name, "encoder": encoder})


def build(name: str, group_name: str, shape: tuple[int, int, int] = (1, 28, 28), seed: int = 0) -> Pretext:
    """An entry around a small encoder."""
    return pretexts.build(name, small_params(group_name), image_shape=shape, classes=4, seed=seed)


def changed(
    name: str, group_name: str, shape: tuple[int, int, int] = (1, 28, 28), seed: int = 0, **changes: object
) -> Pretext:
    """An entry with some settings replaced, around a small encoder."""
    params = small_params(group_name)
    entry = PretextSettings.read({**params.pretexts[name].plain(), **changes}, f"pretexts.{name}")
    params = params.model_copy(update={"pretexts": {**params.pretexts, name: entry}})
    return pretexts.build(name, params, image_shape=shape, classes=4, seed=seed)


def stored(count: int = 8, side: int = 28, channels: int = 1, seed: int = 0) -> Tensor:
    """Images of noise as they are stored."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, channels, side, side), generator=generator, dtype=torch.uint8)


def turned(images: Tensor, group_name: str, seed: int) -> Tensor:
    """Each image turned by its own element."""
    G = group(group_name)
    drawn = torch.randint(G.order, (len(images),), generator=torch.Generator().manual_seed(seed))
    return G.act_each(images, drawn)
