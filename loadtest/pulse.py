"""Watches this process while it sends: how late its event loop wakes up, how much of a core it uses."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent

from loadtest.honesty import Pulse

_NAP_S = 0.05
_CPU_EVERY_S = 1.0


class PulseTaker:
    """A greenlet that naps and notes how much longer it took."""

    def __init__(
        self,
        process: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
        sleep: Callable[[float], object] = gevent.sleep,
    ) -> None:
        self._process = process
        self._monotonic = monotonic
        self._cpu = cpu
        self._sleep = sleep
        self._lag_s: list[float] = []
        self._cpu_share: list[float] = []
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> Pulse:
        """What was noted."""
        if self._greenlet is not None:
            self._greenlet.kill()
        return Pulse(self._process, tuple(self._lag_s), tuple(self._cpu_share))

    def _run(self) -> None:
        since_s, cpu_s = self._monotonic(), self._cpu()
        while True:
            before_s = self._monotonic()
            self._sleep(_NAP_S)
            now_s = self._monotonic()
            self._lag_s.append(max(0.0, now_s - before_s - _NAP_S))
            if now_s - since_s >= _CPU_EVERY_S:
                used_s = self._cpu()
                self._cpu_share.append((used_s - cpu_s) / (now_s - since_s))
                since_s, cpu_s = now_s, used_s
