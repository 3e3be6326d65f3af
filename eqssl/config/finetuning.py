"""Settings of fine-tuning: encoder and linear classifier trained together on a share of the labels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eqssl.config.settings import Settings
from eqssl.config.values import Count, Distinct, NotNegative, Positive, Probability, Seed


class FinetuneSettings(Settings):
    """Fine-tuning of the encoder. It is an option of the evaluation.

    Attributes:
        shares: per cent of the training labels, each once. Without any, nothing is fine-tuned.
        draws: balanced nested draws for the shares below 100, at most 100. With the seed of the section
            `probe` they are the draws of the probes.
        epochs: passes over the labelled images of a draw, at most 100,000.
        least_steps: a draw of few images takes as many epochs as make so many steps.
        batch_size: at most 65,536; all images of a draw that has fewer.
        learning_rate: of the encoder, after the warm-up (AdamW; a cosine to zero, as in pretraining).
        head_learning_rate: of the classifier, likewise.
        weight_decay: of both, except for biases and normalisations.
        warmup: share of the steps in which the learning rates grow from zero.
        bootstrap: resamples behind each 95 % interval, 100 to 100,000.
        seed: of the draws, the order of the images, their views and the bootstrap.
    """

    shares: Annotated[tuple[Annotated[int, Field(ge=1, le=100)], ...], Distinct()]
    draws: Annotated[int, Field(ge=1, le=100)]
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    least_steps: Count
    batch_size: Annotated[int, Field(ge=2, le=65_536)]
    learning_rate: Positive
    head_learning_rate: Positive
    weight_decay: NotNegative
    warmup: Probability
    bootstrap: Annotated[int, Field(ge=100, le=100_000)]
    seed: Seed
