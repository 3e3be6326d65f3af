"""Convolution with fewer products, for inference: tiles of a row as polynomials, multiplied at a few points.

Toom and Cook's way to multiply polynomials, as Winograd (1980) and Lavin and Gray (arXiv 1509.09308) use it
for convolutions, along the rows alone. A tile of 3 + k pixels d gives four results of a filter g with k
columns, by the roots p of `M(x) = x (x^2 - a^2) (x^2 - b^2) ..`:

    y_j = sum_i g_i d_(j + i) = sum_p p^j u_p v_p + [j = 3] u_inf v_inf,    j = 0 .. 3
    u_p = sum_i g_i p^i / M'(p),    v_p = sum_i d_i [x^i] M(x) / (x - p)
    u_inf = g_(k - 1),              v_inf = sum_i d_i [x^i] M(x)

That takes 6 products instead of 12 for k = 3, and 8 instead of 20 for k = 5. A product is here a convolution
along the columns. Rounding errors depend on the points (Barabasz et al., arXiv 1803.10986); with these they
were seen to be 1.7 times (k = 3) and 2.5 times (k = 5) those of the sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod

import torch
from jaxtyping import Float
from torch import Tensor

STEP = 4
"""Results of a tile, and the pixels from one tile to the next."""
POSITIVE = {3: (0.625, 1.5), 5: (0.5, 1.0, 2.0)}
"""The points a, b, .. for each kernel; their squares are exact in binary."""
# of values at the points, for each thread: larger parts leave the cache, smaller ones take more calls
_BYTES = 2**22
# products and pixels fewer than these take less time than the calls that would spare them
_FEWEST_PRODUCTS = {3: 25 * 10**7, 5: 2 * 10**8}
_FEWEST_PIXELS = 128


def pays(x: Float[Tensor, "batch in_channels height width"], out_channels: int, kernel: int) -> bool:
    """Whether this convolution, of stride 1 in float32, takes less time so: for many channels and pixels.

    The sums before and after the products take as much time for every channel, the products for every pair.
    """
    batch, in_channels, height, width = x.shape
    if kernel not in POSITIVE:
        return False
    pixels = batch * height * width
    products = pixels * in_channels * out_channels * kernel**2
    if pixels < _FEWEST_PIXELS or products < _FEWEST_PRODUCTS[kernel] * torch.get_num_threads():
        return False
    # harmonic mean
    return 2 / (1 / in_channels + 1 / out_channels) >= _fewest_channels(width, kernel)


def _fewest_channels(width: int, kernel: int) -> int:
    """Channels from which it was seen to take less time, on maps of this width."""
    # a row's last tile may lie partly beyond the map
    exact = width % STEP == 0
    if kernel == 5:
        return 128 if width < 7 else 40 if exact and width >= 14 else 64
    if exact:
        return 64
    return 128 if width >= 14 else 256


def points(kernel: int) -> tuple[float, ...]:
    """Those of a kernel, but for infinity, which comes last wherever points are counted."""
    return (0.0, *(sign * point for point in POSITIVE[kernel] for sign in (1, -1)))


def filters_at_points(
    weight: Float[Tensor, "out_channels in_channels kernel kernel"],
) -> Float[Tensor, "point out_channels in_channels kernel 1"]:
    """`u`: a filter's rows as polynomials, at the points and at infinity."""
    kernel = weight.shape[-1]
    finite = torch.tensor(points(kernel), dtype=torch.float64)
    apart = finite[:, None] - finite
    slopes = apart.fill_diagonal_(1).prod(1)
    rows = finite[:, None] ** torch.arange(kernel) / slopes[:, None]
    last = torch.zeros(1, kernel, dtype=torch.float64)
    last[0, -1] = 1
    found = torch.einsum("pk,oiyk->poiy", torch.cat([rows, last]), weight.double())
    return found.to(weight.dtype).unsqueeze(-1)


def shares_of_bias(kernel: int) -> tuple[float, ...]:
    """What to add to each product to add 1 to every result: `sum_p p^j s_p = 1`, the powers of 1."""
    found = points(kernel)
    return (*(prod((1 - q) / (p - q) for q in found if q != p) for p in found), 0.0)


def packed(weight: Tensor, x: Tensor) -> list[Tensor]:
    """A weight's filters at the points, in the order that oneDNN reads for such maps."""
    _, channels, height, width = x.shape
    shape = [1, channels, height, ceil(width / STEP) * _images_at_once(x)]
    placed = ([weight.shape[-1] // 2, 0], [1, 1], [1, 1], 1, shape)
    reorder = torch.ops.mkldnn._reorder_convolution_weight
    return [reorder(part, *placed) for part in filters_at_points(weight).contiguous()]


def convolve(
    x: Float[Tensor, "batch in_channels height width"],
    filters: list[Tensor],
    bias: Float[Tensor, " out_channels"] | None,
    rectified: bool,
    target: Float[Tensor, "batch out_channels height width"] | None = None,
) -> Float[Tensor, "batch out_channels height width"]:
    """`relu(conv(x) + bias + summand)` with stride 1 and a padding that keeps the size.

    Args:
        x: the map, in float32 and channels_last.
        filters: what `packed` made of the weight.
        bias: a summand for each channel.
        rectified: whether ReLU comes last.
        target: the summand, over which the result is written; None for none.
    """
    out_channels, kernel = filters[0].shape[0], filters[0].shape[2]
    result = target
    if result is None:
        batch, _, height, width = x.shape
        result = x.new_empty(batch, height, width, out_channels).permute(0, 3, 1, 2)
    biases = [None if bias is None else share * bias for share in shares_of_bias(kernel)]
    images, scratch = _images_at_once(x), None
    for maps, results in zip(x.split(images), result.split(images), strict=True):
        if scratch is None or scratch.images != len(maps):
            scratch = _Scratch.of(maps, out_channels, kernel)
        _lay_out(maps.permute(2, 3, 0, 1), scratch.columns, kernel // 2)
        values = _evaluated(scratch, POSITIVE[kernel])
        products = [_product(*factors) for factors in zip(values, filters, biases, strict=True)]
        _interpolate(
            products, scratch, POSITIVE[kernel], results.permute(2, 3, 0, 1), target is not None, rectified
        )
    return result


def _images_at_once(x: Tensor) -> int:
    """Images of a part of the batch: values that stay in a processor's cache, but rows long enough."""
    batch, channels, height, width = x.shape
    tiles = ceil(width / STEP)
    # of the values at all six or eight points, about
    bytes_each = 6 * height * tiles * channels * x.element_size()
    most = max(ceil(_BYTES * torch.get_num_threads() / bytes_each), ceil(64 / tiles))
    return ceil(batch / ceil(batch / most))


@dataclass
class _Scratch:
    """Memory for one part of a batch; its images lie within a column, next to each other.

    Attributes:
        columns: of the padded maps, those of the same place in a tile together.
        between: three maps.
        values: `v`; later sums of products.
    """

    columns: Float[Tensor, "4 height tiles_and_more images in_channels"]
    between: Float[Tensor, "3 height tiles images in_channels"]
    values: Float[Tensor, " numbers"]

    @classmethod
    def of(cls, x: Tensor, out_channels: int, kernel: int) -> _Scratch:
        """For maps of this shape."""
        images, channels, height, width = x.shape
        tiles, tile = ceil(width / STEP), STEP - 1 + kernel
        return cls(
            x.new_zeros(STEP, height, tiles + (tile - 1) // STEP, images, channels),
            x.new_empty(3, height, tiles, images, channels),
            x.new_empty(tile * height * tiles * images * max(channels, out_channels)),
        )

    @property
    def images(self) -> int:
        """Images of the part."""
        return self.between.shape[3]

    def maps(self, count: int, channels: int) -> Float[Tensor, "count height tiles images channels"]:
        """So many maps with so many channels, in the memory of `values`."""
        shape = (count, *self.between.shape[1:4], channels)
        return self.values[: prod(shape)].view(shape)


def _lay_out(
    pixels: Float[Tensor, "height width images channels"],
    columns: Float[Tensor, "4 height tiles_and_more images channels"],
    padding: int,
) -> None:
    """Copy column `4 t + r - padding` of a map to place t of row r."""
    for place in range(STEP):
        # the first tile whose column lies on the map
        tile = ceil(max(0, padding - place) / STEP)
        found = pixels[:, tile * STEP + place - padding :: STEP]
        columns[place, :, tile : tile + found.shape[1]].copy_(found)


def _evaluated(
    scratch: _Scratch, positive: tuple[float, ...]
) -> Float[Tensor, "point height tiles images channels"]:
    """`v`: of `M(x) / (x - p)` the even and the odd powers are each shared by p and -p, up to a factor p.

    For a point p let q be the product of `x^2 - r^2` over the other positive points r. Then `M(x) / (x - p)`
    is `q x^2 + p q x`, `M(x)` is `q x^3 - p^2 q x`, and `M(x) / x` is `q x^2 - p^2 q`.
    """
    pixels, tiles = 2 * len(positive) + 2, scratch.between.shape[2]
    d = [scratch.columns[i % STEP, :, i // STEP : i // STEP + tiles] for i in range(pixels)]
    even, odd, other = scratch.between
    v = scratch.maps(pixels, d[0].shape[-1])
    for place, point in enumerate(positive):
        q = _powers([other_point**2 for other_point in positive if other_point != point])
        _weighted(d[2::2], q, even)
        _weighted(d[1:-1:2], q, odd)
        torch.add(even, odd, alpha=point, out=v[2 * place + 1])
        torch.sub(even, odd, alpha=point, out=v[2 * place + 2])
        if place == 0:
            _weighted(d[0:-2:2], q, other)
            torch.sub(even, other, alpha=point**2, out=v[0])
            _weighted(d[3::2], q, other)
            torch.sub(other, odd, alpha=point**2, out=v[-1])
    return v


def _powers(roots: list[float]) -> list[float]:
    """Coefficients of the polynomial with these roots, from that of the power 0 to that of the highest, 1."""
    found = [1.0]
    for root in roots:
        found = [low - root * high for low, high in zip([0.0, *found], [*found, 0.0], strict=True)]
    return found


def _weighted(maps: list[Tensor], weights: list[float], out: Tensor) -> None:
    """A sum of maps, of which the last has the weight 1."""
    torch.add(maps[-1], maps[0], alpha=weights[0], out=out)
    for x, weight in zip(maps[1:-1], weights[1:-1], strict=True):
        out.add_(x, alpha=weight)


def _product(
    values: Float[Tensor, "height tiles images in_channels"], packed: Tensor, bias: Tensor | None
) -> Float[Tensor, "height tiles images out_channels"]:
    """Of a filter and a map at one point: a convolution along the columns."""
    height, tiles, images, channels = values.shape
    rows = values.view(1, height, tiles * images, channels).permute(0, 3, 1, 2)
    placed = ([packed.shape[2] // 2, 0], [1, 1], [1, 1], 1)
    found = torch.ops.mkldnn._convolution_pointwise(rows, packed, bias, *placed, "none", [], "")
    product: Tensor = found.permute(0, 2, 3, 1).view(height, tiles, images, -1)
    return product


def _interpolate(
    products: list[Tensor],
    scratch: _Scratch,
    positive: tuple[float, ...],
    result: Float[Tensor, "height width images channels"],
    added: bool,
    rectified: bool,
) -> None:
    """Write `y`, even powers of p from sums of the products at p and -p, odd ones from differences.

    Args:
        products: at the points; written over.
        scratch: gives memory for the sums.
        positive: the positive points.
        result: where the results go.
        added: whether they are added to what is there.
        rectified: whether ReLU comes last.
    """
    zero, *pairs, infinite = products
    sums = scratch.maps(len(positive), zero.shape[-1])
    for place, total in enumerate(sums):
        torch.add(pairs[2 * place], pairs[2 * place + 1], out=total)
        pairs[2 * place].sub_(pairs[2 * place + 1])
    terms = (list(sums), pairs[::2])
    finish = torch.ops.aten._add_relu.out if rectified else torch.add
    # 1 and 2 come last, since they write over a term that 3 and 0 read
    for place in (0, 3, 1, 2):
        first, *between, last = terms[place % 2]
        factors = [point**place for point in positive]
        if place == 0:
            total = zero.add_(first)
        elif place == STEP - 1:
            total = infinite.add_(first, alpha=factors[0])
        else:
            total = first.mul_(factors[0])
        for term, factor in zip(between, factors[1:-1], strict=True):
            total.add_(term, alpha=factor)
        found = result[:, place::STEP]
        tiles = slice(found.shape[1])
        if added:
            total[:, tiles].add_(found)
        finish(total[:, tiles], last[:, tiles], alpha=factors[-1], out=found)
