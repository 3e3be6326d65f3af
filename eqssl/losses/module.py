"""What the module forms of losses share: they keep the group, the kind and the settings of a loss."""

from __future__ import annotations

from inspect import signature
from typing import Any, ClassVar

from torch import Tensor, nn

from eqssl.losses.kinds import Kind, check_kind
from eqssl.symmetry.groups import Group


class LossModule(nn.Module):
    """A loss as a module. A subclass names the function in `loss`.

    Args:
        G: the group.
        kind: the similarity, or None for the plain loss.
        **settings: the settings of the loss by name, such as `temperature`.

    Raises:
        TypeError: if the loss has no such setting.
        ValueError: if there is no such kind.
    """

    loss: ClassVar[staticmethod[..., Tensor]]

    def __init__(self, G: Group, kind: Kind | None = "max", **settings: Any) -> None:
        super().__init__()
        check_kind(kind)
        signature(self.loss).bind_partial(G=G, kind=kind, **settings)
        self.group, self.kind, self.settings = G, kind, settings

    def extra_repr(self) -> str:
        """Settings, for printing."""
        settings = "".join(f", {name}={value}" for name, value in self.settings.items())
        return f"{self.group.name}, kind={self.kind}{settings}"

    def forward(self, *embeddings: Tensor, **others: Any) -> Tensor:
        """The loss of embeddings. What changes from step to step, such as a queue, is given by name."""
        return self.loss(*embeddings, self.group, kind=self.kind, **self.settings, **others)
