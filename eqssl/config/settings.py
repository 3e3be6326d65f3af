"""The base of every settings object: frozen, strict, and with errors that a person can act on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from eqssl.config.errors import TABLE, explain
from eqssl.config.plain import shown


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
            raise ValueError(f"{where or cls.__name__}: given {shown(values)}, allowed: {TABLE}")
        try:
            text = json.dumps(dict(values), default=str)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{where or cls.__name__}: cannot be written as JSON: {error}") from None
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ValueError(explain(error, cls, where)) from None

    def plain(self) -> dict[str, Any]:
        """The settings as JSON-compatible lists, mappings and scalars."""
        values: dict[str, Any] = self.model_dump(mode="json")
        return values


def digest(values: object) -> str:
    """Eight hexadecimal digits that name settings; a part of the path of whatever they produce.

    Equal numbers give equal digests however they were written (1, 1.0), since YAML tools rewrite them.
    """
    same = json.loads(json.dumps(values), parse_int=float)
    text = json.dumps(same, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
