"""Any network made equivariant by running it on all turns of its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.config.groups import exact_groups
from eqssl.config.masks import Mask
from eqssl.nn.pooling import pool_group
from eqssl.symmetry.groups import Group


class FrameAveraged(nn.Module):
    """A network from images to vectors, run on every turn of an image; made by `frame_averaged`.

        encoder(x)[b, f, h] = network(h^-1 x)[b, f],   so   encoder(g x)[b, f, g h] = encoder(x)[b, f, h]

    Averaging over h gives the invariant feature: this is group averaging, or frame averaging with the whole
    group as the frame (Puny et al. 2022, arXiv 2110.03336, section 2). It is exact for every network, and
    costs as many passes as the group has elements. It has what `RegularEncoder` asks for, so that every
    pretext can train it.

    Args:
        network: from images (batch, channel, side, side) to vectors (batch, fields).
        G: an exact group.
        image_shape: channels, height and width of an image.
        fields: length of the vectors.
        mean: of each channel of the training images, in [0, 1].
        std: their standard deviation.
        mask: `disc` if everything outside of the inscribed disc is 0 in the images, else `none`.
        group_pooling: how features are pooled over the group for the invariant ones.

    Example:
        >>> import torch
        >>> from eqssl.encoders import frame_averaged
        >>> from eqssl.symmetry import group
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 5))
        >>> encoder = frame_averaged(network, group("C4"), (1, 8, 8))
        >>> encoder.invariant(torch.randn(2, 1, 8, 8)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        network: nn.Module,
        G: Group,
        image_shape: tuple[int, int, int],
        fields: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        mask: Mask = "disc",
        group_pooling: Literal["mean", "max"] = "mean",
    ) -> None:
        super().__init__()
        self.network = network
        self.group, self.image_shape, self.fields = G, image_shape, fields
        self.mean, self.std, self.mask = mean, std, mask
        self.group_pooling: Literal["mean", "max"] = group_pooling

    @property
    def group_name(self) -> str:
        """Name of the group."""
        return self.group.name

    def forward(
        self, images: Float[Tensor, "batch channel side side"]
    ) -> Float[Tensor, "batch fields order"]:
        """Regular fields of normalised images; the last axis as `group.elements`.

        All turns of a batch go through the network together, so that a batch norm sees them all.

        Raises:
            ValueError: the images are not square, or the network gives something other than vectors.
        """
        if images.ndim != 4 or images.shape[-1] != images.shape[-2]:
            allowed = "(batch, channel, side, side)"
            raise ValueError(f"images: given shape {tuple(images.shape)}, allowed: {allowed}")
        turned = torch.cat([self.group.act(images, ~h) for h in self.group.elements])
        vectors = self.network(turned)
        if vectors.ndim != 2 or len(vectors) != len(turned):
            raise ValueError(
                f"network: gives shape {tuple(vectors.shape)} for {len(turned)} images, allowed: "
                "(images, fields); pool maps over the plane first"
            )
        return vectors.view(self.group.order, len(images), -1).permute(1, 2, 0)

    def pool(self, features: Float[Tensor, "batch fields order"]) -> Float[Tensor, "batch fields"]:
        """The invariant part of regular fields."""
        return pool_group(features, self.group_pooling)

    def invariant(self, images: Float[Tensor, "batch channel side side"]) -> Float[Tensor, "batch fields"]:
        """Features that no element of the group changes."""
        return self.pool(self(images))


def frame_averaged(
    network: nn.Module,
    G: Group,
    image_shape: tuple[int, int, int],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    mask: Mask = "disc",
    group_pooling: Literal["mean", "max"] = "mean",
) -> FrameAveraged:
    """Make any network an exactly equivariant encoder, |G| times as dear.

    Args:
        network: from images (batch, channel, side, side) to vectors (batch, fields), such as a ResNet of
            torchvision or timm without its classifier. It is not copied.
        G: a group that maps the pixel grid to itself.
        image_shape: channels, height and width of an image.
        mean: of each channel of the training images, in [0, 1]; 0.5 by default.
        std: their standard deviation; 0.5 by default.
        mask: `disc` if everything outside of the inscribed disc is 0 in the images, else `none`.
        group_pooling: how features are pooled over the group for the invariant ones: `mean` or `max`.

    Raises:
        ValueError: the group is not exact, a number of channels does not fit, or the network gives something
            other than vectors.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import assert_equivariant, group
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 5), torch.nn.ReLU())
        >>> encoder = frame_averaged(network, group("D4"), (1, 8, 8))
        >>> encoder(torch.randn(2, 1, 8, 8)).shape
        torch.Size([2, 5, 8])
        >>> assert_equivariant(encoder, encoder.group, torch.randn(2, 1, 8, 8))
    """
    if not G.is_exact:
        allowed = ", ".join(exact_groups())
        raise ValueError(f"G: given {G.name}, allowed: {allowed}, which map the pixel grid to itself")
    channels = image_shape[0]
    values = {"mean": tuple(mean or [0.5] * channels), "std": tuple(std or [0.5] * channels)}
    for name, numbers in values.items():
        if len(numbers) != channels:
            raise ValueError(
                f"{name}: given {len(numbers)} numbers, allowed: {channels}, one for each channel"
            )
    made = FrameAveraged(network, G, image_shape, 0, **values, mask=mask, group_pooling=group_pooling)
    made.fields = _width(made)
    return made


def _width(encoder: FrameAveraged) -> int:
    """The length of the network's vectors, found by a pass that leaves no trace in its batch norms."""
    network = encoder.network
    like = next(network.parameters(), torch.zeros(()))
    blank = torch.zeros(1, *encoder.image_shape, dtype=like.dtype, device=like.device)
    modes = {module: module.training for module in network.modules()}
    network.eval()
    with torch.no_grad():
        width = encoder(blank).shape[1]
    for module, training in modes.items():
        module.training = training
    return width
