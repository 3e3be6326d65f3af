"""How well an encoder keeps its promise on real images: equivariance, and finding an image again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from eqssl.data.views import cut_disc, normalise
from eqssl.evaluation.moves import draw_moves, view_of
from eqssl.symmetry import Group, act_on_regular, group

if TYPE_CHECKING:
    from eqssl.encoders import Encoder

IMAGES = 512
"""Most test images for the errors."""
GALLERY = 1000
"""Most test images for retrieval."""
_BATCH = 128


def measure(encoder: Encoder, images: UInt8[Tensor, "b c s s"], seed: int) -> dict[str, Any]:
    """The content of equivariance.json.

    Args:
        encoder: frozen, in eval mode, on the device of the images.
        images: test images as stored.
        seed: of the elements that turn the queries of the retrieval.

    Returns:
        group, exact (whether the group maps the pixel grid to itself; if not, errors are measured, not
        promised), images, stages (error of each stage's regular field, first to last), invariant (error of
        the invariant feature), error (the largest of all of them), and retrieval.
    """
    with torch.inference_mode():
        errors = equivariance_errors(encoder, images[:IMAGES])
        return {
            "group": encoder.group_name,
            "exact": encoder.group.is_exact,
            "images": len(images[:IMAGES]),
            **errors,
            "error": max(*errors["stages"], errors["invariant"]),
            "retrieval": retrieval(encoder, images[:GALLERY], seed),
        }


def equivariance_errors(encoder: Encoder, images: UInt8[Tensor, "b c s s"]) -> dict[str, Any]:
    """Largest relative error of each stage, and of the invariant feature, over the encoder's group.

        max over g of  |f(g x) - rho(g) f(x)| / |f(x)|        (Euclidean norms over all images)

    Returns:
        `stages`, first to last, and `invariant`.
    """
    G = encoder.group
    squares: Tensor | None = None
    sizes: Tensor | None = None
    for batch in torch.split(images, _BATCH):
        reference = _features(encoder, batch)
        per_element = []
        for g in G.elements:
            moved = _features(encoder, G.act(batch, g))
            expected = [act_on_regular(G, values, g) for values in reference[:-1]] + reference[-1:]
            pairs = zip(moved, expected, strict=True)
            per_element.append(torch.stack([_square(a.double() - b.double()) for a, b in pairs]))
        difference = torch.stack(per_element)
        size = torch.stack([_square(values.double()) for values in reference])
        squares = difference if squares is None else squares + difference
        sizes = size if sizes is None else sizes + size
    if squares is None or sizes is None:
        raise ValueError("equivariance: there are no test images")
    # a feature that is zero everywhere has no relative error; one that stays zero has none at all
    errors = (squares.amax(0) / sizes.clamp(min=torch.finfo(torch.float32).tiny)).sqrt().tolist()
    return {"stages": errors[:-1], "invariant": errors[-1]}


def retrieval(encoder: Encoder, images: UInt8[Tensor, "b c s s"], seed: int) -> dict[str, float]:
    """How well an image that was moved by a known element of D4 is found among images as stored.

    Query: the regular feature of the moved image, acted on by the element's inverse where the element
    belongs to the encoder's group (elsewhere nothing can be undone). Gallery: the regular features of the
    images as stored. An image's rank is the number of gallery images whose cosine similarity is at least
    that of the image itself, so that ties count against the encoder.

    Returns:
        queries: their number; mrr: mean of 1 / rank; hit_rate_1, hit_rate_5: share of ranks up to 1 and 5.
    """
    drawn, angles = draw_moves(len(images), seed)
    elements, degrees = torch.from_numpy(drawn).to(images.device), torch.from_numpy(angles).to(images.device)
    moved = view_of(images, "grid", elements, degrees)
    gallery = torch.cat([_features(encoder, batch)[-2] for batch in torch.split(images, _BATCH)])
    queries = torch.cat([_features(encoder, batch)[-2] for batch in torch.split(moved, _BATCH)])
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
    """Take the number for each element from the place that `undo_table` names, image by image."""
    return features.gather(2, places[:, None].expand_as(features))


def undo_table(G: Group) -> Int[Tensor, "eight order"]:
    """For each element d of D4, the places of a regular field's numbers after an image was moved by d.

    f(d x)[d h] = f(x)[h], so row d holds the positions of d h, if d acts as an element of G; otherwise
    the positions as they are.
    """
    # groups have elements of their own classes: recognise them by what they do to an image
    pixels = torch.arange(9).view(1, 1, 3, 3)
    D4 = group("D4")
    table = torch.arange(G.order).repeat(D4.order, 1)
    for row, d in enumerate(D4.elements):
        for position, g in enumerate(G.elements):
            if torch.equal(D4.act(pixels, d), G.act(pixels, g)):
                table[row] = G.product[position]
    return table


def pessimistic_ranks(
    queries: Float[Tensor, "n width"], gallery: Float[Tensor, "n width"]
) -> Int[Tensor, " n"]:
    """Rank of gallery row i for query i by cosine similarity: how many rows are no worse than it."""
    similarity = (
        torch.nn.functional.normalize(queries, dim=1) @ torch.nn.functional.normalize(gallery, dim=1).T
    )
    return (similarity >= similarity.diagonal()[:, None]).sum(1)


def _features(encoder: Encoder, images: UInt8[Tensor, "b c s s"]) -> list[Tensor]:
    """Regular field of each stage, then the invariant feature."""
    stages = encoder.stages(normalise(cut_disc(images), encoder.mean, encoder.std))
    return [*stages, encoder.pool(stages[-1])]


def _square(values: Tensor) -> Tensor:
    return values.square().sum()
