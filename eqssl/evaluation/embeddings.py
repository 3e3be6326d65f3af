"""Embeddings of validation images after training: alignment, uniformity, effective rank, found turns."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqssl.data.loading.batches import Batches, Split
from eqssl.losses.diagnostics import alignment, spread, turn_found
from eqssl.losses.kinds import Kind
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.pretexts.joint.diagnosing import EmbeddedPair, comparable_kind, finds_turns
from eqssl.symmetry import Group, group
from eqssl.symmetry.harmonics import harmonics
from eqssl.symmetry.turns import Turns
from eqssl.training.precision import autocast

MOST_IMAGES = 2000


def measure_embeddings(
    task: JointEmbedding,
    split: Split,
    batch_size: int,
    seed: int,
    device: torch.device,
    precision: torch.dtype,
) -> dict[str, Any]:
    """Measure the embeddings of two random views of each image, with the views of the training.

    Args:
        task: the pretext, in eval mode.
        split: validation images; up to `MOST_IMAGES` of them are embedded.
        batch_size: images at a time.
        seed: seed of the order and the views.
        device: the device of the pretext.
        precision: type of numbers in the forward pass.

    Returns:
        Empty for a pretext that has no pair of embeddings to compare, or with fewer than two images; else

        - `images`: how many there were;
        - `alignment`, `uniformity`: see `eqssl.losses.diagnostics`;
        - `effective_rank`: see `effective_rank` in this file;
        - `turn_found`: share of pairs whose best element is the turn that the views differ by; left out for
          the trivial group and for plain pretexts.
    """
    pair = _embedded(task, split, batch_size, seed, device, precision)
    if pair is None or len(pair.first) < 2:
        return {}
    G, kind, z1, z2 = task.group, comparable_kind(pair.kind), pair.first, pair.second
    if kind is None:
        # what is compared entry by entry may have any shape
        G, z1, z2 = group("trivial"), z1.flatten(1)[..., None], z2.flatten(1)[..., None]
    found = {
        "images": len(z1),
        "alignment": float(alignment(z1, z2, G, kind, angles=pair.angles)),
        "uniformity": float(spread(z1, G, kind, angles=pair.angles).uniformity),
        "effective_rank": effective_rank(z1, G, kind),
    }
    first, second = pair.turns
    if finds_turns(G, kind) and first is not None and second is not None:
        found["turn_found"] = float(turn_found(z1, z2, G, first, second, pair.angles))
    return found


def effective_rank(z: Float[Tensor, "n fields order"], G: Group, kind: Kind | None) -> float:
    """`exp(-sum of p log p)` over the shares p of the eigenvalues of the second moment (Roy & Vetterli 2007).

    The second moment is the mean of z z^T over images, with z of length 1; for kinds that absorb turns also
    over all turned embeddings rho(g) z, and for `pool` it is that of the means over the group.

    Args:
        z: embeddings of n images.
        G: the group.
        kind: how turns are absorbed; None for not at all.

    Returns:
        Between 1 and the number of entries of an embedding, or 0 if all embeddings are zero.
    """
    z = z.detach().double().cpu()
    if kind == "pool":
        z = z.mean(2, keepdim=True)
    z = F.normalize(z.flatten(1), dim=1).view_as(z)
    if kind in (None, "pool") or G.order == 1:
        eigenvalues = _eigenvalues(z.flatten(1))
    else:
        eigenvalues = _eigenvalues_over(G, z)
    total = float(eigenvalues.sum())
    shares = eigenvalues[eigenvalues > 0] / total if total else eigenvalues[:0]
    return float(torch.exp(-(shares * shares.log()).sum())) if total else 0.0


def _eigenvalues_over(G: Group, z: Float[Tensor, "n fields order"]) -> Float[Tensor, " eigenvalues"]:
    """Eigenvalues of the second moment over images and turns, which is diagonal in blocks (Schur's lemma).

    An irrep of real type and dimension d has one block for the fields and copies, d times. One that is a
    rotation matrix has a Hermitian block for the fields, twice.
    """
    transform = harmonics(G.name)
    coefficients = z @ transform.basis
    found: list[Tensor] = []
    for block in transform.blocks:
        part = coefficients[:, :, block.start : block.stop].unflatten(2, (block.size, block.copies))
        if block.kind == "lines":
            found += [_eigenvalues(part[:, :, j, 0]) for j in range(block.size)]
        elif block.kind == "real":
            rows = part.transpose(1, 2).flatten(0, 1).flatten(1)
            found += [_eigenvalues(rows)] * block.size
        else:
            rows = torch.complex(part[:, :, 0, 0], part[:, :, 1, 0])
            found += [_eigenvalues(rows) / 2] * 2
    return torch.cat(found)


def _eigenvalues(rows: Tensor) -> Float[Tensor, " eigenvalues"]:
    """Those of the mean of x x^H over the rows x that are not zero, from the smaller of the two products."""
    few = len(rows) < rows.shape[1]
    product = rows @ rows.mH if few else rows.mT @ rows.conj()
    return torch.linalg.eigvalsh(product / len(rows)).clamp(min=0)


def _embedded(
    task: JointEmbedding,
    split: Split,
    batch_size: int,
    seed: int,
    device: torch.device,
    precision: torch.dtype,
) -> EmbeddedPair | None:
    generator = torch.Generator(device).manual_seed(seed)
    pairs: list[EmbeddedPair] = []
    count = 0
    with torch.no_grad():
        for images, _ in Batches(split, min(batch_size, len(split)), seed, device, drop_last=False).epoch(0):
            with autocast(device, precision):
                pair = task.embedded_pair(images, generator)
            if pair is None:
                return None
            pairs.append(pair)
            count += len(images)
            if count >= MOST_IMAGES:
                break
    return EmbeddedPair(
        torch.cat([pair.first.float() for pair in pairs])[:MOST_IMAGES],
        torch.cat([pair.second.float() for pair in pairs])[:MOST_IMAGES],
        (_joined([pair.turns[0] for pair in pairs]), _joined([pair.turns[1] for pair in pairs])),
        pairs[0].kind,
        pairs[0].angles,
    )


def _joined(turns: list[Turns | None]) -> Turns | None:
    known = [each for each in turns if each is not None]
    if len(known) < len(turns):
        return None
    degrees, mirrored = (torch.cat(parts)[:MOST_IMAGES] for parts in zip(*known, strict=True))
    return Turns(degrees, mirrored)
