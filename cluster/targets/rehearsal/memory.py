"""How much memory processes and everything below them hold, at its highest: proportional set sizes, so nothing counts twice."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

from cluster.rehearsal.family import PROC, family

INTERVAL_S = 2.0
_KIB = 1024


class Peak:
    """A context manager: watches these processes and their descendants while the block runs; `peak_bytes` so far.

    What keeps it from looking is in `failure`: then nobody knows the peak, and the block goes on.
    """

    def __init__(self, *pids: int, proc: Path = PROC, interval_s: float = INTERVAL_S) -> None:
        self.peak_bytes = 0
        self.failure: Exception | None = None
        self._pids = pids
        self._proc = proc
        self._interval_s = interval_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def look(self) -> None:
        """Take one sample."""
        everyone = {pid for ancestor in self._pids for pid in family(ancestor, proc=self._proc)}
        self.peak_bytes = max(self.peak_bytes, sum(pss_bytes(self._proc, pid) for pid in everyone))

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            while not self._over.wait(self._interval_s):
                self.look()
        except Exception as failure:  # noqa: BLE001 - told with its figure; a verdict is not lost for want of that
            self.failure = failure


def pss_bytes(proc: Path, pid: int) -> int:
    """Its share of the memory that it maps; 0 for a process that is gone or may not be looked at."""
    try:
        lines = (proc / str(pid) / "smaps_rollup").read_text("utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * _KIB for line in lines if line.startswith("Pss:")), 0)
