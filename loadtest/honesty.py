"""Did the client measure the server, or itself? What it knows of itself, and when that voids the run. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loadtest.histogram import Distribution, distribution
from loadtest.record import Outcome, Record
from loadtest.spec import ClientLimits


@dataclass(frozen=True, slots=True)
class Pulse:
    """What one sending process noted about itself."""

    process: str
    lag_s: tuple[float, ...]  # how late a short sleep woke up: the event loop's lag
    cpu_share: tuple[float, ...]  # of one core, each second

    def to_wire(self) -> dict[str, Any]:
        """As plain values, for Locust's messages."""
        return {"process": self.process, "lag_s": list(self.lag_s), "cpu_share": list(self.cpu_share)}

    @classmethod
    def from_wire(cls, fields: dict[str, Any]) -> Pulse:
        """The reverse of `to_wire`."""
        return cls(fields["process"], tuple(fields["lag_s"]), tuple(fields["cpu_share"]))

    @property
    def lag(self) -> Distribution | None:
        """The event loop's lag."""
        return distribution(self.lag_s)

    @property
    def cpu_share_p95(self) -> float:
        """The 95th percentile of its seconds; 0 for a run of less than one."""
        ordered = sorted(self.cpu_share)
        return ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else 0.0


def schedule_lag(records: Sequence[Record]) -> Distribution | None:
    """How late requests were begun, over all that were."""
    return distribution(r.dispatched_s - r.scheduled_s for r in records if r.outcome is not Outcome.NOT_SENT)


def void_reasons(limits: ClientLimits, records: Sequence[Record], pulses: Sequence[Pulse]) -> tuple[str, ...]:
    """Why the figures are not the server's; empty when they are."""
    reasons = []
    lag = schedule_lag(records)
    if lag is not None and lag.p99 > limits.schedule_lag_p99_s:
        reasons.append(
            f"client saturated: p99 of the schedule lag is {lag.p99 * 1e3:.0f} ms, "
            f"above client_limits.schedule_lag_p99_s ({limits.schedule_lag_p99_s * 1e3:g} ms)"
        )
    for pulse in pulses:
        if pulse.lag is not None and pulse.lag.p99 > limits.loop_lag_p99_s:
            reasons.append(
                f"client saturated: p99 of the event-loop lag of {pulse.process} is {pulse.lag.p99 * 1e3:.0f} ms, "
                f"above client_limits.loop_lag_p99_s ({limits.loop_lag_p99_s * 1e3:g} ms)"
            )
        if pulse.cpu_share_p95 > limits.cpu_share_p95:
            reasons.append(
                f"client saturated: {pulse.process} used {pulse.cpu_share_p95:.0%} of its core (p95), "
                f"above client_limits.cpu_share_p95 ({limits.cpu_share_p95:.0%}); give the run more workers"
            )
    return tuple(reasons)
