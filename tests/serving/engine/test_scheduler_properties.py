"""Any mix of submit, step, abort, failure and passing time: the books balance, and everybody gets one outcome."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from serving.engine.clock import VirtualClock
from serving.engine.core import LIVE_FAILED, EngineCore
from serving.engine.observer import Unobserved
from serving.engine.request import Finished, FinishReason, GenerationRequest, SamplingParams
from serving.engine.runner import Decode, PromptChunk, RunnerSpec, StepOutput
from serving.engine.scheduler import Scheduler
from serving.engine.state import GenerationState
from serving.errors import QueueFull
from tests.support.contract_runner import EOS, ContractRunner, broken_device, next_token, spec
from tests.support.generations import limits

EOS_EVERY = 7


class InterruptedRunner(ContractRunner):
    """A contract runner under which somebody can leave while it runs."""

    def __init__(self, spec: RunnerSpec, *, eos_every: int) -> None:
        super().__init__(spec, eos_every=eos_every)
        self.leaving: list[tuple[Scheduler, GenerationState]] = []

    def run(self, decodes: Sequence[Decode], prompts: Sequence[PromptChunk]) -> StepOutput:
        output = super().run(decodes, prompts)
        for scheduler, state in self.leaving:
            scheduler.cancel(state, FinishReason.CANCELLED)
        self.leaving.clear()
        return output


@dataclass
class Received:
    token_ids: list[int] = field(default_factory=list)
    outcomes: list[Finished] = field(default_factory=list)


class EngineMachine(RuleBasedStateMachine):
    @initialize(
        slots=st.integers(1, 4), splits=st.booleans(), budget=st.integers(1, 40), queue_length=st.integers(0, 8)
    )
    def build(self, slots: int, splits: bool, budget: int, queue_length: int) -> None:
        self.clock = VirtualClock()
        self.runner = InterruptedRunner(
            spec(slots=slots, splits_prompts=splits, positions=24, longest_prompt=20), eos_every=EOS_EVERY
        )
        bounds = limits(prefill_budget_tokens=budget, queue_length=queue_length)
        self.scheduler = Scheduler(self.runner.spec, bounds, clock=self.clock)
        self.core = EngineCore(
            self.runner, self.scheduler, lock=threading.Lock(), clock=self.clock, observer=Unobserved()
        )
        self.received: dict[GenerationState, Received] = {}

    @rule(
        prompts=st.lists(st.lists(st.integers(1, 100), min_size=1, max_size=20), min_size=1, max_size=6),
        max_tokens=st.integers(1, 30),
        min_tokens=st.integers(0, 3),
        ignore_eos=st.booleans(),
    )
    def submit(self, prompts: list[list[int]], max_tokens: int, min_tokens: int, ignore_eos: bool) -> None:
        in_flight = len(self.scheduler.slots) + self.scheduler.waiting
        requests = [
            GenerationRequest("r", tuple(ids), max_tokens, SamplingParams(temperature=0), min_tokens, ignore_eos)
            for ids in prompts
        ]
        try:
            states = self.scheduler.submit(requests)
        except QueueFull:
            assert in_flight + len(prompts) > self.scheduler.capacity
            return
        assert in_flight + len(prompts) <= self.scheduler.capacity
        self.received |= {state: Received() for state in states}

    @rule(count=st.integers(1, 6))
    def steps(self, count: int) -> None:
        for _ in range(count):
            self.step()

    def step(self) -> None:
        live = [state for state in self.scheduler.slots if state.prompt_complete]
        steps = len(self.runner.steps)
        self.read(self.core)
        if len(self.runner.steps) > steps:
            decodes, prompts = self.runner.steps[-1]
            survivors = {state.slot for state in live if not self.overdue(state)}
            assert {decode.slot for decode in decodes} == survivors, "a live slot was left out"
            self.check_budget(prompts)

    @rule()
    @precondition(lambda self: bool(self.scheduler.runnable))
    def fail(self) -> None:
        self.runner.fails = broken_device()
        self.step()
        self.runner.fails = None  # when every one was overdue, nothing ran

    @rule(data=st.data())
    @precondition(lambda self: bool(self.received))
    def abort(self, data: st.DataObject) -> None:
        state = data.draw(st.sampled_from(list(self.received)))
        self.scheduler.cancel(state, FinishReason.CANCELLED)

    @rule(data=st.data())
    @precondition(lambda self: len(self.scheduler.slots) > 0)
    def abort_while_it_runs(self, data: st.DataObject) -> None:
        live = list(self.scheduler.slots)
        self.runner.leaving.append((self.scheduler, data.draw(st.sampled_from(live))))
        self.step()

    @rule(seconds=st.sampled_from([0.1, 4.0, 11.0, 101.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def books_balance(self) -> None:
        self.scheduler.slots.check_integrity()
        assert self.runner.broken is None

    @invariant()
    def first_come_first_served(self) -> None:
        admitted = [state.admitted_s is not None for state in self.received if not self.left_the_queue(state)]
        assert admitted == sorted(admitted, reverse=True), "somebody overtook"

    def teardown(self) -> None:
        if not hasattr(self, "core"):
            return
        for _ in range(2000):
            if not (self.scheduler.runnable or self.scheduler.has_news):
                break
            self.step()
        assert self.runner.broken is None
        assert len(self.scheduler.slots) == 0
        for state, received in self.received.items():
            self.check_outcome(state, received)

    def read(self, core: EngineCore) -> None:
        for item in core.step():
            received = self.received[item.state]
            assert not received.outcomes, "news after the end"
            received.token_ids += [token.token_id for token in item.update.tokens]
            if item.update.finished is not None:
                received.outcomes.append(item.update.finished)

    def overdue(self, state: GenerationState) -> bool:
        return self.clock.now() - state.submitted_s > self.scheduler.limits.longest_answer_s

    @staticmethod
    def left_the_queue(state: GenerationState) -> bool:
        return state.admitted_s is None and state.finished is not None

    def check_budget(self, prompts: Sequence[PromptChunk]) -> None:
        tokens = sum(len(chunk.token_ids) for chunk in prompts)
        within = tokens <= self.scheduler.limits.prefill_budget_tokens
        assert within or (not self.runner.spec.splits_prompts and len(prompts) == 1)

    def check_outcome(self, state: GenerationState, received: Received) -> None:
        [finished] = received.outcomes
        history = list(state.request.prompt_ids)
        for token_id in received.token_ids:
            expected = next_token(history, self.runner.spec.vocabulary, eos_every=EOS_EVERY)
            early = len(history) - state.prompt_tokens < state.request.min_tokens
            if expected == EOS and early and not state.request.ignore_eos:
                assert token_id != EOS, "min_tokens masks the end"
            else:
                assert token_id == expected, "a token went to the wrong slot or place"
            history.append(token_id)
        answered = len(received.token_ids)
        assert answered <= min(state.request.max_tokens, self.runner.spec.positions - state.prompt_tokens)
        assert (finished.error is None) == (finished.reason is not FinishReason.FAILED)
        if finished.reason is FinishReason.STOP:
            assert answered >= state.request.min_tokens
            assert not state.request.ignore_eos
        if state.admitted_s is None:
            assert finished.reason in (FinishReason.CANCELLED, FinishReason.FAILED)
            assert finished.error != LIVE_FAILED


EngineMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestEngine = EngineMachine.TestCase
