"""The interface of all pretexts: they get the images of a step, and give a loss and named numbers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from eqssl.config.views import ViewSettings
from eqssl.data.views.normalise import normalise
from eqssl.encoders.base import Encoder
from eqssl.pretexts.parameters import ParameterGroup, decayed_and_not
from eqssl.pretexts.views import TurnedView, ViewSpec, check_sizes, draw_turned_views
from eqssl.symmetry import Group


@dataclass(frozen=True)
class Step:
    """The inputs of one training step.

    Attributes:
        images: stored images, shape (batch, channel, side, side), on the device: uint8, or float32 in
            [0, 255] for images of 16 bits.
        labels: their classes, shape (batch); None for data without classes. Only a supervised task uses them.
        generator: draws views and corruptions, on the images' device.
        progress: share of the training that is done before this step, in [0, 1). It is a Python number, so
            reading it does not wait for the device.

    Example:
        >>> import torch
        >>> images = torch.randint(256, (8, 1, 28, 28), dtype=torch.uint8)
        >>> step = Step(images, labels=None, generator=torch.Generator().manual_seed(0), progress=0.0)
    """

    images: Shaped[Tensor, "batch channel side side"]
    labels: Int[Tensor, " batch"] | None
    generator: torch.Generator
    progress: float


class Outcome(NamedTuple):
    """The result of a step: its loss, and named numbers for the log, all on the device.

    Example:
        >>> import torch
        >>> outcome = Outcome(torch.tensor(0.7), {"accuracy": torch.tensor(0.5)})
        >>> loss, scalars = outcome
    """

    loss: Float[Tensor, ""]
    scalars: dict[str, Float[Tensor, ""]]


class Pretext(nn.Module):
    """What an encoder is trained on.

    A pretext makes its views or corrupted inputs from stored images, runs the encoder and its own heads,
    and gives a loss. It is given its encoder and never builds one. Everything that a later step depends on,
    such as a queue, is a parameter or a buffer, so that its `state_dict` holds it.

    Args:
        encoder: the encoder; `parameters()` includes its parameters.
        settings: the entry of the `pretexts` table.
        views: the section `views`.
        classes: number of classes of the data.
        generator: draws the first weights of the heads.

    Attributes:
        view_settings: the section `views`.
        views: the random views that a step draws of each image; `build` sets it. Empty for a task that makes
            its inputs in another way.

    Raises:
        ValueError: for views of a size at which the encoder would lose its symmetry.

    Example:
        >>> import eqssl, torch
        >>> from eqssl.pretexts.base import Step
        >>> task = eqssl.pretexts.build("inv_contrastive", eqssl.Params.load("params.yaml"))
        >>> images = torch.randint(256, (8, 1, 28, 28), dtype=torch.uint8)
        >>> outcome = task(Step(images, None, torch.Generator().manual_seed(0), 0.0))
        >>> outcome.loss.backward()
        >>> task.after_step(1.0)
    """

    trains: ClassVar[bool] = True
    views: tuple[ViewSpec, ...] = ()

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
        self.view_settings = views
        self.build(settings, classes, generator)
        check_sizes(encoder, self.views)

    @abstractmethod
    def build(self, settings: Any, classes: int, generator: torch.Generator | None) -> None:
        """Create heads and projectors, and declare the views."""

    @abstractmethod
    def forward(self, step: Step) -> Outcome:
        """The loss of a batch, and named numbers for the log."""

    def after_step(self, progress: float) -> None:
        """Change what the optimiser does not: a momentum encoder, a queue, a teacher's temperature.

        Training calls it once after each step of the optimiser, without gradients.

        Args:
            progress: share of the training that is done after this step, in (0, 1].
        """

    def parameter_groups(self) -> list[ParameterGroup]:
        """All trained parameters, in groups that the optimiser may treat differently.

        By default there are two: parameters with weight decay, and biases and parameters of normalisations,
        which have none. See `eqssl.pretexts.parameters` for the options of a group.
        """
        return decayed_and_not(self.named_parameters())

    def parts(self) -> dict[str, Pretext]:
        """The pretexts that this one is a sum of, by their names. Most pretexts have none."""
        return {}

    def warnings(self, numbers: Mapping[str, float]) -> dict[str, str]:
        """What is wrong with the training, in sentences; by default nothing ever is.

        Training asks at the end of each epoch, and says each sentence once.

        Args:
            numbers: means over the steps of the epoch: `loss`, and what `forward` named.

        Returns:
            Sentences by the names of what is wrong, which are the same in every epoch.
        """
        return {}

    def described(self) -> dict[str, Any]:
        """What the record of a run says about the task besides its settings; JSON values."""
        return {}

    def draw_turned_views(
        self, images: Shaped[Tensor, "batch channel side side"], generator: torch.Generator
    ) -> list[TurnedView]:
        """One view for each that `views` declares, in its order, in [0, 1], with its turns."""
        return draw_turned_views(images, self.views, generator, self.encoder.mask)

    def draw_views(
        self, images: Shaped[Tensor, "batch channel side side"], generator: torch.Generator
    ) -> list[Float[Tensor, "batch channel size size"]]:
        """The images of `draw_turned_views`."""
        return [view.images for view in self.draw_turned_views(images, generator)]

    @property
    def group(self) -> Group:
        """The encoder's group."""
        return self.encoder.group

    def fields_of(self, channels: int) -> int:
        """How many regular fields make about `channels` channels: heads of all groups are equally wide."""
        return max(1, channels // self.group.order)

    def normalised(self, images: Float[Tensor, "batch channel side side"]) -> Tensor:
        """Images in [0, 1], as the encoder takes them."""
        return normalise(images, self.encoder.mean, self.encoder.std)
