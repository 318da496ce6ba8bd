"""The sink under Ray Serve: Ray's agent exports what is recorded here, with its own labels and the prefix `ray_`."""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge, Histogram

from serving.telemetry.metrics import METRICS, Kind, Metric


class RaySink:
    """Made inside a replica, where Ray knows whose figures these are."""

    def __init__(self) -> None:
        self._counters = {m.name: Counter(m.full_name, m.description, m.labels) for m in _of(Kind.COUNTER)}
        self._gauges = {m.name: Gauge(m.full_name, m.description, m.labels) for m in _of(Kind.GAUGE)}
        self._histograms = {
            m.name: Histogram(m.full_name, m.description, list(m.buckets), m.labels) for m in _of(Kind.HISTOGRAM)
        }

    def add(self, metric: Metric, amount: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Count a counter up; Ray takes no zero."""
        if amount > 0:
            self._counters[metric.name].inc(amount, dict(labels or {}))

    def set(self, metric: Metric, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Move a gauge."""
        self._gauges[metric.name].set(value, dict(labels or {}))

    def observe(self, metric: Metric, value: float) -> None:
        """Add one observation to a histogram; Ray takes no zero for a bound, so values start above it."""
        self._histograms[metric.name].observe(value)


def _of(kind: Kind) -> list[Metric]:
    return [metric for metric in METRICS if metric.kind is kind]
