"""From what the engine and the API report to metrics."""

from __future__ import annotations

import logging

from serving.engine.observer import Ended, StepReport
from serving.engine.request import FinishReason
from serving.errors import QueueFull, Refused
from serving.telemetry import metrics
from serving.telemetry.metrics import Sink

_log = logging.getLogger(__name__)


class MetricsObserver:
    """The engine's observer; see `serving.engine.observer.EngineObserver` for who calls it from where."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def step(self, report: StepReport) -> None:
        """A step was committed."""
        sink = self._sink
        sink.observe(metrics.STEP_TIME, report.took_s)
        sink.observe(metrics.STEP_HOST_TIME, report.took_s - report.run_s)
        sink.add(metrics.PROMPT_TOKENS, report.prompt_tokens)
        sink.add(metrics.GENERATION_TOKENS, report.new_tokens)
        for seconds in report.first_tokens_s:
            sink.observe(metrics.TIME_TO_FIRST_TOKEN, seconds)
        for seconds in report.inter_token_s:
            sink.observe(metrics.INTER_TOKEN_LATENCY, seconds)

    def load(self, *, busy_slots: int, waiting: int) -> None:
        """The load has changed."""
        self._sink.set(metrics.RUNNING, busy_slots)
        self._sink.set(metrics.WAITING, waiting)

    def ended(self, ended: Ended) -> None:
        """An accepted generation ended: latencies of those that succeeded, a count of the others."""
        sink, timings = self._sink, ended.timings
        if ended.reason is FinishReason.CANCELLED:
            sink.add(metrics.CANCELLED)
        elif ended.reason is FinishReason.FAILED:
            sink.add(metrics.FAILED)
        else:
            sink.add(metrics.SUCCESSES, labels={"finished_reason": ended.reason.value})
            sink.observe(metrics.QUEUE_TIME, timings.queue_s)
            sink.observe(metrics.PREFILL_TIME, timings.prefill_s)
            sink.observe(metrics.DECODE_TIME, timings.decode_s)
            sink.observe(metrics.REQUEST_LATENCY, timings.queue_s + timings.prefill_s + timings.decode_s)

    def refused(self, error: Refused, *, count: int) -> None:
        """`count` generations were not accepted."""
        reason = "queue_full" if isinstance(error, QueueFull) else "unavailable"
        self._sink.add(metrics.REFUSED, count, {"reason": reason})

    def runner_failed(self, error: Exception) -> None:
        """The runner broke: its own words go to the log and to nobody else."""
        self._sink.add(metrics.RUNNER_FAILURES)
        _log.error("The runner failed: %s", error, exc_info=error)
