"""A linear classifier on a trained encoder, to be trained further: exactly invariant whatever its weights."""

from __future__ import annotations

import copy

from jaxtyping import Float
from torch import Tensor, nn

from eqssl.encoders.base import Encoder


class Classifier(nn.Module):
    """An encoder and a linear head on its invariant feature.

        logits(x) = W pool(encoder(x)) + b,    logits(g x) = logits(x)  for every g in the group

    This holds for all values of the parameters: those of the encoder are coefficients of equivariant filters,
    so no step of an optimiser leaves the equivariant networks, and what follows is a function of the
    invariant feature. It holds on the pixel grid up to rounding, in eval mode image by image, and in training
    mode if the statistics of batch norms are taken over a batch that is turned as a whole. (Of a network with
    plain stages, only what its last stage keeps is invariant: see `Encoder.group`.)

    Args:
        encoder: the encoder, which becomes a part of this module.
        classes: number of classes.

    Attributes:
        encoder: the encoder.
        head: W, shape (classes, fields), and b; both start at zero.

    Example:
        >>> import eqssl, torch
        >>> encoder = eqssl.pretexts.build("random", eqssl.Params.load("params.yaml")).encoder
        >>> model = Classifier(encoder, classes=10)
        >>> model(torch.randn(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        weights = next(encoder.parameters())
        options = {"device": weights.device, "dtype": weights.dtype}
        self.head = nn.utils.skip_init(nn.Linear, encoder.fields, classes, **options)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Float[Tensor, "batch channel side side"]) -> Float[Tensor, "batch classes"]:
        """Logits of images that are normalised with the encoder's `mean` and `std`."""
        logits: Tensor = self.head(self.encoder.invariant(images))
        return logits


def with_head(encoder: Encoder, classes: int) -> Classifier:
    """A trainable copy of a frozen encoder, with a linear head on its invariant feature.

    The encoder itself stays as it is. Train the result with any optimiser and loss, and call `eval()` before
    it is used. `eqssl finetune` does so with the settings of the section `finetune` of params.yaml.

    Args:
        encoder: what `load_encoder` gives for a trained encoder.
        classes: number of classes.

    Returns:
        The classifier in training mode, with gradients for all parameters, on the encoder's device.

    Raises:
        ValueError: no class, or a released encoder, whose filters are numbers without the ties that keep
            them equivariant.

    Example:
        >>> import eqssl, torch
        >>> from eqssl.evaluation.head import with_head
        >>> settings = eqssl.Params.load().model_copy(update={"group": "C4"})
        >>> encoder = eqssl.pretexts.build("random", settings).encoder.eval()  # or load_encoder(FOLDER)
        >>> model = with_head(encoder, classes=10)
        >>> optimiser = torch.optim.AdamW(model.parameters(), lr=0.001)
        >>> images, labels = torch.randn(8, 1, 28, 28), torch.arange(8)
        >>> for _ in range(3):
        ...     loss = torch.nn.functional.cross_entropy(model(images), labels)
        ...     optimiser.zero_grad()
        ...     loss.backward()
        ...     optimiser.step()
        >>> with torch.no_grad():
        ...     logits, turned = model.eval()(images), model(images.rot90(1, (2, 3)))
        >>> bool(logits.std() > 0.01), torch.allclose(logits, turned, atol=1e-4)
        (True, True)
    """
    if classes < 1:
        raise ValueError(f"classes: given {classes}, allowed: at least 1")
    if encoder.is_released:
        reason = "its filters are not tied by the symmetry any more, and training would break it"
        raise ValueError(f"encoder: given a released one: {reason}; allowed: a trained one")
    trainable = copy.deepcopy(encoder).requires_grad_(True)
    return Classifier(trainable, classes).train()
