"""The stages of a start: timed, logged and exported as they pass, against a budget that names the one that exceeds it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from serving.engine.clock import Clock
from serving.telemetry import metrics
from serving.telemetry.metrics import Sink

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Stages:
    """One start. A stage may hold others: the runner's holds artifacts, weights and graphs."""

    sink: Sink
    clock: Clock
    budget_s: float
    seconds: dict[str, float] = field(default_factory=dict)  # of the stages that have passed
    _running: list[tuple[str, float]] = field(default_factory=list)  # names and beginnings, the innermost last
    _began_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._began_s = self.clock.now()

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """A stage that is this block; one that raises has not passed."""
        self._running.append((stage, self.clock.now()))
        try:
            yield
            self.record(stage, self.clock.now() - self._running[-1][1])
        except BaseException:
            _log.error("start-up stage failed", extra={"stage": stage})
            raise
        finally:
            self._running.pop()

    def record(self, stage: str, took_s: float) -> None:
        """A stage has passed."""
        self.seconds[stage] = took_s
        self.sink.set(metrics.STARTUP_STAGE, took_s, {"stage": stage})
        _log.info("start-up stage passed", extra={"stage": stage, "took_s": round(took_s, 3)})
        self.check_budget()

    def check_budget(self) -> str | None:
        """Log and export which stage runs beyond the budget; its name, or None within the budget.

        It only tells, since a compile that is ended would begin anew.
        """
        took_s = self.clock.now() - self._began_s
        if took_s <= self.budget_s:
            return None
        stage, began_s = self._running[-1] if self._running else ("none", self.clock.now())
        self.sink.set(metrics.STARTUP_OVER_BUDGET, took_s - self.budget_s, {"stage": stage})
        _log.error(
            "start-up exceeds its budget",
            extra={
                "stage": stage,
                "in_stage_s": round(self.clock.now() - began_s, 1),
                "took_s": round(took_s, 1),
                "budget_s": self.budget_s,
                "passed": dict(self.seconds),
            },
        )
        return stage

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Check the budget once by a timer, too: a stage that hangs passes nothing."""
        timer = threading.Timer(self.budget_s, self.check_budget)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
