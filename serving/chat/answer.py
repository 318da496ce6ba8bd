"""One to many generations, gathered into what a response writes: text with the tokens it came from.

A pump for each generation turns the engine's updates into deltas; whoever writes the response takes what has come, all at
once, or nothing after a while, and so can send a heartbeat. The pumps outlive the writer: an answer ends, and is
recorded, when the engine has said the last word on each of its generations, whatever became of the connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from serving.chat.stream import TextStream
from serving.engine.request import Finished, FinishReason, Token, Update
from serving.errors import GenerationFailed, Unavailable

_INTERNAL = "The server failed on this answer; the log has the details under its id."

_log = logging.getLogger(__name__)


class Generation(Protocol):
    """What the engine gives for an accepted request."""

    def __aiter__(self) -> AsyncIterator[Update]:
        """Updates up to and with the one that says how it finished."""

    def abort(self, reason: FinishReason = FinishReason.CANCELLED) -> None:
        """End it before the next step, as `reason`; nothing happens when it has ended."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What came for one choice since the last."""

    index: int
    text: str
    tokens: tuple[Token, ...] = ()
    finish_reason: Literal["stop", "length"] | None = None  # None: more will come


class Choice:
    """One generation and its text."""

    def __init__(self, index: int, generation: Generation, text: TextStream) -> None:
        self.index = index
        self.generation = generation
        self.completion_tokens = 0
        self.finished: Finished | None = None  # None until the engine's last word
        self._text = text

    def accept(self, update: Update) -> Delta | None:
        """The delta of an update; None for what the engine still says after a stop string.

        Aborts the generation when a stop string is complete; tokens after that one are not counted.
        Raises GenerationFailed when the generation failed or was cancelled, Unavailable when nothing was wrong with it.
        """
        over = self._text.stopped
        self.finished = update.finished or self.finished
        if over:
            return None
        if self.finished is not None and self.finished.reason in (FinishReason.FAILED, FinishReason.CANCELLED):
            raise _failure(self.finished)
        text, tokens = self._read(update.tokens)
        self.completion_tokens += len(tokens)
        if self.finished is not None:
            text += self._text.finish()
        if self._text.stopped:
            self.generation.abort(FinishReason.STOP)
            return Delta(self.index, text, tokens, "stop")
        if self.finished is None:
            return Delta(self.index, text, tokens)
        return Delta(self.index, text, tokens, "stop" if self.finished.reason is FinishReason.STOP else "length")

    def _read(self, tokens: tuple[Token, ...]) -> tuple[str, tuple[Token, ...]]:
        texts: list[str] = []
        for taken, token in enumerate(tokens, start=1):
            texts.append(self._text.push(token.token_id))
            if self._text.stopped:
                return "".join(texts), tokens[:taken]
        return "".join(texts), tokens


def _failure(finished: Finished) -> GenerationFailed | Unavailable:
    message = finished.error or "The answer was cancelled before it was complete."
    if finished.retry_after_s is not None:
        return Unavailable(message, retry_after_s=finished.retry_after_s)
    return GenerationFailed(message)


class Answer:
    """All choices of one request."""

    def __init__(self, choices: Sequence[Choice], *, answer_id: str, on_end: Callable[[Answer], None]) -> None:
        """Start the pumps on the running loop; `on_end` is called once, when the last generation has ended."""
        self.choices = choices
        self.failure: GenerationFailed | Unavailable | None = None
        self._id = answer_id
        self._deltas: list[Delta] = []
        self._running = len(choices)
        self._waiter: asyncio.Future[None] | None = None  # None while nobody waits
        self._due_s = 0.0  # when the wait that is on gives up, on the loop's clock
        self._timer: asyncio.TimerHandle | None = None  # rings at `_due_s` or before
        self._on_end = on_end
        self._pumps = [asyncio.create_task(self._pump(choice)) for choice in choices]

    @property
    def complete(self) -> bool:
        """All has come and been taken; never true of an answer that failed, whose failure `take` raises."""
        return not self._running and not self._deltas and self.failure is None

    @property
    def ended(self) -> bool:
        """The engine has said the last word on every generation."""
        return not self._running

    @property
    def completion_tokens(self) -> int:
        """Of all choices so far."""
        return sum(choice.completion_tokens for choice in self.choices)

    async def take(self, timeout_s: float) -> list[Delta]:
        """What has come, as soon as anything has; empty after `timeout_s`, or when nothing more will come.

        Raises GenerationFailed or Unavailable once a choice has failed, after everything that came before it.
        """
        if not self._deltas and self._running and self.failure is None:
            await self._wait(timeout_s)
        if not self._deltas and self.failure is not None:
            raise self.failure
        deltas, self._deltas = self._deltas, []
        return deltas

    def abort(self, reason: FinishReason = FinishReason.CANCELLED) -> None:
        """End every generation that has not ended, as `reason`."""
        for choice in self.choices:
            choice.generation.abort(reason)

    async def _wait(self, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        self._due_s = loop.time() + timeout_s
        if self._timer is None or self._timer.when() > self._due_s:
            self._arm(loop)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for many waits: a timer made and cancelled for each token would cost more than its text."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._due_s, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if loop.time() < self._due_s:  # an earlier wait's timer
            self._arm(loop)
        else:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _pump(self, choice: Choice) -> None:
        try:
            async for update in choice.generation:
                self._accept(choice, update)
        except Exception:  # noqa: BLE001 - a bug must end as an error, and not as an answer that looks complete
            _log.exception("answer failed unforeseen", extra={"answer_id": self._id, "choice": choice.index})
            self._fail(GenerationFailed(_INTERNAL))
        finally:
            self._running -= 1
            self._wake()
            if not self._running:
                self._end()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._on_end(self)

    def _accept(self, choice: Choice, update: Update) -> None:
        try:
            delta = choice.accept(update)
        except (GenerationFailed, Unavailable) as failure:
            self._fail(failure)
            return
        if delta is not None:
            self._deltas.append(delta)
            self._wake()

    def _fail(self, failure: GenerationFailed | Unavailable) -> None:
        self.failure = self.failure or failure
        self.abort(FinishReason.FAILED)  # one of n failed, so the answer did; no caller has left
        self._wake()
