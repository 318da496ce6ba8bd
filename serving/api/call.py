"""One accepted request, from its admission to its record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.api.shapes import Shape, Usage
from serving.engine.request import Timings
from serving.errors import http_answer
from serving.telemetry.request_log import RequestRecord

if TYPE_CHECKING:
    from serving.chat.answer import Answer


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the middleware found out."""

    request_id: str
    key: str | None  # the API key's name; None without keys


@dataclass(slots=True, eq=False)
class Call:
    """What the response writer needs, and what it leaves behind for the record."""

    caller: Caller
    answer_id: str
    endpoint: str
    arrived_s: float  # on the clock that `record` is asked with
    prompt_tokens: int
    streamed: bool
    user: str | None
    shape: Shape
    answer: Answer
    started: bool = False  # the status line has gone out
    left: bool = False  # the client went before the end

    @property
    def usage(self) -> Usage:
        """Tokens until now."""
        return Usage(self.prompt_tokens, self.answer.completion_tokens)

    def client_left(self) -> None:
        """The connection is gone: end what still runs."""
        if not self.answer.ended:
            self.left = True
            self.answer.abort()

    def record(self, now_s: float) -> RequestRecord:
        """The request's one line, once its answer has ended."""
        ends = [choice.finished for choice in self.answer.choices if choice.finished is not None]
        times = [end.timings for end in ends] or [Timings(0.0, 0.0, 0.0)]
        failure = self.answer.failure
        return RequestRecord(
            request_id=self.caller.request_id,
            answer_id=self.answer_id,
            endpoint=self.endpoint,
            status=499 if self.left else 200 if failure is None or self.started else http_answer(failure).status,
            finish_reason=",".join(end.reason.value for end in ends),
            choices=len(self.answer.choices),
            streamed=self.streamed,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.answer.completion_tokens,
            queue_s=round(max(t.queue_s for t in times), 6),
            prefill_s=round(max(t.prefill_s for t in times), 6),
            decode_s=round(max(t.decode_s for t in times), 6),
            total_s=round(now_s - self.arrived_s, 6),
            key=self.caller.key,
            user=self.user,
            error=str(failure) if failure is not None and not self.left else None,
        )
