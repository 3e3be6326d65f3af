"""The encoder trained with all labels: what self-supervision is measured against."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from eqssl.config.pretexts import PretextSettings
from eqssl.data.views.random_view import random_view
from eqssl.pretexts.base import Pretext


class Supervised(Pretext):
    """Cross-entropy of a linear classifier on the invariant feature of one random view."""

    def build(self, settings: PretextSettings, classes: int, generator: torch.Generator | None) -> None:
        """Create the classifier; it starts at zero."""
        self.classifier = nn.utils.skip_init(nn.Linear, self.encoder.fields, classes)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def loss(
        self,
        images: UInt8[Tensor, "batch channel side side"],
        labels: Int[Tensor, " batch"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Cross-entropy and accuracy on the batch."""
        view = random_view(images, self.views, generator)
        logits = self.classifier(self.encoder.invariant(self.normalised(view))).float()
        accuracy = (logits.detach().argmax(1) == labels).float().mean()
        return F.cross_entropy(logits, labels), {"accuracy": accuracy}
