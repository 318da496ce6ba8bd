"""When the client measured itself."""

from __future__ import annotations

import pytest

from loadtest.honesty import Pulse, schedule_lag, void_reasons
from loadtest.record import Outcome
from loadtest.spec import ClientLimits
from tests.support.load_profiles import failure, record

LIMITS = ClientLimits(schedule_lag_p99_s=0.05, loop_lag_p99_s=0.1, cpu_share_p95=0.9)
CALM = Pulse("the client", (0.001,) * 100, (0.2,) * 20)


def test_a_calm_client_voids_nothing() -> None:
    assert void_reasons(LIMITS, [record()], [CALM]) == ()


def test_late_requests_void_the_run_and_say_by_how_much() -> None:
    (reason,) = void_reasons(LIMITS, [record(dispatched_s=0.2)], [CALM])
    assert reason.startswith("client saturated: p99 of the schedule lag is 200 ms, above client_limits")


def test_one_saturated_process_among_many_voids_the_run() -> None:
    lagging = Pulse("worker 1", (0.001,) * 90 + (0.5,) * 10, (0.2,) * 20)
    busy = Pulse("worker 2", (0.001,), (0.99,) * 20)
    reasons = void_reasons(LIMITS, [record()], [CALM, lagging, busy])
    assert len(reasons) == 2
    assert "event-loop lag of worker 1 is 500 ms" in reasons[0]
    assert "worker 2 used 99% of its core" in reasons[1]


def test_what_was_never_begun_has_no_lag() -> None:
    assert schedule_lag([failure(Outcome.NOT_SENT, dispatched_s=9.0)]) is None


def test_a_pulse_survives_the_wire() -> None:
    assert Pulse.from_wire(CALM.to_wire()) == CALM
    assert Pulse("p", (), ()).cpu_share_p95 == 0
    assert CALM.cpu_share_p95 == pytest.approx(0.2)
