from __future__ import annotations

import pytest

from serving.engine.clock import VirtualClock
from serving.engine.drain_rate import DrainRate
from serving.engine.limits import EngineLimits
from serving.engine.request import Finished, FinishReason, Token
from serving.engine.runner import RunnerSpec
from serving.engine.scheduler import Scheduler, Step
from serving.engine.state import GenerationState
from serving.errors import QueueFull
from tests.support.contract_runner import EOS, spec
from tests.support.generations import limits, request

WORD = 7


class Bench:
    """A scheduler, its clock, and what it said of each generation so far."""

    def __init__(self, runner: RunnerSpec | None = None, bounds: EngineLimits | None = None) -> None:
        self.clock = VirtualClock()
        self.scheduler = Scheduler(runner or spec(), bounds or limits(), clock=self.clock)

    def submit(self, *prompts_tokens: int, max_tokens: int = 4) -> list[GenerationState]:
        return self.scheduler.submit(
            [request(tokens, number=i, max_tokens=max_tokens) for i, tokens in enumerate(prompts_tokens)]
        )

    def step(self, token_id: int = WORD) -> Step:
        step = self.scheduler.schedule()
        self.scheduler.commit(step, [Token(token_id)] * len(step.sampled))
        return step

    def outcomes(self) -> dict[GenerationState, Finished]:
        news = self.scheduler.take_news()
        return {item.state: item.update.finished for item in news if item.update.finished is not None}


def pieces(step: Step) -> list[tuple[int, int, int]]:
    return [(chunk.slot, chunk.start, len(chunk.token_ids)) for chunk in step.prompts]


def test_nothing_to_do_is_an_empty_step() -> None:
    bench = Bench()
    assert not bench.scheduler.runnable
    assert not bench.step()


def test_a_prompt_then_decodes_one_position_further_each() -> None:
    bench = Bench()
    [state] = bench.submit(5, max_tokens=3)
    first, second, third = bench.step(7), bench.step(8), bench.step(9)
    assert pieces(first) == [(0, 0, 5)]
    assert first.prompts[0].last
    assert first.decodes == []
    assert [(d.token_id, d.position) for d in [*second.decodes, *third.decodes]] == [(7, 5), (8, 6)]
    assert state.output_ids == [7, 8, 9]
    assert bench.outcomes()[state].reason is FinishReason.LENGTH


def test_prompts_share_one_budget_and_the_cut_one_goes_on_first() -> None:
    bench = Bench()
    bench.submit(10, 10, 10)
    assert pieces(bench.step()) == [(0, 0, 10), (1, 0, 6)]
    assert pieces(bench.step()) == [(1, 6, 4), (2, 0, 10)]


def test_a_long_prompt_does_not_hold_up_decodes() -> None:
    bench = Bench()
    bench.submit(2, max_tokens=20)
    bench.step()
    bench.submit(40)
    steps = [bench.step() for _ in range(3)]
    assert [len(step.decodes) for step in steps] == [1, 1, 1]
    assert [step.prompt_tokens for step in steps] == [16, 16, 8]


def test_every_live_slot_is_in_every_decode() -> None:
    bench = Bench(spec(slots=4))
    bench.submit(4, 4, 4, 4, max_tokens=10)
    bench.step()
    assert [[decode.slot for decode in bench.step().decodes] for _ in range(9)] == [[0, 1, 2, 3]] * 9


def test_whole_prompts_where_the_runner_cannot_split_them() -> None:
    bench = Bench(spec(splits_prompts=False))
    bench.submit(40, 3, 13, 10)
    assert pieces(bench.step()) == [(0, 0, 40)]  # at least one, however long
    assert pieces(bench.step()) == [(1, 0, 3), (2, 0, 13)]  # more within the budget
    assert pieces(bench.step()) == [(3, 0, 10)]


def test_first_come_first_served_even_when_a_later_one_would_fit() -> None:
    bench = Bench(spec(splits_prompts=False))
    first, second, third = bench.submit(10, 10, 2)
    assert bench.step().admitted == [first]
    assert bench.step().admitted == [second, third]


def test_a_freed_slot_is_taken_in_the_next_step() -> None:
    bench = Bench(spec(slots=1))
    first, second = bench.submit(2, 2, max_tokens=1)
    assert bench.step().admitted == [first]
    assert bench.step().admitted == [second]
    assert second.slot == 0


def test_a_stop_token_ends_and_is_not_delivered() -> None:
    bench = Bench()
    [state] = bench.submit(2)
    bench.step(WORD)
    bench.step(EOS)
    updates = [item.update for item in bench.scheduler.take_news()]
    assert [token.token_id for update in updates for token in update.tokens] == [WORD]
    assert updates[-1].finished is not None
    assert updates[-1].finished.reason is FinishReason.STOP
    assert state.output_ids == [WORD]


def test_the_slots_last_position_ends_as_length() -> None:
    bench = Bench(spec(positions=8, longest_prompt=7))
    [state] = bench.submit(6, max_tokens=50)
    bench.step()
    last = bench.step()
    assert last.decodes[0].position == 6
    assert bench.outcomes()[state].reason is FinishReason.LENGTH
    assert len(state.output_ids) == 2


def test_longest_answer_ends_as_length_counted_from_acceptance() -> None:
    bench = Bench(spec(slots=1), limits(longest_answer_s=10.0, longest_wait_s=9.0))
    [first] = bench.submit(2, max_tokens=50)
    bench.step()
    bench.clock.advance(4.0)
    [second] = bench.submit(2, max_tokens=50)
    bench.clock.advance(6.0)
    assert bench.step().decodes
    bench.clock.advance(0.5)
    step = bench.step()
    assert bench.outcomes()[first].reason is FinishReason.LENGTH
    assert step.admitted == [second]
    bench.clock.advance(3.5)  # 10 s after acceptance, 3.5 s after admission
    assert bench.step().decodes
    bench.clock.advance(0.5)
    bench.step()
    assert bench.outcomes()[second].reason is FinishReason.LENGTH


def test_who_waits_too_long_fails_with_a_sentence() -> None:
    bench = Bench(spec(slots=1), limits(longest_wait_s=5.0))
    _, late = bench.submit(2, 2, max_tokens=50)
    bench.step()
    bench.clock.advance(5.1)
    bench.step()
    finished = bench.outcomes()[late]
    assert finished.reason is FinishReason.FAILED
    assert finished.error == "No slot came free within 5 s; try again later."
    assert finished.timings.queue_s == pytest.approx(5.1)
    assert finished.retry_after_s == DrainRate.UNMEASURED_S


def test_an_answer_that_failed_itself_names_no_time_to_come_back() -> None:
    bench = Bench()
    [state] = bench.submit(2)
    bench.step()
    bench.scheduler.fail_live("it broke")
    assert bench.outcomes()[state].retry_after_s is None


def test_the_queue_holds_what_the_slots_do_not_and_no_more() -> None:
    bench = Bench(spec(slots=2), limits(queue_length=3))
    bench.submit(*[2] * 5)
    with pytest.raises(QueueFull) as refused:
        bench.submit(2)
    assert refused.value.retry_after_s > 0
    bench.step()
    assert (len(bench.scheduler.slots), bench.scheduler.waiting) == (2, 3)


def test_without_a_queue_a_free_slot_still_accepts() -> None:
    bench = Bench(spec(slots=1), limits(queue_length=0))
    bench.submit(2)
    with pytest.raises(QueueFull):
        bench.submit(2)


def test_several_are_accepted_together_or_not_at_all() -> None:
    bench = Bench(spec(slots=1), limits(queue_length=2))
    bench.submit(2)
    with pytest.raises(QueueFull):
        bench.submit(2, 2, 2)
    assert bench.scheduler.waiting == 1


def test_one_bad_request_keeps_its_siblings_out() -> None:
    bench = Bench()
    with pytest.raises(ValueError, match="does not fit"):
        bench.submit(2, 999)
    assert not bench.scheduler.runnable


def test_cancelled_in_the_queue() -> None:
    bench = Bench(spec(slots=1))
    _, waiting, behind = bench.submit(2, 2, 2, max_tokens=1)
    bench.scheduler.cancel(waiting, FinishReason.CANCELLED)
    bench.scheduler.cancel(waiting, FinishReason.STOP)  # has ended already
    bench.step()
    assert bench.step().admitted == [behind]
    assert bench.outcomes()[waiting].reason is FinishReason.CANCELLED


def test_cancelled_while_the_runner_runs() -> None:
    bench = Bench(spec(slots=1))
    [state] = bench.submit(2)
    step = bench.scheduler.schedule()
    bench.scheduler.cancel(state, FinishReason.STOP)
    bench.scheduler.commit(step, [Token(WORD)])
    assert bench.outcomes()[state].reason is FinishReason.STOP
    assert state.output_ids == []
    [successor] = bench.submit(3)
    assert bench.step().prompts[0].token_ids == successor.request.prompt_ids


def test_cancelled_between_two_pieces_of_its_prompt() -> None:
    bench = Bench(spec(slots=1))
    [cut] = bench.submit(30)
    [successor] = bench.submit(3)
    bench.step()
    bench.scheduler.cancel(cut, FinishReason.CANCELLED)
    assert pieces(bench.step()) == [(0, 0, 3)]
    assert successor.output_ids == [WORD]


def test_a_failure_ends_the_live_and_spares_the_waiting() -> None:
    bench = Bench(spec(slots=1))
    live, waiting = bench.submit(2, 2)
    bench.step()
    bench.scheduler.fail_live("it broke")
    assert bench.outcomes()[live].error == "it broke"
    assert bench.step().admitted == [waiting]


def test_timings_add_up() -> None:
    bench = Bench(spec(slots=1))
    [state] = bench.submit(2, max_tokens=2)
    for seconds in (1.0, 2.0, 4.0):
        bench.clock.advance(seconds)
        step = bench.scheduler.schedule()
        bench.clock.advance(0.5)
        bench.scheduler.commit(step, [Token(WORD)] * len(step.sampled))
    timings = bench.outcomes()[state].timings
    assert (timings.queue_s, timings.prefill_s, timings.decode_s) == (1.0, 0.5, 2.5)


def test_an_idle_spell_does_not_lengthen_the_wait_of_who_is_refused() -> None:
    bench = Bench(spec(slots=1), limits(queue_length=2))
    bench.submit(2, 2, max_tokens=1)
    bench.step()
    bench.step()
    bench.clock.advance(20.0)
    bench.submit(2, 2, 2)
    with pytest.raises(QueueFull) as refused:
        bench.submit(2)
    assert refused.value.retry_after_s == DrainRate.UNMEASURED_S


def test_who_leaves_the_queue_has_freed_no_slot() -> None:
    bench = Bench(spec(slots=1), limits(queue_length=8))
    _, *waiting = bench.submit(*[2] * 9, max_tokens=50)
    bench.step()
    for state in waiting[:4]:
        bench.clock.advance(1.0)
        bench.scheduler.cancel(state, FinishReason.CANCELLED)
    assert bench.scheduler.drain_rate.per_second(bench.clock.now()) is None
