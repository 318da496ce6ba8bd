import logging

import pytest

from serving.engine.observer import Ended, StepReport
from serving.engine.request import FinishReason, Timings
from serving.errors import QueueFull, Unavailable
from serving.telemetry.observer import MetricsObserver
from tests.support.api import CountingSink

STEP = StepReport(
    took_s=0.03,
    run_s=0.02,
    decode_rows=2,
    prompt_tokens=7,
    new_tokens=3,
    first_tokens_s=(0.5,),
    inter_token_s=(0.1, 0.2),
)


def _ended(reason: FinishReason) -> Ended:
    return Ended("r", reason, 7, 3, Timings(1.0, 2.0, 3.0), time_to_first_token_s=3.0, error=None)


def test_a_step_moves_counters_and_latencies() -> None:
    sink = CountingSink()
    MetricsObserver(sink).step(STEP)
    assert sink.observed["time_to_first_token_seconds"] == [0.5]
    assert sink.observed["inter_token_latency_seconds"] == [0.1, 0.2]
    assert sink.observed["step_host_time_seconds"] == [pytest.approx(0.01)]
    assert sink.counted == {("prompt_tokens_total", ()): 7, ("generation_tokens_total", ()): 3}


def test_the_load_moves_the_gauges() -> None:
    sink = CountingSink()
    MetricsObserver(sink).load(busy_slots=3, waiting=1)
    assert sink.gauges == {("num_requests_running", ()): 3, ("num_requests_waiting", ()): 1}


@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.LENGTH])
def test_latencies_are_those_of_generations_that_succeeded(reason: FinishReason) -> None:
    sink = CountingSink()
    MetricsObserver(sink).ended(_ended(reason))
    assert sink.counted == {("request_success_total", (("finished_reason", reason.value),)): 1}
    assert sink.observed["e2e_request_latency_seconds"] == [6.0]


@pytest.mark.parametrize(
    ("reason", "name"),
    [(FinishReason.CANCELLED, "request_cancelled_total"), (FinishReason.FAILED, "request_failed_total")],
)
def test_a_failure_cannot_improve_an_average(reason: FinishReason, name: str) -> None:
    sink = CountingSink()
    MetricsObserver(sink).ended(_ended(reason))
    assert sink.counted == {(name, ()): 1}
    assert sink.observed == {}


def test_refusals_are_counted_by_reason_and_by_generation() -> None:
    sink = CountingSink()
    observer = MetricsObserver(sink)
    observer.refused(QueueFull("full", retry_after_s=1.0), count=3)
    observer.refused(Unavailable("gone", retry_after_s=1.0), count=1)
    assert list(sink.counted.values()) == [3, 1]
    assert [labels for _, labels in sink.counted] == [(("reason", "queue_full"),), (("reason", "unavailable"),)]


def test_the_runners_own_words_go_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    MetricsObserver(CountingSink()).runner_failed(RuntimeError("device lost"))
    assert (caplog.records[0].levelno, "device lost" in caplog.text) == (logging.ERROR, True)
