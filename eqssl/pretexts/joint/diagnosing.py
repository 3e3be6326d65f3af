"""What joint-embedding pretexts tell of their embeddings during training, and when these have collapsed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from eqssl.losses.diagnostics import alignment, spread, turn_found
from eqssl.losses.kinds import ANGLES, Kind
from eqssl.symmetry import Group
from eqssl.symmetry.turns import Turns

MOST_IMAGES = 128
"""How many images of a batch are looked at, so that it costs next to nothing."""
ALIKE, FEW = 0.95, 1.5
"""Embeddings have collapsed if the similarity of others is above the first or the rank below the second."""
REMEDIES = (
    "a lower pretrain.learning_rate, a longer pretrain.warmup_epochs or a larger pretrain.batch_size may "
    "help, and a momentum nearer to 1 where there is one"
)


class EmbeddedPair(NamedTuple):
    """Two views of each image as a pretext embeds them.

    Attributes:
        first, second: embeddings of the two views; with kind None their fields and points have any shape.
        turns: how the images were turned for either; None if unknown.
        kind: how embeddings are compared; None for entry by entry.
        angles: of SO2 and O2, at how many angles they are compared.
    """

    first: Float[Tensor, "n fields points"]
    second: Float[Tensor, "n fields points"]
    turns: tuple[Turns | None, Turns | None]
    kind: Kind | None
    angles: int = ANGLES


def diagnose(
    z1: Float[Tensor, "n fields order"],
    z2: Float[Tensor, "n fields order"],
    turns: tuple[Turns | None, Turns | None],
    G: Group,
    kind: Kind | None,
    angles: int = ANGLES,
) -> dict[str, Float[Tensor, ""]]:
    """The numbers for the log, from the first images of a batch; nothing here waits for the device.

        alignment             mean of 2 - 2 s over the two views of each image
        uniformity            log mean of exp(-2 (2 - 2 s)) over first views of different images
        rank                  in how many directions the first views' embeddings lie
        similarity_of_others  mean of s over first views of different images
        turn_found            share of pairs whose best element is the turn that the views differ by

    s is the similarity of the loss, for softmax that of the best element, so that all pretexts that absorb
    turns have the same scale. There is no `turn_found` where there is no turn to find: for the trivial group,
    for a plain pretext, and for views whose turns are unknown. Of a single image there is `alignment` alone.

    Args:
        z1: embeddings of the first views.
        z2: embeddings of the second views of the same images.
        turns: how the images were turned for either; None if unknown.
        G: the group.
        kind: how the loss absorbs turns; None for a plain one.
        angles: of SO2 and O2, at how many angles embeddings are compared.
    """
    z1, z2 = z1[:MOST_IMAGES].detach(), z2[:MOST_IMAGES].detach()
    kind = comparable_kind(kind)
    found = {"alignment": alignment(z1, z2, G, kind, angles=angles)}
    if len(z1) > 1:
        uniform, alike, rank = spread(z1, G, kind, angles=angles)
        found |= {"uniformity": uniform, "rank": rank, "similarity_of_others": alike}
    if finds_turns(G, kind) and turns[0] is not None and turns[1] is not None:
        found["turn_found"] = turn_found(z1, z2, G, _few(turns[0]), _few(turns[1]), angles)
    return found


def _few(turns: Turns) -> Turns:
    return Turns(turns.degrees[:MOST_IMAGES], turns.mirrored[:MOST_IMAGES])


def finds_turns(G: Group, kind: Kind | None) -> bool:
    """Whether there is an element of the group to find for a pair of embeddings."""
    return kind is not None and G.order > 1


def comparable_kind(kind: Kind | None) -> Kind | None:
    """The kind that embeddings are diagnosed by.

    The softmax of an embedding with itself is below 1 and depends on the temperature, so `max`, of which it
    is a smooth form, takes its place.
    """
    return "max" if kind == "softmax" else kind


def collapse(numbers: Mapping[str, float]) -> dict[str, str]:
    """A sentence under `collapsed` if embeddings of different images are nearly the same.

    Args:
        numbers: means over an epoch of what `diagnose` gave.
    """
    alike, rank = numbers.get("similarity_of_others"), numbers.get("rank")
    if alike is None or rank is None or not (alike > ALIKE or rank < FEW):
        return {}
    text = (
        f"embeddings have collapsed: those of different images have a mean similarity of {alike:.3f} "
        f"and lie in {rank:.1f} directions; {REMEDIES}"
    )
    return {"collapsed": text}
