"""Move artifacts: several files at once, each checked; an interrupted transfer goes on where it ended.

What lies at the other end is judged by its bytes and by nothing else: a pull compares the folder's, a push reads the store's
back. So both resume without notes of how far they came, mend what was damaged, and can be run twice at once. A pull goes on
within a file, a push with the files that are not there whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from serving.artifacts import manifest as manifests
from serving.artifacts.manifest import NAME, Entry, Manifest
from serving.artifacts.store import Store
from serving.errors import SetupError
from serving.model.fetch import sha256

Progress = Callable[[str, int, int], None]  # what is done, bytes done, bytes in all


def silent(stage: str, done: int, total: int) -> None:
    """The progress of a caller who shows none."""


@dataclass(slots=True)
class Transfer:
    """What was moved and what was there already."""

    moved: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def push(folder: Path, store: Store, *, workers: int, progress: Progress = silent) -> Transfer:
    """Bring the artifacts in `folder` to `store`: what is not there intact, and the manifest last.

    Whatever the store holds of the right size is read and compared. Until all has arrived there is no manifest, so nobody
    takes new files for old ones. Raises SetupError when a file is not what the manifest says, or cannot be written.
    """
    manifest = manifests.read(folder)
    _check_intact(folder, manifest, workers=workers, progress=progress)
    intact = _intact_in(store, manifest, workers=workers, progress=progress)
    missing = [entry for entry in manifest.files if entry not in intact]
    done, counter = Transfer(kept=[entry.path for entry in intact]), _Counter("pushing", manifest, progress)
    counter.add(sum(entry.bytes for entry in intact))

    def send(entry: Entry) -> None:
        store.put(entry.path, folder / entry.path)
        if store.size(entry.path) != entry.bytes:
            raise SetupError(f"{store.url}: {entry.path} arrived with another size; push again.")
        done.moved.append(entry.path)
        counter.add(entry.bytes)

    if missing:
        store.delete(NAME)
    _each(send, missing, workers=workers)
    store.put(NAME, manifest.encode())
    return done


def pull(store: Store, folder: Path, *, workers: int, progress: Progress = silent) -> Transfer:
    """Bring `folder` to what `store` holds, under a lock: of several replicas on a node one fetches, the others check.

    Every file is read and compared with its checksum, also one that was there; only what differs is fetched.
    Raises SetupError when the store holds nothing, or a file that is not what its manifest says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock", progress):
        manifest = store.manifest()
        if manifest is None:
            raise SetupError(
                f"{store.url} holds no compiled graphs: push them with `python -m serving artifacts push`."
            )
        done, counter = Transfer(), _Counter("fetching", manifest, progress)

        def fetch(entry: Entry) -> None:
            if manifests.is_intact(folder, entry):
                done.kept.append(entry.path)
                counter.add(entry.bytes)
            else:
                _fetch(store, folder, entry, counter)
                done.moved.append(entry.path)

        _each(fetch, manifest.files, workers=workers)
        _write_whole(folder / NAME, manifest.encode())
    return done


def damaged(folder: Path, manifest: Manifest, *, workers: int, progress: Progress = silent) -> list[str]:
    """The files of `manifest` that are absent from `folder` or changed."""
    found: list[str] = []
    counter = _Counter("checking", manifest, progress)

    def check(entry: Entry) -> None:
        if not manifests.is_intact(folder, entry, on_bytes=counter.add):
            found.append(entry.path)

    _each(check, manifest.files, workers=workers)
    return sorted(found)


def _intact_in(store: Store, manifest: Manifest, *, workers: int, progress: Progress) -> list[Entry]:
    """The files of `manifest` that `store` holds unchanged, in its order; reads those whose size is right."""
    found: set[Entry] = set()
    counter = _Counter("comparing", manifest, progress)

    def compare(entry: Entry) -> None:
        if store.size(entry.path) != entry.bytes:
            counter.add(entry.bytes)
            return
        digest = hashlib.sha256()
        for block in store.parts(entry, start=0):
            digest.update(block)
            counter.add(len(block))
        if digest.hexdigest() == entry.sha256:
            found.add(entry)

    _each(compare, manifest.files, workers=workers)
    return [entry for entry in manifest.files if entry in found]


def _fetch(store: Store, folder: Path, entry: Entry, counter: _Counter) -> None:
    """One file, from where an interrupted fetch of the same file ended; a wrong checksum starts it once more."""
    path = folder / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{entry.sha256[:16]}.part")
    for _ in range(2):
        start = part.stat().st_size if part.exists() else 0
        counter.add(start)
        with part.open("ab") as file:
            for block in store.parts(entry, start=start):
                file.write(block)
                counter.add(len(block))
            file.flush()
            os.fsync(file.fileno())
        if sha256(part) == entry.sha256:
            part.replace(path)
            return
        counter.add(-part.stat().st_size)
        part.unlink()
        if start == 0:  # fetched whole, and still wrong
            break
    raise SetupError(f"{store.url}: {entry.path} is not what its manifest says (checksum): push the artifacts again.")


def _check_intact(folder: Path, manifest: Manifest, *, workers: int, progress: Progress) -> None:
    wrong = damaged(folder, manifest, workers=workers, progress=progress)
    if wrong:
        raise SetupError(f"{folder}: {', '.join(wrong)} changed since they were compiled: compile again.")


def _each(work: Callable[[Entry], None], entries: Sequence[Entry], *, workers: int) -> None:
    """Do `work` for all, some at once; the first failure ends it when those under way have ended."""
    with ThreadPoolExecutor(workers, thread_name_prefix="artifacts") as pool:
        futures = [pool.submit(work, entry) for entry in entries]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


class _Counter:
    """Bytes done of all, from any thread."""

    def __init__(self, stage: str, manifest: Manifest, progress: Progress) -> None:
        self._stage, self._total, self._progress = stage, manifest.total_bytes, progress
        self._done, self._lock = 0, Lock()

    def add(self, size: int) -> None:
        """So many more."""
        with self._lock:
            self._done += size
            self._progress(self._stage, self._done, self._total)


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """Hold `path` alone among the processes of this node; the kernel lets go of it when a process dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another replica that fetches", 0, 0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(content)
    temporary.replace(path)
