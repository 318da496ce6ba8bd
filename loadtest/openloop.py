"""The open loop: every arrival is sent at its instant, whatever the server does with those before it.

One greenlet walks the schedule and sleeps *until* an instant, never *for* an interval, so lateness does not add up; each
arrival gets a greenlet of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from gevent.pool import Group

from loadtest import prompts
from loadtest.arrivals import Arrival
from loadtest.traffic import Due, Traffic


class OpenLoop:
    """Sends one process's share of a schedule."""

    def __init__(self, arrivals: Sequence[Arrival], traffic: Traffic, *, in_flight_cap: int) -> None:
        self._arrivals = arrivals
        self._traffic = traffic
        self._cap = in_flight_cap
        self._greenlets = Group()

    def run(self) -> None:
        """Send everything that is due, stop when the traffic is closed, and return when nothing is in flight."""
        for arrival in self._arrivals:
            if self._closed_before(arrival.at_s):
                break
            self._dispatch(arrival)
        self._closed_before(self._traffic.profile.duration_s)  # a last stage may have nothing left to send
        self._traffic.close()
        self._greenlets.join(raise_error=True)

    def sever(self) -> None:
        """Cut what is in flight: each is counted as cancelled."""
        self._greenlets.kill()

    def _dispatch(self, arrival: Arrival) -> None:
        due = Due(arrival.index, arrival.at_s, arrival.stage)
        if self._traffic.in_flight + self._starting >= self._cap:
            self._traffic.refuse(due, f"in-flight cap of {self._cap} reached")
        else:
            self._greenlets.spawn(self._send, due)

    @property
    def _starting(self) -> int:
        """Greenlets that were spawned and have not run yet."""
        return max(0, len(self._greenlets) - self._traffic.in_flight)

    def _send(self, due: Due) -> None:
        self._traffic.perform(prompts.request(self._traffic.profile, due.index), due)

    def _closed_before(self, at_s: float) -> bool:
        """Sleep until `at_s`; True when the traffic was closed meanwhile."""
        delay_s = at_s - self._traffic.clock.now()
        return bool(self._traffic.closed.wait(delay_s) if delay_s > 0 else self._traffic.closed.is_set())
