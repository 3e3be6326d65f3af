"""The three networks that are compared: ours, plain torch with the same shapes, and escnn's modules.

All three have the same architecture (`eqssl.encoders`); only the makers of layers differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from eqssl.config.encoders import EncoderSettings
from eqssl.encoders import build_encoder, network
from eqssl.encoders.base import Encoder
from eqssl.encoders.layers import EquivariantLayers, Layers, Normalised
from eqssl.nn.convolution import Down
from eqssl.symmetry import _escnn, group
from eqssl.symmetry.filter_bases import filter_basis
from eqssl.symmetry.fourier import ROTATIONS, field_representation, field_size, sampling_matrix


@dataclass(frozen=True)
class Case:
    """Which network is measured, and on which images.

    Attributes:
        encoder: name in the registry, or `stage`: one convolution, batch norm and non-linearity.
        group: name of the group.
        kernel: side of the filters.
        width: channels of each stage; None for the numbers in the architecture's paper.
        side: side of an image in pixels.
        batch: number of images in a step.
    """

    encoder: str
    group: str
    kernel: int
    width: tuple[int, ...] | None
    side: int
    batch: int

    @property
    def channels(self) -> int:
        """Number of input channels: those of an image, or of whole fields that make about the first width."""
        if self.encoder != "stage":
            return 3
        assert self.width is not None  # noqa: S101 - a stage has a width
        size = field_size(group(self.group))
        return round(self.width[0] / size) * size


class TorchLayers(Layers):
    """Torch's own layers on equally many channels: the cost of a network without symmetry."""

    def lift(self, channels: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Convolution from images."""
        # on even sides, as in all benchmarks, `boxed` is one convolution with a filter that is a pixel wider
        stride = 1 if down == "no" else 2
        return nn.Conv2d(
            channels, fields * self.size, kernel + (down == "boxed"), stride, kernel // 2, bias=False
        )

    def convolution(self, incoming: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Convolution from feature maps."""
        return self.lift(incoming * self.size, fields, kernel, down)

    def norm(self, fields: int) -> nn.Module:
        """Batch norm with one mean and variance for each channel."""
        return nn.BatchNorm2d(fields * self.size)

    def activation(self) -> nn.Module:
        """ReLU, even where the equivariant network needs something more expensive."""
        return nn.ReLU(inplace=True)


class Typed(nn.Module):
    """An escnn module that takes and gives plain tensors, in escnn's own memory layout (contiguous).

    Args:
        module: the escnn module.
    """

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Apply."""
        result: Tensor = self.module(_escnn.nn.GeometricTensor(x, self.module.in_type)).tensor
        return result


class Contiguous(nn.Module):
    """Puts images into the layout that escnn runs fastest on."""

    def forward(self, x: Tensor) -> Tensor:
        """Copy unless it is contiguous."""
        return x.contiguous()


class EscnnLayers(Layers):
    """escnn's modules on the same fields.

    Args:
        group_name: name of the group.
        sampling: see `Layers`.
    """

    def __init__(self, group_name: str, sampling: Tensor | None) -> None:
        super().__init__(field_size(group(group_name)), sampling)
        self.group = group(group_name)
        self.fields = 0

    def _type(self, fields: int) -> Any:
        self.fields = fields
        return _escnn.nn.FieldType(self.group.gspace, [field_representation(self.group)] * fields)

    def _convolution(self, source: Any, fields: int, kernel: int, down: Down) -> nn.Module:
        stride = 1 if down == "no" else 2
        made = _escnn.nn.R2Conv(
            source,
            self._type(fields),
            kernel,
            padding=kernel // 2,
            stride=stride,
            bias=False,
            initialize=False,
        )
        with torch.no_grad():
            made.weights.normal_(0, 0.1)
        return Typed(made)

    def lift(self, channels: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Convolution from images."""
        gspace = self.group.gspace
        source = _escnn.nn.FieldType(gspace, [gspace.trivial_repr] * channels)
        return nn.Sequential(Contiguous(), self._convolution(source, fields, kernel, down))

    def convolution(self, incoming: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Convolution from fields."""
        return self._convolution(self._type(incoming), fields, kernel, down)

    def norm(self, fields: int) -> nn.Module:
        """Batch norm with one mean and variance for each field."""
        if self.sampling is None:
            return Typed(_escnn.nn.InnerBatchNorm(self._type(fields)))
        return Typed(_escnn.nn.IIDBatchNorm2d(self._type(fields)))

    def activation(self) -> nn.Module:
        """ReLU, or ELU of sampled values, for the fields of the layer that was made last."""
        if self.sampling is None:
            return Typed(_escnn.nn.ReLU(self._type(self.fields), inplace=True))
        irreps = [self.group.gspace.fibergroup.irrep(*name) for name in _band(self.group)]
        attributes = [irrep.id for irrep in irreps]
        return Typed(
            _escnn.nn.FourierELU(self.group.gspace, self.fields, attributes, N=ROTATIONS, type="regular")
        )


def _band(G: Any) -> list[Any]:
    """The irreducible representations of a field, each once."""
    return list(dict.fromkeys(field_representation(G).irreps))


class Stage(nn.Sequential):
    """Convolution, batch norm and non-linearity, as one network."""


def ours(case: Case) -> nn.Module:
    """Our network."""
    if case.encoder == "stage":
        G = group(case.group)
        sampling = sampling_matrix(G, ROTATIONS) if G.is_continuous else None
        made = EquivariantLayers(field_size(G), sampling, partial(filter_basis, case.group))
        return _stage(made, case)
    return _encoder(case)


def plain(case: Case) -> nn.Module:
    """Plain torch with the same convolution shapes, and filters in channels_last."""
    layers = TorchLayers(field_size(group(case.group)))
    return _twin(case, layers).to(memory_format=torch.channels_last)


def escnn(case: Case) -> nn.Module:
    """The same network of escnn's modules."""
    G = group(case.group)
    sampling = sampling_matrix(G, ROTATIONS) if G.is_continuous else None
    return _twin(case, EscnnLayers(case.group, sampling))


def _twin(case: Case, layers: Layers) -> nn.Module:
    if case.encoder == "stage":
        return _stage(layers, case)
    encoder = _encoder(case)
    sample = None if encoder.sample is None else encoder.sample.matrix
    return network(case.encoder)(encoder.shape, layers, layers, sample)


def _stage(layers: Layers, case: Case) -> Stage:
    fields = case.channels // layers.size
    return Stage(layers.convolution(fields, fields, case.kernel), layers.norm(fields), layers.activation())


@lru_cache(maxsize=2)
def _encoder(case: Case) -> Encoder:
    settings = EncoderSettings.read(
        {
            "name": case.encoder,
            "width": case.width,
            "kernel": case.kernel,
            "match": "channels",
            "group_pooling": "mean",
        }
    )
    image = (case.channels, case.side, case.side)
    return build_encoder(settings, case.group, image, [0.5] * 3, [0.25] * 3, torch.Generator().manual_seed(0))


def folded(made: nn.Module) -> nn.Module:
    """Plain torch in eval mode with torch's own folding."""
    made.eval()
    for name, child in made.named_children():
        if isinstance(child, Normalised):
            setattr(made, name, fuse_conv_bn_eval(child[0], child[1]))
        else:
            folded(child)
    return made.to(memory_format=torch.channels_last).requires_grad_(False)


def exported(made: nn.Module) -> nn.Module:
    """The plain form into which escnn exports a network; modules that it cannot export stay as they are."""
    made.eval()
    for name, child in made.named_children():
        if not isinstance(child, Typed):
            exported(child)
            continue
        try:
            setattr(made, name, child.module.export().eval())
        except NotImplementedError:
            continue
    return made.requires_grad_(False)
