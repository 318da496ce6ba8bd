"""Reads what a user points at: a kustomization, a folder, a file or a stream, theirs or anybody's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from cluster import kustomize, placeholders
from cluster.documents import RepeatedKey, Unreadable, read
from cluster.errors import Refused
from cluster.lint.stack import Stack
from cluster.objects import Key, Manifest, flatten, text

SUFFIXES = (".yaml", ".yml", ".json")
LARGEST_FILE_BYTES = 50_000_000


def load_each(path: str, stdin: TextIO, env: Mapping[str, str]) -> list[Stack]:
    """The stacks at `path`: one, but for a folder with kustomizations in it, where each entry point is one of its own.

    An entry point is a kustomization that no other one in the folder uses; the stack of loose files has the reasons of
    those that cannot be rendered. Raises Refused as `load` does.
    """
    place = Path(path)
    found = _kustomizations(place) if path != "-" and place.is_dir() and not kustomize.is_kustomization(place) else {}
    if not found:
        return [load(path, stdin, env)]
    used = {folder for uses in found.values() for folder in uses}
    stacks, failed = [], list[tuple[Manifest, str]]()
    for folder in found:
        if folder.resolve() not in used and kustomize.description(folder).get("kind") != "Component":
            try:
                stacks.append(_kustomization(folder, env))
            except Refused as error:
                failed.append((Manifest({}, str(folder)), str(error)))
    rest = _read_files(place, env, without=[folder.resolve() for folder in found])
    rest.unrendered = failed
    if not failed and not any(stack.manifests for stack in (*stacks, rest)):
        raise Refused(f"{path} makes no object: its kustomizations are components, or render nothing.")
    return [*stacks, rest]


def load(path: str, stdin: TextIO, env: Mapping[str, str]) -> Stack:
    """The stack at `path` (`-` is `stdin`). Raises Refused with the reason where nothing can be read."""
    if path == "-":
        return _strict(_stream(stdin), None)
    place = Path(path)
    if place.name in kustomize.KUSTOMIZATION_FILES and place.is_file():
        place = place.parent
    if place.is_dir():
        if not kustomize.is_kustomization(place):
            return _folder(place, env)
        stack = _kustomization(place, env)
        if not stack.manifests:
            raise Refused(f"{path} renders no object, so there is nothing to look at.")
        return stack
    if not place.exists():
        raise Refused(f"{path} does not exist.")
    filling = _Filling.of(place, env)
    return _strict(filling.fill(_content(place)), path, filling)


@dataclass
class _Filling:
    """Values of the placeholders that are declared at or above a path: the environment's, else their examples."""

    declared: Sequence[str]
    values: Mapping[str, str]
    examples: Mapping[str, str]  # of the names that the environment lacks
    used: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path, env: Mapping[str, str]) -> _Filling:
        declared = placeholders.declared(path)
        examples = {name: declared[name].example for name in placeholders.missing(declared, env)}
        return cls(list(declared), {name: env[name] for name in declared if env.get(name)} | examples, examples)

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
        filling = filling or _Filling((), {}, {})
        return Stack(
            self.manifests,
            self.repeated,
            unset_placeholders=filling.unset,
            declared_placeholders=filling.declared,
            unreadable=self.unreadable,
        )


def _strict(content: str, file: str | None, filling: _Filling | None = None) -> Stack:
    reading = _Reading()
    try:
        reading.add(content, file)
    except Unreadable as error:
        raise Refused(f"{file or 'standard input'} is not readable: {_explain(content, error)}") from error
    # A tool that failed prints nothing, or its own text: silence about that would pass for a clean bill.
    stack = reading.stack(filling)
    if not stack.serve_configs and not any(manifest.kind for manifest in stack.manifests):
        found = f"its {len(stack.manifests)} document(s) have no `kind`" if stack.manifests else "it is empty"
        raise Refused(f"{file or 'standard input'} holds no manifest and no Serve config: {found}.")
    return stack


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
    return {folder: kustomize.uses(folder) for folder in folders}


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
    manifests = built.fill(values)
    return Stack(
        manifests,
        unset_placeholders=[(name, declared[name].example) for name in unset],
        declared_placeholders=list(declared),
        serve_files=_serve_files(path, manifests),
    )


def _serve_files(path: Path, manifests: Sequence[Manifest]) -> Mapping[Key, str]:
    """The file in which a RayService's Serve config stands that kustomize took from a generator.

    It is the generator's file with the same text, else, where a replacement changed the text, the only one that holds a
    Serve config; none for a RayService whose own file has the config.
    """
    services = [m for m in manifests if m.kind == "RayService" and isinstance(m.spec.get("serveConfigV2"), str)]
    if not services:
        return {}
    contents = {file: content for file in kustomize.generator_files(path) if (content := _text(file)) is not None}
    configs = [file for file, content in contents.items() if "applications:" in content]
    found: dict[Key, str] = {}
    for service in services:
        same = [file for file, content in contents.items() if content == service.spec["serveConfigV2"]]
        changed = configs if len(configs) == 1 and not _has_config(service) else []
        if of_config := same or changed:
            found[service.key] = kustomize.shown(of_config[0])
    return found


def _has_config(service: Manifest) -> bool:
    """Whether the file that `service` comes from has the Serve config itself."""
    content = _text(Path(service.file)) if service.file else None
    try:
        written = [Manifest(document.value) for document in read(content or "") if isinstance(document.value, dict)]
    except Unreadable:
        return True
    return any(m.kind == "RayService" and text(m.spec.get("serveConfigV2")).strip() for m in written)


def _text(file: Path) -> str | None:
    try:
        return _content(file)
    except Refused:  # an image or a key may go into a ConfigMap, too
        return None
