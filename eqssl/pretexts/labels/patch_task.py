"""What the label tasks on patches share: the random draws, how these turn, and the patches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eqssl.config.label_tasks import PatchSettings
from eqssl.pretexts.labels.base import Draw, LabelTask
from eqssl.pretexts.labels.layouts import Layout
from eqssl.pretexts.labels.patches import draw_gray, without_colours
from eqssl.symmetry import GSet


class PatchTask(LabelTask):
    """A label task whose inputs consist of patches.

    Attributes:
        settings: settings of the task.
        layout: the places of the patches; subclasses create it.
    """

    in_patches: ClassVar[bool] = True
    settings: PatchSettings
    layout: Layout

    @property
    def slots(self) -> GSet:
        """The places of all patches."""
        return self.layout.slots

    def draw(self, batch: int, generator: torch.Generator) -> Draw:
        """Shifts of all patches, and which images lose their colours."""
        gray: Draw = {}
        if self.encoder.image_shape[0] > 1 and self.settings.gray > 0:
            gray = {"gray": draw_gray(batch, self.settings.gray, generator)}
        return {**gray, "shifts": self.layout.draw_shifts(batch, generator)}

    def act_on_draw(self, draw: Draw, labels: Int[Tensor, " batch"], element: Any) -> Draw:
        """Shifts turn with their patches, lost colours stay lost."""
        return {**draw, "shifts": self.layout.act_on_shifts(draw["shifts"], element)}

    def warnings(self, numbers: Mapping[str, float]) -> dict[str, str]:
        """That a patch may tell where it was, if it does."""
        if not self.layout.tells_places:
            return {}
        side, patch = self.encoder.image_shape[-1], self.settings.patch
        reason = f"on images of {side} pixels, patches of {patch} pixels cannot be shifted enough"
        return {"places": f"interpolation may tell where a patch was: {reason}; take smaller ones"}

    def patches(
        self, images: Float[Tensor, "batch channel side side"], draw: Draw
    ) -> Float[Tensor, "batch slots channel patch patch"]:
        """All patches of each image, each in its own slot."""
        source = without_colours(images, draw["gray"]) if "gray" in draw else images
        return self.layout.patches(source, draw["shifts"])
