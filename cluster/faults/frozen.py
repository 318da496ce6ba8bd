"""Processes in the lab's pods that are made to hang: stopped by a signal, so that nobody sees them end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence

from cluster.errors import NotReady
from cluster.rehearsal.family import PROC, family


@contextlib.contextmanager
def frozen(names: Sequence[str], ancestor: int) -> Iterator[None]:
    """Inside, the named processes do nothing; afterwards they go on.

    A name is a part of a command line below the process `ancestor`, such as Ray's `ServeController`. Raises NotReady
    where no process has it.
    """
    stopped: list[int] = []
    try:
        for name in names:
            pids = [pid for pid in family(ancestor) if pid != ancestor and name in _command_line(pid)]
            now = [pid for pid in pids if _signalled(pid, signal.SIGSTOP)]
            if not now:
                raise NotReady(f"No process of the lab is called {name}.")
            stopped += now
        yield
    finally:
        for pid in stopped:
            _signalled(pid, signal.SIGCONT)


def _signalled(pid: int, number: signal.Signals) -> bool:
    """Whether it was still there: a process may end between being listed and being told."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _command_line(pid: int) -> str:
    try:
        return (PROC / str(pid) / "cmdline").read_text("utf-8", "replace")
    except OSError:
        return ""
