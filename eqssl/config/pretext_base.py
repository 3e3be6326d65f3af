"""What the settings of every pretext have."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import SerializerFunctionWrapHandler, model_serializer

from eqssl.config.kinds import Kind
from eqssl.config.pretraining import PretrainChanges
from eqssl.config.values import Name
from eqssl.config.views import ViewSettings


class PretextSettings(Kind):
    """What every entry of the table `pretexts` has.

    Attributes:
        task: the kind of task.
        twin: for an entry that keeps the symmetry: the entry that is the same without it. The report compares
            the two.
        pretrain: what is different from the section `pretrain` for this entry.
    """

    discriminator: ClassVar[str] = "task"

    task: str
    twin: Name | None = None
    pretrain: PretrainChanges | None = None

    @property
    def is_plain(self) -> bool | None:
        """Whether the task breaks the encoder's symmetry; None where there is no plain form of the task."""
        return None

    @property
    def needs_labels(self) -> bool:
        """Whether the task learns from the labels of the images."""
        return False

    def refusal(self, group: str) -> str | None:
        """Why the task makes no sense for a group; None if it does."""
        return None

    def changed_views(self, views: ViewSettings, where: str) -> dict[str, ViewSettings]:
        """Views that are not drawn from the section `views` as it is, by the key that changes it.

        Args:
            views: the section.
            where: the key of the task's settings, such as "pretexts.inv_byol".

        Raises:
            ValueError: if changed settings do not fit each other; names the key.
        """
        return {}

    def view_sides(self, where: str) -> dict[str, int]:
        """Sides in pixels of views that are not as large as the image, by the key that sets them.

        Args:
            where: the key of the task's settings.
        """
        return {}

    def alone(self) -> Self:
        """The task without what is about the entry: its twin, and what it changes in `pretrain`."""
        return self.model_copy(update={"twin": None, "pretrain": None})

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        required = {name for name, field in type(self).model_fields.items() if field.is_required()}
        return {key: value for key, value in values.items() if key in required or value}
