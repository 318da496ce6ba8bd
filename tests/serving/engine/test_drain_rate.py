from __future__ import annotations

from serving.engine.drain_rate import DrainRate


def test_two_endings_a_second_free_four_places_in_two_seconds() -> None:
    rate = DrainRate()
    for ended_s in (0.0, 0.5, 1.0, 1.5, 2.0):
        rate.record(ended_s)
    assert rate.per_second(2.0) == 2.0
    assert rate.wait_s(4, 2.0) == 2.0


def test_a_stall_lengthens_the_wait() -> None:
    rate = DrainRate()
    for ended_s in (0.0, 1.0):
        rate.record(ended_s)
    assert rate.wait_s(5, 1.0) == 5.0
    assert rate.wait_s(5, 4.0) == 20.0


def test_only_the_last_endings_count() -> None:
    rate = DrainRate(window=3)
    for ended_s in (0.0, 10.0, 11.0, 12.0):
        rate.record(ended_s)
    assert rate.per_second(12.0) == 1.0


def test_before_anything_ended_the_wait_is_a_guess() -> None:
    rate = DrainRate()
    assert rate.per_second(0.0) is None
    rate.record(1.0)
    assert rate.wait_s(3, 1.0) == DrainRate.UNMEASURED_S


def test_the_wait_stays_within_what_a_client_can_use() -> None:
    rate = DrainRate()
    for ended_s in (0.0, 20.0):
        rate.record(ended_s)
    assert rate.wait_s(99, 20.0) == DrainRate.LONGEST_S
    fast = DrainRate()
    for ended_s in (0.0, 0.001):
        fast.record(ended_s)
    assert fast.wait_s(1, 0.001) == DrainRate.SHORTEST_S


def test_what_ended_long_ago_says_nothing_of_now() -> None:
    rate = DrainRate()
    for ended_s in (0.0, 1.0, 600.0, 601.0, 602.0):
        rate.record(ended_s)
    assert rate.per_second(602.0) == 1.0
    assert rate.per_second(700.0) is None


def test_what_was_before_a_pause_is_forgotten() -> None:
    rate = DrainRate()
    for ended_s in (0.0, 1.0):
        rate.record(ended_s)
    rate.forget()
    assert rate.wait_s(3, 20.0) == DrainRate.UNMEASURED_S
