"""Reads what a user points at: a kustomization, a folder, a file or a stream, theirs or anybody's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from cluster import kustomize, placeholders
from cluster.documents import RepeatedKey, Unreadable, read
from cluster.errors import Refused
from cluster.lint.stack import Stack
from cluster.objects import Manifest, flatten, mapping, sequence

SUFFIXES = (".yaml", ".yml", ".json")
LARGEST_FILE_BYTES = 50_000_000


def load_each(path: str, stdin: TextIO, env: Mapping[str, str]) -> list[Stack]:
    """The stacks at `path`: one, but for a folder with kustomizations in it, where each entry point is one of its own.

    An entry point is a kustomization that no other one in the folder uses. Raises Refused as `load` does.
    """
    place = Path(path)
    found = _kustomizations(place) if path != "-" and place.is_dir() and not kustomize.is_kustomization(place) else {}
    if not found:
        return [load(path, stdin, env)]
    used = {folder for uses in found.values() for folder in uses}
    stacks, failed = [], list[tuple[Manifest, str]]()
    for folder in found:
        if folder.resolve() not in used and not _is_component(folder):
            try:
                stacks.append(_kustomization(folder, env))
            except Refused as error:
                failed.append((Manifest({}, str(folder)), str(error)))
    rest = _read_files(place, env, without=[folder.resolve() for folder in found])
    rest.unreadable = [*rest.unreadable, *failed]
    return [*stacks, rest]


def load(path: str, stdin: TextIO, env: Mapping[str, str]) -> Stack:
    """The stack at `path` (`-` is `stdin`). Raises Refused with the reason where nothing can be read."""
    if path == "-":
        return _strict(_stream(stdin), None)
    place = Path(path)
    if place.name in kustomize.KUSTOMIZATION_FILES and place.is_file():
        place = place.parent
    if place.is_dir():
        return _kustomization(place, env) if kustomize.is_kustomization(place) else _folder(place, env)
    if not place.exists():
        raise Refused(f"{path} does not exist.")
    filling = _Filling.of(place, env)
    return _strict(filling.fill(_content(place)), path, filling)


@dataclass
class _Filling:
    """Values of the placeholders that are declared at or above a path: the environment's, else their examples."""

    values: Mapping[str, str]
    examples: Mapping[str, str]  # of the names that the environment lacks
    used: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path, env: Mapping[str, str]) -> _Filling:
        declared = placeholders.declared(path)
        examples = {name: declared[name].example for name in placeholders.missing(declared, env)}
        return cls({name: env[name] for name in declared if env.get(name)} | examples, examples)

    def fill(self, content: str) -> str:
        self.used += (name for name in placeholders.used(content) if name in self.examples)
        return placeholders.substitute(content, self.values)

    @property
    def unset(self) -> list[tuple[str, str]]:
        return [(name, self.examples[name]) for name in dict.fromkeys(self.used)]


@dataclass
class _Reading:
    manifests: list[Manifest] = field(default_factory=list)
    repeated: list[tuple[Manifest, RepeatedKey]] = field(default_factory=list)
    unreadable: list[tuple[Manifest, str]] = field(default_factory=list)

    def add(self, content: str, file: str | None) -> None:
        """Keep the documents of `content`. Raises Unreadable, and keeps what came before."""
        for document in read(content):
            if not isinstance(document.value, dict):
                continue
            manifest = Manifest(document.value, file, document.line)
            self.manifests += flatten([manifest])
            self.repeated += ((manifest, key) for key in document.repeated_keys)

    def stack(self, filling: _Filling | None) -> Stack:
        unset = filling.unset if filling else []
        return Stack(self.manifests, self.repeated, unset_placeholders=unset, unreadable=self.unreadable)


def _strict(content: str, file: str | None, filling: _Filling | None = None) -> Stack:
    reading = _Reading()
    try:
        reading.add(content, file)
    except Unreadable as error:
        raise Refused(f"{file or 'standard input'} is not readable: {_explain(content, error)}") from error
    return reading.stack(filling)


def _stream(stdin: TextIO) -> str:
    try:
        return stdin.read()
    except UnicodeDecodeError as error:
        raise Refused(f"standard input is no UTF-8 text: {error}") from error


def _content(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise Refused(f"{path} is larger than {LARGEST_FILE_BYTES} bytes; no manifest is.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error


def _explain(content: str, error: Unreadable) -> str:
    hint = "; it looks like a Helm template: lint what `helm template` prints" if "{{" in content else ""
    return f"{error}{hint}"


def _kustomizations(root: Path) -> dict[Path, list[Path]]:
    """Each folder with a kustomization below `root`, and the folders that it uses."""
    folders = sorted({file.parent for file in _walk(root) if file.name in kustomize.KUSTOMIZATION_FILES})
    return {folder: _uses(folder) for folder in folders}


def _uses(folder: Path) -> list[Path]:
    value = _kustomization_file(folder)
    entries = [entry for key in ("resources", "components", "bases") for entry in sequence(value.get(key))]
    return [(folder / entry).resolve() for entry in entries if isinstance(entry, str) and (folder / entry).is_dir()]


def _kustomization_file(folder: Path) -> Mapping[str, Any]:
    file = next(folder / name for name in kustomize.KUSTOMIZATION_FILES if (folder / name).is_file())
    try:
        return mapping(next((document.value for document in read(_content(file))), None))
    except (Unreadable, Refused):
        return {}  # rendering it says so


def _is_component(folder: Path) -> bool:
    return _kustomization_file(folder).get("kind") == "Component"


def _folder(folder: Path, env: Mapping[str, str]) -> Stack:
    stack = _read_files(folder, env, without=[])
    if not stack.manifests:
        reason = stack.unreadable[0][1] if stack.unreadable else f"it holds no {', '.join(SUFFIXES)} file with one"
        raise Refused(f"{folder} holds no manifest that can be read: {reason}")
    return stack


def _read_files(folder: Path, env: Mapping[str, str], *, without: Sequence[Path]) -> Stack:
    """The YAML and JSON files below `folder`, but for those in the folders `without`."""
    reading, filling = _Reading(), _Filling.of(folder, env)
    files = sorted(file for file in _walk(folder) if file.suffix in SUFFIXES)
    for file in files:
        apart = any(file.resolve().is_relative_to(other) for other in without)
        if apart or file.name in (*kustomize.KUSTOMIZATION_FILES, placeholders.DECLARATION):
            continue
        try:
            content = filling.fill(_content(file))
            reading.add(content, str(file))
        except Unreadable as error:
            reading.unreadable.append((Manifest({}, str(file)), _explain(content, error)))
        except Refused as error:
            reading.unreadable.append((Manifest({}, str(file)), str(error)))
    return reading.stack(filling)


def _walk(folder: Path) -> Iterable[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place) / name for name in files)


def _kustomization(path: Path, env: Mapping[str, str]) -> Stack:
    built = kustomize.build(path)
    declared = placeholders.declared(path)
    names = placeholders.used(built.content)
    unset = [name for name in placeholders.missing(names, env) if name in declared]
    values = {name: env[name] for name in names if env.get(name)} | {name: declared[name].example for name in unset}
    return Stack(built.fill(values), unset_placeholders=[(name, declared[name].example) for name in unset])
