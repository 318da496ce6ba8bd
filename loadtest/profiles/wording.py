"""What pydantic finds wrong with a profile, in its author's words: which field, what is wrong, what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from loadtest.spec import Profile

Location = tuple[str | int, ...]
_LONGEST = 60  # characters of a value that a sentence repeats
_FILLED_IN = "offsets_s"  # by the reader, from a trace
_FIELDS = "fields with their values"

# What would do instead, by pydantic's name for the fault and what it knows of it.
_WANTED: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "bool_parsing": lambda _: "true or false",
    "bool_type": lambda _: "true or false",
    "dict_type": lambda _: _FIELDS,
    "finite_number": lambda _: "a finite number",
    "float_parsing": lambda _: "a number",
    "float_type": lambda _: "a number",
    "greater_than": lambda known: f"more than {known['gt']:g}",
    "greater_than_equal": lambda known: f"{known['ge']:g} or more",
    "int_from_float": lambda _: "a whole number",
    "int_parsing": lambda _: "a whole number",
    "int_type": lambda _: "a whole number",
    "less_than_equal": lambda known: f"{known['le']:g} or less",
    "literal_error": lambda known: str(known["expected"]).replace("'", ""),
    "model_attributes_type": lambda _: _FIELDS,
    "model_type": lambda _: _FIELDS,
    "path_type": lambda _: "the path of a file",
    "string_pattern_mismatch": lambda known: f"something that matches {known['pattern']}",
    "string_too_short": lambda known: f"at least {known['min_length']} character",
    "string_type": lambda _: "text, in quotes where YAML takes it for something else",
    "too_short": lambda known: f"at least {known['min_length']} of them",
    "tuple_type": lambda _: "a list",
    "union_tag_invalid": lambda known: f"one of {str(known['expected_tags']).replace(chr(39), '')}",
}


def location(fault: ErrorDetails) -> Location:
    """Where the fault is; of a union that cannot be told apart, the field that tells."""
    if fault["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return (*fault["loc"], str(fault["ctx"]["discriminator"]).strip("'"))
    return fault["loc"]


def is_in_the_name(fault: ErrorDetails) -> bool:
    """Whether a field's name is wrong or missing, and not its value."""
    return fault["type"] in ("missing", "union_tag_not_found", "extra_forbidden", "invalid_key")


def sentence(fault: ErrorDetails) -> str:
    """What is wrong and what to do, without the place."""
    kind, known = fault["type"], fault.get("ctx", {})
    if kind == "value_error":
        return str(known["error"])
    if kind == "missing":
        return "is missing: add it"
    if kind == "union_tag_not_found":
        where = location(fault)
        tags = [tag for model in _models(where) for tag in get_args(model.model_fields[str(where[-1])].annotation)]
        return f"is missing: add it, one of {', '.join(tags)}"
    if kind in ("extra_forbidden", "invalid_key"):
        return _no_such_field(fault["loc"])
    value = known.get("tag", fault["input"])
    if kind in _WANTED:
        return f"{_shown(value)} will not do: give {_WANTED[kind](known)}"
    return f"{_shown(value)} will not do: {fault['msg']}"


def _no_such_field(where: Location) -> str:
    names = list(dict.fromkeys(name for model in _models(where) for name in model.model_fields if name != _FILLED_IN))
    alike = difflib.get_close_matches(str(where[-1]), names, 1)
    guess = f": did you mean {alike[0]}?" if alike else ""
    return f"there is no such field{guess} (fields here: {', '.join(names)})"


def _models(where: Location) -> list[type[BaseModel]]:
    """Those that may hold the last part of a location."""
    models: list[type[BaseModel]] = [Profile]
    for part in where[:-1]:
        if isinstance(part, str):
            models = list(_below(models, part))
    return models


def _below(models: list[type[BaseModel]], part: str) -> Iterator[type[BaseModel]]:
    """The models under a field, or of several the one with this tag."""
    for model in models:
        if part in model.model_fields:
            yield from _leaves(model.model_fields[part].annotation)
        elif any(part in get_args(field.annotation) for field in model.model_fields.values()):
            yield model


def _leaves(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation is made of."""
    inner = get_args(annotation)
    for each in inner:
        yield from _leaves(each)
    if not inner and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


def _shown(value: Any) -> str:
    if value in (None, ""):
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text if len(text) <= _LONGEST else text[:_LONGEST] + '…'}`"
