"""Records and samples -> what is drawn: equal bins on one time axis. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from loadtest import slo
from loadtest.observers import Sample
from loadtest.record import Outcome, Record
from loadtest.spec import Profile

_MOST_BINS = 400
_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)


def build(
    profile: Profile,
    records: Sequence[Record],
    samples: Sequence[Sample],
    *,
    measured: Sequence[Record],
    until_s: float,
) -> dict[str, Any]:
    """Everything that the page draws; every list has one value a bin, None where nothing was measured.

    `measured`: the records without warm-ups, which are drawn and break no SLO.
    """
    bin_s = next((width for width in _WIDTHS_S if until_s / width <= _MOST_BINS), _WIDTHS_S[-1])
    bins = max(1, math.ceil(until_s / bin_s))
    ok = [record for record in records if record.outcome is Outcome.OK]
    ttft = _binned(((r.scheduled_s, r.token_s[0] - r.scheduled_s) for r in ok if r.token_s), bin_s, bins)
    itl = _binned(((b, b - a) for r in ok for a, b in pairwise(r.token_s)), bin_s, bins)
    return {
        "bin_s": bin_s,
        "until_s": until_s,
        "offered_per_s": _rate((r.scheduled_s for r in records), bin_s, bins),
        "achieved_per_s": _rate((r.sent_s for r in records if r.sent_s is not None), bin_s, bins),
        "failed_per_s": _rate((r.ended_s for r in records if r.failed), bin_s, bins),
        "tokens_per_s": _rate((at_s for r in records for at_s in r.token_s), bin_s, bins),
        "ttft_p50_s": [_percentile(values, 50) for values in ttft],
        "ttft_p95_s": [_percentile(values, 95) for values in ttft],
        "itl_p50_s": [_percentile(values, 50) for values in itl],
        "itl_p95_s": [_percentile(values, 95) for values in itl],
        "in_flight": _present(((r.dispatched_s, r.ended_s) for r in records), bin_s, bins),
        "waiting": _present(((r.dispatched_s, r.first_token_s or r.ended_s) for r in records), bin_s, bins),
        "violating_s": list(slo.violating_seconds(measured, profile.slo)),
        "samples": {name: _steps(samples, name) for name in sorted({sample.name for sample in samples})},
    }


def _binned(points: Iterable[tuple[float, float]], bin_s: float, bins: int) -> list[list[float]]:
    found: dict[int, list[float]] = defaultdict(list)
    for at_s, value in points:
        found[int(at_s // bin_s)].append(value)
    return [found.get(i, []) for i in range(bins)]


def _rate(instants: Iterable[float], bin_s: float, bins: int) -> list[float]:
    return [len(values) / bin_s for values in _binned(((at_s, 1.0) for at_s in instants), bin_s, bins)]


def _percentile(values: Sequence[float], percent: float) -> float | None:
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] if ordered else None


def _present(intervals: Iterable[tuple[float, float]], bin_s: float, bins: int) -> list[int]:
    """The most that were there at once in each bin."""
    steps = sorted(step for start, end in intervals for step in ((start, 1), (end, -1)))
    most, level, place = [], 0, 0
    for i in range(bins):
        peak = level
        while place < len(steps) and steps[place][0] < (i + 1) * bin_s:
            level += steps[place][1]
            peak = max(peak, level)
            place += 1
        most.append(peak)
    return most


def _steps(samples: Sequence[Sample], name: str) -> list[list[float]]:
    """[at_s, value] of every change of a figure."""
    found: list[list[float]] = []
    for sample in samples:
        if sample.name == name and (not found or found[-1][1] != sample.value):
            found.append([round(sample.at_s, 3), sample.value])
    return found
