"""Pretext tasks. Adding one is a file in this folder and a line in `_MODULES`.

`params.yaml` has a table `pretexts:` of named settings; the key `task` of an entry names the task here.
This module imports no task: names are looked up first, modules when one is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from eqssl.encoders.base import Encoder
    from eqssl.params import Params, ViewSettings
    from eqssl.pretexts.base import Pretext, TaskSettings

# task in params.yaml -> module; the module's class `Task` is the pretext, its `Task.Settings` the settings
_MODULES = {
    "combined": "eqssl.pretexts.combined",
    "jigsaw": "eqssl.pretexts.jigsaw",
    "orientation": "eqssl.pretexts.orientation",
    "random": "eqssl.pretexts.random",
    "relative_location": "eqssl.pretexts.relative_location",
    "simclr": "eqssl.pretexts.simclr",
    "supervised": "eqssl.pretexts.supervised",
}


def names() -> list[str]:
    """Names that `task` takes."""
    return sorted(_MODULES)


def module_of(task: str) -> str:
    """Dotted name of the module that holds a task.

    Raises:
        ValueError: if there is no task of that name.
    """
    if task not in _MODULES:
        raise ValueError(f"task: given {task!r}, allowed: {', '.join(names())}")
    return _MODULES[task]


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
    task = _task(where, entry["task"])
    return task.Settings.read({key: value for key, value in entry.items() if key != "pretrain"}, where)


def refusal(name: str, entry: Mapping[str, Any], group_name: str) -> str | None:
    """Why a pretext does not work with a group; None if it does."""
    settings = read_settings(name, entry)
    return _task(f"pretexts.{name}", settings.task).refusal(settings, group_name)


def create(
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
    return _task(f"pretexts.{name}", settings.task)(encoder, settings, views, classes, generator)


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

    from eqssl.encoders import create as create_encoder

    if name not in params.pretexts:
        raise ValueError(f"pretext: given {name!r}, allowed: {', '.join(params.pretexts)}")
    generator = torch.Generator().manual_seed(seed)
    if encoder is None:
        channels = image_shape[0]
        mean, std = [0.5] * channels, [0.5] * channels
        encoder = create_encoder(params.encoder, params.group, image_shape, mean, std, generator)
    return create(name, params.pretexts[name], encoder, params.views, classes, generator)


def _task(where: str, task: object) -> type[Pretext]:
    try:
        module = module_of(task if isinstance(task, str) else "")
    except ValueError:
        raise ValueError(f"{where}.task: given {task!r}, allowed: {', '.join(names())}") from None
    found: type[Pretext] = import_module(module).Task
    return found
