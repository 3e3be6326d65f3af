"""Types of Arrow, as far as columns of images, labels, splits and groups need them."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa
import pyarrow.types as types

ImageKind = Literal["bytes", "struct", "paths"]


def image_kind(kind: Any) -> ImageKind | None:
    """How a column of this type holds images: as bytes, as a struct of bytes and path, or as paths of files.

    None if it holds none.
    """
    kind = value_type(kind)
    if is_binary(kind):
        return "bytes"
    if is_text_type(kind):
        return "paths"
    if not types.is_struct(kind):
        return None
    content, path = _field(kind, "bytes"), _field(kind, "path")
    if content is None and path is None:
        return None
    fits = (content is None or is_binary(content) or types.is_null(content)) and (
        path is None or is_text_type(path) or types.is_null(path)
    )
    return "struct" if fits else None


def holds_pixels(kind: Any) -> bool:
    """Whether a column of this type may hold pixels as lists or tensors."""
    return isinstance(kind, pa.BaseExtensionType) or any(
        check(kind)
        for check in (
            types.is_list,
            types.is_large_list,
            types.is_fixed_size_list,
            types.is_list_view,
            types.is_large_list_view,
            types.is_fixed_size_binary,
        )
    )


def is_scalar(kind: Any) -> bool:
    """Whether a column of this type may hold labels."""
    kind = value_type(kind)
    return (
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_null(kind)
        or is_text_type(kind)
        or is_binary(kind)
    )


def is_value(kind: Any) -> bool:
    """Whether a column of this type may hold names of splits or groups."""
    return is_scalar(kind) or types.is_date(value_type(kind))


def value_type(kind: Any) -> Any:
    """The type of the values, whether or not a dictionary holds them."""
    return kind.value_type if types.is_dictionary(kind) else kind


def is_binary(kind: Any) -> bool:
    """Whether values of this type are bytes."""
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def is_text_type(kind: Any) -> bool:
    """Whether values of this type are texts."""
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _field(kind: Any, name: str) -> Any | None:
    return value_type(kind.field(name).type) if kind.get_field_index(name) >= 0 else None
