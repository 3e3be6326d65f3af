"""The number that is traced."""

from __future__ import annotations

from dataclasses import dataclass

from eqssl.config.plain import did_you_mean, shown
from eqssl.machine.cell_numbers import top_numbers
from eqssl.machine.records import Record

FIRST = ("acc_stored_100", "retrieval_hit_1", "equivariance_error")
"""The number that is traced if none is named: the first of these that the cell has."""
_ENDS = ("_lo", "_hi")


@dataclass(frozen=True)
class Number:
    """A number and the ends of its 95 % interval; None for what is not recorded or not known."""

    name: str
    value: float | None = None
    low: float | None = None
    high: float | None = None


def number_of(measured: Record | None, name: str | None) -> Number:
    """A number of a cell.

    Args:
        measured: its metrics; None if they are damaged, and then the number is not known.
        name: the number; None for the first of `FIRST` that there is.

    Raises:
        ValueError: there is no such number; names those that there are.
    """
    if measured is None:
        return Number(name or FIRST[0])
    known = top_numbers(measured)
    names = [key for key in sorted(known) if not (key.endswith(_ENDS) and key[:-3] in known)]
    if name is None:
        name = next((key for key in (*FIRST, *names) if key in known), None)
    if name not in names:
        hint = did_you_mean(name, names)
        allowed = ", ".join(names) or "none, since it holds no numbers"
        raise ValueError(f"{measured.path}: number: given {shown(name)}, allowed: {allowed}{hint}")
    return Number(name, known[name], known.get(f"{name}_lo"), known.get(f"{name}_hi"))
