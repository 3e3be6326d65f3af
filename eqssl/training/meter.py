"""Means of the loss and of a pretext's own numbers, summed on the device and read from time to time."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Meter:
    """Sums over the steps of an epoch.

    Args:
        device: where the numbers are.

    Attributes:
        names: "loss", then the pretext's numbers in its order; known from the first step on.
        sums: one sum for each name, since the epoch began; None before the first step.
        precision: type of the sums.
    """

    def __init__(self, device: torch.device) -> None:
        self.names: list[str] = ["loss"]
        self.sums: Tensor | None = None
        # 64 bits where the device has them, so that long epochs lose nothing.
        self.precision = torch.float32 if device.type == "mps" else torch.float64
        self._device = device
        self._seen: list[float] = []  # the sums at the reading before

    def add(self, loss: Tensor, scalars: Mapping[str, Tensor]) -> None:
        """Add the numbers of a step, without waiting for the device.

        Raises:
            ValueError: their names differ from those of earlier steps.
        """
        names = ["loss", *scalars]
        values = torch.stack([value.detach().float() for value in (loss, *scalars.values())])
        if self.sums is None:
            self.names = names
            self.sums = torch.zeros(len(values), dtype=self.precision, device=self._device)
            self._seen = [0.0] * len(values)
        if names != self.names:
            raise ValueError(f"numbers of a step: given {', '.join(names)}, before: {', '.join(self.names)}")
        self.sums += values

    def read(self) -> tuple[list[float], list[float]]:
        """Wait for the device and read.

        Returns:
            Sums since the previous reading, and sums since the epoch began.
        """
        sums = [] if self.sums is None else self.sums.tolist()
        recent = [now - before for now, before in zip(sums, self._seen, strict=True)]
        self._seen = sums
        return recent, sums

    def end_epoch(self) -> None:
        """Start again from zero."""
        if self.sums is not None:
            self.sums.zero_()
            self._seen = [0.0] * len(self.names)

    def restore(self, names: list[str], sums: Tensor | None) -> None:
        """Go back to earlier names and sums."""
        self.names = names
        if sums is not None:
            self.sums = sums.to(self._device)
            self._seen = sums.tolist()
