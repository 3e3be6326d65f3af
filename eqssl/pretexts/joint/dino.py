"""DINO: predict the momentum branch's distribution over prototypes that are fields."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from eqssl.config.joint import DINOSettings
from eqssl.losses.dino import dino_centre, dino_crops
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.joint.momentum import MomentumEmbedding
from eqssl.pretexts.joint.prototypes import Prototypes, groups_with_prototypes
from eqssl.pretexts.parameters import ParameterGroup

TAUGHT = 2
"""Views that the momentum branch sees: those of usual size."""


class DINO(MomentumEmbedding):
    """Every view predicts the teacher's view of another one (Caron et al. 2021, arXiv 2104.14294).

        L = mean over teacher views t and student views s != t of dino(z_s, z'_t, c, c')

    The score of a prototype is its similarity to the embedding, which absorbs the turn of the view. z' and c'
    are embeddings and prototypes of the momentum branch (the teacher). Its scores are centred by a running
    mean and sharpened by a temperature that rises in the first part of the training. The plain twin has the
    same prototypes and takes the cosine.

    Attributes:
        centre: running mean of the teacher's score of each prototype.
    """

    centre: Tensor

    def build(self, settings: DINOSettings, classes: int, generator: torch.Generator | None) -> None:
        """Declare the views, and create projector, prototypes, momentum branch and centre."""
        self.begin(settings, generator, settings.crops)
        self.prototypes = Prototypes(settings.prototypes, self.embedding_shape, settings.frozen, generator)
        self.begin_momentum(settings, self.prototypes)
        self.settings = settings
        self.register_buffer("centre", torch.zeros(settings.prototypes))
        self._mean: Tensor | None = None

    def teacher_temperature(self, progress: float) -> float:
        """It rises in a straight line until the warm-up ends."""
        first, last = self.settings.first_teacher_temperature, self.settings.teacher_temperature
        share = min(1.0, progress / self.settings.warmup) if self.settings.warmup else 1.0
        return first + (last - first) * share

    def forward(self, step: Step) -> Outcome:
        """The loss of all views of each image."""
        views = self.draw_turned_views(step.images, step.generator)
        students = self.embed_each(views)
        teachers = self.embed_each(views[:TAUGHT], self.embed_slowly)
        prototypes = self.prototypes(step.progress)
        taught = cast(Prototypes, self.momentum.copies[2]).weight
        options = {
            "student_temperature": self.settings.student_temperature,
            "teacher_temperature": self.teacher_temperature(step.progress),
            "centre": self.centre,
            "teacher_prototypes": taught,
            **self.comparison,
        }
        loss = dino_crops(students, teachers, prototypes, **options)
        # it waits for the end of the step, because the loss of the step needs the centre as it is
        self._mean = dino_centre(torch.cat(teachers), taught, **self.comparison) if self.training else None
        return self.outcome(loss, students[0], students[1], views)

    def after_step(self, progress: float) -> None:
        """Set the prototypes' lengths to 1, let the teacher follow, and move the centre."""
        self.prototypes.normalise(progress)
        super().after_step(progress)
        if self._mean is not None:
            self.centre.lerp_(self._mean.to(self.centre.dtype), 1 - self.settings.centre_momentum)
            self._mean = None

    def parameter_groups(self) -> list[ParameterGroup]:
        """All parameters; the prototypes have no weight decay."""
        return groups_with_prototypes(self.named_parameters(), self.prototypes)
