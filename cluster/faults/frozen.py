"""Processes in the lab's pods that are made to hang: stopped by a signal, so that nobody sees them end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cluster.errors import NotReady


@contextlib.contextmanager
def frozen(names: Sequence[str], ancestor: int) -> Iterator[None]:
    """Inside, the named processes do nothing; afterwards they go on.

    A name is a part of a command line below the process `ancestor`, such as Ray's `ServeController`. Raises NotReady
    where no process has it.
    """
    stopped: list[int] = []
    try:
        for name in names:
            pids = _below(ancestor, name)
            if not pids:
                raise NotReady(f"No process of the lab is called {name}.")
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _below(ancestor: int, name: str) -> list[int]:
    """Processes below `ancestor` whose command line holds `name`."""
    parents = {int(folder.name): _parent(folder) for folder in Path("/proc").iterdir() if folder.name.isdigit()}
    return [pid for pid in parents if name in _command_line(pid) and _descends(pid, ancestor, parents)]


def _descends(pid: int, ancestor: int, parents: Mapping[int, int]) -> bool:
    while pid in parents and parents[pid] != ancestor:
        pid = parents[pid]
    return pid in parents


def _parent(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text("utf-8").rpartition(") ")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return 0


def _command_line(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_text("utf-8", "replace")
    except OSError:
        return ""
