"""How long a kubelet waits before it tries again; the times are Kubernetes' own, divided by the scenario's speed."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_S = 10.0
LONGEST_S = 300.0
FORGET_AFTER_S = 600.0  # a container that ran so long starts over with its back-off


@dataclass(frozen=True, slots=True)
class BackOff:
    """Doubling from `FIRST_S` to `LONGEST_S`."""

    speed: float = 1.0

    def delay_s(self, failures: int) -> float:
        """Before the attempt that follows `failures` failed ones; none before the first."""
        if failures == 0:
            return 0.0
        return float(min(LONGEST_S, FIRST_S * 2 ** (min(failures, 16) - 1))) / self.speed

    def forgets(self, ran_s: float) -> bool:
        """Whether a run was long enough to count as a success."""
        return ran_s >= FORGET_AFTER_S / self.speed
