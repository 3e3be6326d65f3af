"""Convolution with half of the products: tiles of a row as polynomials, multiplied at a few points.

This is Toom and Cook's method of multiplying polynomials, which Winograd (1980) and Lavin and Gray (arXiv
1509.09308) use for convolutions. Here it is used along the rows alone. A tile d of 3 + k pixels and a filter
g with k columns give four results y, through points p and one point at infinity:

    y = A (G g * B d),      A_jp = p^j,      G_pi = p^i / M'(p),      B_pi = [x^i] M(x) / (x - p),
    M(x) = product of (x - p)

and at infinity A_3 = 1, G_(k-1) = 1, B_i = [x^i] M(x). That takes 6 products instead of 12 for k = 3, and 8
instead of 20 for k = 5. Each product is a convolution along the columns. Rounding errors depend on the points
(Barabasz et al., arXiv 1803.10986). With the points used here, the measured errors are 1.7 times (k = 3) and
2.5 times (k = 5) those of the plain convolution.
"""

from __future__ import annotations

from functools import cache
from math import ceil

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.fast_cpu.packed import convolve, pack

STEP = 4
"""Results per tile, which is also the distance in pixels from one tile to the next."""
POINTS = {3: (0.0, 0.625, -0.625, 1.5, -1.5), 5: (0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0)}
"""The finite points for each kernel; their squares are exact in binary."""
# of the maps that are processed at once, for each thread: more do not fit the cache, fewer take more calls
_BYTES = 2**22
# with fewer channels, products (for each thread) or pixels than these, plain convolution is faster
_FEWEST_CHANNELS = {3: 192, 5: 64}
_FEWEST_PRODUCTS = 3 * 10**8
_FEWEST_PIXELS = 128


@cache
def matrices(
    kernel: int,
) -> tuple[Float[Tensor, "step points"], Float[Tensor, "points points"], Float[Tensor, "points kernel"]]:
    """A and B in float32, and G in float64; the point at infinity comes last."""
    points = np.array(POINTS[kernel])
    size = len(points) + 1
    A, B, G = np.zeros((STEP, size)), np.zeros((size, size)), np.zeros((size, kernel))
    for place, point in enumerate(points):
        others = np.delete(points, place)
        A[:, place] = point ** np.arange(STEP)
        B[place, :-1] = np.poly(others)[::-1]
        G[place] = point ** np.arange(kernel) / np.prod(point - others)
    A[-1, -1] = G[-1, -1] = 1
    B[-1] = np.poly(points)[::-1]
    return torch.from_numpy(A).float(), torch.from_numpy(B).float(), torch.from_numpy(G)


def pays(x: Float[Tensor, "batch in_channels height width"], out_channels: int, kernel: int) -> bool:
    """Whether this method is faster for a convolution with stride 1: it is for many channels and pixels.

    The work before and after the products grows with the number of channels, the products with that of pairs.
    """
    batch, in_channels, height, width = x.shape
    pixels = batch * height * width
    products = pixels * in_channels * out_channels * kernel**2
    if kernel not in POINTS or pixels < _FEWEST_PIXELS:
        return False
    enough = products >= _FEWEST_PRODUCTS * torch.get_num_threads()
    # harmonic mean
    return enough and 2 / (1 / in_channels + 1 / out_channels) >= _FEWEST_CHANNELS[kernel]


def filters_at_points(
    weight: Float[Tensor, "out_channels in_channels kernel kernel"], x: Tensor
) -> list[Tensor]:
    """`G g` for each point, in oneDNN's layout for maps such as x."""
    kernel = weight.shape[-1]
    found = torch.einsum("pk,oiyk->poiy", matrices(kernel)[2], weight.detach().double()).to(weight.dtype)
    _, channels, height, width = x.shape
    shape = (1, channels, height, ceil(width / STEP) * _images_at_once(x))
    return [pack(part, shape, 1, (kernel // 2, 0)) for part in found.unsqueeze(-1).contiguous()]


def convolve_at_points(
    x: Float[Tensor, "batch in_channels height width"],
    filters: list[Tensor],
    bias: Float[Tensor, " out_channels"] | None,
    kernel: int,
) -> Float[Tensor, "batch out_channels height width"]:
    """The convolution with stride 1 and a padding that keeps the size, in channels_last.

    Args:
        x: the map.
        filters: from `filters_at_points`.
        bias: a number that is added to each channel.
        kernel: side of the filter.
    """
    batch, _, height, width = x.shape
    result = x.new_empty(batch, height, width, filters[0].shape[0]).permute(0, 3, 1, 2)
    images = _images_at_once(x)
    for maps, results in zip(x.split(images), result.split(images), strict=True):
        _convolve_part(maps.permute(2, 3, 0, 1), filters, bias, kernel, results.permute(2, 3, 0, 1))
    return result


def _images_at_once(x: Tensor) -> int:
    """How many images to process at once: few enough for the cache, enough for long rows."""
    batch, channels, height, width = x.shape
    tiles = ceil(width / STEP)
    most = max(ceil(_BYTES * torch.get_num_threads() / (24 * height * tiles * channels)), ceil(64 / tiles))
    return ceil(batch / ceil(batch / most))


def _convolve_part(
    x: Float[Tensor, "height width images in_channels"],
    filters: list[Tensor],
    bias: Tensor | None,
    kernel: int,
    result: Float[Tensor, "height width images out_channels"],
) -> None:
    """Write the results of some images, which are neighbours within a column."""
    A, B, _ = matrices(kernel)
    pixels = _tiles(x, kernel)
    values = torch.mm(B, pixels.flatten(1)).view_as(pixels)
    products = x.new_empty(*values.shape[:-1], result.shape[-1])
    for value, filter_, product in zip(values, filters, products, strict=True):
        rows = value.flatten(1, 2).unsqueeze(0).permute(0, 3, 1, 2)
        found = convolve(rows, filter_, None, 1, (kernel // 2, 0))
        product.flatten(1, 2).copy_(found[0].permute(1, 2, 0))
    sums = torch.mm(A, products.flatten(1)).view(STEP, *products.shape[1:])
    for place, total in enumerate(sums):
        columns = result[:, place::STEP]
        found = total[:, : columns.shape[1]]
        columns.copy_(found) if bias is None else torch.add(found, bias, out=columns)


def _tiles(
    x: Float[Tensor, "height width images channels"], kernel: int
) -> Float[Tensor, "pixels height tiles images channels"]:
    """Pixel i of tile t is column `4 t + i - padding` of the map, or 0 outside the map."""
    height, width, images, channels = x.shape
    count, padding = ceil(width / STEP), kernel // 2
    tiles = x.new_zeros(STEP - 1 + kernel, height, count, images, channels)
    for i, columns in enumerate(tiles):
        first = ceil(max(0, padding - i) / STEP)
        found = x[:, STEP * first + i - padding :: STEP][:, : count - first]
        columns[:, first : first + found.shape[1]] = found
    return tiles
