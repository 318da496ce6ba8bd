"""Latencies in an HDR histogram: four significant digits from a microsecond to ten hours, whatever the count."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from hdrh.histogram import HdrHistogram

PERCENTILES = (50.0, 90.0, 95.0, 99.0)
_LOWEST_US, _HIGHEST_US, _DIGITS = 1, 36_000_000_000, 4


@dataclass(frozen=True, slots=True)
class Distribution:
    """Percentiles of one metric, in the metric's unit."""

    count: int
    p50: float
    p90: float
    p95: float
    p99: float
    max: float
    mean: float


def distribution(values_s: Iterable[float]) -> Distribution | None:
    """Percentiles of seconds, or None where there is no value: that is not zero."""
    counts = Counter(max(_LOWEST_US, round(value_s * 1e6)) for value_s in values_s)
    if not counts:
        return None
    histogram = HdrHistogram(_LOWEST_US, _HIGHEST_US, _DIGITS)
    for value_us, count in counts.items():
        histogram.record_value(min(value_us, _HIGHEST_US), count)
    most_us = max(counts)
    total = sum(counts.values())
    found = histogram.get_percentile_to_value_dict(list(PERCENTILES))  # one pass for all
    p50, p90, p95, p99 = (min(found[p], most_us) / 1e6 for p in PERCENTILES)
    mean = math.fsum(value * count for value, count in counts.items()) / total / 1e6
    return Distribution(total, p50, p90, p95, p99, most_us / 1e6, mean)
