"""A profile file -> a `Profile`; what is wrong with it is said with file and line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from loadtest import arrivals
from loadtest.errors import UsageError
from loadtest.profiles import wording
from loadtest.spec import Profile, never_sent


def read(path: Path) -> Profile:
    """The profile in `path`. Raises UsageError with one `file:line: what` a fault."""
    try:
        root = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            raise UsageError(f"{path}:1: a profile is a mapping of fields to values")
        _refuse_duplicates(path, root)
        document = yaml.SafeLoader("").construct_document(root)
    except yaml.YAMLError as error:
        raise UsageError(f"{path}:{_not_yaml(error)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    except ValueError as error:  # YAML takes 2024-13-01 for a date
        raise UsageError(f"{path}: a value is no date or number ({error}): put it in quotes") from error
    except RecursionError as error:
        raise UsageError(f"{path}: an alias stands within what it names: write out what is meant") from error
    return _validate(path, root, _with_traces(path, document))


def _validate(path: Path, root: yaml.Node, document: Any) -> Profile:
    try:
        profile = Profile.model_validate(document)
    except ValidationError as error:
        found = error.errors()
        inner = {fault["loc"][:n] for fault in found for n in range(len(fault["loc"]))}
        faults = [
            _fault(path, root, fault)
            for fault in found
            if fault["loc"] not in inner or fault["loc"] == ()  # others only fail because a part of them does
        ]
        raise UsageError("\n".join(faults)) from error
    try:
        arrivals.schedule(profile)
    except ValueError as error:
        raise UsageError(f"{path}:{_line(root, ('stages',))}: {error}") from error
    return profile


def _fault(path: Path, root: yaml.Node, fault: ErrorDetails) -> str:
    where = wording.location(fault)
    place = _place(root, where, named=wording.is_in_the_name(fault))
    return f"{path}:{_line(root, where)}: {f'{place}: ' if place else ''}{wording.sentence(fault)}"


def _not_yaml(error: yaml.YAMLError) -> str:
    """Its line, and what the parser was at when it met what."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        return f"{mark.line + 1 if mark else 1}: cannot be read as YAML: {said}"
    return f"1: cannot be read as YAML: {str(error).splitlines()[0]}"


def _with_traces(path: Path, document: Any) -> Any:
    """`document` with the offsets of every replayed trace read in; what is not a replay stays as it is."""
    stages = document.get("stages") if isinstance(document, dict) else None
    for stage in stages if isinstance(stages, list) else ():
        rate = stage.get("rate") if isinstance(stage, dict) else None
        if isinstance(rate, dict) and rate.get("shape") == "replay" and isinstance(rate.get("file"), str):
            rate["offsets_s"] = _trace(path.parent / rate["file"], stage.get("duration_s"))
    return document


def _trace(path: Path, duration_s: Any) -> tuple[float, ...]:
    """Offsets in seconds within a stage of `duration_s`, one a line; blank lines and `#` comments are skipped."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"cannot read the trace {path}: {error.strerror}") from error
    found = []
    for number, line in enumerate(lines, 1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        try:
            offset_s = float(text)
        except ValueError:
            raise UsageError(f"{path}:{number}: `{text}` is not an offset in seconds") from None
        # A length that is no number is a fault of the profile, which its own line is said of.
        if why := never_sent(offset_s, duration_s if isinstance(duration_s, int | float) else math.inf):
            raise UsageError(f"{path}:{number}: `{text}` {why}")
        found.append(offset_s)
    return tuple(found)


def _refuse_duplicates(path: Path, node: yaml.Node) -> None:
    for mapping in _mappings(node):
        seen: set[str] = set()
        for key, _ in mapping.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # which YAML itself refuses
            if key.value in seen:
                raise UsageError(f"{path}:{key.start_mark.line + 1}: `{key.value}` stands twice")
            seen.add(key.value)


def _mappings(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from _mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _mappings(item)


def _descend(node: yaml.Node, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The node that says where `part` stands, and its value; None where the file has no such part."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _line(root: yaml.Node, location: wording.Location) -> int:
    """The line of the deepest part of `location` that is in the file (the tag of a union is not, nor a missing field)."""
    line, node = root.start_mark.line + 1, root
    for part in location:
        found = _descend(node, part)
        if found is not None:
            line, node = found[0].start_mark.line + 1, found[1]
    return line


def _place(root: yaml.Node, location: wording.Location, *, named: bool) -> str:
    """`stages.0.rate.per_s`, without the tags of unions; the last part, where the file does not have it, only if `named`."""
    parts: list[str] = []
    node = root
    for i, part in enumerate(location):
        found = _descend(node, part)
        if found is not None:
            node = found[1]
        if found is not None or (named and i == len(location) - 1):
            parts.append(str(part))
    return ".".join(parts)
