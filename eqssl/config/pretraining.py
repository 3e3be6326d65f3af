"""Settings of the optimisation, and what an entry of `pretexts` may change in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from eqssl.config.changes import Changes, changes_of
from eqssl.config.settings import Settings
from eqssl.config.values import NotNegative, Positive


class PretrainSettings(Settings):
    """Optimisation of the encoder.

    Attributes:
        epochs: at most 100,000.
        batch_size: 2 to 65,536.
        optimiser: `adamw`, `lars`, or `sgd` with momentum 0.9 (`eqssl.training.optimisers`).
        precision: of the forward and backward pass.
        compile: whether `torch.compile` writes the encoder's code. It takes about a minute, and saves a GPU
            the launches of many small kernels. The encoder of a momentum branch is not compiled.
        threads: fixed, because sums in another order give other bits; at most 1,024.
    """

    epochs: Annotated[int, Field(ge=0, le=100_000)]
    batch_size: Annotated[int, Field(ge=2, le=65_536)]
    optimiser: Literal["adamw", "lars", "sgd"]
    learning_rate: Positive
    weight_decay: NotNegative
    warmup_epochs: NotNegative
    precision: Literal["auto", "float32", "bfloat16"]
    compile: bool
    threads: Annotated[int, Field(ge=1, le=1024)]

    @model_validator(mode="after")
    def _warm_up_fits(self) -> Self:
        if self.warmup_epochs > self.epochs:
            allowed = f"at most epochs ({self.epochs})"
            raise ValueError(f"warmup_epochs: given {self.warmup_epochs}, allowed: {allowed}")
        return self


if TYPE_CHECKING:
    PretrainChanges: TypeAlias = Changes
else:
    PretrainChanges = changes_of(
        PretrainSettings,
        "PretrainChanges",
        "Settings of the section `pretrain` that an entry of `pretexts` changes.",
    )
