"""What is good: per request, per second, per run."""

from __future__ import annotations

import pytest

from loadtest import slo
from loadtest.record import Outcome
from loadtest.spec import Slo
from tests.support.load_profiles import failure, record

LIMITS = Slo(ttft_s=1, itl_s=0.1, e2e_s=5, goodput=0.9, errors=0.05)


def test_a_request_is_good_when_it_keeps_every_limit() -> None:
    assert slo.missed(record(), LIMITS) == ()
    assert slo.missed(record(ttft_s=1.5), LIMITS) == ("ttft_s",)
    assert slo.missed(record(gaps_s=(0.05, 0.5)), LIMITS) == ("itl_s",)
    assert slo.missed(record(ttft_s=4, gaps_s=(2,)), LIMITS) == ("ttft_s", "itl_s", "e2e_s")
    assert slo.missed(failure(Outcome.TIMEOUT), LIMITS) == ("outcome",)


def test_one_slow_gap_in_a_long_answer_is_forgiven() -> None:
    assert slo.missed(record(gaps_s=(0.5, *[0.01] * 40)), LIMITS) == ()


def test_an_answer_without_a_token_is_not_good() -> None:
    assert "ttft_s" in slo.missed(record(token_s=()), LIMITS)


def test_readers_who_left_are_neither_good_nor_bad() -> None:
    records = [record(0), failure(Outcome.CANCELLED, 1)]
    assert slo.goodput(records, LIMITS) == 1.0
    assert slo.objectives(records, LIMITS)[1].observed == 0.0


def test_what_was_due_and_could_not_be_sent_is_bad() -> None:
    assert slo.goodput([record(0), failure(Outcome.NOT_SENT, 1)], LIMITS) == 0.5


def test_a_second_violates_when_too_few_of_those_due_in_it_were_good() -> None:
    records = [record(i, at_s=3.05 * i // 3) for i in range(3)]
    records += [record(9, at_s=7.5, ttft_s=2), *(record(10 + i, at_s=7.6) for i in range(3))]
    assert slo.violating_seconds(records, LIMITS) == (7,)


def test_the_error_budget_is_used_up_at_one() -> None:
    records = [record(i) for i in range(9)] + [failure(Outcome.TIMEOUT, 9)]
    assert slo.budget_burn(records, LIMITS) == pytest.approx(1.0)
    assert slo.budget_burn(records, Slo(goodput=1.0)) is None


def test_promises_are_kept_or_not_and_nothing_measured_is_not_kept() -> None:
    good, errors = slo.objectives([record(i) for i in range(10)], LIMITS)
    assert (good.passed, errors.passed) == (True, True)
    assert [o.passed for o in slo.objectives([], LIMITS)] == [False, False]
    assert [o.passed for o in slo.objectives([failure(Outcome.TIMEOUT)], LIMITS)] == [False, False]
