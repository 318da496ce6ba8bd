"""One clock for a whole run: seconds since its start, monotonic, with the wall clock noted once."""

from __future__ import annotations

import time
from collections.abc import Callable


class RunClock:
    """Every instant of records, observers and the dispatcher is `now()` of one of these."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self.restart()

    def restart(self) -> None:
        """Make this instant zero."""
        self._origin_s = self._monotonic()
        self.started_unix_s = self._wall()

    def now(self) -> float:
        """Seconds since the start."""
        return self._monotonic() - self._origin_s
