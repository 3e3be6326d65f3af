"""Measurements of a trained pretext, which training records and the evaluation passes on."""

from __future__ import annotations

from typing import Any, NamedTuple


class Measured(NamedTuple):
    """Numbers of one trained pretext.

    Attributes:
        numbers: metric -> number, as in metrics.json and in the table of the grid. Names begin with
            `pretext_`, so that the table finds them.
        details: the same numbers and more, for the report; JSON values.
    """

    numbers: dict[str, float]
    details: dict[str, Any]
