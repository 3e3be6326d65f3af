"""Settings of transfer: which other data sets the features of the encoders are judged on."""

from __future__ import annotations

from typing import Annotated

from eqssl.config.settings import Settings
from eqssl.config.values import Distinct, Name


class TransferSettings(Settings):
    """Features of each encoder on other data sets, and probes on them. It is an option of the evaluation.

    Views and stages of the features are those of the section `features`, the probes those of `probe`.

    Attributes:
        datasets: entries of the table `datasets` that have labels, each once. A cell skips its own data set.
            Without any, nothing is transferred.
    """

    datasets: Annotated[tuple[Name, ...], Distinct()] = ()
