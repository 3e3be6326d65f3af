"""A small network for images of about 28 to 32 pixels: one convolution for each stage."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from eqssl.encoders.base import Encoder
from eqssl.encoders.layers import Layers
from eqssl.nn.pooling import Halve


class Network(Encoder):
    """Convolution, batch norm and activation in each stage; every stage but the first halves the side.

    The sides of the maps are 28-14-7-4, 32-16-8-4, or 10-5-3-2 for patches.
    """

    name = "cnn"
    default_width = (16, 32, 64, 128)

    def build(self, layers: Sequence[Layers]) -> None:
        """Create the stages."""
        shape, stages = self.shape, []
        for i, fields in enumerate(shape.fields):
            if i == 0:
                stages.append(nn.Sequential(*layers[i].activated_lift(shape.image[0], fields, shape.kernel)))
                continue
            halve = Halve() if shape.downsampling == "pool" else nn.Identity()
            convolution = layers[i].activated(self.incoming(i), fields, shape.kernel, shape.down)
            stages.append(nn.Sequential(halve, *convolution))
        self.blocks = nn.ModuleList(stages)

    def maps(self, images: Float[Tensor, "batch channel side side"]) -> list[Tensor]:
        """Group-major feature maps after each stage."""
        found, x = [], images
        for block in self.blocks:
            x = block(x)
            found.append(x)
        return found
