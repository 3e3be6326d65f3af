"""Settings of joint-embedding pretexts: one class for each."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from eqssl.config.pretext_base import PretextSettings
from eqssl.config.settings import Settings
from eqssl.config.values import Channels, Layers, NotNegative, Positive, Probability
from eqssl.config.views import ViewChanges, ViewSettings


class JointSettings(PretextSettings):
    """Settings of every joint-embedding pretext.

    Attributes:
        similarity: how the turn of each input is absorbed: `max`, `softmax`, `pool` or `align`
            (`eqssl.losses.similarity`); null compares flattened embeddings through a projector without
            symmetry, as the published method does.
        temperature: of `softmax`, and of the loss if it has one temperature.
        angles: of SO2 and O2, at how many angles two embeddings are compared; other groups have no use for
            it.
        hidden: channels (fields x |G|) of the projector's hidden layer, or of several.
        embedding: channels of the embedding.
        second_view: what is different from the section `views` for the second view of an image.
    """

    similarity: Literal["max", "softmax", "pool", "align"] | None
    temperature: Positive
    angles: Annotated[int, Field(ge=8, le=4096, multiple_of=8)]
    hidden: Layers
    embedding: Channels
    second_view: ViewChanges | None = None

    @property
    def is_plain(self) -> bool | None:
        """Whether the similarity absorbs no turn."""
        return self.similarity is None

    def changed_views(self, views: ViewSettings, where: str) -> dict[str, ViewSettings]:
        """The second view, if it has settings of its own."""
        if self.second_view is None:
            return {}
        key = f"{where}.second_view"
        return {key: views.changed(self.second_view, key)}


class MomentumSettings(JointSettings):
    """Settings of pretexts with a momentum branch, whose weights follow those of the trained branch.

    Attributes:
        momentum: share of its old weights that the branch keeps in the first step.
        final_momentum: the same for the last step; between them is half a cosine.
    """

    momentum: Probability
    final_momentum: Probability


class Crops(Settings):
    """Small views beside the two of usual size (multi-crop).

    Attributes:
        count: how many of each image, at most 32.
        size: their side in pixels, at least 2, which a blur needs.
        scale: least and largest share of the area that they keep.
    """

    count: Annotated[int, Field(ge=1, le=32)]
    size: Annotated[int, Field(ge=2, le=4096)]
    scale: tuple[Annotated[float, Field(ge=1e-6, le=1)], Annotated[float, Field(ge=1e-6, le=1)]]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale: given {list(self.scale)}, allowed: the smaller number first")
        return self


class PrototypeSettings(JointSettings):
    """Settings of pretexts whose embeddings are compared with prototypes.

    Attributes:
        prototypes: how many.
        frozen: share of the training in which the prototypes stay as they are.
        crops: small views; null for none.
    """

    prototypes: Channels
    frozen: Probability
    crops: Crops | None

    def view_sides(self, where: str) -> dict[str, int]:
        """That of the small views."""
        return {f"{where}.crops.size": self.crops.size} if self.crops else {}


class SimCLRSettings(JointSettings):
    """Which views are of the same image?"""

    implementation: ClassVar[str] = "eqssl.pretexts.joint.simclr:SimCLR"

    task: Literal["simclr"]


class MoCoSettings(MomentumSettings):
    """MoCo v2: which embedding of the momentum branch is of the same image, among a queue of earlier ones?

    Attributes:
        queue: how many embeddings of earlier batches are kept.
    """

    implementation: ClassVar[str] = "eqssl.pretexts.joint.moco:MoCo"

    task: Literal["moco"]
    queue: Annotated[int, Field(ge=1, le=10_000_000)]


class MoCoV3Settings(MomentumSettings):
    """MoCo v3: which embedding of the momentum branch is of the same image, among those of the batch?

    Attributes:
        predictor: channels of the predictor's hidden layer.
    """

    implementation: ClassVar[str] = "eqssl.pretexts.joint.moco_v3:MoCoV3"

    task: Literal["moco_v3"]
    predictor: Channels


class BYOLSettings(MomentumSettings):
    """BYOL: predict the momentum branch's embedding of the other view.

    Attributes:
        predictor: channels of the predictor's hidden layer.
    """

    implementation: ClassVar[str] = "eqssl.pretexts.joint.byol:BYOL"

    task: Literal["byol"]
    predictor: Channels


class SimSiamSettings(JointSettings):
    """SimSiam: predict the embedding of the other view, without gradient and without a momentum branch.

    Attributes:
        predictor: channels of the predictor's hidden layer.
    """

    implementation: ClassVar[str] = "eqssl.pretexts.joint.simsiam:SimSiam"

    task: Literal["simsiam"]
    predictor: Channels


class BarlowTwinsSettings(JointSettings):
    """Barlow Twins: make the cross-correlation of the two views' fields the identity.

    Attributes:
        off_diagonal: weight of the entries off the diagonal.
        scale: factor on the loss.
    """

    implementation: ClassVar[str] = "eqssl.pretexts.joint.barlow_twins:BarlowTwins"

    task: Literal["barlow_twins"]
    off_diagonal: Positive
    scale: Positive


class VICRegSettings(JointSettings):
    """VICReg: equal embeddings, with enough variance and without covariance.

    Attributes:
        invariance: weight of the distance between the views' embeddings.
        variance: weight of the hinge on the standard deviation of each field.
        covariance: weight of the squared covariances of fields.
    """

    implementation: ClassVar[str] = "eqssl.pretexts.joint.vicreg:VICReg"

    task: Literal["vicreg"]
    invariance: NotNegative
    variance: NotNegative
    covariance: NotNegative


class SwAVSettings(PrototypeSettings):
    """SwAV: predict the other view's assignment to prototypes.

    Attributes:
        epsilon: how soft the assignment is (Sinkhorn).
        iterations: of Sinkhorn.
        queue: how many earlier embeddings take part in the assignment; 0 for none.
        queue_from: share of the training after which the queue is used.
    """

    implementation: ClassVar[str] = "eqssl.pretexts.joint.swav:SwAV"

    task: Literal["swav"]
    epsilon: Positive
    iterations: Annotated[int, Field(ge=1, le=1000)]
    queue: Annotated[int, Field(ge=0, le=10_000_000)]
    queue_from: Probability


class DINOSettings(PrototypeSettings, MomentumSettings):
    """DINO: predict the momentum branch's distribution over prototypes.

    Attributes:
        student_temperature: of the trained branch.
        teacher_temperature: of the momentum branch, after its warm-up.
        first_teacher_temperature: at the beginning.
        warmup: share of the training in which the teacher's temperature rises.
        centre_momentum: share of the old centre that is kept in a step.
    """

    implementation: ClassVar[str] = "eqssl.pretexts.joint.dino:DINO"

    task: Literal["dino"]
    student_temperature: Positive
    teacher_temperature: Positive
    first_teacher_temperature: Positive
    warmup: Probability
    centre_momentum: Probability


# New joint-embedding pretexts go above this line.
