"""How equivariant an encoder is on real images, and how well it finds a moved image again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from eqssl.data.views.normalise import cut_disc, normalise
from eqssl.evaluation.amounts import MOST_MEASURED, Sample
from eqssl.evaluation.moves import draw_moves, view_of
from eqssl.symmetry import Group, act_on_regular, group
from eqssl.symmetry.turning import flip_and_degrees, turn

if TYPE_CHECKING:
    from eqssl.encoders import Encoder

DEGREES = tuple(range(15, 360, 15))
"""Angles at which the change of the invariant feature is measured."""
_BATCH = MOST_MEASURED.batch
TIE = 1e-6
"""Cosine similarities that differ by less than float32 rounds count as equal."""


def measure(
    encoder: Encoder, images: Shaped[Tensor, "b c s s"], seed: int, sizes: Sample = MOST_MEASURED
) -> dict[str, Any]:
    """The content of equivariance.json.

    Args:
        encoder: frozen, in eval mode, on the device of the images.
        images: test images as they are loaded: uint8, or float32 in [0, 255].
        seed: seed of the elements that move the queries of the retrieval.
        sizes: how many of the images each measurement takes, from the first on.

    Returns:
        group, exact (whether the group maps the pixel grid to itself; if not, errors need not be small),
        images (their number), what `equivariance_errors` returns, error (the largest of all its errors),
        turned_images and angles (what `angle_errors` returns) and retrieval.
    """
    with torch.inference_mode():
        errors = equivariance_errors(encoder, images[: sizes.errors], sizes.batch)
        return {
            "group": encoder.input_group.name,
            "exact": encoder.input_group.is_exact,
            "images": len(images[: sizes.errors]),
            **errors,
            "error": max(element["error"] for element in errors["elements"]),
            "turned_images": len(images[: sizes.turned]),
            "angles": angle_errors(encoder, images[: sizes.turned], sizes.batch),
            "retrieval": retrieval(encoder, images[: sizes.gallery], seed, sizes.batch),
        }


def equivariance_errors(
    encoder: Encoder, images: Shaped[Tensor, "b c s s"], batch_size: int = _BATCH
) -> dict[str, Any]:
    """Relative errors of each stage, and of the invariant feature, over the encoder's group.

        |f(g x) - rho(g) f(x)| / |f(x)|        (Euclidean norms over all images)

    A plain stage after equivariant ones is not expected to be equivariant and has no error.

    Returns:
        `stages`, first to last, and `invariant`: the largest error over the group, None for a plain stage;
        `elements`: for each element its turn in degrees, whether it mirrors first, whether it maps the pixel
        grid to itself, and its largest error over stages and invariant feature.
    """
    G = encoder.input_group
    kept = [name == G.name for name in encoder.stage_groups]
    kept.append(kept[-1])
    squares: Tensor | None = None
    sizes: Tensor | None = None
    for stored in torch.split(images, batch_size):
        batch = stored.float() / 255  # elements off the grid interpolate pixels
        reference = _features(encoder, batch)
        per_element = []
        for g in G.elements:
            moved = _features(encoder, G.act(batch, g))
            per_element.append(torch.stack(_differences(G, g, moved, reference, kept)))
        difference = torch.stack(per_element)
        size = torch.stack([_square(values.double()) for values in reference])
        squares = difference if squares is None else squares + difference
        sizes = size if sizes is None else sizes + size
    if squares is None or sizes is None:
        raise ValueError("equivariance: there are no test images")
    # a feature that is zero everywhere has no relative error; one that stays zero has none at all
    errors = (squares / sizes.clamp(min=torch.finfo(torch.float32).tiny)).sqrt()
    pairs = zip(errors.amax(0).tolist(), kept, strict=True)
    largest = [value if promised else None for value, promised in pairs]
    elements = zip(G.elements, errors.amax(1).tolist(), strict=True)
    return {
        "stages": largest[:-1],
        "invariant": largest[-1],
        "elements": [_described(G, g, error) for g, error in elements],
    }


def _differences(
    G: Group, g: Any, moved: list[Tensor], reference: list[Tensor], kept: list[bool]
) -> list[Tensor]:
    """Squared distance of each feature from what equivariance demands; zero for plain stages."""
    expected = [act_on_regular(G, x, g) if k else x for x, k in zip(reference[:-1], kept[:-1], strict=True)]
    expected.append(reference[-1])
    return [
        _square(a.double() - b.double()) * promised
        for a, b, promised in zip(moved, expected, kept, strict=True)
    ]


def _described(G: Group, g: Any, error: float) -> dict[str, Any]:
    mirrored, degrees = flip_and_degrees(G.matrix(g))
    on_grid = g in G.grid_elements
    return {"degrees": round(degrees % 360, 6), "mirrored": mirrored, "on_grid": on_grid, "error": error}


def angle_errors(
    encoder: Encoder, images: Shaped[Tensor, "b c s s"], batch_size: int = _BATCH
) -> list[dict[str, float]]:
    """Relative change of the invariant feature when the images are turned, by angle, whatever the group.

        |f(turned x) - f(x)| / |f(x)|

    Images are turned with interpolation, so even a perfect network would show some change.

    Returns:
        For each angle of `DEGREES` its `degrees` and `error`; nothing for images without a mask, whose
        corners leave the image.
    """
    if encoder.mask == "none":
        return []

    def invariant(degrees: float | None) -> Float[Tensor, "b fields"]:
        found = []
        for stored in torch.split(images, batch_size):
            values = stored.float() / 255
            if degrees is not None:
                values = turn(values, torch.full((len(values),), degrees, device=values.device))
            found.append(_features(encoder, values)[-1].double())
        return torch.cat(found)

    reference = invariant(None)
    size = float(reference.norm())
    found = []
    for degrees in DEGREES:
        difference = float((invariant(float(degrees)) - reference).norm())
        found.append({"degrees": float(degrees), "error": difference / size if size else 0.0})
    return found


def retrieval(
    encoder: Encoder, images: Shaped[Tensor, "b c s s"], seed: int, batch_size: int = _BATCH
) -> dict[str, float]:
    """How well an image that was moved by a known element of D4 is found among the stored images.

    Query: the regular feature of the moved image. If the element belongs to the encoder's group, its inverse
    is applied to the feature; otherwise the move cannot be undone. Gallery: the regular features of the
    stored images. An image's rank is the number of gallery images whose cosine similarity is at least that of
    the image itself, so that ties count against the encoder: where all features are the same, every rank is
    the last.

    Returns:
        queries: their number; mrr: mean of 1 / rank; hit_rate_1, hit_rate_5: share of ranks up to 1 and 5.
    """
    drawn, angles = draw_moves(len(images), seed)
    elements, degrees = torch.from_numpy(drawn).to(images.device), torch.from_numpy(angles).to(images.device)

    def regular(view: str) -> Float[Tensor, "b fields order"]:
        parts = zip(*(torch.split(x, batch_size) for x in (images, elements, degrees)), strict=True)
        moved = (view_of(x, view, g, angle, encoder.mask) for x, g, angle in parts)
        return torch.cat([_features(encoder, batch)[-2] for batch in moved])

    gallery, queries = regular("stored"), regular("grid")
    queries = undo(queries, undo_table(encoder.group).to(images.device)[elements])
    ranks = pessimistic_ranks(queries.flatten(1), gallery.flatten(1)).double()
    return {
        "queries": len(images),
        "mrr": float((1 / ranks).mean()),
        "hit_rate_1": float((ranks <= 1).double().mean()),
        "hit_rate_5": float((ranks <= 5).double().mean()),
    }


def undo(
    features: Float[Tensor, "b fields order"], places: Int[Tensor, "b order"]
) -> Float[Tensor, "b fields order"]:
    """For each image, take the number of each element from the place that `undo_table` gives."""
    return features.gather(2, places[:, None].expand_as(features))


def undo_table(G: Group) -> Int[Tensor, "eight order"]:
    """For each element d of D4, the places of a regular field's numbers after an image was moved by d.

    f(d x)[d h] = f(x)[h], so row d holds the positions of d h if d acts as an element of G. Otherwise it
    holds the unchanged positions.
    """
    # elements of different groups have different classes: compare how they move the plane
    D4 = group("D4")
    table = torch.arange(G.order).repeat(D4.order, 1)
    for row, d in enumerate(D4.elements):
        for position, g in enumerate(G.elements):
            if np.allclose(D4.matrix(d), G.matrix(g)):
                table[row] = G.product[position]
    return table


def pessimistic_ranks(
    queries: Float[Tensor, "n width"], gallery: Float[Tensor, "n width"]
) -> Int[Tensor, " n"]:
    """Rank of gallery row i for query i: how many have at least its cosine similarity, up to rounding."""
    similarity = (
        torch.nn.functional.normalize(queries, dim=1) @ torch.nn.functional.normalize(gallery, dim=1).T
    )
    return (similarity >= similarity.diagonal()[:, None] - TIE).sum(1)


def _features(encoder: Encoder, images: Tensor) -> list[Tensor]:
    """Regular field of each stage, then the invariant feature."""
    cut = cut_disc(images) if encoder.mask == "disc" else images
    stages = encoder.stages(normalise(cut, encoder.mean, encoder.std))
    return [*stages, encoder.pool(stages[-1])]


def _square(values: Tensor) -> Tensor:
    return values.square().sum()
