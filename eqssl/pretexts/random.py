"""The untrained encoder: the reference that every training has to beat."""

from __future__ import annotations

from typing import Any, NoReturn

from eqssl.pretexts.base import Pretext, Step


class Untrained(Pretext):
    """No training at all: the encoder keeps its first weights."""

    trains = False

    def build(self, settings: Any, classes: int, generator: Any) -> None:
        """Nothing to create."""

    def forward(self, step: Step) -> NoReturn:
        """An untrained encoder has no loss.

        Raises:
            ValueError: always.
        """
        raise ValueError("the task `random` does not train, so it has no loss")
