"""A whole ResNet-18 against the same network made of escnn's own modules."""

import pytest
import torch
import torch.nn.functional as F
from escnn_bases import coordinates, escnns_filters, whole_filters
from small_encoders import new, relative
from wide_products import one_in

from eqssl.encoders.base import Encoder
from eqssl.nn.convolution import GroupConv2d
from eqssl.nn.normalisation import FieldBatchNorm
from eqssl.symmetry import _escnn, group
from eqssl.symmetry.fourier import field_representation

enn = _escnn.nn


class TheirResNet(torch.nn.Module):
    """ResNet-18 for small images in escnn's modules, which number channels field by field."""

    def __init__(self, name: str, fields: list[int]) -> None:
        super().__init__()
        self.gspace, self.representation = group(name).gspace, field_representation(group(name))
        self.images = enn.FieldType(self.gspace, [self.gspace.trivial_repr])
        self.convolutions, self.norms = torch.nn.ModuleList(), torch.nn.ModuleList()
        self.stem = self.pair(None, fields[0], 3)
        self.blocks, incoming = [], fields[0]
        for stage, outgoing in enumerate(fields):
            for number in range(2):
                changes = stage > 0 and number == 0
                # in the order in which ours are made
                first, second = self.pair(incoming, outgoing, 3), self.pair(outgoing, outgoing, 3)
                shortcut = self.pair(incoming, outgoing, 1) if changes or incoming != outgoing else None
                self.blocks.append((changes, first, second, shortcut))
                incoming = outgoing

    def fields(self, count: int):
        return enn.FieldType(self.gspace, count * [self.representation])

    def pair(self, incoming: int | None, outgoing: int, kernel: int):
        source, target = self.images if incoming is None else self.fields(incoming), self.fields(outgoing)
        convolution = enn.R2Conv(
            source, target, kernel, padding=kernel // 2, bias=False, initialize=False, recompute=True
        )
        norm = enn.InnerBatchNorm(target)
        self.convolutions.append(convolution), self.norms.append(norm)
        return lambda x: norm(convolution(x))

    def activation(self, x):
        return enn.ReLU(x.type)(x)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.stem(enn.GeometricTensor(images, self.images)))
        for halves, first, second, shortcut in self.blocks:
            if halves:
                pool = F.avg_pool2d
                side = x.tensor.shape[-1]
                pooled = (
                    pool(x.tensor, 2, 2)
                    if side % 2 == 0
                    else pool(x.tensor, 3, 2, 1, count_include_pad=False)
                )
                x = enn.GeometricTensor(pooled, x.type)
            y = second(self.activation(first(x)))
            x = self.activation(y + (x if shortcut is None else shortcut(x)))
        return x.tensor.mean((2, 3)).unflatten(1, (len(x.type), -1))


def with_our_weights(encoder: Encoder, name: str, same_basis: bool) -> TheirResNet:
    theirs = TheirResNet(name, list(encoder.shape.fields)).double()
    for mine, other in zip(convolutions(encoder), theirs.convolutions, strict=True):
        with torch.no_grad():
            if same_basis:
                # theirs is sampled in float32 and ours free of that noise
                escnns_filters(other).copy_(whole_filters(mine.basis, mine.index, mine.kernel))
            weights = torch.linalg.solve(change_of_basis(mine, other).t(), mine.weight)
            other.weights.copy_(weights.transpose(1, 2).reshape(-1))
    return theirs


def change_of_basis(mine: GroupConv2d, other: torch.nn.Module) -> torch.Tensor:
    """The matrix T with escnn's filters = T times ours."""
    return coordinates(escnns_filters(other), whole_filters(mine.basis, mine.index, mine.kernel))


def convolutions(encoder: Encoder) -> list[GroupConv2d]:
    return [layer for layer in encoder.modules() if isinstance(layer, GroupConv2d)]


def our_gradient(encoder: Encoder, theirs: TheirResNet) -> torch.Tensor:
    """The gradient of our weights, in terms of the coefficients in escnn's basis."""
    parts = [
        (mine.weight.grad.transpose(1, 2) @ change_of_basis(mine, other).t()).flatten()
        for mine, other in zip(convolutions(encoder), theirs.convolutions, strict=True)
    ]
    norms = [layer for layer in encoder.modules() if isinstance(layer, FieldBatchNorm)]
    return torch.cat([*parts, *(p.grad for layer in norms for p in (layer.weight, layer.bias))])


def their_gradient(theirs: TheirResNet) -> torch.Tensor:
    parts = [layer.weights.grad for layer in theirs.convolutions]
    norms = [layer for layer in theirs.norms.modules() if isinstance(layer, torch.nn.BatchNorm3d)]
    return torch.cat([*parts, *(p.grad for layer in norms for p in (layer.weight, layer.bias))])


@pytest.mark.parametrize(
    ("name", "size", "training", "same_basis"),
    one_in(4, ["C2", "C4", "D1", "D4", "C8", "D8"], [28, 33], [True, False], [True, False]),
)
def test_outputs_are_escnns_and_gradients_too_in_the_same_basis(
    name: str, size: int, training: bool, same_basis: bool
):
    # escnn samples its basis in float32
    tolerance = 1e-10 if same_basis else 3e-6
    encoder = new(name, name="resnet18", size=size).double()
    theirs = with_our_weights(encoder, name, same_basis)
    images = torch.randn(3, 1, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for _ in range(2):  # statistics of batch norm are there for eval mode
        encoder.train()(images), theirs.train()(images)
    encoder.train(training), theirs.train(training)
    found, expected = encoder(images), theirs(images)
    assert relative(found, expected) < tolerance
    if not same_basis:
        # the noise of escnn's float32 takes a value or two across zero, where a rectifier's gradient jumps
        return
    cotangent = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for output in (found, expected):
        (output * cotangent).sum().backward()
    assert relative(our_gradient(encoder, theirs), their_gradient(theirs)) < tolerance
