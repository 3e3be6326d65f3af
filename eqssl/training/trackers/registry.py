"""The kinds of trackers by their names. Nothing here imports their libraries."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple, cast

from eqssl.config.errors import unknown
from eqssl.machine.packages import need
from eqssl.training.trackers.base import OpensRun


class Kind(NamedTuple):
    """A kind of tracker.

    Attributes:
        implementation: module and class.
        package: the one that it needs, by the name that is imported.
    """

    implementation: str
    package: str

    def imported(self) -> OpensRun:
        """The class that implements this kind."""
        module, _, name = self.implementation.partition(":")
        return cast(OpensRun, getattr(import_module(module), name))


TRACKERS = {
    "tensorboard": Kind("eqssl.training.trackers.tensorboard:TensorBoard", "tensorboard"),
    "mlflow": Kind("eqssl.training.trackers.mlflow:MLflow", "mlflow"),
    "wandb": Kind("eqssl.training.trackers.wandb:WandB", "wandb"),
    "dvclive": Kind("eqssl.training.trackers.dvclive:DVCLive", "dvclive"),
}


def require_tracker(name: str, key: str) -> Kind:
    """The kind of tracker of that name, whose library is installed here.

    Args:
        name: such as "tensorboard".
        key: the setting or option that gave the name, for messages.

    Raises:
        ValueError: there is no such kind, or its library is not installed.
    """
    if name not in TRACKERS:
        raise ValueError(unknown(key, name, TRACKERS))
    kind = TRACKERS[name]
    need(kind.package, told=f"{key}: given {name}, but ")
    return kind
