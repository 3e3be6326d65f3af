"""The base of every settings object: frozen, strict, and with errors that a person can act on."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError


class Settings(BaseModel):
    """Immutable, strictly typed settings: an unknown key or a value of another type is refused.

    Subclasses declare fields only. Build them with `read`, which turns pydantic's errors into one
    `ValueError` that names each key, what was given and what is allowed.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False
    )

    @classmethod
    def read(cls, values: object, where: str = "") -> Self:
        """Validate a mapping (as YAML or JSON gives it) into this class.

        Args:
            values: the settings as plain lists, mappings and scalars.
            where: prefix of the keys in an error, such as "pretexts.eq_labels".

        Raises:
            ValueError: names every offending key, its value and what is allowed.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"{where or cls.__name__}: given {values!r}, allowed: a table of settings")
        try:
            return cls.model_validate_json(json.dumps(dict(values), default=str))
        except ValidationError as error:
            raise ValueError(explain(error, cls, where)) from None

    def plain(self) -> dict[str, Any]:
        """The settings as JSON-compatible lists, mappings and scalars."""
        values: dict[str, Any] = self.model_dump(mode="json")
        return values


def explain(error: ValidationError, model: type[BaseModel], where: str = "") -> str:
    """One line for each mistake: `key: given VALUE, allowed: WHAT`."""
    lines = []
    for item in error.errors(include_url=False):
        location = [str(part) for part in item["loc"]]
        key = ".".join(([where] if where else []) + location)
        if item["type"] == "extra_forbidden":
            known = _fields_at(model, location[:-1])
            close = difflib.get_close_matches(location[-1], known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            lines.append(f"{key}: no such setting{hint} (allowed: {', '.join(known)})")
        elif item["type"] == "missing":
            lines.append(f"{key}: is missing")
        elif item["type"] == "value_error":
            prefix = f"{key}: " if location else (f"{where}: " if where else "")
            lines.append(prefix + str(item["ctx"]["error"]))
        else:
            message = item["msg"].removeprefix("Input should be ")
            allowed = "a table of settings" if message == "an object" else message
            lines.append(f"{key}: given {item['input']!r}, allowed: {allowed}")
    return "\n".join(lines)


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """Names of the fields of the model that lies at `path` below `model`."""
    for part in path:
        field = model.model_fields.get(part)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return sorted(model.model_fields)


def digest(values: object) -> str:
    """Eight hexadecimal digits that name settings; a part of the path of whatever they produce.

    Equal numbers give equal digests however they were written (1, 1.0), since YAML tools rewrite them.
    """
    text = json.dumps(_normalised(values), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _normalised(values: object) -> object:
    if isinstance(values, Mapping):
        return {str(key): _normalised(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_normalised(value) for value in values]
    if isinstance(values, int) and not isinstance(values, bool):
        return float(values)
    return values
