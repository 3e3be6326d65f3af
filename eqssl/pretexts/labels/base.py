"""Equivariant pretext labels: what every label task has, and the two conditions that make it equivariant.

A label task is a G-set Y of labels, a corruption t(x, y) that makes the network's input from image x and
label y, and a head that ends in the permutation representation P of Y (Mukuta & Harada, arXiv 2303.04427). It
is equivariant if

    (A)  t(g x, g . y) = g t(x, y)          (B)  logits(g u) = P(g) logits(u),

because then a turned image with its turned label has the same loss as the image with its label. In (A), g
also acts on what the corruption draws besides the label, such as shifts of patches.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from eqssl.config.label_tasks import LabelSettings
from eqssl.config.values import listed
from eqssl.nn.heads import equivariant_mlp, plain_mlp
from eqssl.pretexts.base import Outcome, Pretext, Step
from eqssl.symmetry import GSet

Draw = dict[str, Tensor]


class LabelTask(Pretext):
    """A task of predicting labels that the group moves.

    Subclasses define the labels, the random draws, the corruption of images, and the scores of an input.
    Heads, loss and twins are the same for all.

    Attributes:
        labels: the labels, as a set that the encoder's group acts on.
        head: computes logits over the labels.
    """

    in_patches: ClassVar[bool] = False
    """Whether an input consists of patches, each of which can be turned by itself."""

    labels: GSet
    head: nn.Module

    @abstractmethod
    def draw(self, batch: int, generator: torch.Generator) -> Draw:
        """What the corruption of a batch draws besides the labels, on the generator's device."""

    @abstractmethod
    def act_on_draw(self, draw: Draw, labels: Int[Tensor, " batch"], element: Any) -> Draw:
        """The draw that belongs to the turned images with their turned labels."""

    @abstractmethod
    def corrupt(
        self,
        images: Float[Tensor, "batch channel side side"],
        labels: Int[Tensor, " batch"],
        draw: Draw,
    ) -> Float[Tensor, "batch ..."]:
        """The network's input t(x, y); images are in [0, 1]."""

    @abstractmethod
    def logits(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch labels"]:
        """Scores of all labels for each input."""

    def act_on_image(
        self, images: Shaped[Tensor, "batch channel side side"], element: Any
    ) -> Shaped[Tensor, "batch channel side side"]:
        """The image g x of condition (A)."""
        return self.group.act(images, element)

    def act_on_input(self, inputs: Shaped[Tensor, "batch ..."], element: Any) -> Shaped[Tensor, "batch ..."]:
        """The input g u of condition (B)."""
        return self.group.act(inputs, element)

    def draw_labels(self, batch: int, generator: torch.Generator) -> Int[Tensor, " batch"]:
        """Random labels, all equally likely."""
        return torch.randint(len(self.labels), (batch,), generator=generator, device=generator.device)

    def forward(self, step: Step) -> Outcome:
        """Cross-entropy of one random label for each image. The classes of the images are not used."""
        images, draw = step.images.float() / 255, self.draw(len(step.images), step.generator)
        drawn = self.draw_labels(len(images), step.generator)
        return cross_entropy(self.logits(self.corrupt(images, drawn, draw)), drawn)

    def make_head(
        self,
        settings: LabelSettings,
        source: GSet | None,
        generator: torch.Generator | None,
        of_pairs: bool = False,
    ) -> nn.Module:
        """The head, from the encoder's fields over a set to one score for each label.

        Its input has shape (batch, fields, points of the set), its output (batch, 1, labels).

        Args:
            settings: kind and widths.
            source: the set; the group's elements by default.
            generator: draws the first weights.
            of_pairs: whether it takes pairs of features, as `eqssl.nn.linear.PairLinear` does.
        """
        hidden = listed(settings.hidden)
        widths = [self.encoder.fields, *map(self.fields_of, hidden), 1]
        if settings.head == "equivariant":
            return equivariant_mlp(self.group, widths, self.labels, generator, source, of_pairs)
        points = None if source is None else len(source)
        return plain_mlp(self.group, widths, len(self.labels), generator, points, of_pairs)

    def described(self) -> dict[str, Any]:
        """The number of labels, and their orbits."""
        return {"labels": len(self.labels), "orbits": self.labels.orbits()}


def cross_entropy(logits: Float[Tensor, "batch labels"], labels: Int[Tensor, " batch"]) -> Outcome:
    """The loss of a label task, in float32, and its accuracy."""
    logits = logits.float()
    accuracy = (logits.detach().argmax(1) == labels).float().mean()
    return Outcome(F.cross_entropy(logits, labels), {"accuracy": accuracy})
