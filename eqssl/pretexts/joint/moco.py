"""MoCo v2: tell the momentum branch's embedding of the other view from a queue of earlier ones."""

from __future__ import annotations

import torch
from torch import Tensor

from eqssl.config.joint import MoCoSettings
from eqssl.losses.gathering import gathered
from eqssl.losses.moco import moco
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.joint.momentum import MomentumEmbedding
from eqssl.pretexts.joint.queue import EmbeddingQueue


class MoCo(MomentumEmbedding):
    """A query, its key, and a queue of the keys of earlier images (Chen et al. 2020, arXiv 2003.04297).

    The query is the trained branch's embedding of the first view, the key is the momentum branch's of the
    second. Similarities to the key and to the queue absorb the turn of each. The plain twin compares
    flattened embeddings.
    """

    def build(self, settings: MoCoSettings, classes: int, generator: torch.Generator | None) -> None:
        """Declare two views, and create projector, momentum branch and queue."""
        self.begin(settings, generator)
        self.begin_momentum(settings)
        self.queue = EmbeddingQueue(settings.queue, self.embedding_shape, generator)
        self._keys: Tensor | None = None

    def forward(self, step: Step) -> Outcome:
        """The loss of a query for each image."""
        views = self.draw_turned_views(step.images, step.generator)
        queries, keys = self.embed(views[0].images), self.embed_slowly(views[1].images)
        # they wait for the end of the step, because the backward pass needs the queue as it is
        self._keys = keys if self.training else None
        loss = moco(queries, keys, queue=self.queue.kept, **self.comparison)
        return self.outcome(loss, queries, keys, views)

    def after_step(self, progress: float) -> None:
        """Let the branch follow, and put the keys of the step into the queue."""
        super().after_step(progress)
        if self._keys is not None:
            self.queue.add(gathered(self._keys))
            self._keys = None
