"""The one interface of all pretexts: a loss on a batch of stored images."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from eqssl.config.views import ViewSettings
from eqssl.data.views.normalise import normalise
from eqssl.encoders.base import Encoder
from eqssl.symmetry import Group


class Pretext(nn.Module):
    """What an encoder is trained on.

    A pretext makes its views or corrupted inputs from stored images, runs the encoder and its own heads,
    and gives a loss. It is given its encoder and never builds one.

    Args:
        encoder: the encoder; `parameters()` includes its.
        settings: the entry of the `pretexts` table.
        views: the section `views`.
        classes: number of classes of the data.
        generator: draws the first weights of the heads.
    """

    trains: ClassVar[bool] = True

    def __init__(
        self,
        encoder: Encoder,
        settings: Any,
        views: ViewSettings,
        classes: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.views = views
        self.build(settings, classes, generator)

    @abstractmethod
    def build(self, settings: Any, classes: int, generator: torch.Generator | None) -> None:
        """Create heads and projectors."""

    @abstractmethod
    def loss(
        self,
        images: UInt8[Tensor, "batch channel side side"],
        labels: Int[Tensor, " batch"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The loss of a batch, and named numbers worth watching.

        Args:
            images: stored images.
            labels: their classes; only a supervised task looks at them.
            generator: draws views and corruptions, on the images' device.
        """

    def described(self) -> dict[str, Any]:
        """What the record of a run says of the task beside its settings; JSON values."""
        return {}

    @property
    def group(self) -> Group:
        """The encoder's group."""
        return self.encoder.group

    def fields_of(self, channels: int) -> int:
        """Regular fields that make about so many channels: heads of all groups are equally wide."""
        return max(1, channels // self.group.order)

    def normalised(self, images: Float[Tensor, "batch channel side side"]) -> Tensor:
        """Images in [0, 1], as the encoder takes them."""
        return normalise(images, self.encoder.mean, self.encoder.std)
