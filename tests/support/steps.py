"""A step of training, made by a test."""

import torch
from torch import Tensor

from eqssl.pretexts.base import Pretext, Step
from eqssl.pretexts.views import TurnedView


def step(images: Tensor, labels: Tensor | None = None, seed: int = 0, progress: float = 0.0) -> Step:
    return Step(images, labels, torch.Generator().manual_seed(seed), progress)


def loss_of_views(pretext: Pretext, *views: Tensor, progress: float = 0.0) -> Tensor:
    """The loss of given views, in the place of those that the pretext would draw."""
    drawing = pretext.draw_turned_views
    given = [TurnedView(view, None) for view in views]
    pretext.draw_turned_views = lambda images, generator: given  # type: ignore[method-assign]
    try:
        return pretext(step((views[0] * 255).byte(), progress=progress)).loss
    finally:
        pretext.draw_turned_views = drawing  # type: ignore[method-assign]
