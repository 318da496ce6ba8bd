from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from serving.engine.clock import VirtualClock
from serving.engine.limits import EngineLimits
from serving.engine.observer import Unobserved
from serving.engine.request import Finished, FinishReason
from serving.engine.runner import Decode, PromptChunk, RunnerSpec, StepOutput
from serving.engine.service import STOPPED, UNAVAILABLE_RETRY_S, Engine, Generation
from serving.errors import QueueFull, Refused, Unavailable
from tests.support.contract_runner import ContractRunner, broken_device, next_token, spec
from tests.support.generations import limits, request


class GatedRunner(ContractRunner):
    """Runs one step each time that the test opens the gate; `entered` says that it stands before it."""

    def __init__(self, spec: RunnerSpec) -> None:
        super().__init__(spec)
        self.gate = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)

    def run(self, decodes: Sequence[Decode], prompts: Sequence[PromptChunk]) -> StepOutput:
        self.entered.release()
        assert self.gate.acquire(timeout=30)
        return super().run(decodes, prompts)

    async def step(self) -> None:
        """Let the step that stands before the gate pass."""
        await self.stands()
        self.gate.release()

    async def stands(self) -> None:
        """Wait until a step stands before the gate."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=30)

    def open(self) -> None:
        """Let everything pass from here on."""
        for _ in range(10_000):
            self.gate.release()


@asynccontextmanager
async def running(
    runner: ContractRunner,
    bounds: EngineLimits | None = None,
    observer: Unobserved | None = None,
    clock: VirtualClock | None = None,
) -> AsyncIterator[Engine]:
    engine = Engine(runner, bounds or limits(), clock=clock or VirtualClock(), observer=observer)
    engine.start()
    try:
        yield engine
    finally:
        if isinstance(runner, GatedRunner):
            runner.open()
        engine.stop()
        assert runner.broken is None


async def read(generation: Generation) -> tuple[list[int], Finished]:
    token_ids, finished = [], None
    async for update in generation:
        assert finished is None
        token_ids += [token.token_id for token in update.tokens]
        finished = update.finished
    assert finished is not None
    return token_ids, finished


async def test_many_generations_each_get_their_own_answer() -> None:
    async with running(ContractRunner(), limits(queue_length=40)) as engine:
        generations = engine.submit([request(1 + n, number=n, max_tokens=1 + n % 9) for n in range(40)])
        answers = await asyncio.gather(*map(read, generations))
    for generation, (token_ids, finished) in zip(generations, answers, strict=True):
        history = list(generation.request.prompt_ids)
        while len(history) < len(generation.request.prompt_ids) + generation.request.max_tokens:
            history.append(next_token(history, engine.spec.vocabulary))
        assert token_ids == history[len(generation.request.prompt_ids) :]
        assert finished.reason is FinishReason.LENGTH


async def test_each_step_is_delivered_when_it_is_done() -> None:
    runner = GatedRunner(spec())
    async with running(runner) as engine:
        [generation] = engine.submit([request(max_tokens=3)])
        for remaining in (2, 1, 0):
            await runner.step()
            update = await anext(generation)
            assert len(update.tokens) == 1
            assert (update.finished is not None) == (remaining == 0)


async def test_a_reader_that_lags_gets_everything_in_one_update() -> None:
    async with running(ContractRunner()) as engine:
        lagging, other = engine.submit([request(number=1, max_tokens=3), request(number=2, max_tokens=5)])
        await read(other)
        update = await anext(lagging)
        assert len(update.tokens) == 3
        assert update.finished is not None
        with pytest.raises(StopAsyncIteration):
            await anext(lagging)


async def test_an_aborted_generation_frees_its_slot_within_one_step_and_still_ends() -> None:
    runner = GatedRunner(spec(slots=1))
    async with running(runner) as engine:
        left, next_one = engine.submit([request(number=1, max_tokens=50), request(number=2, max_tokens=1)])
        await runner.step()
        await runner.stands()
        left.abort()
        left.abort()
        assert engine.figures().busy_slots == 0
        runner.open()
        _, finished = await read(left)
        assert finished.reason is FinishReason.CANCELLED
        _, finished = await read(next_one)
        assert finished.reason is FinishReason.LENGTH
        assert len(runner.steps) == 3


async def test_abort_says_why() -> None:
    runner = GatedRunner(spec())
    async with running(runner) as engine:
        [generation] = engine.submit([request(max_tokens=50)])
        await runner.stands()
        generation.abort(FinishReason.STOP)
        runner.open()
        assert (await read(generation))[1].reason is FinishReason.STOP
        generation.abort()  # has ended


async def test_refusals_are_counted_and_say_when_to_come_back() -> None:
    class Counter(Unobserved):
        refusals: list[tuple[Refused, int]] = []  # noqa: RUF012 one test, one instance

        def refused(self, error: Refused, *, count: int) -> None:
            self.refusals.append((error, count))

    runner, counter = GatedRunner(spec(slots=1)), Counter()
    async with running(runner, limits(queue_length=1), counter) as engine:
        engine.submit([request(number=1), request(number=2)])
        with pytest.raises(QueueFull) as refused:
            engine.submit([request(number=3), request(number=4)])
        assert refused.value.retry_after_s > 0
        assert counter.refusals == [(refused.value, 2)]


async def test_a_runner_failure_fails_the_live_without_internals_and_the_engine_goes_on() -> None:
    runner = GatedRunner(spec(slots=1))
    async with running(runner) as engine:
        live, waiting = engine.submit([request(number=1), request(number=2)])
        await runner.stands()
        runner.fails = broken_device()
        runner.open()
        _, finished = await read(live)
        assert finished.reason is FinishReason.FAILED
        assert finished.error is not None
        assert "secret" not in finished.error
        assert (await read(waiting))[1].reason is FinishReason.LENGTH
        engine.check_health()


async def test_a_runner_that_cannot_be_reset_fails_everybody_and_the_engine_is_unhealthy() -> None:
    runner = GatedRunner(spec(slots=1))
    async with running(runner) as engine:
        generations = engine.submit([request(number=1), request(number=2)])
        await runner.stands()
        runner.fails, runner.reset_fails = broken_device(), broken_device()
        runner.open()
        outcomes = [(await read(generation))[1] for generation in generations]
        assert [finished.reason for finished in outcomes] == [FinishReason.FAILED] * 2
        with pytest.raises(Unavailable):
            engine.check_health()
        with pytest.raises(Unavailable):
            engine.submit([request()])
        assert not engine.figures().healthy
    assert runner.closed


async def test_a_step_that_takes_longer_than_one_may_is_unhealthy() -> None:
    runner, clock = GatedRunner(spec()), VirtualClock()
    async with running(runner, limits(longest_step_s=40.0), clock=clock) as engine:
        engine.submit([request()])
        await runner.stands()
        clock.advance(39.0)
        engine.check_health()
        clock.advance(2.0)
        with pytest.raises(Unavailable, match="hangs"):
            engine.check_health()


async def test_an_observer_that_raises_ends_the_engine_but_nobody_is_left_hanging() -> None:
    class Faulty(Unobserved):
        def step(self, report: object) -> None:
            raise LookupError("no such label")

    async with running(ContractRunner(spec(slots=1)), observer=Faulty()) as engine:
        generations = engine.submit([request(number=1), request(number=2)])
        for generation in generations:
            assert (await read(generation))[1].reason is FinishReason.FAILED
        with pytest.raises(Unavailable):
            engine.check_health()


async def test_drain_refuses_new_requests_and_waits_for_the_accepted_ones() -> None:
    runner = GatedRunner(spec(slots=1))
    async with running(runner) as engine:
        generations = engine.submit([request(number=1), request(number=2)])
        draining = asyncio.create_task(engine.drain(30.0))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            engine.submit([request()])
        assert engine.figures().draining
        runner.open()
        assert await draining
        assert [(await read(generation))[1].reason for generation in generations] == [FinishReason.LENGTH] * 2


async def test_drain_of_an_idle_engine_is_done() -> None:
    async with running(ContractRunner()) as engine:
        assert await engine.drain(0.0)


async def test_drain_that_takes_too_long_says_so_and_stop_fails_the_rest() -> None:
    runner = GatedRunner(spec())
    async with running(runner) as engine:
        [generation] = engine.submit([request(max_tokens=50)])
        await runner.stands()
        assert not await engine.drain(0.0)
        stopping = asyncio.create_task(asyncio.to_thread(engine.stop))
        assert await asyncio.to_thread(has_been_told_to_stop, engine)  # an open gate would let the answer end first
        runner.open()
        await stopping
        _, finished = await read(generation)
        assert (finished.reason, finished.error) == (FinishReason.FAILED, STOPPED)
        assert finished.retry_after_s == UNAVAILABLE_RETRY_S
    assert runner.closed


def has_been_told_to_stop(engine: Engine) -> bool:
    with engine._work:
        return engine._work.wait_for(lambda: engine._stopping, timeout=30)


async def test_stop_leaves_a_step_that_hangs_behind_and_fails_its_stream() -> None:
    runner = GatedRunner(spec(slots=1))
    async with running(runner) as engine:
        generations = engine.submit([request(number=1, max_tokens=50), request(number=2)])
        await runner.stands()
        await asyncio.to_thread(engine.stop, 0.01)
        for generation in generations:
            _, finished = await asyncio.wait_for(read(generation), 10)
            assert (finished.reason, finished.error) == (FinishReason.FAILED, STOPPED)
            assert finished.retry_after_s == UNAVAILABLE_RETRY_S
        assert not runner.closed
        with pytest.raises(Unavailable):
            engine.submit([request()])
    assert runner.closed  # the step ended after all


def on_start(engine: Engine) -> None:
    engine.stop()


def on_double_stop(engine: Engine) -> None:
    engine.start()
    engine.stop()
    engine.stop()


@pytest.mark.parametrize("stop", [on_start, on_double_stop])
def test_stop_closes_the_runner_once_started_or_not(stop: Callable[[Engine], None]) -> None:
    runner = ContractRunner()
    stop(Engine(runner, limits()))
    assert runner.closed


async def test_an_engine_that_was_not_started_accepts_nothing() -> None:
    engine = Engine(ContractRunner(), limits())
    with pytest.raises(Unavailable):
        engine.submit([request()])
    engine.stop()


async def test_figures_add_up() -> None:
    runner = GatedRunner(spec(slots=1))
    async with running(runner) as engine:
        generations = engine.submit([request(4, number=n, max_tokens=2) for n in range(3)])
        await runner.stands()
        figures = engine.figures()
        assert (figures.slots, figures.busy_slots, figures.waiting, figures.queue_length) == (1, 1, 2, 8)
        runner.open()
        await asyncio.gather(*map(read, generations))
        figures = engine.figures()
        assert (figures.busy_slots, figures.waiting) == (0, 0)
        assert (figures.prompt_tokens_total, figures.tokens_total) == (12, 6)
        assert figures.healthy


async def test_an_idle_thread_takes_no_step() -> None:
    runner = ContractRunner()
    async with running(runner) as engine:
        [generation] = engine.submit([request(max_tokens=2)])
        await read(generation)
        assert len(runner.steps) == 2
        [generation] = engine.submit([request(max_tokens=1)])
        await read(generation)
        assert len(runner.steps) == 3
