"""STL: the change between two views of one image predicts the change between those of another."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from eqssl.config.joint_others import StlSettings
from eqssl.config.values import listed
from eqssl.losses.nt_xent import nt_xent
from eqssl.nn.heads import plain_mlp
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.pretexts.joint.diagnosing import EmbeddedPair, diagnose
from eqssl.pretexts.views import ViewSpec
from eqssl.symmetry import group


class Stl(JointEmbedding):
    """Self-supervised transformation learning (Yu et al. 2024, arXiv 2501.08712), without symmetry.

    Images come in pairs, and both images of a pair get the same two transformations. y1 and y2 are the
    features of the two views of an image, t12 = m(y1, y2) is a code of the change from the first to the
    second, and H(t) is a matrix that is linear in the code. The loss is a weighted sum of

        NT-Xent(p(y1), p(y2))                                                   invariance
        NT-Xent([e(y1), e(y2)], [e(H(t21') y2), e(H(t12') y1)])                 equivariance
        NT-Xent of q(t12) and q(t21) of the two images of each pair             transformation

    where t' is the code of the other image of the pair, and m, p, e and q are perceptrons.

    Attributes:
        projector: p.
        predicted_projector: e.
        code: m.
        code_projector: q.
        change: H.
    """

    def build(self, settings: StlSettings, classes: int, generator: torch.Generator | None) -> None:
        """Declare two views with transformations that pairs share, and create the heads."""
        self.temperature = settings.temperature
        self.weights = (settings.invariance, settings.equivariance, settings.transformation)
        self.views = (ViewSpec(2, None, self.view_settings, shared=2),)
        features, code = self.encoder.fields * self.group.order, settings.code
        hidden = listed(settings.hidden)

        def head(*widths: int) -> nn.Module:
            return plain_mlp(group("trivial"), widths, generator=generator)

        self.projector = head(features, *hidden, settings.embedding)
        self.predicted_projector = head(features, *hidden, settings.embedding)
        self.code = head(2 * features, code, code)
        self.code_projector = head(code, code, code)
        self.change = Change(code, features, settings.rank, generator)

    def features(self, views: Float[Tensor, "batch channel side side"]) -> Float[Tensor, "batch features"]:
        """All numbers of the encoder's fields, for views in [0, 1]."""
        fields: Tensor = self.encoder(self.normalised(views))
        return fields.flatten(1)

    def forward(self, step: Step) -> Outcome:
        """The weighted sum of the three losses, and each of them."""
        views = torch.cat(self.draw_views(step.images, step.generator))
        y = self.features(views)
        y1, y2 = y.chunk(2)
        images = len(y1)
        t12, t21 = _apply(self.code, torch.cat([torch.cat([y1, y2], 1), torch.cat([y2, y1], 1)])).chunk(2)
        other = partners(images, y.device)
        predicted = self.change(torch.cat([t21[other], t12[other]]), torch.cat([y2, y1]))
        p1, p2 = _apply(self.projector, y).chunk(2)
        # one after the other: batch norm must not mix features with predictions of another scale
        seen, foreseen = (_apply(self.predicted_projector, rows) for rows in (y, predicted))
        # an odd last image has no code of its own pair; all other codes stand beside those of their partners
        pairs = 2 * (images // 2)
        codes = _apply(self.code_projector, torch.cat([t12[:pairs], t21[:pairs]]))
        losses = (
            self._contrast(p1, p2),
            self._contrast(seen, foreseen),
            self._contrast(codes[0::2], codes[1::2]),
        )
        total = torch.stack([weight * loss for weight, loss in zip(self.weights, losses, strict=True)]).sum()
        names = ("invariance", "equivariance", "transformation")
        numbers = {name: loss.detach() for name, loss in zip(names, losses, strict=True)}
        embeddings = p1[..., None], p2[..., None]
        return Outcome(total, numbers | diagnose(*embeddings, (None, None), group("trivial"), None))

    def embedded_pair(self, images: Tensor, generator: torch.Generator) -> EmbeddedPair:
        """The embeddings that the invariance compares."""
        y = self.features(torch.cat(self.draw_views(images, generator)))
        first, second = _apply(self.projector, y)[..., None].chunk(2)
        return EmbeddedPair(first, second, (None, None), None)

    def _contrast(self, a: Tensor, b: Tensor) -> Tensor:
        return nt_xent(a[..., None], b[..., None], group("trivial"), None, self.temperature)


class Change(nn.Module):
    """A matrix on features that is linear in a code, applied to features: `H(t) y`.

        rank r:     H(t) y = out(mix(t) * into(y)),  with linear maps into r numbers, and out of them
        rank None:  every entry of H(t) is a linear function of t, as published: code * features^2 weights

    Args:
        code: numbers of a code.
        features: numbers of a feature.
        rank: r.
        generator: draws the first weights.
    """

    def __init__(self, code: int, features: int, rank: int | None, generator: torch.Generator | None) -> None:
        super().__init__()
        self.is_whole = rank is None
        self.mix = _linear(code, features * features if rank is None else rank, generator)
        if rank is not None:
            self.into, self.out = _linear(features, rank, generator), _linear(rank, features, generator)

    def forward(
        self, codes: Float[Tensor, "batch code"], features: Float[Tensor, "batch features"]
    ) -> Float[Tensor, "batch features"]:
        """Apply the matrix of each code to the features in its row."""
        mixed: Tensor = self.mix(codes)
        if self.is_whole:
            matrices = mixed.unflatten(1, (features.shape[1], -1)) * features.shape[1] ** -0.5
            return torch.bmm(matrices, features[..., None]).squeeze(2)
        changed: Tensor = self.out(mixed * self.into(features))
        return changed


def partners(images: int, device: torch.device) -> Int[Tensor, " images"]:
    """For each image of a batch the other one of its pair; for an odd last one, the one before it."""
    numbers = torch.arange(images, device=device)
    return torch.where(numbers == 2 * (images // 2), numbers - 1, numbers ^ 1)


def _apply(head: nn.Module, rows: Float[Tensor, "batch numbers"]) -> Float[Tensor, "batch outputs"]:
    outputs: Tensor = head(rows[..., None])
    return outputs.squeeze(2)


def _linear(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    """A linear map without a constant, with weights of variance 1 / inputs."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False)
    with torch.no_grad():
        layer.weight.normal_(0, inputs**-0.5, generator=generator)
    return layer
