"""The label tasks that the page of a data set shows: one for each kind of input that they make."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from eqssl.config.groups import GroupName
from eqssl.config.label_tasks import LabelSettings
from eqssl.config.masks import Mask, group_refusal
from eqssl.config.params import Params
from eqssl.config.pretext_base import PretextSettings
from eqssl.config.pretexts import AnyPretext, CombinedSettings
from eqssl.config.settings import Settings

_ABOUT_THE_HEAD = ("head", "hidden")


class DrawnTask(Settings):
    """A label task that is drawn.

    Attributes:
        names: the entries of `pretexts` that make these inputs, with the name of the part for a sum.
        group: group of the encoder that it is drawn for.
        task: its settings.
    """

    names: tuple[str, ...]
    group: GroupName
    task: AnyPretext


def drawn_tasks(params: Params, dataset: str) -> tuple[DrawnTask, ...]:
    """The label tasks of the grid, also those in sums; those of the table `pretexts` if the grid has none.

    A task and its twin make the same inputs and are drawn once. Each is drawn for the first group of the grid
    that it takes.
    """
    mask = params.datasets[dataset].mask
    return _drawn(params, params.grid.pretext, mask) or _drawn(params, params.pretexts, mask)


def _drawn(params: Params, names: Iterable[str], mask: Mask) -> tuple[DrawnTask, ...]:
    found: dict[tuple[str, str], DrawnTask] = {}
    for entry in names:
        for name, task in _label_tasks(entry, params.pretexts[entry].alone()):
            groups = params.grid.group
            able = [g for g in groups if not task.refusal(g) and not group_refusal(mask, g)]
            if not able:
                continue
            kept = {key: value for key, value in task.plain().items() if key not in _ABOUT_THE_HEAD}
            key = (able[0], json.dumps(kept, sort_keys=True))
            before = found[key].names if key in found else ()
            first = found[key].task if key in found else task
            found[key] = DrawnTask(names=(*before, name), group=able[0], task=first)
    return tuple(found.values())


def _label_tasks(name: str, settings: PretextSettings) -> Iterator[tuple[str, LabelSettings]]:
    """The label tasks in an entry, with their names."""
    if isinstance(settings, LabelSettings):
        yield name, settings
    if isinstance(settings, CombinedSettings):
        for part, inner in settings.parts.items():
            yield from _label_tasks(f"{name}: {part}", inner.pretext)
