"""What a pretext needs of an encoder, for networks of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from jaxtyping import Float
from torch import Tensor

from eqssl.config.masks import Mask

if TYPE_CHECKING:
    from eqssl.symmetry.groups import Group


class RegularEncoder(Protocol):
    """From images to regular fields. Every pretext can train a `torch.nn.Module` that has all of this.

        encoder(G.act(x, g))[b, f, g * h] == encoder(x)[b, f, h]

    must hold for every element g of the group; `eqssl.symmetry.assert_equivariant(encoder, encoder.group, x)`
    checks it. `eqssl.encoders.Encoder` is one, and `eqssl.encoders.frame_averaged` makes one of any network.

    Attributes:
        group: the group that acts on images and features.
        group_name: its name.
        fields: number of regular fields of the output.
        image_shape: channels, height and width of an image.
        mean, std: mean and standard deviation of each channel of the training images, in [0, 1]. Pretexts
            normalise images with them.
        mask: `disc` if everything outside of the inscribed disc is 0 in the images, else `none`.

    Example:
        >>> import torch
        >>> from eqssl.encoders import RegularEncoder, frame_averaged
        >>> from eqssl.symmetry import group
        >>> def order(encoder: RegularEncoder) -> int:
        ...     return encoder.group.order
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 5))
        >>> order(frame_averaged(network, group("D4"), (1, 8, 8)))
        8
    """

    @property
    def group(self) -> Group: ...  # noqa: D102 - described above
    @property
    def group_name(self) -> str: ...  # noqa: D102
    @property
    def fields(self) -> int: ...  # noqa: D102
    @property
    def image_shape(self) -> tuple[int, int, int]: ...  # noqa: D102
    @property
    def mean(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def std(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def mask(self) -> Mask: ...  # noqa: D102

    def __call__(
        self, images: Float[Tensor, "batch channel side side"]
    ) -> Float[Tensor, "batch fields order"]:
        """Regular fields of normalised images; the last axis as `group.elements`."""
        ...

    def invariant(self, images: Float[Tensor, "batch channel side side"]) -> Float[Tensor, "batch fields"]:
        """Features that no element of the group changes."""
        ...
