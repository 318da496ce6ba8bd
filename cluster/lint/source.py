"""Reads what a user points at: a kustomization, a folder, a file or a stream, theirs or anybody's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from cluster import kustomize, placeholders
from cluster.documents import RepeatedKey, Unreadable, read
from cluster.errors import Refused
from cluster.lint.stack import Stack
from cluster.objects import Manifest, flatten

SUFFIXES = (".yaml", ".yml", ".json")
LARGEST_FILE_BYTES = 50_000_000


def load(path: str, stdin: TextIO, env: Mapping[str, str]) -> Stack:
    """The stack at `path` (`-` is `stdin`). Raises Refused with the reason where nothing can be read."""
    if path == "-":
        return _strict(stdin.read(), None)
    place = Path(path)
    if place.is_dir():
        return _kustomization(place, env) if kustomize.is_kustomization(place) else _folder(place)
    if not place.exists():
        raise Refused(f"{path} does not exist.")
    return _strict(_content(place), path)


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

    def stack(self) -> Stack:
        return Stack(self.manifests, self.repeated, unreadable=self.unreadable)


def _strict(content: str, file: str | None) -> Stack:
    reading = _Reading()
    try:
        reading.add(content, file)
    except Unreadable as error:
        raise Refused(f"{file or 'standard input'} is not readable: {_explain(content, error)}") from error
    return reading.stack()


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


def _folder(folder: Path) -> Stack:
    reading = _Reading()
    files = sorted(file for file in _walk(folder) if file.suffix in SUFFIXES)
    for file in files:
        if file.name in (*kustomize.KUSTOMIZATION_FILES, placeholders.DECLARATION):
            continue
        try:
            content = _content(file)
            reading.add(content, str(file))
        except Unreadable as error:
            reading.unreadable.append((Manifest({}, str(file)), _explain(content, error)))
        except Refused as error:
            reading.unreadable.append((Manifest({}, str(file)), str(error)))
    if not reading.manifests:
        reason = reading.unreadable[0][1] if reading.unreadable else f"it holds no {', '.join(SUFFIXES)} file with one"
        raise Refused(f"{folder} holds no manifest that can be read: {reason}")
    return reading.stack()


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
