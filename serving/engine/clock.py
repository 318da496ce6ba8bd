"""Time as an argument: real in a process, virtual in a test."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock in seconds, and a way to wait on it."""

    def now(self) -> float:
        """Seconds since an arbitrary origin; never goes back."""

    def sleep_until(self, when_s: float) -> None:
        """Block the calling thread until `now() >= when_s`."""


class RealClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Seconds since an arbitrary origin."""
        return time.monotonic()

    def sleep_until(self, when_s: float) -> None:
        """Sleep for what is left; returns at once when `when_s` has passed."""
        left_s = when_s - time.monotonic()
        if left_s > 0:
            time.sleep(left_s)


class VirtualClock:
    """A clock that a test moves; sleeping moves it too."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now(self) -> float:
        """Where the clock has been moved to."""
        return self._now_s

    def sleep_until(self, when_s: float) -> None:
        """Jump there."""
        self._now_s = max(self._now_s, when_s)

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`."""
        self._now_s += seconds
