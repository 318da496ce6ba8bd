"""Records: over the wire and onto another clock."""

from __future__ import annotations

import json

import pytest

from loadtest.record import Outcome, Record
from tests.support.load_profiles import failure, record


def test_a_record_survives_json() -> None:
    one = record(3, at_s=1.5, error=None)
    assert Record.from_wire(json.loads(json.dumps(one.to_wire()))) == one


def test_a_record_moves_to_another_clock_as_a_whole() -> None:
    moved = record(at_s=1.0, ttft_s=0.5).shifted(10)
    assert (moved.scheduled_s, moved.sent_s) == (11.0, 11.0)
    assert moved.token_s == pytest.approx((11.5, 11.55))
    assert failure(Outcome.NOT_SENT, sent_s=None).shifted(10).sent_s is None


def test_usage_that_contradicts_the_events_is_noticed() -> None:
    assert not record(completion_tokens=2).counts_disagree
    assert not record(completion_tokens=9).counts_disagree  # one event may carry several tokens
    assert record(completion_tokens=1).counts_disagree
    assert record(completion_tokens=None).counts_disagree
