"""The busiest window, by hand."""

from __future__ import annotations

import pytest

from loadtest.concurrency import busiest
from tests.support.load_profiles import record


def test_nothing_in_flight_is_no_load() -> None:
    assert busiest((), 10.0) == 0.0


def test_a_steady_load_is_its_level_in_every_window_that_fits() -> None:
    steady = [record(i, at_s=at_s, ttft_s=1.0, gaps_s=()) for at_s in range(60) for i in range(3)]
    assert busiest(steady, 30.0) == pytest.approx(3.0)


def test_a_burst_counts_for_its_share_of_the_window() -> None:
    burst = [record(i, at_s=20.0, ttft_s=5.0, gaps_s=()) for i in range(8)]
    alone = record(9, at_s=0.0, ttft_s=60.0, gaps_s=())
    assert busiest([*burst, alone], 10.0) == pytest.approx(1 + 8 * 5 / 10)
    assert busiest(burst, 5.0) == pytest.approx(8.0)


def test_a_load_shorter_than_the_window_is_averaged_over_the_window() -> None:
    assert busiest([record(0, at_s=3.0, ttft_s=5.0, gaps_s=())], 10.0) == pytest.approx(0.5)
