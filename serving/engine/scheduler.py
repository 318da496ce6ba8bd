"""Who runs next: a queue, slots, and two verbs, `schedule()` and `commit(step, tokens)`.

Plain Python over plain values: it knows neither threads nor devices, and it never sees logits.

Every step decodes every slot whose prompt is complete. Besides, it computes prompt tokens within one budget, so that no
stream stalls behind a long prompt: first the prompt that the last step cut, then new ones in order of arrival. A prompt
is cut only where the budget ends, so at most one is in pieces at any time. A runner that does not split prompts gets
at least one whole prompt while a slot is free, however long, and further ones only within the budget.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from serving.engine.clock import Clock
from serving.engine.drain_rate import DrainRate
from serving.engine.limits import EngineLimits
from serving.engine.request import Finished, FinishReason, GenerationRequest, Token, Update
from serving.engine.runner import Decode, PromptChunk, RunnerSpec
from serving.engine.slots import Slots
from serving.engine.state import GenerationState, open_state
from serving.errors import QueueFull


@dataclass(frozen=True, slots=True)
class Step:
    """What the runner is to compute, and for whom."""

    decodes: Sequence[Decode]
    prompts: Sequence[PromptChunk]
    admitted: Sequence[GenerationState]  # those that got their slot in this step: bind their sampling first
    sampled: Sequence[GenerationState]  # the owners of the rows of output, in the runner's order
    prefilled: Sequence[GenerationState]  # the owners of `prompts`, in order

    @property
    def prompt_tokens(self) -> int:
        """Prompt tokens that this step computes."""
        return sum(len(chunk.token_ids) for chunk in self.prompts)

    def __bool__(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self.decodes or self.prompts)


@dataclass(frozen=True, slots=True)
class News:
    """An update and whose it is."""

    state: GenerationState
    update: Update


class Scheduler:
    """Every accepted generation, from `submit` to its one outcome."""

    def __init__(self, spec: RunnerSpec, limits: EngineLimits, *, clock: Clock) -> None:
        self.spec = spec
        self.limits = limits
        self.slots = Slots(spec.slots)
        self.drain_rate = DrainRate()
        self._clock = clock
        self._queue: deque[GenerationState] = deque()
        self._news: list[News] = []

    @property
    def waiting(self) -> int:
        """Generations without a slot."""
        return len(self._queue)

    @property
    def runnable(self) -> bool:
        """Whether `schedule` would find work."""
        return bool(self._queue) or len(self.slots) > 0

    @property
    def has_news(self) -> bool:
        """Whether `take_news` would return something."""
        return bool(self._news)

    @property
    def capacity(self) -> int:
        """Generations that are accepted at once: in slots and in the queue."""
        return self.spec.slots + self.limits.queue_length

    def submit(self, requests: Sequence[GenerationRequest]) -> list[GenerationState]:
        """Accept all of `requests`, or none.

        Raises QueueFull when slots and queue have no room for all, ValueError when no slot could ever hold one.
        """
        now_s = self._clock.now()
        states = [open_state(request, self.spec, now_s=now_s) for request in requests]
        excess = len(self.slots) + len(self._queue) + len(states) - self.capacity
        if excess > 0:
            raise QueueFull(
                "All slots are busy and the queue is full; try again later.",
                retry_after_s=self.drain_rate.wait_s(excess, now_s),
            )
        self._queue.extend(states)
        return states

    def cancel(self, state: GenerationState, reason: FinishReason) -> None:
        """End `state` now, wherever it is; nothing when it has ended already."""
        if state.finished is not None:
            return
        if state.slot is None:
            self._queue.remove(state)
        self._end(state, reason)

    def fail_live(self, error: str, *, retry_after_s: float | None = None) -> None:
        """End every generation that has a slot; `error` is what its caller reads."""
        for state in list(self.slots):
            self._end(state, FinishReason.FAILED, error=error, retry_after_s=retry_after_s)

    def fail_waiting(self, error: str, *, retry_after_s: float | None = None) -> None:
        """End every generation in the queue; `error` is what its caller reads."""
        while self._queue:
            self._end(self._queue.popleft(), FinishReason.FAILED, error=error, retry_after_s=retry_after_s)

    def take_news(self) -> list[News]:
        """What happened since the last call, in order."""
        news, self._news = self._news, []
        return news

    def schedule(self) -> Step:
        """End what is past its deadline, admit what fits, and say what to compute."""
        self._end_overdue()
        decoding = [state for state in self.slots if state.prompt_complete]
        chunks, admitted = self._schedule_prompts()
        return Step(
            decodes=[_decode(state) for state in decoding],
            prompts=[chunk for _, chunk in chunks],
            admitted=admitted,
            sampled=decoding + [state for state, chunk in chunks if chunk.last],
            prefilled=[state for state, _ in chunks],
        )

    def commit(self, step: Step, tokens: Sequence[Token]) -> None:
        """Take in what `step` brought: one token for each of `step.sampled`, in order."""
        for state, chunk in zip(step.prefilled, step.prompts, strict=True):
            state.cached_tokens += len(chunk.token_ids)
        for state, token in zip(step.sampled, tokens, strict=True):
            if state.finished is None:  # not cancelled while the runner ran
                self._advance(state, token)

    def _schedule_prompts(self) -> tuple[list[tuple[GenerationState, PromptChunk]], list[GenerationState]]:
        budget_tokens = self.limits.prefill_budget_tokens
        chunks: list[tuple[GenerationState, PromptChunk]] = []
        admitted: list[GenerationState] = []
        for state in self.slots:
            if not state.prompt_complete and budget_tokens > 0:
                chunks.append((state, _chunk(state, budget_tokens)))
                budget_tokens -= len(chunks[-1][1].token_ids)
        while self._queue and self.slots.any_free and self._may_start(self._queue[0], budget_tokens, first=not chunks):
            state = self._admit()
            longest = budget_tokens if self.spec.splits_prompts else state.prompt_tokens
            admitted.append(state)
            chunks.append((state, _chunk(state, longest)))
            budget_tokens -= len(chunks[-1][1].token_ids)
        return chunks, admitted

    def _may_start(self, state: GenerationState, budget_tokens: int, *, first: bool) -> bool:
        if self.spec.splits_prompts:
            return budget_tokens > 0
        return first or state.prompt_tokens <= budget_tokens

    def _admit(self) -> GenerationState:
        state = self._queue.popleft()
        self.slots.take(state)
        state.admitted_s = self._clock.now()
        return state

    def _advance(self, state: GenerationState, token: Token) -> None:
        if state.output_ids:  # this was a decode: the token before is in the cache now
            state.cached_tokens += 1
        if state.is_stop(token.token_id):
            self._end(state, FinishReason.STOP)
            return
        now_s = self._clock.now()
        state.output_ids.append(token.token_id)
        state.first_token_s = now_s if state.first_token_s is None else state.first_token_s
        state.last_token_s = now_s
        if state.answer_complete:
            self._end(state, FinishReason.LENGTH, tokens=(token,))
        else:
            self._news.append(News(state, Update((token,))))

    def _end_overdue(self) -> None:
        now_s = self._clock.now()
        while self._queue and now_s - self._queue[0].submitted_s > self.limits.longest_wait_s:
            waited = f"No slot came free within {self.limits.longest_wait_s:g} s; try again later."
            # Those behind it in the queue will have a slot before a request that comes anew.
            retry_after_s = self.drain_rate.wait_s(len(self._queue), now_s)
            self._end(self._queue.popleft(), FinishReason.FAILED, error=waited, retry_after_s=retry_after_s)
        for state in list(self.slots):
            if now_s - state.submitted_s > self.limits.longest_answer_s:
                self._end(state, FinishReason.LENGTH)

    def _end(
        self,
        state: GenerationState,
        reason: FinishReason,
        *,
        tokens: tuple[Token, ...] = (),
        error: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        now_s = self._clock.now()
        if state.slot is not None:
            self.slots.release(state)
            self.drain_rate.record(now_s)
        state.finished = Finished(reason, state.timings(now_s), error, retry_after_s)
        self._news.append(News(state, Update(tokens, state.finished)))
        if not self.runnable:
            self.drain_rate.forget()


def _decode(state: GenerationState) -> Decode:
    assert state.slot is not None  # noqa: S101 it owns one
    return Decode(state.slot, state.output_ids[-1], state.cached_tokens)


def _chunk(state: GenerationState, longest_tokens: int) -> PromptChunk:
    assert state.slot is not None  # noqa: S101 it owns one
    start, end = state.cached_tokens, min(state.cached_tokens + longest_tokens, state.prompt_tokens)
    return PromptChunk(state.slot, start, state.request.prompt_ids[start:end], last=end == state.prompt_tokens)
