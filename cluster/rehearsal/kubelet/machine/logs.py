"""The output of every container's processes, one file for each start, kept until the pod's object is gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_CHUNK_BYTES = 65_536
_FOLLOW_S = 0.25  # between looks at a file that somebody follows


@dataclass(frozen=True, slots=True)
class Logs:
    """All pods' output below one folder."""

    folder: Path

    def new(self, uid: str, container: str, instance: int) -> Path:
        """The file of a start that is about to happen."""
        path = self._of(uid, container) / f"{instance}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    def find(self, uid: str, container: str, *, previous: bool) -> Path | None:
        """The file of its last start, or of the one before."""
        known = sorted(self._of(uid, container).glob("*.log"), key=lambda path: int(path.stem))
        wanted = 2 if previous else 1
        return known[-wanted] if len(known) >= wanted else None

    def tail(self, uid: str, container: str, limit_bytes: int) -> str:
        """The end of its last output."""
        path = self.find(uid, container, previous=False)
        if path is None:
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - limit_bytes))
            return file.read().decode("utf-8", "replace")

    def remove(self, uid: str) -> None:
        """Everything that the pod's containers have said."""
        shutil.rmtree(self.folder / uid, ignore_errors=True)

    def _of(self, uid: str, container: str) -> Path:
        return self.folder / uid / container


def chunks(
    path: Path, *, tail_lines: int | None, follows: Callable[[], bool], sleep: Callable[[float], None]
) -> Iterator[bytes]:
    """The file from its last `tail_lines` lines on; as long as `follows()`, also what is added to it."""
    with path.open("rb") as file:
        file.seek(_start_of_tail(file, tail_lines))
        while True:
            goes_on = follows()  # asked before reading: what was written until then is still read
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
            if not goes_on:
                return
            sleep(_FOLLOW_S)


def _start_of_tail(file: BinaryIO, lines: int | None) -> int:
    if lines is None:
        return 0
    at = end = file.seek(0, os.SEEK_END)
    if lines == 0:
        return end
    seen = 0
    while at > 0:
        size = min(_CHUNK_BYTES, at)
        at -= size
        file.seek(at)
        block = file.read(size)
        if at + size == end and block.endswith(b"\n"):
            block = block[:-1]  # the end of the last line starts no other
        missing = lines - seen
        if block.count(b"\n") >= missing:
            return at + _after_newline_from_end(block, missing)
        seen += block.count(b"\n")
    return 0


def _after_newline_from_end(block: bytes, count: int) -> int:
    at = len(block)
    for _ in range(count):
        at = block.rindex(b"\n", 0, at)
    return at + 1
