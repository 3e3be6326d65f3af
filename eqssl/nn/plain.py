"""Layers of a released network, which knows nothing of groups any more."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.nn.convolution import Down
from eqssl.nn.fused import FusedConvolution, Window, can_be_target, fused_precision


class PlainConv2d(nn.Module):
    """Torch's convolution, with the ways of halving a map that `GroupConv2d` has, and what may follow it.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel: side of the filter, odd.
        down: see `GroupConv2d`.
        bias: whether each channel gets a summand.
        rectified: whether ReLU comes last, after all sums.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        down: Down,
        bias: bool,
        rectified: bool = False,
    ) -> None:
        super().__init__()
        self.kernel, self.down, self.rectified = kernel, down, rectified
        # made in this order, since torch gives a single channel other strides, and then runs slowly
        weight = torch.zeros(out_channels, kernel, kernel, in_channels).permute(0, 3, 1, 2)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self._fused = FusedConvolution()

    def extra_repr(self) -> str:
        """Channels and kernel, for printing."""
        out_channels, in_channels = self.weight.shape[:2]
        rectified = ", rectified" if self.rectified else ""
        return f"{in_channels}, {out_channels}, kernel={self.kernel}, down={self.down}{rectified}"

    def forward(
        self,
        x: Float[Tensor, "batch in_channels height width"],
        summand: Float[Tensor, "batch out_channels out_height out_width"] | None = None,
        overwrite: bool = False,
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        """Convolve.

        Args:
            x: the map.
            summand: a map to add to the result.
            overwrite: whether the result may be written over the summand.
        """
        boxed = self.down == "boxed" and x.shape[-1] % 2 == 0
        window = Window(1 if self.down == "no" else 2, self.kernel // 2, boxed)
        precision = fused_precision(x, self.weight)
        if precision is None:
            y = F.conv2d(x, window.filter(self.weight), self.bias, window.stride, window.padding)
        elif summand is None or (overwrite and can_be_target(summand, precision)):
            return self._fused(x, self.weight, self.bias, window, precision, self.rectified, summand)
        else:
            y = self._fused(x, self.weight, self.bias, window, precision, rectified=False)
        y = y if summand is None else y.add_(summand)
        return y.relu_() if self.rectified else y


class ChannelAffine(nn.Module):
    """`y = x * weight + bias` for each channel: a batch norm that no convolution comes before."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Scale and shift."""
        # the kernel of batch norm keeps narrow maps narrow, where a product would widen them to the factors
        mean, variance = torch.zeros_like(self.bias), torch.ones_like(self.bias)
        # 1 + eps is 1 in every precision; torch 2.11 refuses 0
        return F.batch_norm(x, mean, variance, self.weight, self.bias, training=False, eps=1e-30)
