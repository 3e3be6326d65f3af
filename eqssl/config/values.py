"""Types of single values that several sections use, with their bounds.

The bounds are far beyond anything useful. They catch typing errors (a number of epochs with too many zeros)
and hostile settings, which would fill the memory or never end.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Channels = Annotated[int, Field(ge=1, le=65_536)]
"""Channels of a layer."""
Layers = Channels | Annotated[tuple[Channels, ...], Field(min_length=1, max_length=16)]
"""Channels of one hidden layer, or of several."""
Pixels = Annotated[int, Field(ge=1, le=4096)]
"""Pixels along a side."""
Stages = Annotated[int, Field(ge=1, le=64)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Positive = Annotated[float, Field(ge=1e-12, le=1e9)]
NotNegative = Annotated[float, Field(ge=0, le=1e9)]
Probability = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", max_length=100)]
"""A part of a path. A file name with three of them is still short enough for file systems."""


def listed(layers: Layers) -> tuple[int, ...]:
    """The channels of one hidden layer, or of several, as a list."""
    return (layers,) if isinstance(layers, int) else layers


class Distinct:
    """Marks a list in which no value may occur twice."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_distinct, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "uniqueItems": True}


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError(f"given {value!r} twice, allowed: each value once")
        seen.add(value)
    return values


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"given {text!r}, allowed: printable letters alone")
    return text


PathName = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_printable)]
"""Path of a file or folder."""
ColumnName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
