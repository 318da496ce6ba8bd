"""Was a request good, was a second good, was the run good: pure, from records and the profile's limits."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from loadtest import metrics
from loadtest.record import Outcome, Record
from loadtest.spec import Slo


@dataclass(frozen=True, slots=True)
class Objective:
    """One promise and whether it was kept."""

    name: str
    limit: float
    observed: float | None  # None: nothing was measured, and then it was not kept
    passed: bool
    detail: str


def missed(record: Record, slo: Slo) -> tuple[str, ...]:
    """The names of the limits that this request broke; a failed request breaks `outcome`."""
    if record.failed:
        return ("outcome",)
    broken = []
    if slo.ttft_s is not None and max(metrics.TTFT.values(record), default=math.inf) > slo.ttft_s:
        broken.append("ttft_s")
    if slo.itl_s is not None and _p95(sorted(metrics.ITL.values(record))) > slo.itl_s:
        broken.append("itl_s")
    if slo.e2e_s is not None and max(metrics.E2E.values(record), default=math.inf) > slo.e2e_s:
        broken.append("e2e_s")
    return tuple(broken)


def judged(records: Sequence[Record]) -> list[Record]:
    """What an SLO speaks of: all but the readers who left on purpose."""
    return [record for record in records if record.outcome is not Outcome.CANCELLED]


def goodput(records: Sequence[Record], slo: Slo) -> float | None:
    """Share of good requests; None without any."""
    of = judged(records)
    return sum(not missed(record, slo) for record in of) / len(of) if of else None


def violating_seconds(records: Sequence[Record], slo: Slo) -> tuple[int, ...]:
    """Seconds of the run in which fewer than `slo.goodput` of the requests that were due then were good."""
    due: dict[int, list[bool]] = defaultdict(list)
    for record in judged(records):
        due[int(record.scheduled_s)].append(not missed(record, slo))
    return tuple(sorted(second for second, good in due.items() if sum(good) / len(good) < slo.goodput))


def budget_burn(records: Sequence[Record], slo: Slo) -> float | None:
    """Bad share over the share that the SLO allows: 1 uses the error budget up exactly."""
    share, allowed = goodput(records, slo), 1 - slo.goodput
    if share is None or allowed == 0:
        return None
    return (1 - share) / allowed


def objectives(records: Sequence[Record], slo: Slo) -> tuple[Objective, ...]:
    """The run's promises: goodput and errors."""
    of = judged(records)
    good = goodput(records, slo)
    limits = [f"{name} ≤ {limit:g}" for name in ("ttft_s", "itl_s", "e2e_s") if (limit := getattr(slo, name))]
    errors = sum(record.failed for record in of) / len(of) if of else None
    return (
        Objective(
            "goodput", slo.goodput, good, good is not None and good >= slo.goodput,
            f"share of requests that ended well{' with ' + ', '.join(limits) if limits else ''}",
        ),
        Objective("errors", slo.errors, errors, errors is not None and errors <= slo.errors, "share of failed requests"),
    )  # fmt: skip


def _p95(ordered: Sequence[float]) -> float:
    return ordered[max(0, math.ceil(0.95 * len(ordered)) - 1)] if ordered else 0.0
