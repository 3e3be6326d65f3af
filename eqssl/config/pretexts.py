"""Settings of pretexts: one class for each kind of task, which names the class that implements it.

Label tasks are in `label_tasks.py`, joint-embedding pretexts in `joint.py`, published methods that they are
compared with in `joint_others.py`, all others here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

# importing them registers their kinds
from eqssl.config import joint, joint_others, label_tasks  # noqa: F401
from eqssl.config.pretext_base import PretextSettings
from eqssl.config.settings import Settings
from eqssl.config.values import Name, Positive
from eqssl.config.views import ViewSettings


class RandomSettings(PretextSettings):
    """No training at all."""

    implementation: ClassVar[str] = "eqssl.pretexts.random:Untrained"

    task: Literal["random"]


class SupervisedSettings(PretextSettings):
    """Training with all labels."""

    implementation: ClassVar[str] = "eqssl.pretexts.supervised:Supervised"

    task: Literal["supervised"]

    @property
    def needs_labels(self) -> bool:
        """It does."""
        return True


class Part(Settings):
    """A pretext in a sum.

    Attributes:
        weight: of its loss.
        pretext: its settings, as an entry of the table `pretexts` has them.
    """

    weight: Positive
    pretext: AnyPretext

    @model_validator(mode="after")
    def _is_no_entry(self) -> Self:
        for key in ("twin", "pretrain"):
            if getattr(self.pretext, key) is not None:
                raise ValueError(f"pretext.{key}: no such setting of a part, only of the entry it belongs to")
        return self


class CombinedSettings(PretextSettings):
    """Several pretexts at once.

    Attributes:
        parts: the pretexts by names of their own, at most 32.
    """

    implementation: ClassVar[str] = "eqssl.pretexts.combined:Combined"

    task: Literal["combined"]
    parts: Annotated[dict[Name, Part], Field(min_length=1, max_length=32)]

    @property
    def needs_labels(self) -> bool:
        """Whether a part does."""
        return any(part.pretext.needs_labels for part in self.parts.values())

    def refusal(self, group: str) -> str | None:
        """A part's reason."""
        for name, part in self.parts.items():
            reason = part.pretext.refusal(group)
            if reason:
                return f"part {name}: {reason}"
        return None

    def changed_views(self, views: ViewSettings, where: str) -> dict[str, ViewSettings]:
        """Those of all parts."""
        found: dict[str, ViewSettings] = {}
        for name, part in self.parts.items():
            found |= part.pretext.changed_views(views, f"{where}.parts.{name}.pretext")
        return found

    def view_sides(self, where: str) -> dict[str, int]:
        """Those of all parts."""
        found: dict[str, int] = {}
        for name, part in self.parts.items():
            found |= part.pretext.view_sides(f"{where}.parts.{name}.pretext")
        return found

    def modules(self) -> list[str]:
        """The modules of the sum and of its parts."""
        return super().modules() + [name for part in self.parts.values() for name in part.pretext.modules()]


# New pretexts go above this line.
if TYPE_CHECKING:
    AnyPretext: TypeAlias = PretextSettings
else:
    AnyPretext = PretextSettings.union()
    Part.model_rebuild()
    CombinedSettings.model_rebuild()
