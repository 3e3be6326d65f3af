"""The encoder trained with all labels: what self-supervision is measured against."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from eqssl.config.pretext_base import PretextSettings
from eqssl.pretexts.base import Outcome, Pretext, Step
from eqssl.pretexts.views import ViewSpec


class Supervised(Pretext):
    """Cross-entropy of a linear classifier on the invariant feature of one random view."""

    def build(self, settings: PretextSettings, classes: int, generator: torch.Generator | None) -> None:
        """Declare one view and create the classifier, which starts at zero."""
        self.views = (ViewSpec(1, None, self.view_settings),)
        self.classifier = nn.utils.skip_init(nn.Linear, self.encoder.fields, classes)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, step: Step) -> Outcome:
        """Cross-entropy and accuracy on the batch.

        Raises:
            ValueError: for data without labels.
        """
        if step.labels is None:
            raise ValueError("labels: given none, allowed: a class for each image (the task is `supervised`)")
        (view,) = self.draw_views(step.images, step.generator)
        logits = self.classifier(self.encoder.invariant(self.normalised(view))).float()
        accuracy = (logits.detach().argmax(1) == step.labels).float().mean()
        return Outcome(F.cross_entropy(logits, step.labels), {"accuracy": accuracy})
