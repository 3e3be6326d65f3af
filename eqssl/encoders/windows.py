"""Whether every window of an encoder is exact at the size of its images; if not, which sizes work."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from eqssl.encoders.base import Encoder, Shape
from eqssl.encoders.layers import Layers
from eqssl.nn.convolution import Down
from eqssl.nn.exactness import is_exact


class Met(NamedTuple):
    """A layer and a map that it was applied to: the layer's name, both sides, and whether symmetry breaks."""

    layer: str
    kernel: int
    side: int
    breaks: bool


class Window(nn.Module):
    """Stands in for a convolution: gives a map with one channel, as large as the convolution's result.

    Args:
        kernel: side of the filter.
        down: see `GroupConv2d`.
        bound: whether there is a symmetry to break.
    """

    def __init__(self, kernel: int, down: Down, bound: bool) -> None:
        super().__init__()
        self.kernel, self.down, self.bound = kernel, down, bound
        self.sides: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        """Note the side of the map."""
        side = x.shape[-1]
        self.sides.append(side)
        after = side if self.down == "no" else (side + 1) // 2
        return x.new_zeros(1, 1, after, after)

    def met(self, name: str) -> list[Met]:
        """The maps that this layer was applied to."""
        return [Met(name, self.kernel, side, self._breaks(side)) for side in self.sides]

    def _breaks(self, side: int) -> bool:
        strided = self.bound and self.down == "strided"
        return strided and not is_exact(side, self.kernel, 2, self.kernel // 2)


class WindowLayers(Layers):
    """Makes stand-ins for layers that compute nothing but the sizes of maps."""

    def __init__(self, bound: bool) -> None:
        super().__init__(1)
        self.bound = bound

    def lift(self, channels: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """A window."""
        return Window(kernel, down, self.bound)

    def convolution(self, incoming: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """A window."""
        return Window(kernel, down, self.bound)

    def norm(self, fields: int) -> nn.Module:
        """A layer that does nothing."""
        return nn.Identity()


def check_windows(architecture: type[Encoder], shape: Shape) -> None:
    """Refuse an architecture that breaks the symmetry, tested with stand-ins for the image and the layers.

    Raises:
        ValueError: names the layer, the size of its map, and the nearest sizes of images that work.
    """
    image = shape.image[1]
    broken = next((met for met in meetings(architecture, shape, image) if met.breaks), None)
    if broken is None:
        return

    def works(side: int) -> bool:
        return not any(met.breaks for met in meetings(architecture, shape, side))

    smaller = next((side for side in range(image - 1, 1, -1) if works(side)), None)
    larger = next(side for side in range(image + 1, 2 * image + 64) if works(side))
    nearest = f"{larger}" if smaller is None else f"{smaller} or {larger}"
    raise ValueError(
        f"layer {broken.layer} of {shape.name}: a {broken.kernel} x {broken.kernel} window with stride 2 is "
        f"not equivariant on its map of {broken.side} x {broken.side} pixels, for images of {image} pixels; "
        f"the nearest sizes of images that work: {nearest}"
    )


def meetings(architecture: type[Encoder], shape: Shape, image: int) -> list[Met]:
    """The maps that the layers are applied to, for images of a given side."""
    network = architecture(shape, WindowLayers(shape.order > 1), WindowLayers(False))
    with torch.no_grad():
        network.maps(torch.zeros(1, 1, image, image))
    windows = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, Window)]
    return [met for name, layer in windows for met in layer.met(name)]
