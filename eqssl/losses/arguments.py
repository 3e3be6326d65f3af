"""Checks of the arguments of losses. Each names the argument, what was given and what is allowed."""

from __future__ import annotations

from torch import Tensor

from eqssl.symmetry.groups import Group


def check_pair(z1: Tensor, z2: Tensor, G: Group, least: int = 1) -> None:
    """Check that z1 and z2 are embeddings of at least `least` images, in the same order.

    Raises:
        ValueError: names the argument and its shape.
    """
    if z1.shape != z2.shape:
        raise ValueError(
            f"z1, z2: given shapes {tuple(z1.shape)} and {tuple(z2.shape)}, allowed: equal shapes"
        )
    check_fields("z1", z1, z1, G, least)


def check_fields(name: str, z: Tensor, like: Tensor, G: Group, least: int = 1) -> None:
    """Check that z is a list of at least `least` embeddings, with as many fields as `like` has.

    Raises:
        ValueError: names the argument and its shape.
    """
    fields = like.shape[1] if like.ndim == 3 else "fields"
    if z.ndim != 3 or z.shape[1] != fields or z.shape[2] != G.order:
        raise ValueError(f"{name}: given shape {tuple(z.shape)}, allowed: (batch, {fields}, {G.order})")
    if len(z) < least:
        raise ValueError(f"{name}: given {len(z)} embeddings, allowed: at least {_WORDS[least]}")


_WORDS = {1: "one", 2: "two"}


def check_positive(**values: float) -> None:
    """Check numbers, given by name.

    Raises:
        ValueError: names the one that is not positive.
    """
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}: given {value}, allowed: a positive number")


def check_not_negative(**values: float) -> None:
    """Check numbers, given by name.

    Raises:
        ValueError: names the one that is negative.
    """
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name}: given {value}, allowed: zero or a positive number")
