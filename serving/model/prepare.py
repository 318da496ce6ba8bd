"""Prepare a model once: fetch or read its weights, build the graph, and keep everything in one folder of our cache.

Work happens in a temporary folder that is renamed when it is complete, under a lock, so a prepared folder is whole or
absent: an interrupted run leaves nothing that a later one could mistake for a model.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving.errors import SetupError
from serving.model import fetch
from serving.model.catalog import KNOWN
from serving.model.folder import MANIFEST, ModelFolder
from serving.model.sources import CatalogSource, Progress, Source, source_of
from serving.settings import ModelSettings, cache_folder

BUILDER_VERSION = 2  # raise it when the same source would give other files
SCHEMA = "chatbot.model/v1"
COMMAND = "python -m serving model prepare"


def silent(stage: str, done: int, total: int) -> None:
    """The progress of a caller who shows none."""


def prepare(settings: ModelSettings, *, progress: Progress = silent) -> ModelFolder:
    """The model of `settings`, made now unless it is there and intact. Raises SetupError; running again is safe."""
    source = source_of(settings.name)
    if isinstance(source, Path):
        return ModelFolder.open(source)
    models = models_folder(settings)
    try:
        models.mkdir(parents=True, exist_ok=True)
        with _locked(models / f".{source.model_id}.lock", progress):
            found = _from_same_source(models, source) or models / _folder_name(source, progress)
            if not _is_intact(found, progress):
                _make(source, found, progress)
            return ModelFolder.open(found)
    except OSError as error:
        raise SetupError(
            f"The model could not be written to {models} ({error}): mend that and run it again."
        ) from error


def find(settings: ModelSettings) -> ModelFolder:
    """The prepared model of `settings`. Raises SetupError that names the command when there is none."""
    source = source_of(settings.name)
    if isinstance(source, Path):
        return ModelFolder.open(source)
    models = models_folder(settings)
    found = _from_same_source(models, source) or models / _folder_name(source, silent)
    if found not in manifests(models):
        raise SetupError(f"The model {settings.name} is not prepared: run `{COMMAND} {settings.name}`.")
    return ModelFolder.open(found)


def models_folder(settings: ModelSettings) -> Path:
    """Where prepared models lie, one folder each."""
    return cache_folder(settings) / "models"


def manifests(models: Path) -> dict[Path, dict[str, Any]]:
    """Every complete folder under `models` and its manifest."""
    found = {}
    for path in sorted(models.glob(f"*/{MANIFEST}")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # damaged: as good as absent, and made anew under the same name
        if content.get("schema") == SCHEMA and _has_its_files(path.parent, content):
            found[path.parent] = content
    return found


def is_old(manifest: Mapping[str, Any]) -> bool:
    """Whether nothing finds this build any more: another builder made it, or the catalog's entry is another by now."""
    if manifest["builder"] != BUILDER_VERSION:
        return True
    known = KNOWN.get(manifest["model_id"])
    from_catalog = all("path" not in source for source in manifest["sources"])
    return known is not None and from_catalog and manifest["sources"] != CatalogSource(known).facts()


def _from_same_source(models: Path, source: Source) -> Path | None:
    """A folder made by this builder from a source that nobody has touched since: spares reading all of it again."""
    facts = source.facts()
    for folder, manifest in manifests(models).items():
        if manifest["builder"] == BUILDER_VERSION and manifest["sources"] == facts:
            return folder
    return None


def _folder_name(source: Source, progress: Progress) -> str:
    identity = f"{BUILDER_VERSION}\n{source.identity(progress)}"
    return f"{source.model_id}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _has_its_files(folder: Path, manifest: dict[str, Any]) -> bool:
    """Present and of the right size."""
    files = ((folder / name, facts["bytes"]) for name, facts in manifest.get("files", {}).items())
    return all(path.is_file() and path.stat().st_size == size for path, size in files)


def _is_intact(folder: Path, progress: Progress) -> bool:
    """Every file has the checksum that the manifest names."""
    manifest = manifests(folder.parent).get(folder)
    if manifest is None or manifest["builder"] != BUILDER_VERSION:
        return False
    files = manifest["files"]
    for done, (name, facts) in enumerate(files.items(), 1):
        if fetch.sha256(folder / name) != facts["sha256"]:
            return False
        progress("checking the prepared files", done, len(files))
    return True


def _make(source: Source, target: Path, progress: Progress) -> None:
    """Build into a temporary folder beside `target`, then swap it in. The caller holds the lock."""
    prefix = f".making-{source.model_id}-"
    for stale in target.parent.glob(f"{prefix}*"):  # of a run that was killed
        shutil.rmtree(stale)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as temporary:
        work, made = Path(temporary) / "work", Path(temporary) / "made"
        work.mkdir()
        made.mkdir()
        _write(source, work, made, progress)
        _write_manifest(source, made, took_s=time.monotonic() - began_s)
        ModelFolder.open(made)  # refuses what could not be served, before it gets its name
        if target.exists():
            shutil.rmtree(target)
        made.rename(target)


def _write(source: Source, work: Path, made: Path, progress: Progress) -> None:
    try:
        import openvino

        from serving.model import graph
    except ImportError as error:
        raise SetupError("Preparing a model needs OpenVINO: install the extra `cpu` of this package.") from error
    checkpoint = source.bring(work, made)
    model = graph.build(
        checkpoint, work / "weights", on_tensor=lambda done, total: progress("quantising to int8", done, total)
    )
    progress("writing", 0, 0)
    openvino.save_model(model, made / "openvino_model.xml", compress_to_fp16=False)


def _write_manifest(source: Source, made: Path, *, took_s: float) -> None:
    from serving.model.graph import WEIGHT_BITS

    manifest = {
        "schema": SCHEMA,
        "model_id": source.model_id,
        "weight_bits": WEIGHT_BITS,
        "builder": BUILDER_VERSION,
        "sources": source.facts(),
        "files": {p.name: {"bytes": p.stat().st_size, "sha256": fetch.sha256(p)} for p in sorted(made.iterdir())},
        "took_s": round(took_s, 1),
    }
    (made / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """Hold `path` alone among processes; the kernel lets go of it when a process dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that prepares this model", 0, 0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
