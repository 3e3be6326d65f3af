"""The encoders that come with eqssl, one for each of several groups."""

from __future__ import annotations

from pathlib import Path

from eqssl.config.groups import GROUPS
from eqssl.config.plain import shown

PREFIX = "eqssl:"
_FOLDER = Path(__file__).parents[1] / "pretrained"


def pretrained_names() -> list[str]:
    """What may follow `eqssl:` in `load_encoder`: the groups.

    They were trained with `experiments/pretrained.yaml`: the invariant contrastive loss, ten epochs of 10,000
    turned images of Fashion-MNIST (28 x 28 pixels, one channel).

    Example:
        >>> from eqssl.encoders import pretrained_names
        >>> pretrained_names()
        ['trivial', 'C4', 'C8', 'D4', 'SO2']
    """
    return [group for group in GROUPS if (_FOLDER / group).is_dir()]


def pretrained_folder(name: str) -> Path:
    """The folder of an encoder that comes with eqssl: encoder.json, its weights, and what it was measured at.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in pretrained_names():
        allowed = ", ".join(PREFIX + known for known in pretrained_names())
        raise ValueError(f"encoder: given {shown(PREFIX + name)}, allowed: {allowed}")
    return _FOLDER / name
