"""Down-sampling by two and pooling over plane and group, exact on every size."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.nn.constants import ModuleWithConstants
from eqssl.nn.exactness import check_window


def halve(x: Float[Tensor, "batch channel side side"]) -> Float[Tensor, "batch channel half half"]:
    """Mean over windows with stride 2: 2 x 2 on even sides, 3 x 3 with padding 1 on odd ones.

    The parity of the window follows that of the map, which keeps the result exactly equivariant
    (28-14-7-4, 32-16-8-4). Pixels outside the map do not count in the mean.

    Example:
        >>> import torch
        >>> halve(torch.randn(2, 4, 28, 28)).shape, halve(torch.randn(2, 4, 7, 7)).shape
        (torch.Size([2, 4, 14, 14]), torch.Size([2, 4, 4, 4]))
    """
    kernel, padding = _window(x.shape[-1], "halve")
    if x.is_cuda and padding:
        return _mean_of_padded(x, kernel, padding)
    return F.avg_pool2d(x, kernel, 2, padding, count_include_pad=False)


def _mean_of_padded(x: Tensor, kernel: int, padding: int) -> Tensor:
    """The same mean, without torch's own padding.

    With that padding, torch's gradient of avg_pool2d is wrong for channels_last maps on CUDA devices, without
    any message (pytorch issue 188344: present in torch 2.11, fixed in July 2026).
    """
    padded, inside = (F.pad(t, (padding,) * 4) for t in (x, torch.ones_like(x[:1, :1])))
    return F.avg_pool2d(padded, kernel, 2) / F.avg_pool2d(inside, kernel, 2)


def halve_by_maximum(x: Float[Tensor, "batch channel side side"]) -> Float[Tensor, "batch channel half half"]:
    """Maximum over the windows of `halve`. It is equivariant on regular fields alone."""
    kernel, padding = _window(x.shape[-1], "halve_by_maximum")
    return F.max_pool2d(x, kernel, 2, padding)


def _window(side: int, name: str) -> tuple[int, int]:
    """Kernel and padding of an exact window with stride 2."""
    kernel, padding = (2, 0) if side % 2 == 0 else (3, 1)
    check_window(side, kernel, 2, padding, name)
    return kernel, padding


class Halve(nn.Module):
    """Module form of `halve`."""

    def forward(self, x: Tensor) -> Tensor:
        """See `halve`."""
        return halve(x)


class HalveByMaximum(nn.Module):
    """Module form of `halve_by_maximum`."""

    def forward(self, x: Tensor) -> Tensor:
        """See `halve_by_maximum`."""
        return halve_by_maximum(x)


def pool_space(
    x: Float[Tensor, "batch channels height width"], size: int
) -> Float[Tensor, "batch fields size"]:
    """Mean over the plane of group-major fields of `size` channels; the field's own axis comes last."""
    return x.mean((2, 3)).unflatten(1, (size, -1)).transpose(1, 2)


class Sample(ModuleWithConstants):
    """The values of band-limited fields at the listed elements of a continuous group.

    Args:
        matrix: shape (order, size); see `eqssl.symmetry.fourier.sampling_matrix`.
    """

    matrix: Tensor

    def __init__(self, matrix: Float[Tensor, "order size"]) -> None:
        super().__init__()
        self.register_constant("matrix", matrix.float().clone(), saved=True)

    def forward(self, features: Float[Tensor, "batch fields size"]) -> Float[Tensor, "batch fields order"]:
        """Sample."""
        return features @ self.matrix.t().to(features.dtype)


def pool_group(
    features: Float[Tensor, "batch fields order"], kind: Literal["mean", "max"]
) -> Float[Tensor, "batch fields"]:
    """The invariant part of regular fields: mean or maximum over the group; keeps the dtype.

    Example:
        >>> import torch
        >>> pool_group(torch.tensor([[[1.0, 2.0, 3.0, 6.0]]]), "mean").tolist()
        [[3.0]]
    """
    if kind == "mean":
        return features.mean(-1)
    if kind == "max":
        return features.amax(-1)
    raise ValueError(f"group pooling: given {kind!r}, allowed: mean, max")


def as_channels_last(x: Tensor) -> Tensor:
    """The same images with the memory layout that the layers run fastest on."""
    return x.contiguous(memory_format=torch.channels_last)
