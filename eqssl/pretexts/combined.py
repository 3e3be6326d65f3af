"""Several pretexts at once: a weighted sum of label tasks, or labels beside a contrastive loss."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from eqssl import pretexts
from eqssl.config.pretexts import CombinedSettings
from eqssl.pretexts.base import Pretext


class Combined(Pretext):
    """The weighted sum of the losses of several pretexts on one encoder.

        L = sum over parts of  weight * L_part

    Labels of orientation beside an invariant contrastive loss are E-SSL (Dangovski et al. 2022, arXiv
    2111.00899), here with exact groups: what the contrastive loss absorbs, the labels keep. A sum of
    equivariant and invariant losses does not change when its images are turned, as none of its parts does.
    """

    def build(self, settings: CombinedSettings, classes: int, generator: torch.Generator | None) -> None:
        """Create the parts, all around the same encoder."""
        self.weights = {name: part.weight for name, part in settings.parts.items()}
        made = {
            name: pretexts.attach(f"parts.{name}", part.pretext, self.encoder, self.views, classes, generator)
            for name, part in settings.parts.items()
        }
        self.parts = nn.ModuleDict(made)

    def described(self) -> dict[str, Any]:
        """What the parts say of themselves."""
        return {name: part.described() for name, part in self.pretexts_by_name().items()}

    def loss(
        self,
        images: UInt8[Tensor, "batch channel side side"],
        labels: Int[Tensor, " batch"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The sum, and each part's loss and numbers under its name."""
        total: Tensor | float = 0.0
        scalars: dict[str, Tensor] = {}
        for name, part in self.pretexts_by_name().items():
            loss, numbers = part.loss(images, labels, generator)
            total = total + self.weights[name] * loss.float()
            scalars[f"{name}/loss"] = loss.detach()
            scalars |= {f"{name}/{key}": value for key, value in numbers.items()}
        assert isinstance(total, Tensor)  # noqa: S101 - there is at least one part
        return total, scalars

    def pretexts_by_name(self) -> dict[str, Pretext]:
        """The parts, by their names."""
        return {name: part for name, part in self.parts.items() if isinstance(part, Pretext)}
