"""artifacts.json: what the artifacts were made with, and size and checksum of every file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from serving.errors import SetupError
from serving.model.fetch import sha256

NAME = "artifacts.json"
SCHEMA = "chatbot.neuron-artifacts/v1"
GRAPHS = "graphs"  # the folder of compiled graphs
CHECKPOINT = "checkpoint"  # holds one folder with the model's files, named after it; only where artifacts carry it


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, by its path within the artifacts."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Of one set of artifacts."""

    inputs: Mapping[str, str]
    files: tuple[Entry, ...]

    @property
    def model(self) -> str | None:
        """The name of the model whose files come along; None when none do."""
        names = {entry.path.split("/")[1] for entry in self.files if entry.path.startswith(f"{CHECKPOINT}/")}
        return next(iter(names), None)

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(entry.bytes for entry in self.files)

    def encode(self) -> bytes:
        """As it is written."""
        document = {"schema": SCHEMA, "inputs": dict(self.inputs), "files": [asdict(entry) for entry in self.files]}
        return (json.dumps(document, indent=2) + "\n").encode()

    @classmethod
    def decode(cls, content: bytes, *, where: str) -> Manifest:
        """Raises SetupError for what is no manifest of ours, naming `where`."""
        try:
            document = json.loads(content)
            if document["schema"] != SCHEMA:
                raise ValueError(f"its schema is {document['schema']}, this version reads {SCHEMA}")
            files = tuple(Entry(str(f["path"]), int(f["bytes"]), str(f["sha256"])) for f in document["files"])
            manifest = cls({str(k): str(v) for k, v in document["inputs"].items()}, files)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SetupError(
                f"{where}/{NAME} is not a manifest of compiled graphs ({error}): push the artifacts again."
            ) from error
        for entry in files:
            if Path(entry.path).is_absolute() or ".." in Path(entry.path).parts:
                raise SetupError(f"{where}/{NAME} names {entry.path!r}, which lies outside the artifacts.")
        return manifest


def describe(folder: Path, inputs: Mapping[str, str], *, on_bytes: Callable[[int], None] = lambda _: None) -> Manifest:
    """The manifest of what lies in `folder`; reads every byte."""
    files = (
        Entry(path, (folder / path).stat().st_size, sha256(folder / path, on_bytes=on_bytes)) for path in _in(folder)
    )
    return Manifest(dict(inputs), tuple(files))


def read(folder: Path) -> Manifest:
    """The manifest in `folder`. Raises SetupError when there is none."""
    try:
        return Manifest.decode((folder / NAME).read_bytes(), where=str(folder))
    except FileNotFoundError as error:
        raise SetupError(f"{folder} holds no compiled graphs: make them with `python -m serving compile`.") from error


def is_intact(folder: Path, entry: Entry, *, on_bytes: Callable[[int], None] = lambda _: None) -> bool:
    """Whether the file is there, whole and unchanged; reads it only when its size is right."""
    path = folder / entry.path
    return path.is_file() and path.stat().st_size == entry.bytes and sha256(path, on_bytes=on_bytes) == entry.sha256


def _in(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != NAME and not path.name.startswith("."):
            yield path.relative_to(folder).as_posix()
