"""Pretext tasks. A new one is a file in this folder and a class of settings (CONTRIBUTING.md says where).

`params.yaml` has a table `pretexts:` of named settings, whose key `task` names their kind. This module
imports no task. The module of a task is imported when a pretext is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eqssl.config.pretext_base import PretextSettings

if TYPE_CHECKING:
    import torch

    from eqssl.config.params import Params
    from eqssl.config.views import ViewSettings
    from eqssl.encoders.protocol import RegularEncoder
    from eqssl.pretexts.base import Pretext


def names() -> list[str]:
    """The values that `task` may have.

    Example:
        >>> import eqssl
        >>> "relative_location" in eqssl.pretexts.names()
        True
    """
    return list(PretextSettings.kinds())


def task_class(name: str) -> type[Pretext]:
    """The class of a task.

    Raises:
        ValueError: if there is no task of that name.

    Example:
        >>> import eqssl
        >>> eqssl.pretexts.task_class("byol").__name__
        'BYOL'
    """
    found: type[Pretext] = PretextSettings.named(name, "task").imported()
    return found


def attach(
    name: str,
    settings: PretextSettings,
    encoder: RegularEncoder,
    views: ViewSettings,
    classes: int,
    generator: torch.Generator | None = None,
) -> Pretext:
    """A pretext around a given encoder.

    Args:
        name: its name in the `pretexts` table.
        settings: its settings there.
        encoder: the encoder that it trains: one of eqssl, or a module of one's own with what
            `RegularEncoder` asks for.
        views: the section `views`.
        classes: number of classes of the data.
        generator: draws the first weights of heads and projectors.

    Raises:
        ValueError: for a group that the pretext refuses.

    Example:
        >>> import eqssl, torch
        >>> from eqssl.encoders import frame_averaged
        >>> from eqssl.symmetry import group
        >>> params = eqssl.Params.load("params.yaml")
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 16))
        >>> encoder = frame_averaged(network, group("D4"), (1, 28, 28))
        >>> pretext = attach("inv_byol", params.pretexts["inv_byol"], encoder, params.views, classes=10)
        >>> pretext.group.name
        'D4'
    """
    reason = settings.refusal(encoder.group_name)
    if reason:
        raise ValueError(f"group: given {encoder.group_name!r} with pretext {name!r}: {reason}")
    pretext: Pretext = settings.imported()(encoder, settings, views, classes, generator)
    return pretext


def build(
    name: str,
    params: Params,
    encoder: RegularEncoder | None = None,
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
