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


def _command_line(pid: int) -> str:
    try:
        return (PROC / str(pid) / "cmdline").read_text("utf-8", "replace")
    except OSError:
        return ""
