"""Whether a plan fits on the chip: the arithmetic before anything is loaded.

Memory is per NeuronCore, not per chip (P21): weights, cache and the largest graph's scratch must fit on each.
"""

from __future__ import annotations

from dataclasses import dataclass

from serving.engine.runners.neuron.plan import BITS, ModelShape, NeuronPlan, PlanError

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes on one NeuronCore."""

    weights_bytes: int
    kv_bytes: int
    reserve_bytes: int  # code, scratchpad, rings, collectives: unknown until measured on a chip
    core_bytes: int

    @property
    def total_bytes(self) -> int:
        """What the plan needs."""
        return self.weights_bytes + self.kv_bytes + self.reserve_bytes

    @property
    def fits(self) -> bool:
        """Whether a core has as much."""
        return self.total_bytes <= self.core_bytes

    def table(self) -> str:
        """The sum, a line each, in GiB per core."""
        rows = [
            ("weights", self.weights_bytes),
            ("key-value cache", self.kv_bytes),
            ("reserve for code and scratch", self.reserve_bytes),
            ("needed", self.total_bytes),
            ("a core has", self.core_bytes),
        ]
        return "\n".join(f"  {name:<30} {size / GIB:6.2f} GiB" for name, size in rows)


def kv_bytes_per_token(shape: ModelShape, amp: str) -> int:
    """Bytes that one position of one slot takes, over all cores: keys and values of every layer."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * BITS[amp] // 8


def estimate(
    plan: NeuronPlan, shape: ModelShape, *, core_bytes: int = 16 * GIB, reserve_bytes: int = 3 * GIB
) -> MemoryEstimate:
    """What each core holds. The embedding stays on the host; norms (1 MB) are in the reserve."""
    weights = (shape.linear_parameters + shape.head_parameters) * BITS[plan.amp] // 8
    cache = plan.slots * plan.positions * kv_bytes_per_token(shape, plan.amp)
    return MemoryEstimate(weights // plan.tp_degree, cache // plan.tp_degree, reserve_bytes, core_bytes)


def check_fits(plan: NeuronPlan, shape: ModelShape, memory: MemoryEstimate) -> None:
    """Raises PlanError with the table, and with the slots that would fit, when a core is too small."""
    if memory.fits:
        return
    per_slot = plan.positions * kv_bytes_per_token(shape, plan.amp) // plan.tp_degree
    room = memory.core_bytes - memory.weights_bytes - memory.reserve_bytes
    most = max(0, room // per_slot)
    advice = (
        f"at {plan.positions} positions, {most} slots fit"
        if most
        else "no number of slots fits: choose smaller weights or more cores"
    )
    raise PlanError(
        f"{plan.slots} slots × {plan.positions} positions do not fit on a NeuronCore; {advice}.\n{memory.table()}"
    )
