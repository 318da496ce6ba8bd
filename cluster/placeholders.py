"""The `${NAME}` placeholders of manifests: declared in one file beside them, filled as envsubst fills them.

`placeholders.yaml` stands at the root of a tree of manifests and says of each name what it means and what it looks
like. Nothing else may be left for envsubst, which would replace it by nothing and say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from cluster.documents import Unreadable, read
from cluster.errors import Refused
from cluster.objects import dig, mapping, text

DECLARATION = "placeholders.yaml"
_PLACEHOLDER = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One name that has to be set before its manifests are applied."""

    name: str
    description: str
    example: str


def declared(path: Path) -> dict[str, Placeholder]:
    """The placeholders that the nearest `placeholders.yaml` at or above `path` declares, by name; else none."""
    for folder in (path, *path.resolve().parents):
        file = folder / DECLARATION
        if file.is_file():
            return _read(file)
    return {}


def _read(file: Path) -> dict[str, Placeholder]:
    try:
        documents = list(read(file.read_text(encoding="utf-8")))
    except Unreadable as error:
        raise Refused(f"{file}: {error}") from error
    entries = mapping(documents[0].value) if documents else {}
    return {
        name: Placeholder(name, text(dig(entry, "description")), text(dig(entry, "example")))
        for name, entry in entries.items()
    }


def used(content: str) -> list[str]:
    """Every name that envsubst would replace in `content`, in order, once each."""
    return list(dict.fromkeys(braced or bare for braced, bare in _PLACEHOLDER.findall(content)))


def missing(names: Iterable[str], values: Mapping[str, str]) -> list[str]:
    """The names that have no value, or an empty one."""
    return [name for name in names if not values.get(name)]


def substitute(content: str, values: Mapping[str, str]) -> str:
    """`content` with every placeholder that has a value replaced; the others stay as they are."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1] or match[2]) or match[0], content)


def undeclared(name: str, declarations: Iterable[str]) -> str:
    """What to say of a name that is not among `declarations`."""
    near = get_close_matches(name, list(declarations), n=1)
    return f"not declared in {DECLARATION}" + (f"; did you mean {near[0]}?" if near else "")


def require(names: Iterable[str], values: Mapping[str, str], declarations: Mapping[str, Placeholder]) -> None:
    """Raises Refused with every name that has no value and what it means."""
    absent = missing(names, values)
    if not absent:
        return
    lines = [
        f"  {name}: {declarations[name].description} (for example {declarations[name].example})"
        if name in declarations
        else f"  {name}: {undeclared(name, declarations)}"
        for name in absent
    ]
    raise Refused("These variables are not set; export them and try again:\n" + "\n".join(lines))
