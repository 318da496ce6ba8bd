"""YAML text to plain values, for text that anybody may have written.

PyYAML's own loaders recurse in C and die on deep nesting, expand aliases without limit and let a repeated key win
silently. This reader takes PyYAML's event stream, which does none of that, and keeps what a lint needs: the line of
each document and the keys that stand twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_DEPTH = 100  # kubectl's JSON decoder stops far above what a manifest needs, and far below what a stack holds
MAX_NODES = 2_000_000  # aliases count each time they are used, as they do for whoever walks the result

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Unreadable(ValueError):
    """The text is not YAML, or not of a size that any manifest has; the sentence names file and line."""


@dataclass(frozen=True, slots=True)
class RepeatedKey:
    """A mapping key that stands twice: most parsers keep the last one and say nothing."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document."""

    value: Any
    line: int  # from 1
    repeated_keys: tuple[RepeatedKey, ...] = ()


class _Scalars(yaml.SafeLoader):
    """PyYAML's scalar rules without timestamps: Kubernetes keeps `2025-01-01` a string."""

    def __init__(self) -> None:
        super().__init__("")

    def value(self, event: Any) -> Any:
        tag = event.tag
        if tag is None or tag == "!":
            tag = self.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
        if tag == "tag:yaml.org,2002:timestamp":
            return event.value
        node = yaml.ScalarNode(tag, event.value)
        construct = self.yaml_constructors.get(tag)
        if construct is None:
            return event.value
        try:
            return construct(self, node)
        except (ValueError, yaml.YAMLError):
            return event.value  # `!!int seven`: the API server will say so better than we can


@dataclass(slots=True)
class _Frame:
    """An open mapping or list."""

    value: dict[Any, Any] | list[Any]
    path: str
    anchor: str | None
    key: Any = None
    has_key: bool = False
    size: int = 1


@dataclass(slots=True)
class _Builder:
    """Builds values from events with a stack of its own instead of the interpreter's."""

    scalars: _Scalars
    frames: list[_Frame] = field(default_factory=list)
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    repeated: list[RepeatedKey] = field(default_factory=list)
    root: Any = None

    def feed(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self.scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            self.open({}, event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self.open([], event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self.close()
        elif isinstance(event, yaml.AliasEvent):
            self.alias(event)

    def open(self, value: dict[Any, Any] | list[Any], event: Any) -> None:
        if len(self.frames) >= MAX_DEPTH:
            raise Unreadable(f"line {_line(event)}: nested deeper than {MAX_DEPTH} levels")
        self.frames.append(_Frame(value, self._path(), event.anchor))

    def close(self) -> None:
        frame = self.frames.pop()
        if frame.anchor:
            self.anchors[frame.anchor] = (frame.value, frame.size)
        self.add(frame.value, frame.size, line=0)

    def scalar(self, event: Any) -> None:
        value = self.scalars.value(event)
        if event.anchor:
            self.anchors[event.anchor] = (value, 1)
        self.add(value, 1, line=_line(event))

    def alias(self, event: Any) -> None:
        line = _line(event)
        if event.anchor not in self.anchors:
            raise Unreadable(f"line {line}: alias *{event.anchor} names nothing that is complete before it")
        value, size = self.anchors[event.anchor]
        self.add(value, size, line=line)

    def add(self, value: Any, size: int, *, line: int) -> None:
        if not self.frames:
            self.root = value
            return
        frame = self.frames[-1]
        frame.size += size
        if frame.size > MAX_NODES:
            raise Unreadable(f"line {line}: aliases expand to more than {MAX_NODES} values")
        if isinstance(frame.value, list):
            frame.value.append(value)
        elif frame.has_key:
            frame.has_key = False
            _assign(frame.value, frame.key, value)
        else:
            frame.key = _hashable(value)
            frame.has_key = True
            if frame.key in frame.value:
                self.repeated.append(RepeatedKey(self._path(), line))

    def _path(self) -> str:
        if not self.frames:
            return ""
        frame = self.frames[-1]
        if isinstance(frame.value, list):
            return f"{frame.path}[{len(frame.value)}]"
        return f"{frame.path}.{frame.key}" if frame.path else str(frame.key)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _assign(target: dict[Any, Any], key: Any, value: Any) -> None:
    if key != "<<":
        target[key] = value
        return
    for source in value if isinstance(value, list) else [value]:  # YAML 1.1's merge key
        if isinstance(source, dict):
            for inherited, item in source.items():
                target.setdefault(inherited, item)


def _hashable(key: Any) -> Any:
    """Kubernetes turns every key into a string when it makes JSON of YAML; a list or mapping as a key has no JSON."""
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key) if isinstance(key, int | float) else key if isinstance(key, str) else f"{key!r:.40}"


def read(content: str) -> Iterator[Document]:
    """The documents of `content`, empty ones left out.

    Raises Unreadable, also half-way: what was yielded before stands.
    """
    scalars = _Scalars()
    builder = _Builder(scalars)
    line = 1
    event: Any
    try:
        for event in yaml.parse(content, Loader=_Loader):
            if isinstance(event, yaml.DocumentStartEvent):
                builder, line = _Builder(scalars), _line(event)
            elif isinstance(event, yaml.DocumentEndEvent) and builder.root is not None:
                yield Document(builder.root, line, tuple(builder.repeated))
            else:
                builder.feed(event)
    except yaml.MarkedYAMLError as error:
        mark: Any = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise Unreadable(f"{place}{error.problem or 'not YAML'}") from error
    except yaml.YAMLError as error:
        raise Unreadable(f"not YAML: {' '.join(str(error).split())}") from error
