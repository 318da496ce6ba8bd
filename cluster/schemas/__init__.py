"""The schemas of Karpenter's and KubeRay's CRDs and of a pod template, as compact data, and a check against them.

`generate.py` makes `crds.json` from the pinned Go modules. What is checked: unknown fields, missing fields, types, enums,
patterns and ranges. CEL rules are kept as text for messages and not evaluated here: the API server does that.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

POD_TEMPLATE = "PodTemplate"
"""The kind under which `schema` has the template of a pod, as KubeRay's CRDs embed it."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One place where a value departs from its schema."""

    path: str  # spec.template.spec.containers[0].image
    kind: str  # unknown | missing | type | enum | pattern | range
    message: str
    field: str  # the last name in `path`, without an index


@dataclass(frozen=True, slots=True)
class Schemas:
    """All schemas, sharing equal parts: a node refers to others by index."""

    kinds: Mapping[str, int]  # "karpenter.sh/v1/NodePool" -> index into nodes
    nodes: tuple[Mapping[str, Any], ...]
    sources: tuple[Mapping[str, str], ...]

    def find(self, kind: str) -> Mapping[str, Any] | None:
        """The schema of `group/version/Kind` or of POD_TEMPLATE, None for a kind that is not kept."""
        index = self.kinds.get(kind)
        return None if index is None else self.nodes[index]

    def check(self, value: Any, schema: Mapping[str, Any], path: str = "") -> Iterator[Problem]:
        """Where `value` departs from `schema`. Null counts as absent, as it does for the API server."""
        expected = str(schema.get("type"))
        if value is None or schema.get("any"):
            return
        if schema.get("int_or_string"):
            if not isinstance(value, int | str | float) or isinstance(value, bool):
                yield _problem(path, "type", f"must be a number or a string, not {_kind_of(value)}")
            return
        if expected in _TYPES and not _is(value, expected):
            yield _problem(path, "type", f"must be of type {expected}, not {_kind_of(value)}")
            return
        yield from _scalar_problems(value, schema, path)
        if isinstance(value, dict):
            yield from self._check_object(value, schema, path)
        elif isinstance(value, list) and "items" in schema:
            for index, item in enumerate(value):
                yield from self.check(item, self.nodes[schema["items"]], f"{path}[{index}]")

    def _check_object(self, value: dict[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[Problem]:
        properties: Mapping[str, int] = schema.get("properties", {})
        for name in schema.get("required", ()):
            if value.get(name) is None:
                yield _problem(_join(path, name), "missing", "is required")
        for name, item in value.items():
            if name in properties:
                yield from self.check(item, self.nodes[properties[name]], _join(path, name))
            elif "values" in schema:
                yield from self.check(item, self.nodes[schema["values"]], _join(path, name))
            elif properties and not schema.get("open"):
                yield _problem(_join(path, name), "unknown", _unknown(name, properties))


def _is(value: Any, expected: str) -> bool:
    if isinstance(value, bool):
        return expected == "boolean"
    if expected == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[expected])


def _scalar_problems(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if "enum" in schema and value not in schema["enum"]:
        yield _problem(path, "enum", f"is {value!r}, and must be one of {', '.join(map(str, schema['enum']))}")
    if isinstance(value, str) and "pattern" in schema and not _matches(schema["pattern"], value):
        yield _problem(path, "pattern", f"is {value!r}, which does not match {schema['pattern']}")
    size = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    for bound, low in (("minimum", True), ("maximum", False)):
        if size is not None and bound in schema and (size < schema[bound] if low else size > schema[bound]):
            yield _problem(path, "range", f"is {size}, and its {bound} is {schema[bound]}")


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:  # Go's syntax knows a few things that Python's does not; then the API server has to say it
        return None


def _matches(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or len(value) > 4096 or compiled.search(value) is not None


def _problem(path: str, kind: str, message: str) -> Problem:
    return Problem(path, kind, message, path.rpartition(".")[2].partition("[")[0])


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else str(name)


def _kind_of(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)


def _unknown(name: str, properties: Mapping[str, int]) -> str:
    near = [known for known in properties if known.lower() == str(name).lower()]
    return f"is not a field here; did you mean {near[0]}?" if near else "is not a field here"


@functools.cache
def load() -> Schemas:
    """The committed schemas."""
    data = json.loads((resources.files(__name__) / "crds.json").read_text(encoding="utf-8"))
    return Schemas(data["kinds"], tuple(data["nodes"]), tuple(data["sources"]))
