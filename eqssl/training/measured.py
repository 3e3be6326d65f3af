"""What is measured of a trained pretext, as training writes it down and the evaluation passes it on."""

from __future__ import annotations

from typing import Any, NamedTuple


class Measured(NamedTuple):
    """Numbers of one trained pretext.

    Attributes:
        numbers: metric -> number, as they will stand in metrics.json and in the table of the grid. Names
            begin with `pretext_`, by which the table finds them.
        details: the same and more, for the report; JSON values.
    """

    numbers: dict[str, float]
    details: dict[str, Any]
