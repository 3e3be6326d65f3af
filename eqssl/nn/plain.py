"""Layers of a released network. They are plain torch layers, without groups."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.nn.convolution import Down, boxed_filter


class PlainConv2d(nn.Module):
    """Torch's convolution, with the ways of halving a map that `GroupConv2d` has.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel: side of the filter, odd.
        down: see `GroupConv2d`.
        bias: whether each output channel has a bias.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, down: Down, bias: bool) -> None:
        super().__init__()
        self.kernel, self.down = kernel, down
        # made in this order, because torch gives a single channel other strides, and is then slow
        weight = torch.zeros(out_channels, kernel, kernel, in_channels).permute(0, 3, 1, 2)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def extra_repr(self) -> str:
        """Channels and kernel, for printing."""
        out_channels, in_channels = self.weight.shape[:2]
        return f"{in_channels}, {out_channels}, kernel={self.kernel}, down={self.down}"

    @property
    def stride(self) -> int:
        """Pixels from one place of the filter to the next."""
        return 1 if self.down == "no" else 2

    def is_boxed(self, side: int) -> bool:
        """Whether the mean over 2 x 2 pixels is part of the filter, on maps of this side."""
        return self.down == "boxed" and side % 2 == 0

    def filter(self, side: int) -> Float[Tensor, "out_channels in_channels place place"]:
        """The filter for maps of this side."""
        return boxed_filter(self.weight) if self.is_boxed(side) else self.weight

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        """Convolve."""
        return F.conv2d(x, self.filter(x.shape[-1]), self.bias, self.stride, self.kernel // 2)


class ChannelAffine(nn.Module):
    """`y = x * weight + bias` for each channel: a batch norm without a convolution to fold it into."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Scale and shift."""
        # batch norm's kernel keeps the maps' type, where a product would convert them to that of the factors
        mean, variance = torch.zeros_like(self.bias), torch.ones_like(self.bias)
        # 1 + eps is 1 in every precision; torch 2.11 refuses 0
        return F.batch_norm(x, mean, variance, self.weight, self.bias, training=False, eps=1e-30)
