"""Settings of published methods that are compared with the invariant losses: one class for each."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from eqssl.config.pretext_base import PretextSettings
from eqssl.config.values import Channels, Layers, Positive

_ONE_ELEMENT = "the group has one element, so no two turns of a feature differ; allowed: every other group"


class StlSettings(PretextSettings):
    """STL: learn the change from one view to the other, and predict one view from the other with it.

    Attributes:
        temperature: of the three losses.
        hidden: channels of the hidden layer of both projectors, or of several.
        embedding: channels of their outputs.
        code: numbers of a transformation code, and of the layers that make and project it.
        rank: of the map that takes a code to a matrix on features; null for the published map, which has
            code * features^2 weights.
        invariance, equivariance, transformation: weights of the three losses.
    """

    implementation: ClassVar[str] = "eqssl.pretexts.joint.stl:Stl"

    task: Literal["stl"]
    temperature: Positive
    hidden: Layers
    embedding: Channels
    code: Channels
    rank: Annotated[int, Field(ge=1, le=65_536)] | None
    invariance: Positive
    equivariance: Positive
    transformation: Positive

    @property
    def is_plain(self) -> bool | None:
        """It has no symmetry."""
        return True


class GroupAlignmentSettings(PretextSettings):
    """Group alignment: turn each embedding back by its orientation, then compare.

    Attributes:
        temperature: of the loss of the embeddings.
        hidden: channels of the projector's hidden layer, or of several.
        embedding: channels of the embedding.
        orientation: channels of the hidden layer of the head that predicts the orientation, or of several.
        aligned_by: which orientation an embedding is turned back by: the `predicted` one, or the `known` turn
            of the view.
        orientation_weight: of the loss of the orientations.
    """

    implementation: ClassVar[str] = "eqssl.pretexts.joint.group_alignment:GroupAlignment"

    task: Literal["group_alignment"]
    temperature: Positive
    hidden: Layers
    embedding: Channels
    orientation: Layers
    aligned_by: Literal["predicted", "known"]
    orientation_weight: Positive

    def refusal(self, group: str) -> str | None:
        """With one element there is one orientation."""
        return _ONE_ELEMENT if group == "trivial" else None


class FibreShiftSettings(PretextSettings):
    """Fibre shift: which two turned features are of the same view?

    Attributes:
        temperature: of the loss.
        hidden: channels of the projector's hidden layer, or of several.
        embedding: channels of the embedding.
    """

    implementation: ClassVar[str] = "eqssl.pretexts.joint.fibre_shift:FibreShift"

    task: Literal["fibre_shift"]
    temperature: Positive
    hidden: Layers
    embedding: Channels

    def refusal(self, group: str) -> str | None:
        """With one element the two features are equal."""
        return _ONE_ELEMENT if group == "trivial" else None


# New methods of others go above this line.
