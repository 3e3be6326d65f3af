"""Whether every window of an encoder is exact at the size of its images; otherwise, which sizes would do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from eqssl.nn.convolution import GroupConv2d
from eqssl.nn.exactness import is_exact
from eqssl.nn.pooling import Halve, HalveByMaximum

if TYPE_CHECKING:
    from eqssl.encoders.base import Encoder

# side of the map -> the layers that halve it there, by name
Halvings = dict[int, dict[str, nn.Module]]


def check_windows(encoder: Encoder) -> None:
    """Run a stand-in for an image through the layers, none of which may break the symmetry.

    Raises:
        ValueError: names the layer, the size of its map, and the nearest sizes of images that work.
    """
    found = halvings(encoder)
    for side, layers in found.items():
        for name, layer in layers.items():
            if not _works(layer, side):
                image = encoder.image_shape[1]
                kernel = getattr(layer, "kernel", 0)
                raise ValueError(
                    f"layer {name} of {encoder.name}: a {kernel} x {kernel} window with stride 2 is not "
                    f"equivariant on its map of {side} x {side} pixels, for images of {image} x {image}; "
                    f"the nearest sizes of images that work: {_nearest(found, image)}"
                )


def halvings(encoder: Encoder) -> Halvings:
    """The layers that halve a map, by the side of the map that they meet; the first come first."""
    found: Halvings = {}
    with _watching(encoder, found), FakeTensorMode(allow_non_fake_inputs=True):
        encoder(torch.zeros(1, *encoder.image_shape))
    return found


@contextmanager
def _watching(encoder: Encoder, found: Halvings) -> Iterator[None]:
    """Note what halves a map, in eval mode, so that no statistic changes."""
    hooks, strided = [], []
    for name, layer in encoder.named_modules():
        is_filter = isinstance(layer, GroupConv2d) and layer.down != "no"
        if not (is_filter or isinstance(layer, Halve | HalveByMaximum)):
            continue

        def note(layer: nn.Module, inputs: tuple[Tensor], name: str = name) -> None:
            found.setdefault(inputs[0].shape[-1], {})[name] = layer

        hooks.append(layer.register_forward_pre_hook(note))
        if isinstance(layer, GroupConv2d) and layer.down == "strided":
            strided.append(layer)
            layer.down = "boxed"  # comes out as large, and refuses no size
    training = encoder.training
    try:
        encoder.eval()
        yield
    finally:
        encoder.train(training)
        for layer in strided:
            layer.down = "strided"
        for hook in hooks:
            hook.remove()


def _works(layer: nn.Module, side: int) -> bool:
    """Whether a layer is exact on a map; only strided filters of a group that turns anything are ever not."""
    if isinstance(layer, GroupConv2d) and layer.down == "strided" and len(layer.index) > 1:
        return is_exact(side, layer.kernel, 2, layer.padding)
    return True


def _nearest(found: Halvings, image: int) -> str:
    """The nearest smaller and larger image sizes at which every layer works."""
    smaller = next((side for side in range(image - 1, 1, -1) if _all_work(found, side)), None)
    larger = next(side for side in range(image + 1, image + 2 ** len(found) + 1) if _all_work(found, side))
    return f"{larger}" if smaller is None else f"{smaller} or {larger}"


def _all_work(found: Halvings, side: int) -> bool:
    for layers in found.values():
        if not all(_works(layer, side) for layer in layers.values()):
            return False
        side = (side + 1) // 2
    return True
