"""SwAV: predict the other view's assignment to prototypes that are fields."""

from __future__ import annotations

import torch
from torch import Tensor

from eqssl.config.joint import SwAVSettings
from eqssl.losses.swav import swav_crops
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.pretexts.joint.prototypes import Prototypes, groups_with_prototypes
from eqssl.pretexts.joint.queue import EmbeddingQueue
from eqssl.pretexts.parameters import ParameterGroup

CODED = 2
"""Views whose assignments are predicted: those of usual size."""


class SwAV(JointEmbedding):
    """Swapped prediction of soft assignments to prototypes (Caron et al. 2020, arXiv 2006.09882).

    The score of a prototype is its similarity to the embedding, which absorbs the turn of the view. The
    assignments of the two views of usual size are balanced over the batch and a queue of earlier embeddings;
    every other view predicts them. The plain twin has the same prototypes and takes the cosine.
    """

    def build(self, settings: SwAVSettings, classes: int, generator: torch.Generator | None) -> None:
        """Declare the views, and create projector, prototypes and queue."""
        self.begin(settings, generator, settings.crops)
        self.balance = {"epsilon": settings.epsilon, "iterations": settings.iterations}
        self.prototypes = Prototypes(settings.prototypes, self.embedding_shape, settings.frozen, generator)
        self.queue_from = settings.queue_from
        self.queue: EmbeddingQueue | None = None
        if settings.queue:
            self.queue = EmbeddingQueue(settings.queue, (CODED, *self.embedding_shape), generator)
        self._coded: Tensor | None = None

    def forward(self, step: Step) -> Outcome:
        """The loss of all views of each image."""
        views = self.draw_turned_views(step.images, step.generator)
        embeddings = self.embed_each(views)
        queue = None
        if self.queue is not None and step.progress >= self.queue_from:
            queue = self.queue.kept.transpose(0, 1)
        # they wait for the end of the step, because the backward pass needs the queue as it is
        self._coded = torch.stack(embeddings[:CODED], 1).detach() if self.training else None
        options = {**self.balance, **self.comparison, "queue": queue, "coded": CODED}
        loss = swav_crops(embeddings, self.prototypes(step.progress), **options)
        return self.outcome(loss, embeddings[0], embeddings[1], views)

    def after_step(self, progress: float) -> None:
        """Set the prototypes' lengths to 1, and put the embeddings of the step into the queue."""
        self.prototypes.normalise(progress)
        if self.queue is not None and self._coded is not None:
            self.queue.add(self._coded)
        self._coded = None

    def parameter_groups(self) -> list[ParameterGroup]:
        """All parameters; the prototypes have no weight decay."""
        return groups_with_prototypes(self.named_parameters(), self.prototypes)
