"""Joint-embedding pretexts whose embeddings are given by a test, so that every group acts exactly."""

import torch
from entries import changed
from steps import loss_of_views
from torch import Tensor, nn

from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.pretexts.joint.momentum import MomentumEmbedding
from eqssl.symmetry import act_on_regular, group

COUNT = 8


class Given(nn.Module):
    """In the place of the encoder: the "images" are embeddings already."""

    def __init__(self, group_name: str) -> None:
        super().__init__()
        self.group = group(group_name)

    def forward(self, embeddings: Tensor) -> Tensor:
        return embeddings


def objective(
    name: str, group_name: str, dtype: torch.dtype = torch.float64, **changes: object
) -> JointEmbedding:
    """A pretext that compares given embeddings; its predictor, queue and prototypes stay."""
    pretext = changed(name, group_name, **changes)
    assert isinstance(pretext, JointEmbedding)
    if isinstance(pretext, MomentumEmbedding):
        pretext.momentum.copies[0] = pretext.momentum.copies[1] = nn.Identity()
    pretext.encoder, pretext.projector = Given(group_name), nn.Identity()
    pretext.normalised = lambda images: images  # type: ignore[method-assign]
    return pretext.to(dtype).eval()


def embeddings(
    pretext: JointEmbedding, dtype: torch.dtype = torch.float64, views: int = 2, seed: int = 0
) -> list[Tensor]:
    """Random embeddings of each view; the views of an image are similar."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(views, COUNT, *pretext.embedding_shape, generator=generator, dtype=torch.float64)
    return list((z + z[:1]).to(dtype))


def turned_embeddings(z: Tensor, group_name: str, seed: int) -> Tensor:
    """Each embedding turned by its own element."""
    G = group(group_name)
    drawn = torch.randint(G.order, (len(z),), generator=torch.Generator().manual_seed(seed))
    return torch.stack(
        [act_on_regular(G, one, G.elements[g]) for one, g in zip(z, drawn.tolist(), strict=True)]
    )


def loss_of_embeddings(pretext: JointEmbedding, *z: Tensor, progress: float = 0.0) -> float:
    return float(loss_of_views(pretext, *z, progress=progress).detach())
