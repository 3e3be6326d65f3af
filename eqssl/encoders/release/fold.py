"""The released form of an encoder: a plain torch network, with filters expanded and batch norms folded."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.encoders import network
from eqssl.encoders.base import Encoder, Shape
from eqssl.encoders.layers import Normalised, PlainLayers
from eqssl.nn.constants import ModuleWithConstants
from eqssl.nn.convolution import GroupConv2d
from eqssl.nn.normalisation import FieldBatchNorm
from eqssl.nn.plain import ChannelAffine, PlainConv2d


def release(encoder: Encoder, fold: bool = True) -> Encoder:
    """The plain network that computes what a trained encoder computes in eval mode.

    Its layers are torch's convolutions on equally many channels; they need no group, no filter basis and no
    escnn. Folding is done in float64.

    Args:
        encoder: a trained encoder; it is not changed.
        fold: whether batch norms are folded into the convolutions before them; otherwise each becomes a scale
            and a shift for each channel.

    Returns:
        The network, on the same device, in eval mode and without gradients.

    Raises:
        ValueError: if the encoder is a released one already.
    """
    if encoder.is_released:
        raise ValueError("encoder: given a released network, allowed: a trained one")
    plain = empty_release(encoder.shape, fold)
    with torch.no_grad():
        _fill(plain, copy.deepcopy(encoder).double())
    return plain.to(next(encoder.parameters()).device).eval().requires_grad_(False)


def empty_release(shape: Shape, fold: bool) -> Encoder:
    """A released network of the given shape, whose weights are still to be filled in."""
    sampling = torch.zeros(shape.samples, shape.size) if shape.samples else None
    output = torch.zeros(shape.order, shape.size) if shape.samples else None
    layers = PlainLayers(shape.size, sampling, fold)
    return network(shape.name)(shape, layers, PlainLayers(1, None, fold), output)


def _fill(target: nn.Module, source: nn.Module) -> None:
    """Fill the layers of a released network from those of a trained one with the same structure."""
    if isinstance(target, PlainConv2d) and isinstance(source, Normalised):
        convolution, norm = source
        weight, bias = folded(convolution, norm)
        target.weight.copy_(weight)
        assert target.bias is not None  # noqa: S101 - PlainLayers gave it one
        target.bias.copy_(bias)
    elif isinstance(target, PlainConv2d) and isinstance(source, GroupConv2d):
        target.weight.copy_(source.expand())
    elif isinstance(target, ChannelAffine) and isinstance(source, FieldBatchNorm):
        weight, bias = source.affine()
        target.weight.copy_(weight)
        target.bias.copy_(bias)
    else:
        if isinstance(target, ModuleWithConstants):
            for name, tensor in target.named_constants():
                tensor.copy_(getattr(source, name))
        for name, child in target.named_children():
            _fill(child, source.get_submodule(name))


def folded(
    convolution: nn.Module, norm: nn.Module
) -> tuple[Float[Tensor, "out_channels in_channels kernel kernel"], Float[Tensor, " out_channels"]]:
    """Filter and bias of a convolution and the batch norm after it, in eval mode.

    Raises:
        TypeError: if they are other layers.
    """
    if not (isinstance(convolution, GroupConv2d) and isinstance(norm, FieldBatchNorm)):
        raise TypeError(f"given {type(convolution).__name__} and {type(norm).__name__}")
    scale, shift = norm.affine()
    return convolution.expand() * scale[:, None, None, None], shift
