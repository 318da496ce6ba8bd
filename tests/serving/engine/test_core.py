from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from serving.engine.clock import VirtualClock
from serving.engine.core import LIVE_FAILED, EngineCore
from serving.engine.observer import Ended, StepReport, Unobserved
from serving.engine.request import FinishReason, SamplingParams
from serving.engine.runner import Decode, PromptChunk, RunnerSpec, StepOutput
from serving.engine.scheduler import News, Scheduler
from tests.support.contract_runner import ContractRunner, broken_device, next_token, spec
from tests.support.generations import limits, request


@dataclass
class Notes(Unobserved):
    steps: list[StepReport] = field(default_factory=list)
    endings: list[Ended] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    loads: list[tuple[int, int]] = field(default_factory=list)

    def step(self, report: StepReport) -> None:
        self.steps.append(report)

    def load(self, *, busy_slots: int, waiting: int) -> None:
        self.loads.append((busy_slots, waiting))

    def ended(self, ended: Ended) -> None:
        self.endings.append(ended)

    def runner_failed(self, error: Exception) -> None:
        self.failures.append(error)


class TimedRunner(ContractRunner):
    """Takes two seconds a step."""

    def __init__(self, spec: RunnerSpec, clock: VirtualClock) -> None:
        super().__init__(spec)
        self.clock = clock

    def run(self, decodes: list[Decode], prompts: list[PromptChunk]) -> StepOutput:  # type: ignore[override]
        self.clock.advance(2.0)
        return super().run(decodes, prompts)


class Rig:
    def __init__(self, runner: ContractRunner | None = None, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.runner = runner or ContractRunner()
        self.notes = Notes()
        self.scheduler = Scheduler(self.runner.spec, limits(), clock=self.clock)
        self.core = EngineCore(
            self.runner, self.scheduler, lock=threading.Lock(), clock=self.clock, observer=self.notes
        )

    def step(self) -> list[News]:
        news = self.core.step()
        self.core.observe(news)
        return news


@pytest.mark.parametrize("on_device", [False, True])
def test_the_runners_tokens_arrive_whoever_samples(on_device: bool) -> None:
    rig = Rig(ContractRunner(spec(samples_on_device=on_device)))
    [state] = rig.scheduler.submit([request(5, max_tokens=3)])
    for _ in range(3):
        rig.step()
    history = list(state.request.prompt_ids)
    for _ in range(3):
        history.append(next_token(history, rig.runner.spec.vocabulary))
    assert state.output_ids == history[5:]


def test_the_observer_hears_what_a_step_brought_and_how_long_it_took() -> None:
    clock = VirtualClock()
    rig = Rig(TimedRunner(spec(), clock), clock)
    rig.scheduler.submit([request(5, max_tokens=2)])
    clock.advance(1.0)
    rig.step()
    rig.step()
    first, second = rig.notes.steps
    assert (first.prompt_tokens, first.decode_rows, first.new_tokens) == (5, 0, 1)
    assert (first.first_tokens_s, first.inter_token_s) == ((3.0,), ())
    assert (second.prompt_tokens, second.decode_rows, second.new_tokens) == (0, 1, 1)
    assert (second.first_tokens_s, second.inter_token_s) == ((), (2.0,))
    assert (second.took_s, second.run_s) == (2.0, 2.0)
    assert (rig.core.prompt_tokens_total, rig.core.tokens_total) == (5, 2)


def test_the_observer_hears_each_ending_once() -> None:
    rig = Rig()
    [state] = rig.scheduler.submit([request(5, max_tokens=1)])
    rig.step()
    rig.step()
    [ended] = rig.notes.endings
    assert (ended.request_id, ended.prompt_tokens, ended.completion_tokens) == (state.request.request_id, 5, 1)
    assert ended.reason is FinishReason.LENGTH
    assert ended.time_to_first_token_s == 0.0


def test_a_failure_fails_the_live_resets_the_runner_and_goes_on() -> None:
    rig = Rig(ContractRunner(spec(slots=1)))
    live, waiting = rig.scheduler.submit([request(4, number=1), request(4, number=2)])
    rig.step()
    rig.runner.fails = broken_device()
    rig.step()
    assert live.finished is not None
    assert (live.finished.reason, live.finished.error) == (FinishReason.FAILED, LIVE_FAILED)
    assert "secret" not in LIVE_FAILED
    assert rig.notes.failures
    while rig.scheduler.runnable:
        rig.step()
    assert waiting.finished is not None
    assert waiting.finished.reason is FinishReason.LENGTH
    assert rig.runner.broken is None


def test_a_runner_that_cannot_be_reset_is_the_callers_business() -> None:
    rig = Rig()
    [state] = rig.scheduler.submit([request()])
    rig.runner.fails, rig.runner.reset_fails = broken_device(), RuntimeError("gone")
    with pytest.raises(RuntimeError, match="gone"):
        rig.step()
    assert state.finished is not None
    assert state.finished.reason is FinishReason.FAILED


@pytest.mark.parametrize(
    "output",
    [
        StepOutput(),
        StepOutput(token_ids=np.zeros(3, np.int64)),
        StepOutput(logits=np.zeros((0, 101), np.float32)),
        StepOutput(logits=np.full((1, 101), np.nan, np.float32)),
    ],
)
def test_output_that_makes_no_sense_is_a_failure(output: StepOutput) -> None:
    class Senseless(ContractRunner):
        def run(self, decodes: list[Decode], prompts: list[PromptChunk]) -> StepOutput:  # type: ignore[override]
            return output

    rig = Rig(Senseless())
    [state] = rig.scheduler.submit([request(sampling=SamplingParams())])
    rig.step()
    assert state.finished is not None
    assert state.finished.reason is FinishReason.FAILED


def test_fail_all_leaves_nobody_waiting() -> None:
    rig = Rig(ContractRunner(spec(slots=1)))
    states = rig.scheduler.submit([request(number=1), request(number=2)])
    rig.step()
    rig.core.fail_all("over")
    assert [state.finished.error for state in states if state.finished] == ["over", "over"]
    assert not rig.scheduler.runnable


def test_the_observer_hears_of_the_load_when_it_changes() -> None:
    rig = Rig(ContractRunner(spec(slots=1)))
    rig.scheduler.submit([request(number=1, max_tokens=3), request(number=2, max_tokens=1)])
    while rig.scheduler.runnable:
        rig.step()
    assert rig.notes.loads == [(1, 1), (0, 1), (0, 0)]


@pytest.mark.parametrize("ending", ["cancelled", "overdue", "runner failed", "all failed"])
def test_the_load_is_right_whatever_ended_a_generation(ending: str) -> None:
    rig = Rig(ContractRunner(spec(slots=1)))
    [state] = rig.scheduler.submit([request(max_tokens=50)])
    rig.step()
    if ending == "cancelled":
        rig.scheduler.cancel(state, FinishReason.CANCELLED)
    elif ending == "overdue":
        rig.clock.advance(1000.0)
    elif ending == "runner failed":
        rig.runner.fails = broken_device()
    else:
        rig.core.fail_all("over")
    rig.step()
    assert rig.notes.loads == [(1, 0), (0, 0)]
