"""One metric, one declaration: the arithmetic by hand."""

from __future__ import annotations

import pytest

from loadtest.histogram import distribution
from loadtest.metrics import METRICS, measure
from loadtest.record import Outcome
from tests.support.load_profiles import failure, record

BY_NAME = {metric.name: metric for metric in METRICS}
LATE = record(at_s=10.0, ttft_s=2.0, gaps_s=(0.1, 0.3), sent_s=11.5, ended_s=12.6, completion_tokens=5)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ttft_s", [2.0]), ("ttft_sent_s", [0.5]), ("itl_s", [0.1, 0.3]), ("tpot_s", [0.1]), ("e2e_s", [2.6]),
        ("e2e_sent_s", [1.1]),
    ],
)  # fmt: skip
def test_a_metric_is_its_formula(name: str, values: list[float]) -> None:
    assert list(BY_NAME[name].values(LATE)) == pytest.approx(values)


def test_what_cannot_be_computed_is_no_value_and_not_zero() -> None:
    lone = record(gaps_s=(), completion_tokens=1)
    assert list(BY_NAME["tpot_s"].values(lone)) == []
    assert list(BY_NAME["itl_s"].values(lone)) == []
    assert measure(BY_NAME["ttft_s"], []) is None


def test_a_failure_cannot_improve_a_percentile() -> None:
    slow, fast_failure = record(ttft_s=3.0), record(ttft_s=0.001, outcome=Outcome.TRUNCATED)
    found = measure(BY_NAME["ttft_s"], [slow, fast_failure, failure(Outcome.TIMEOUT)])
    assert found is not None
    assert found.count == 1
    assert found.p50 == pytest.approx(3.0, rel=1e-4)


def test_percentiles_have_four_digits_from_microseconds_to_hours() -> None:
    values = [i * 1.234567e-3 for i in range(1, 10_001)]
    found = distribution([*values, 7200.0])
    assert found is not None
    assert found.p50 == pytest.approx(values[5000], rel=2e-4)
    assert found.p99 == pytest.approx(values[9900], rel=2e-4)
    assert found.max == 7200.0
    tiny = distribution([3e-6])
    assert tiny is not None
    assert tiny.p99 == 3e-6


def test_every_metric_says_its_unit_its_formula_and_what_it_needs() -> None:
    assert all(metric.unit and metric.formula and metric.needs for metric in METRICS)
    assert len(BY_NAME) == len(METRICS)
