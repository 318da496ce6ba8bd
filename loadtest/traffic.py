"""What every sender of one process shares: the client, the stage of an instant, what is in flight, the records."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import gevent
from gevent.event import Event

from loadtest.client.answer import Answer
from loadtest.clock import RunClock
from loadtest.prompts import ChatRequest
from loadtest.record import Outcome, Record
from loadtest.spec import Profile


class Client(Protocol):
    """Who really asks."""

    def ask(self, request: ChatRequest, answer: Answer) -> None:
        """Fill `answer`; raises nothing that belongs to the server or the network."""


@dataclass(frozen=True, slots=True)
class Due:
    """A request's place in the run."""

    index: int
    scheduled_s: float
    stage: int
    user: int | None = None
    turn: int = 0


class Traffic:
    """Sends, and keeps the books: what was begun has a record, or is in flight."""

    def __init__(self, profile: Profile, client: Client, *, clock: RunClock, endless: bool = False) -> None:
        self.profile = profile
        self.clock = clock
        self.in_flight = 0
        self.in_flight_at_end = 0
        self.records: list[Record] = []
        self.failed = 0  # of them
        self.listeners: list[Callable[[Record, Answer], None]] = []
        self.closed = Event()  # set: nothing new is sent, what is in flight is drained
        self._client = client
        self._endless = endless
        self._starts_s = profile.stage_starts_s()
        self._next_index = 0

    def follow(self, profile: Profile) -> None:
        """Go on by a profile whose later stages begin at other instants."""
        self.profile = profile
        self._starts_s = profile.stage_starts_s()

    def over(self) -> bool:
        """Whether the time to send has passed, by the profile or because somebody closed it."""
        return self.closed.is_set() or (not self._endless and self.clock.now() >= self.profile.duration_s)

    def close(self) -> None:
        """Send nothing new from now on; what is in flight goes on to its end."""
        if not self.closed.is_set():
            self.in_flight_at_end = self.in_flight
            self.closed.set()

    @property
    def drained(self) -> bool:
        """Nothing is sent any more and nothing is in flight."""
        return self.closed.is_set() and self.in_flight == 0

    def stage_at(self, at_s: float) -> int:
        """Index of the stage that holds the instant `at_s`."""
        return max(0, bisect.bisect_right(self._starts_s, at_s) - 1)

    def next_index(self) -> int:
        """The number of the next request of a closed loop."""
        self._next_index += 1
        return self._next_index - 1

    def perform(self, request: ChatRequest, due: Due) -> Answer:
        """Ask now; one record, whatever happens. A killed greenlet is a cancelled request."""
        answer = Answer()
        dispatched_s = self.clock.now()
        self.in_flight += 1
        try:
            self._client.ask(request, answer)
        except gevent.GreenletExit:
            answer.stopped = Outcome.CANCELLED
            answer.ended_s = self.clock.now()
            raise
        finally:
            self.in_flight -= 1
            self._note(_record(request, due, answer, dispatched_s), answer)
        return answer

    def refuse(self, due: Due, why: str) -> None:
        """Count a request that was due and could not be sent."""
        now_s = self.clock.now()
        record = Record(due.index, due.stage, Outcome.NOT_SENT, due.scheduled_s, now_s, now_s, attempts=0, error=why)
        self._note(record, Answer())

    def keep(self, record: Record) -> None:
        """Take a finished request into the books."""
        self.records.append(record)
        self.failed += record.failed

    def _note(self, record: Record, answer: Answer) -> None:
        self.keep(record)
        for listener in self.listeners:
            listener(record, answer)


def _record(request: ChatRequest, due: Due, answer: Answer, dispatched_s: float) -> Record:
    return Record(
        index=due.index,
        stage=due.stage,
        outcome=answer.outcome(),
        scheduled_s=due.scheduled_s,
        dispatched_s=dispatched_s,
        ended_s=answer.ended_s,
        user=due.user,
        turn=due.turn,
        sent_s=answer.sent_s,
        token_s=tuple(answer.token_s),
        status=answer.status,
        attempts=answer.attempts,
        stale_connections=answer.stale_connections,
        prompt_tokens=answer.tokens("prompt_tokens"),
        completion_tokens=answer.tokens("completion_tokens"),
        finish_reason=answer.finish_reason,
        pooled=request.pooled,
        replica=answer.headers.get("x-replica-id"),
        request_id=answer.headers.get("x-request-id"),
        fingerprint=answer.fingerprint,
        error=answer.error,
    )
