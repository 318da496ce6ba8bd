"""A start says where its time went, and which stage took it beyond the budget."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

import pytest

from serving.engine.clock import RealClock, VirtualClock
from serving.startup import Stages
from serving.telemetry.metrics import Metric
from tests.support.api import CountingSink


def _stages(budget_s: float = 100.0) -> tuple[Stages, CountingSink, VirtualClock]:
    sink, clock = CountingSink(), VirtualClock()
    return Stages(sink, clock, budget_s), sink, clock


def _pass(stages: Stages, clock: VirtualClock, stage: str, seconds: float) -> None:
    with stages.timed(stage):
        clock.sleep_until(clock.now() + seconds)


def test_stages_within_a_stage_are_timed_by_themselves() -> None:
    stages, sink, clock = _stages()
    with stages.timed("runner"):
        _pass(stages, clock, "weights", 30)
        _pass(stages, clock, "graphs", 12)
    assert stages.seconds == {"weights": 30, "graphs": 12, "runner": 42}
    assert sink.gauges["startup_stage_seconds", (("stage", "weights"),)] == 30
    assert not [name for name, _ in sink.gauges if "over_budget" in name]


def test_the_stage_that_exceeds_the_budget_is_named_while_it_runs(caplog: pytest.LogCaptureFixture) -> None:
    stages, sink, clock = _stages(budget_s=40)
    with stages.timed("runner"):
        _pass(stages, clock, "weights", 30)
        with stages.timed("graphs"):
            clock.sleep_until(clock.now() + 11)
            assert stages.check_budget() == "graphs"
    assert sink.gauges["startup_over_budget_seconds", (("stage", "graphs"),)] == 1
    record = next(r for r in caplog.records if r.message == "start-up exceeds its budget")
    assert record.levelno == logging.ERROR
    assert (record.__dict__["stage"], record.__dict__["in_stage_s"]) == ("graphs", 11)
    assert record.__dict__["passed"] == {"weights": 30}


def test_a_stage_that_failed_has_not_passed_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    stages, _, _ = _stages()
    with pytest.raises(OSError, match="disk"), stages.timed("artifacts"):
        raise OSError("disk")
    assert stages.seconds == {}
    assert [r.__dict__["stage"] for r in caplog.records if "failed" in r.message] == ["artifacts"]


def test_a_stage_that_hangs_is_named_by_the_timer() -> None:
    told = threading.Event()

    class Telling(CountingSink):
        def set(self, metric: Metric, value: float, labels: Mapping[str, str] | None = None) -> None:
            super().set(metric, value, labels)
            told.set()

    sink = Telling()
    stages = Stages(sink, RealClock(), budget_s=0.01)
    with stages.timed("graphs"), stages.watched():  # the stage has begun when the timer does
        assert told.wait(30)
        assert list(sink.gauges) == [("startup_over_budget_seconds", (("stage", "graphs"),))]
