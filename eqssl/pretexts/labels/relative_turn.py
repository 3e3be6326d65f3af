"""Relative turn as equivariant labels: by which element was the second view turned against the first?"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eqssl.config.label_tasks import RelativeTurnSettings
from eqssl.data.views.random_view import draw_numbers, view_of_numbers, with_turns_of
from eqssl.nn.constants import ModuleWithConstants
from eqssl.pretexts.labels.base import Draw, LabelTask
from eqssl.pretexts.views import ViewSpec
from eqssl.symmetry import Group, GSet, group, subgroup_positions


class RelativeTurn(LabelTask, ModuleWithConstants):
    """Tell by which element y the second of two views is turned against the first.

    The input is the pair

        t(x, y) = (v1(x), y v2(x)),

    where v1 and v2 crop x and change its colours each in its own way, and turn it alike. When x turns by g,
    both views turn by g, and g y v2(x) = (g y g^-1) g v2(x), so that

        t(g x, g . y) = g t(x, y)          with  g . y = g y g^-1.

    The group acts on the labels by conjugation: a rotation changes no label that is a rotation, and a
    reflection makes its inverse of it. Nobody has to know which way is up, so the labels can be learnt on
    images that were turned at random, where those of `Orientation` cannot.

    With `group` the labels are the elements of the group, with `rotations` the four quarter turns.

    The corruption draws the numbers of both views and a *frame* f in the group: the views of x are
    f v(f^-1 x), so that a turned image with a turned frame has turned views, to the last bit.
    """

    elements: Tensor
    product: Tensor
    inverse: Tensor

    def build(self, settings: RelativeTurnSettings, classes: int, generator: torch.Generator | None) -> None:
        """Create the labels and the head, and declare the views."""
        of_rotations = settings.labels == "rotations"
        self.turning = group("D4") if of_rotations else self.group
        turns = group("C4") if of_rotations else self.group
        elements = torch.tensor(subgroup_positions(self.turning, turns))
        self.register_constant("elements", elements)
        self.register_constant("product", self.group.product.clone())
        self.register_constant("inverse", self.group.inverse.clone())
        inside = subgroup_positions(self.turning, self.group)
        self.labels = _conjugated(self.group, self.turning, elements.tolist(), inside)
        self.views = (ViewSpec(2, None, self.view_settings),)
        self.head = self.make_head(settings, None, generator, of_pairs=True)

    def draw(self, batch: int, generator: torch.Generator) -> Draw:
        """The random numbers of both views, which turn alike, and the frame."""
        first = draw_numbers(batch, generator)
        second = with_turns_of(draw_numbers(batch, generator), first)
        frame = torch.randint(self.group.order, (batch,), generator=generator, device=generator.device)
        return {"first": first, "second": second, "frame": frame}

    def act_on_draw(self, draw: Draw, labels: Int[Tensor, " batch"], element: Any) -> Draw:
        """The frame turns with the image."""
        return {**draw, "frame": self.product[self.group.index(element), draw["frame"]]}

    def corrupt(
        self,
        images: Float[Tensor, "batch channel side side"],
        labels: Int[Tensor, " batch"],
        draw: Draw,
    ) -> Float[Tensor, "batch 2 channel side side"]:
        """The pair of views, the second of them turned by the label; normalised."""
        upright = self.group.act_each(images, self.inverse[draw["frame"]])
        first, second = (self._view(upright, draw[key], draw["frame"]) for key in ("first", "second"))
        turned = self.turning.act_each(second, self.elements[labels])
        return torch.stack([self.normalised(first), self.normalised(turned)], 1)

    def logits(self, inputs: Float[Tensor, "batch 2 channel side side"]) -> Float[Tensor, "batch labels"]:
        """Scores of all turns."""
        pairs = self.encoder(inputs.transpose(0, 1).flatten(0, 1)).chunk(2)
        scores: Tensor = self.head(pairs).squeeze(1)
        return scores

    def _view(self, images: Tensor, numbers: Tensor, frame: Tensor) -> Tensor:
        """Views of the images, back in their frames."""
        view, _ = view_of_numbers(images, numbers, self.view_settings, None, self.encoder.mask)
        return self.group.act_each(view.to(images.dtype), frame)


def _conjugated(acting: Group, turning: Group, elements: list[int], inside: list[int]) -> GSet:
    """Elements of the group `turning`, on which a subgroup acts by g . y = g y g^-1.

    Args:
        acting: the subgroup.
        turning: the group.
        elements: positions of the labels in `turning`.
        inside: position in `turning` of each element of the subgroup.
    """
    product, inverse = turning.product, turning.inverse

    def conjugate(g: Any, y: int) -> int:
        position = inside[acting.index(g)]
        return int(product[product[position, y], inverse[position]])

    return GSet.from_function(acting, elements, conjugate)
