"""How far a map is from being equivariant: as a number, and as an assertion for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Shaped
from torch import Tensor

from eqssl.symmetry.groups import Group, act_on_regular
from eqssl.symmetry.gsets import GSet

Action = Callable[[Tensor, Any], Tensor]
Output = Literal["regular", "invariant", "image"] | GSet | Action


def equivariance_error(
    f: Callable[[Tensor], Tensor],
    G: Group,
    images: Shaped[Tensor, "batch channel height width"],
    output: Output = "regular",
    act: Action | None = None,
) -> float:
    """The largest relative error of `f(g x) = rho(g) f(x)` over the group.

        max over g of  |f(g x) - rho(g) f(x)| / |f(x)|     (Euclidean norm over the whole batch)

    Args:
        f: the map. It must be deterministic, and a call must not change it: put modules in eval mode.
        G: the group.
        images: input of `f`, moved by `G.act` unless `act` is given.
        output: how the output moves. "regular": the last axis follows `G.elements`; "invariant": not
            at all; "image": as images do; a `GSet`: the last axis holds logits over it; or a function.
        act: how the input moves, if it is not an image.

    Returns:
        The error. If `f(images)` is all zeros: 0 if every moved image gives zeros too, else infinity.

    Raises:
        ValueError: if `output` is none of these.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> equivariance_error(torch.relu, group("C4"), torch.randn(2, 1, 8, 8), output="image")
        0.0
    """
    move_input = act or G.act
    move_output = _output_action(G, output)
    with torch.no_grad():
        reference = f(images)
        size = float(reference.double().norm())
        worst = 0.0
        for g in G.elements:
            difference = f(move_input(images, g)).double() - move_output(reference, g).double()
            worst = max(worst, float(difference.norm()))
    if size == 0:
        return 0.0 if worst == 0 else float("inf")
    return worst / size


def assert_equivariant(
    f: Callable[[Tensor], Tensor],
    G: Group,
    images: Shaped[Tensor, "batch channel height width"],
    tolerance: float = 1e-5,
    output: Output = "regular",
    act: Action | None = None,
) -> None:
    """Raise unless `equivariance_error` is at most `tolerance` and `f` looks at its input.

    Raises:
        AssertionError: with the error, the group and the tolerance. Also if `f` gives the same output for
            `images` and for zeros, because a constant map would pass.
        ValueError: if `output` is none of the kinds that `equivariance_error` takes.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> mean_pixel = lambda images: images.mean((2, 3))
        >>> assert_equivariant(mean_pixel, group("D4"), torch.rand(2, 1, 8, 8), output="invariant")
    """
    with torch.no_grad():
        if torch.equal(f(images), f(torch.zeros_like(images))):
            raise AssertionError("the map gives the same output for zeros: it does not look at its input")
    error = equivariance_error(f, G, images, output, act)
    if not error <= tolerance:
        raise AssertionError(
            f"relative equivariance error {error:.2e} under {G.name}, allowed: {tolerance:.0e}"
        )


def _output_action(G: Group, output: Output) -> Action:
    if isinstance(output, GSet):
        return output.act_on_logits
    if callable(output):
        return output
    if output == "regular":
        return lambda values, g: act_on_regular(G, values, g)
    if output == "image":
        return G.act
    if output == "invariant":
        return lambda values, g: values
    raise ValueError(f"output: given {output!r}, allowed: regular, invariant, image, a GSet, a function")
