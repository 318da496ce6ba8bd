"""One synchronous step of the engine: schedule, run, sample, commit.

The scheduler is shared with whoever submits and aborts, so it is touched under `lock` only; the lock is free while the
runner runs. The runner and the sampler belong to the one thread that calls `step`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from serving.engine.clock import Clock
from serving.engine.observer import Ended, EngineObserver, StepReport
from serving.engine.request import Finished, Token
from serving.engine.runner import Runner, RunnerError, StepOutput
from serving.engine.sampling import Sampler
from serving.engine.scheduler import News, Scheduler, Step
from serving.engine.state import GenerationState

LIVE_FAILED = "The model failed while it computed this answer; try again."
WAITING_FAILED = "The model failed and could not be restarted; try again later."

_log = logging.getLogger(__name__)


class EngineCore:
    """The loop's body, without the loop."""

    def __init__(
        self, runner: Runner, scheduler: Scheduler, *, lock: threading.Lock, clock: Clock, observer: EngineObserver
    ) -> None:
        self._runner = runner
        self._scheduler = scheduler
        self._sampler = Sampler(runner.spec)
        self._lock = lock
        self._clock = clock
        self._observer = observer
        self.running_since_s: float | None = None  # None between two runs of the runner
        self._load = (0, 0)  # busy slots and waiting, as the observer was told last
        self.prompt_tokens_total = 0
        self.tokens_total = 0

    def step(self) -> list[News]:
        """Compute one step and say what it brought; what befell between the steps (an abort, a deadline) comes along.

        A failure of the runner ends every live generation and resets the runner. Raises whatever `reset` raised when
        that does not succeed: then nothing can be computed any more.
        """
        started_s = self._clock.now()
        with self._lock:
            step = self._scheduler.schedule()
        if step:
            self._compute(step, started_s)
        return self.take_news()

    def take_news(self) -> list[News]:
        """What has happened since the last call."""
        with self._lock:
            return self._scheduler.take_news()

    def observe(self, news: Sequence[News]) -> None:
        """Tell the observer who ended and what load is left.

        After the news went out, so that an observer cannot hold it back; and whatever befell, a step or none.
        """
        for item in news:
            if item.update.finished is not None:
                self._observer.ended(_ended(item.state, item.update.finished))
        with self._lock:
            before, self._load = self._load, (len(self._scheduler.slots), self._scheduler.waiting)
        if self._load != before:
            busy_slots, waiting = self._load
            self._observer.load(busy_slots=busy_slots, waiting=waiting)

    def fail_all(self, error: str, *, retry_after_s: float | None = None) -> None:
        """End whatever has not ended; `error` is what the callers read, `retry_after_s` when they may come back."""
        with self._lock:
            self._scheduler.fail_live(error, retry_after_s=retry_after_s)
            self._scheduler.fail_waiting(error, retry_after_s=retry_after_s)

    def _compute(self, step: Step, started_s: float) -> None:
        self.running_since_s = run_started_s = self._clock.now()
        try:
            output = self._run(step)
            run_s = self._clock.now() - run_started_s
            tokens = self._pick(output, step)
        except Exception as error:  # noqa: BLE001 a device library may raise anything, and its victims are the live ones
            self._recover(error)
            return
        finally:
            self.running_since_s = None
        before = [(len(state.output_ids), state.last_token_s) for state in step.sampled]
        with self._lock:
            self._scheduler.commit(step, tokens)
        self._report(step, before, started_s=started_s, run_s=run_s)

    def _run(self, step: Step) -> StepOutput:
        for state in step.admitted:
            assert state.slot is not None  # noqa: S101 admission gave it one
            self._sampler.bind(state.slot, state.request, state.stop_token_ids)
            self._runner.set_sampling(state.slot, state.request.sampling)
        return self._runner.run(step.decodes, step.prompts)

    def _pick(self, output: StepOutput, step: Step) -> list[Token]:
        if output.token_ids is not None:
            tokens = [Token(token_id) for token_id in output.token_ids.tolist()]
        elif output.logits is not None:
            slots = [decode.slot for decode in step.decodes] + [chunk.slot for chunk in step.prompts if chunk.last]
            tokens = self._sampler.sample(output.logits, slots)
        else:
            raise RunnerError("the runner returned neither logits nor tokens")
        if len(tokens) != len(step.sampled):
            raise RunnerError(f"the runner returned {len(tokens)} rows, {len(step.sampled)} were asked for")
        return tokens

    def _recover(self, error: Exception) -> None:
        _log.error("the runner failed; resetting it", exc_info=error)
        self._observer.runner_failed(error)
        with self._lock:
            self._scheduler.fail_live(LIVE_FAILED)
            self._scheduler.slots.check_integrity()
        self._runner.reset()

    def _report(
        self, step: Step, before: Sequence[tuple[int, float | None]], *, started_s: float, run_s: float
    ) -> None:
        first_tokens_s, inter_token_s = [], []
        for state, (tokens, last_token_s) in zip(step.sampled, before, strict=True):
            if len(state.output_ids) == tokens or state.last_token_s is None:
                continue  # a stop token, or cancelled meanwhile
            if last_token_s is None:
                first_tokens_s.append(state.last_token_s - state.submitted_s)
            else:
                inter_token_s.append(state.last_token_s - last_token_s)
        new_tokens = len(first_tokens_s) + len(inter_token_s)
        self.prompt_tokens_total += step.prompt_tokens
        self.tokens_total += new_tokens
        self._observer.step(
            StepReport(
                took_s=self._clock.now() - started_s,
                run_s=run_s,
                decode_rows=len(step.decodes),
                prompt_tokens=step.prompt_tokens,
                new_tokens=new_tokens,
                first_tokens_s=tuple(first_tokens_s),
                inter_token_s=tuple(inter_token_s),
            )
        )


def _ended(state: GenerationState, finished: Finished) -> Ended:
    first_s = None if state.first_token_s is None else state.first_token_s - state.submitted_s
    return Ended(
        request_id=state.request.request_id,
        reason=finished.reason,
        prompt_tokens=state.prompt_tokens,
        completion_tokens=len(state.output_ids),
        timings=finished.timings,
        time_to_first_token_s=first_s,
        error=finished.error,
    )
