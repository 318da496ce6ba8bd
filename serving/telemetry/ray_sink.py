"""The sink under Ray Serve: Ray's agent exports what is recorded here, with its own labels and the prefix `ray_`.

Ray tells its agent each value of a gauge once, and the agent forgets it after two report intervals (20 s): a gauge that
does not move would be gone from the exporter. So the last values are told again.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge, Histogram

from serving.telemetry.metrics import METRICS, Kind, Metric

REPEAT_S = 5.0  # well within Ray's report interval of 10 s


class RaySink:
    """Made inside a replica, where Ray knows whose figures these are."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}  # of gauges, by name and labels
        self._lock = threading.Lock()  # or a repetition could tell an old value after a new one
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
        with self._lock:
            self._last[metric.name, tuple((labels or {}).items())] = value
            self._gauges[metric.name].set(value, dict(labels or {}))

    def observe(self, metric: Metric, value: float) -> None:
        """Add one observation to a histogram; Ray takes no zero for a bound, so values start above it."""
        self._histograms[metric.name].observe(value)

    def repeat(self) -> None:
        """Tell the last value of every gauge again."""
        with self._lock:
            for (name, labels), value in self._last.items():
                self._gauges[name].set(value, dict(labels))

    def keep_repeating(self, every_s: float = REPEAT_S) -> None:
        """Repeat from a thread, until the process ends: also while a model loads, and while the loop is busy."""
        pause = threading.Event()

        def live() -> None:
            while not pause.wait(every_s):
                self.repeat()

        threading.Thread(target=live, name="gauges", daemon=True).start()


def _of(kind: Kind) -> list[Metric]:
    return [metric for metric in METRICS if metric.kind is kind]
