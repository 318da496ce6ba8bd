"""One change to rendered manifests, as data, so that it can be applied, linted and printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from cluster.objects import Manifest


class Gone:
    """The one value that means: take it away."""

    def __repr__(self) -> str:
        return "removed"


GONE = Gone()


@dataclass(frozen=True, slots=True)
class Edit:
    """Set what stands at `path` of one object to `value`, or remove it.

    `path` is a JSON pointer (RFC 6901); `/-` appends to a list, an empty one is the whole object, and one that leads
    through a string (`/spec/serveConfigV2/applications/0`) changes the YAML in it.
    """

    kind: str
    name: str
    path: str
    value: Any

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.path} {self.value!r}".replace("  ", " ")


def apply(edits: Sequence[Edit], manifests: Sequence[Manifest]) -> list[Manifest]:
    """The manifests with every edit done. Raises ValueError for one that finds no place, or changes nothing."""
    changed = list(manifests)
    for edit in edits:
        changed = _apply(edit, changed)
    return changed


def _apply(edit: Edit, manifests: Sequence[Manifest]) -> list[Manifest]:
    found = [m for m in manifests if (m.kind, m.name) == (edit.kind, edit.name)]
    if edit.path == "" and edit.value is not GONE:
        return [*(m for m in manifests if m not in found), Manifest(edit.value)]
    if len(found) != 1:
        raise ValueError(f"{edit}: {len(found)} objects of that name")
    new = () if edit.path == "" else (_edited(edit, found[0]),)
    return [item for m in manifests for item in (new if m is found[0] else (m,))]


def _edited(edit: Edit, manifest: Manifest) -> Manifest:
    steps = [step.replace("~1", "/").replace("~0", "~") for step in edit.path.split("/")[1:]]
    try:
        value = _with(manifest.value, steps, edit.value)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{edit}: nothing stands there ({error})") from error
    if value == manifest.value:
        raise ValueError(f"{edit}: it stands there already")
    return Manifest(value, manifest.file, manifest.line)


def _with(value: Any, steps: Sequence[str], new: Any) -> Any:
    """A copy of `value` in which `new` stands at the end of `steps`."""
    if not steps:
        return new
    if isinstance(value, str):
        return yaml.safe_dump(_with(yaml.safe_load(value), steps, new), sort_keys=False)
    step, rest = steps[0], steps[1:]
    if isinstance(value, list):
        if step == "-":
            return [*value, new]
        index = int(step)
        inner = _with(value[index], rest, new)
        return [*value[:index], *(() if inner is GONE else (inner,)), *value[index + 1 :]]
    inner = _with(value[step] if rest or new is GONE else None, rest, new)
    return {key: item for key, item in value.items() if key != step} if inner is GONE else {**value, step: inner}
