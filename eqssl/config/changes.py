"""Changes of a section: any of its settings, and those that are not given stay as they are."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, create_model, model_serializer

from eqssl.config.settings import Settings


class Changes(Settings):
    """Some settings of a section."""

    @model_serializer(mode="plain")
    def _given(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


def changes_of(section: type[Settings], name: str, doc: str) -> type[Changes]:
    """The class of changes of a section.

    Args:
        section: the settings of the whole section.
        name: of the class.
        doc: its docstring.
    """
    fields: dict[str, Any] = {key: _optional(field) for key, field in section.model_fields.items()}
    return create_model(name, __base__=Changes, __doc__=doc, **fields)


def _optional(field: Any) -> Any:
    """The same field, which need not be given; None is none of its values, and no default of the schema."""
    kept: Any = Field(default_factory=lambda: None, validate_default=False)
    return Annotated[(field.annotation, *field.metadata, kept)]
