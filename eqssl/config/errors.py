"""Readable messages about mistakes in settings: the key, what was given, and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from eqssl.config.plain import did_you_mean, shown

TABLE = "a table of settings"
MOST_LINES = 20
# pydantic's name of a mistake -> what is allowed, where pydantic would name its own types
_ALLOWED = {
    "model_type": TABLE,
    "model_attributes_type": TABLE,
    "dict_type": TABLE,
    "tuple_type": "a list",
    "list_type": "a list",
    "string_pattern_mismatch": "a name of letters, digits and _",
}


def unknown(key: str, given: object, allowed: Iterable[str]) -> str:
    """The message about a name that is not allowed."""
    names = sorted(allowed)
    hint = did_you_mean(given, names)
    return f"{key}: given {shown(given)}, allowed: {', '.join(names)}{hint}"


def explain(error: ValidationError, model: type[BaseModel], where: str = "") -> str:
    """One line for each mistake: `key: given VALUE, allowed: WHAT`.

    Args:
        error: pydantic's account.
        model: the settings that were read.
        where: prefix of the keys, such as "pretexts.eq_labels".
    """
    lines: dict[str, str] = {}
    for item in error.errors(include_url=False):
        if item["type"] == "too_short" and item["input"]:
            continue  # its entries were refused, each for a reason of its own
        place = _place(model, item["loc"], [where] if where else [])
        line = _line(item, place)
        start, _, allowed = line.partition(", allowed: ")
        # a value that may have one of several types has a mistake for each of them
        lines[start] = f"{lines[start]} or {allowed}" if start in lines and allowed else line
    told = list(lines.values())
    more = [f"and {len(told) - MOST_LINES} more mistakes"] if len(told) > MOST_LINES else []
    return "\n".join(told[:MOST_LINES] + more)


@dataclass
class _Place:
    """Where a mistake is.

    Attributes:
        key: the parts of the key, as in the settings.
        holder: the settings that the last part belongs to.
        kinds: if these settings are of one of several kinds, all kinds by name.
        kind: the name of this one.
        annotation: type of the value at this place.
    """

    key: list[str]
    annotation: Any
    holder: Any = None
    kinds: dict[str, type[BaseModel]] = field(default_factory=dict)
    kind: str = ""

    @property
    def name(self) -> str:
        """The key as one word."""
        return ".".join(self.key)


def _line(item: ErrorDetails, place: _Place) -> str:
    """One mistake."""
    context, given = item.get("ctx", {}), item["input"]
    match item["type"]:
        case "extra_forbidden":
            return _extra(place)
        case "json_invalid":
            return item["msg"].replace("Invalid JSON", "not JSON")
        case "missing":
            return f"{place.name}: is missing"
        case "union_tag_not_found" | "union_tag_invalid":
            return _untold(place, given, context["discriminator"].strip("'"))
        case "value_error":
            return _refused(place, str(context["error"]))
        case "too_short":
            return f"{place.name}: given {given!r}, allowed: at least {context['min_length']} entry"
        case "too_long":
            return f"{place.name}: given {shown(given)}, allowed: at most {context['max_length']} entries"
        case "less_than_equal" | "greater_than_equal" if bounds := _bounds(place.annotation):
            return f"{place.name}: given {shown(given)}, allowed: {bounds[0]} to {bounds[1]}"
    message = re.sub(r"^(Input should be|String should have|Dictionary should have) ", "", item["msg"])
    allowed = _ALLOWED.get(item["type"], message)
    return f"{place.name}: given {shown(given)}, allowed: {allowed}"


def _extra(place: _Place) -> str:
    """A setting that there is not; perhaps another kind has it."""
    key = place.key[-1]
    known = sorted(place.holder.model_fields) if _is_model(place.holder) else []
    others = [name for name, kind in place.kinds.items() if key in kind.model_fields]
    of = f" of {place.kind}, only of {', '.join(others)}" if others else did_you_mean(key, known)
    return f"{place.name}: no such setting{of} (allowed: {', '.join(known)})"


def _untold(place: _Place, given: Any, discriminator: str) -> str:
    """The message for a missing or unknown value of the key that distinguishes kinds."""
    kinds = {tag: kind for kind in _members(place.annotation) for tag in _tags(kind)}
    key = ".".join([*place.key, discriminator])
    if discriminator not in given:
        return f"{key}: is missing (allowed: {', '.join(sorted(kinds))})"
    return unknown(key, given[discriminator], kinds)


def _refused(place: _Place, message: str) -> str:
    """What a check of ours says; it starts with a key, unless it is about several."""
    first = re.match(r"(\w+)[.:]", message)
    model = _bare(place.annotation)
    own = first and _is_model(model) and first[1] in model.model_fields
    separator = "." if own else ": "
    return f"{place.name}{separator}{message}" if place.name else message


def _place(model: type[BaseModel], location: Iterable[str | int], prefix: list[str]) -> _Place:
    """Follow a location of pydantic's, which names kinds and the types of a choice too."""
    place = _Place(prefix, model)
    for part in location:
        place = _below(place, str(part))
    return place


def _below(place: _Place, part: str) -> _Place:
    annotation = _bare(place.annotation)
    below = [*place.key, part if re.fullmatch(r"[\w.-]{1,100}", part) else shown(part)]
    if _is_model(annotation):
        inner = annotation.model_fields.get(str(part))
        whole = Annotated[(inner.annotation, *inner.metadata, None)] if inner else None
        return _Place(below, whole, annotation, place.kinds, place.kind)
    if members := _members(annotation):
        kinds = {tag: member for member in members for tag in _tags(member)}
        return _Place(place.key, kinds.get(part), place.holder, kinds, part)
    if part == "[key]":
        return _Place(place.key, None)
    inside = get_args(annotation)
    if not inside:
        return _Place(below, None)
    own = get_origin(annotation) is tuple and inside[-1] is not Ellipsis and int(part) < len(inside)
    return _Place(below, inside[int(part)] if own else inside[-1 if get_origin(annotation) is dict else 0])


def _bare(annotation: Any) -> Any:
    """A type without its constraints, and without the None that it may also be."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    members = _members(annotation)
    return _bare(members[0]) if len(members) == 1 else annotation


def _bounds(annotation: Any) -> tuple[str, str] | None:
    """The least and the largest number of a type; None if it is not bounded on both sides."""
    while len(members := _members(annotation)) == 1:
        annotation = members[0]
    if get_origin(annotation) is not Annotated:
        return None
    marks = [mark for given in get_args(annotation)[1:] for mark in getattr(given, "metadata", [given])]
    least = [mark.ge for mark in marks if hasattr(mark, "ge")]
    largest = [mark.le for mark in marks if hasattr(mark, "le")]
    if not least or not largest:
        return None
    low, high = (f"{end:g}" if isinstance(end, float) else str(end) for end in (least[0], largest[0]))
    return low, high


def _members(annotation: Any) -> list[Any]:
    """The types of a choice, without None."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, UnionType):
        return []
    return [member for member in get_args(annotation) if member is not type(None)]


def _tags(member: Any) -> list[str]:
    """The name by which pydantic recognises a kind: the only value that one of its keys can have."""
    fields = member.model_fields.values() if _is_model(member) else []
    return [str(get_args(f.annotation)[0]) for f in fields if _is_one_value(f.annotation)]


def _is_one_value(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
