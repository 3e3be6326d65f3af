"""What a feature file says about itself: encoder, data, group, widths, classes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

Sizes = Annotated[tuple[Annotated[int, Field(ge=1, le=2**15)], ...], Field(min_length=1, max_length=64)]
"""Of each stage; the product of two of them is a width that Arrow can count."""


@dataclass(frozen=True)
class FeatureInfo:
    """What a feature file says about itself, in the metadata of its schema.

    Attributes:
        encoder: SHA-256 of the encoder's weights.
        data: digest of the shards' index.
        group: name of the encoder's group.
        orders: length of the group's axis in each kept stage, the last stage first; 1 for a plain one.
        fields: fields of each kept stage, the last stage first.
        classes: names of the classes; a label is a position in it.
        code: digest of the code that made the features.
    """

    encoder: str
    data: str
    group: str
    orders: Sizes
    fields: Sizes
    classes: tuple[str, ...]
    code: str

    @property
    def widths(self) -> dict[str, int]:
        """Numbers per row of each feature column: `invariant` F and `regular` F * order of each stage."""
        widths = {}
        for stage, (fields, order) in enumerate(zip(self.fields, self.orders, strict=True), start=1):
            suffix = "" if stage == 1 else f"_{stage}"
            widths[f"invariant{suffix}"] = fields
            widths[f"regular{suffix}"] = fields * order
        return widths

    def metadata(self) -> dict[str, str]:
        """The values in JSON, as metadata of a schema."""
        return {f"eqssl.{name}": json.dumps(value) for name, value in vars(self).items()}

    @classmethod
    def from_metadata(cls, metadata: dict[bytes, bytes] | None, path: Path) -> Self:
        """Read the metadata of a schema.

        Raises:
            ValueError: names the file and the entry that is missing or malformed.
        """
        types = get_type_hints(cls, include_extras=True)
        values: dict[str, Any] = {}
        for name, kind in types.items():
            text = (metadata or {}).get(f"eqssl.{name}".encode())
            if text is None:
                raise ValueError(f"{path}: metadata eqssl.{name}: missing")
            try:
                values[name] = TypeAdapter(kind).validate_json(text, strict=True)
            except ValidationError as error:
                raise ValueError(f"{path}: metadata eqssl.{name}: {error.errors()[0]['msg']}") from None
        info = cls(**values)
        if len(info.orders) != len(info.fields):
            raise ValueError(f"{path}: metadata eqssl.orders: there are {len(info.fields)} stages")
        return info
