"""Small encoders for tests."""

import torch
from torch import Tensor, nn

from eqssl.config.encoders import EncoderSettings
from eqssl.encoders import build_encoder
from eqssl.encoders.base import Encoder

WIDTHS = {"cnn": [4, 6, 8], "wide_resnet16_8": [4, 6, 8], "wide_resnet28_10": [4, 6, 8]}


def settings(**changes) -> EncoderSettings:
    name = changes.get("name", "cnn")
    values = {"name": name, "kernel": 3, "match": "params", "group_pooling": "mean"}
    width = WIDTHS.get(name, [4, 6, 8, 8])
    return EncoderSettings.read({**values, "width": width, **changes}, "encoder")


def new(group_name: str, channels: int = 1, size: int = 28, seed: int = 0, **changes) -> Encoder:
    generator = torch.Generator().manual_seed(seed)
    shape = (channels, size, size)
    return build_encoder(
        settings(**changes), group_name, shape, [0.3] * channels, [0.4] * channels, generator
    )


def trained_statistics(encoder: Encoder) -> Encoder:
    """An encoder whose batch norms have seen images, so that eval mode is no special case."""
    encoder.train()
    with torch.no_grad():
        for _ in range(3):
            encoder(torch.randn(8, *encoder.image_shape, dtype=next(encoder.parameters()).dtype))
    return encoder.eval()


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.detach() - expected.detach()).norm() / expected.detach().norm())


def gradients(encoder: nn.Module) -> Tensor:
    """All gradients in one vector, because some are zero before a batch norm and have no relative error."""
    return torch.cat([parameter.grad.flatten() for parameter in encoder.parameters()])


def statistics(encoder: nn.Module) -> Tensor:
    named = encoder.named_buffers()
    return torch.cat([value.flatten() for name, value in named if ".running_" in f".{name}"])
