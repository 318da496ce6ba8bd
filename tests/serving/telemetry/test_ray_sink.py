from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from serving.telemetry import metrics, ray_sink
from serving.telemetry.metrics import METRICS, Kind
from serving.telemetry.ray_sink import RaySink


class _Told:
    """Stands for Ray's three classes: what each was told, by the name that Ray exports after `ray_`."""

    def __init__(self) -> None:
        self.values: list[tuple[str, float, Mapping[str, str]]] = []
        self.buckets: dict[str, Sequence[float]] = {}

    def counter(self, name: str, _description: str, _labels: Sequence[str]) -> _Metric:
        return _Metric(self, name)

    def histogram(self, name: str, _description: str, buckets: Sequence[float], _labels: Sequence[str]) -> _Metric:
        self.buckets[name] = buckets
        return _Metric(self, name)


class _Metric:
    def __init__(self, told: _Told, name: str) -> None:
        self._told, self._name = told, name

    def inc(self, value: float, labels: Mapping[str, str] | None = None) -> None:
        self._told.values.append((self._name, value, labels or {}))

    observe = inc
    set = inc


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> _Told:
    seen = _Told()
    monkeypatch.setattr(ray_sink, "Counter", seen.counter)
    monkeypatch.setattr(ray_sink, "Gauge", seen.counter)
    monkeypatch.setattr(ray_sink, "Histogram", seen.histogram)
    return seen


def test_ray_takes_every_declaration_and_every_kind_of_value() -> None:
    """Ray's own classes raise for a name, a label or a value that they do not take; tests/e2e sees the values arrive."""
    sink = RaySink()
    for metric in METRICS:
        labels = dict.fromkeys(metric.labels, "x")
        if metric.kind is Kind.COUNTER:
            sink.add(metric, labels=labels)
            sink.add(metric, 0, labels)  # a step without prompt tokens; Ray itself refuses a zero
        elif metric.kind is Kind.GAUGE:
            sink.set(metric, 1.0, labels)
        else:
            sink.observe(metric, 0.0)
    sink.repeat()


def test_values_go_under_their_full_name_with_their_labels_and_no_zero_to_a_counter(told: _Told) -> None:
    sink = RaySink()
    sink.add(metrics.GENERATION_TOKENS, 3)
    sink.add(metrics.GENERATION_TOKENS, 0)
    sink.add(metrics.SUCCESSES, labels={"finished_reason": "stop"})
    sink.observe(metrics.STEP_TIME, 0.02)
    assert told.values == [
        ("chatbot_generation_tokens_total", 3, {}),
        ("chatbot_request_success_total", 1.0, {"finished_reason": "stop"}),
        ("chatbot_step_time_seconds", 0.02, {}),
    ]
    assert told.buckets["chatbot_step_time_seconds"] == list(metrics.STEP_TIME.buckets)


def test_a_gauge_that_does_not_move_is_told_again_with_its_last_value(told: _Told) -> None:
    sink = RaySink()
    sink.set(metrics.SLOTS, 8)
    sink.set(metrics.RUNNING, 1)
    sink.set(metrics.RUNNING, 2)
    sink.set(metrics.STARTUP_STAGE, 0.5, {"stage": "runner"})
    told.values.clear()
    sink.repeat()
    assert told.values == [
        ("chatbot_num_slots", 8, {}),
        ("chatbot_num_requests_running", 2, {}),
        ("chatbot_startup_stage_seconds", 0.5, {"stage": "runner"}),
    ]
