"""The sink of a process of our own: a Prometheus registry that `/metrics` shows."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.telemetry.metrics import METRICS, Kind, Metric


class PrometheusSink:
    """One registry, so that two servers in one process do not share their figures."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in METRICS:
            self._declare(metric)

    def add(self, metric: Metric, amount: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Count a counter up."""
        counter = self._counters[metric.name]
        (counter.labels(**labels) if labels else counter).inc(amount)

    def set(self, metric: Metric, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Move a gauge."""
        gauge = self._gauges[metric.name]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def observe(self, metric: Metric, value: float) -> None:
        """Add one observation to a histogram."""
        self._histograms[metric.name].observe(value)

    def exposition(self) -> bytes:
        """What `/metrics` answers, in Prometheus' text format."""
        return generate_latest(self._registry)

    def _declare(self, metric: Metric) -> None:
        name, text, registry = metric.full_name, metric.description, self._registry
        if metric.kind is Kind.COUNTER:
            self._counters[metric.name] = Counter(name, text, metric.labels, registry=registry)
        elif metric.kind is Kind.GAUGE:
            self._gauges[metric.name] = Gauge(name, text, metric.labels, registry=registry)
        else:
            self._histograms[metric.name] = Histogram(name, text, registry=registry, buckets=metric.buckets)
