"""Settings of the evaluation: stored features, and probes on them."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from eqssl.config.settings import Settings
from eqssl.config.values import Count, Distinct, Positive, Seed, Stages

TestViews: TypeAlias = Annotated[
    tuple[Literal["stored", "grid", "angle"], ...], Field(min_length=1, max_length=3)
]
"""Views of the test images that accuracies are measured on."""


class FeatureSettings(Settings):
    """Which features of the frozen encoder are stored.

    Attributes:
        stages: how many, from the last one back.
        views: of the test images.
        turned: how many test images, from the first on, are moved by each element of D4 and by 16 angles as
            well; 0 for none.
        seed: of the moves of the views.
    """

    stages: Stages
    views: TestViews
    turned: Annotated[int, Field(ge=0, le=1_000_000)] = 500
    seed: Seed

    @model_validator(mode="after")
    def _stored_first(self) -> Self:
        if self.views[0] != "stored" or len(set(self.views)) != len(self.views):
            raise ValueError(f"views: given {list(self.views)}, allowed: 'stored' first, each view once")
        return self


Classifier = Literal["logistic", "ridge", "svm"]
"""Kinds of probes; each is a file of `eqssl/evaluation/classifiers`."""


class ProbeSettings(Settings):
    """Linear probes and nearest neighbours on stored features.

    Attributes:
        classifiers: kinds of probes; logistic regression comes first and is always there.
        stages: how many stages of the features are probed, from the last one back.
        shares: per cent of the training labels that probes are fitted on, each once.
        draws: balanced nested draws for the shares below 100, at most 100.
        strengths: least and largest l2 strength lambda = 1 / (C n), and how many between (at most 1,000), in
            equal ratios.
        tolerance, iterations: when logistic regression and the SVM stop; at most a million iterations.
        neighbours, temperature: k and T of the cosine k-nearest-neighbour vote; k is at most a million.
        bootstrap: resamples behind each 95 % interval, 100 to 100,000.
        seed: of the draws and the bootstrap.
    """

    classifiers: Annotated[tuple[Classifier, ...], Field(min_length=1), Distinct()] = ("logistic",)
    stages: Stages = 1
    shares: Annotated[tuple[Annotated[int, Field(ge=1, le=100)], ...], Field(min_length=1), Distinct()]
    draws: Annotated[int, Field(ge=1, le=100)]
    strengths: tuple[Positive, Positive, Annotated[int, Field(ge=13, le=1000)]]
    tolerance: Positive
    iterations: Count
    neighbours: Count
    temperature: Positive
    bootstrap: Annotated[int, Field(ge=100, le=100_000)]
    seed: Seed

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        least, largest, _ = self.strengths
        if least >= largest:
            raise ValueError(f"strengths: given {list(self.strengths)}, allowed: the smaller strength first")
        return self

    @model_validator(mode="after")
    def _logistic_first(self) -> Self:
        if self.classifiers[0] != "logistic":
            raise ValueError(f"classifiers: given {list(self.classifiers)}, allowed: 'logistic' first")
        return self
