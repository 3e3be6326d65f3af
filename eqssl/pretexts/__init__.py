"""Pretext tasks. Adding one is a file in this folder and a line in `_CLASSES`.

`params.yaml` has a table `pretexts:` of named settings; the key `task` of an entry names the task here.
This module imports no task: names are looked up first, modules when one is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from eqssl.config.params import Params, ViewSettings
    from eqssl.encoders.base import Encoder
    from eqssl.pretexts.base import Pretext, TaskSettings

# task in params.yaml -> module in this folder : class, whose `Settings` are the settings
_CLASSES = {
    "combined": "combined:Combined",
    "jigsaw": "labels.jigsaw:Jigsaw",
    "orientation": "labels.orientation:Orientation",
    "random": "random:Untrained",
    "relative_location": "labels.location:RelativeLocation",
    "simclr": "joint.simclr:SimCLR",
    "supervised": "supervised:Supervised",
}


def names() -> list[str]:
    """Names that `task` takes."""
    return sorted(_CLASSES)


def module_of(task: str) -> str:
    """Dotted name of the module that holds a task.

    Raises:
        ValueError: if there is no task of that name.
    """
    if task not in _CLASSES:
        raise ValueError(f"task: given {task!r}, allowed: {', '.join(names())}")
    return f"{__name__}.{_CLASSES[task].partition(':')[0]}"


def modules_of(entry: Mapping[str, Any]) -> list[str]:
    """Dotted names of all modules that an entry of the `pretexts` table needs, its parts' included."""
    parts = entry.get("parts", {})
    needed = [module_of(str(entry["task"]))]
    for part in parts.values() if isinstance(parts, Mapping) else ():
        needed += modules_of(part["pretext"])
    return needed


def read_settings(name: str, entry: Mapping[str, Any]) -> TaskSettings:
    """Validate an entry of the `pretexts` table.

    Args:
        name: the entry's name, for the errors.
        entry: its settings; the key `pretrain` (changes of the section of that name) is not the task's.

    Raises:
        ValueError: names each offending key, its value and what is allowed.
    """
    where = f"pretexts.{name}"
    if "task" not in entry:
        raise ValueError(f"{where}.task: is missing (allowed: {', '.join(names())})")
    task = task_class(where, entry["task"])
    return task.Settings.read({key: value for key, value in entry.items() if key != "pretrain"}, where)


def refusal(name: str, entry: Mapping[str, Any], group_name: str) -> str | None:
    """Why a pretext does not work with a group; None if it does."""
    settings = read_settings(name, entry)
    return task_class(f"pretexts.{name}", settings.task).refusal(settings, group_name)


def attach(
    name: str,
    entry: Mapping[str, Any],
    encoder: Encoder,
    views: ViewSettings,
    classes: int,
    generator: torch.Generator | None = None,
) -> Pretext:
    """A pretext around a given encoder.

    Args:
        name: its name in the `pretexts` table.
        entry: its settings there.
        encoder: the encoder that it trains.
        views: the section `views`.
        classes: number of classes of the data.
        generator: draws the first weights of heads and projectors.

    Raises:
        ValueError: for bad settings, or a group that the pretext refuses.
    """
    settings = read_settings(name, entry)
    reason = refusal(name, entry, encoder.group_name)
    if reason:
        raise ValueError(f"group: given {encoder.group_name!r} with pretext {name!r}: {reason}")
    return task_class(f"pretexts.{name}", settings.task)(encoder, settings, views, classes, generator)


def build(
    name: str,
    params: Params,
    encoder: Encoder | None = None,
    image_shape: tuple[int, int, int] = (1, 28, 28),
    classes: int = 10,
    seed: int = 0,
) -> Pretext:
    """A pretext by its name in params.yaml, around a new encoder of the active group unless one is given.

    Example:
        >>> import eqssl
        >>> params = eqssl.Params.load("params.yaml")
        >>> task = build("eq_labels", params)
        >>> len(task.labels)
        8
    """
    import torch

    from eqssl.encoders import build_encoder

    if name not in params.pretexts:
        raise ValueError(f"pretext: given {name!r}, allowed: {', '.join(params.pretexts)}")
    generator = torch.Generator().manual_seed(seed)
    if encoder is None:
        channels = image_shape[0]
        mean, std = [0.5] * channels, [0.5] * channels
        encoder = build_encoder(params.encoder, params.group, image_shape, mean, std, generator)
    return attach(name, params.pretexts[name], encoder, params.views, classes, generator)


def task_class(where: str, task: object) -> type[Pretext]:
    """The class of a task; `where` is the place of its name in the settings, for the error."""
    try:
        module = module_of(task if isinstance(task, str) else "")
    except ValueError:
        raise ValueError(f"{where}.task: given {task!r}, allowed: {', '.join(names())}") from None
    found: type[Pretext] = getattr(import_module(module), _CLASSES[str(task)].partition(":")[2])
    return found
