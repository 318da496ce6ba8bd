import re

from serving.telemetry.metrics import METRICS, Kind


def test_names_are_unique_and_spelled_as_prometheus_wants_them() -> None:
    names = [metric.full_name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"chatbot_[a-z0-9_]+", name) for name in names)


def test_counters_end_in_total_and_durations_in_seconds() -> None:
    for metric in METRICS:
        assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total")
        assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets)
        assert metric.kind is not Kind.HISTOGRAM or metric.name.endswith("_seconds")
        assert list(metric.buckets) == sorted(metric.buckets)


def test_every_metric_says_what_it_means() -> None:
    assert all(metric.description.endswith(".") for metric in METRICS)
