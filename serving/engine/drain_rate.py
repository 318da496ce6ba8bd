"""How fast places come free, measured; it is what a refused caller is told to wait."""

from __future__ import annotations

from collections import deque


class DrainRate:
    """Endings per second of late, and the wait for a number of places that follows from it."""

    SHORTEST_S = 1.0
    LONGEST_S = 60.0
    UNMEASURED_S = 5.0  # nothing has ended yet
    WINDOW_S = 30.0  # an older ending says nothing of now

    def __init__(self, *, window: int = 64) -> None:
        self._ended_s: deque[float] = deque(maxlen=window)

    def record(self, now_s: float) -> None:
        """One generation ended, so one place came free."""
        self._ended_s.append(now_s)

    def forget(self) -> None:
        """The engine is idle from here on: the pause that follows must not count as slowness."""
        self._ended_s.clear()

    def per_second(self, now_s: float) -> float | None:
        """Endings per second from the oldest one in the window until now; None before there are two of them.

        The interval reaches to now, not to the last ending: an engine that stalls is seen to slow down.
        """
        while self._ended_s and now_s - self._ended_s[0] > self.WINDOW_S:
            self._ended_s.popleft()
        if len(self._ended_s) < 2 or now_s <= self._ended_s[0]:
            return None
        return (len(self._ended_s) - 1) / (now_s - self._ended_s[0])

    def wait_s(self, places: int, now_s: float) -> float:
        """How long until so many places have come free, within what is sensible to tell a client."""
        rate = self.per_second(now_s)
        if rate is None:
            return self.UNMEASURED_S
        return min(max(places / rate, self.SHORTEST_S), self.LONGEST_S)
