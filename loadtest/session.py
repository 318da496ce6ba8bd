"""One run inside one Locust process: its traffic, its pulse, and, between workers and their master, the records.

Locust decides where users run; what they measured comes back as plain values in messages of our own, so nothing but
real requests ever stands in Locust's statistics.
"""

from __future__ import annotations

import time
from typing import Any, cast

import gevent
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner

from loadtest.arrivals import Arrival, schedule
from loadtest.client.answer import Answer
from loadtest.client.chat import PATH, ChatClient
from loadtest.client.connection import Endpoint
from loadtest.clock import RunClock
from loadtest.honesty import Pulse
from loadtest.pulse import PulseTaker
from loadtest.record import Outcome, Record
from loadtest.spec import Profile
from loadtest.traffic import Traffic

RECORDS = "chat_records"  # worker -> master
CLOSE = "chat_close"  # master -> worker
PROFILE_JSON = "chat_profile_json"  # the option under which a whole profile travels
_REPORT_EVERY_S = 1.0
_ATTRIBUTE = "chat_session"


class Session:
    """What the users of one process share; found again by `of(environment)`."""

    def __init__(self, environment: Environment, profile: Profile, endpoint: Endpoint, *, endless: bool) -> None:
        self.environment = environment
        self.profile = profile
        self.clock = RunClock()
        self.client = ChatClient(endpoint, profile.sending, clock=self.clock.now)
        self.traffic = Traffic(profile, self.client, clock=self.clock, endless=endless)
        self.traffic.listeners.append(self._tell_locust)
        self.pulses: list[Pulse] = []
        self.lost_workers = 0
        self._arrivals = schedule(profile)  # before time zero: a long one takes a second to compute
        self._taker = PulseTaker(self._process_name())
        self._finals = 0
        self._users = 0
        self._reported = 0
        self.finished = False

    def begin(self) -> None:
        """The start of the run: time zero."""
        self.clock.restart()
        if isinstance(self.environment.runner, MasterRunner):
            return
        self._taker.start()
        gevent.spawn(self._watch_for_the_end)

    def share(self) -> list[Arrival]:
        """The arrivals that this process sends."""
        index, count = position(self.environment)
        return [arrival for arrival in self._arrivals if arrival.index % count == index]

    def next_user(self) -> int:
        """The number of a new user, in no other process the same."""
        index, count = position(self.environment)
        self._users += 1
        return (self._users - 1) * count + index

    def next_index(self) -> int:
        """The number of a closed loop's request, in no other process the same."""
        index, count = position(self.environment)
        return self.traffic.next_index() * count + index

    def close(self) -> None:
        """Send nothing new, here and on every worker."""
        self.traffic.close()
        if isinstance(self.environment.runner, MasterRunner):
            self.environment.runner.send_message(CLOSE)

    @property
    def complete(self) -> bool:
        """Everything that was sent has ended, and every worker has reported."""
        if isinstance(self.environment.runner, MasterRunner):
            return self._finals + self.lost_workers >= position(self.environment)[1]
        return self.finished

    def on_worker_records(self, message: dict[str, Any]) -> None:
        """Master: take over what a worker measured, on our clock."""
        shift_s = message["started_unix_s"] - self.clock.started_unix_s
        for fields in message["records"]:
            self.traffic.keep(Record.from_wire(fields).shifted(shift_s))
        if message["final"]:
            self._finals += 1
            self.traffic.in_flight_at_end += message["in_flight_at_end"]
            self.pulses.append(Pulse.from_wire(message["pulse"]))

    def _watch_for_the_end(self) -> None:
        """Report now and then; when the time is over, close, wait until all has drained, report once more."""
        while not self.traffic.drained:
            if self.traffic.over():
                self.traffic.close()
            self._report(final=False)
            gevent.sleep(_REPORT_EVERY_S if not self.traffic.closed.is_set() else 0.05)
        self.pulses.append(self._taker.stop())
        self._report(final=True)
        self.client.close()
        self.finished = True

    def _report(self, *, final: bool) -> None:
        if not isinstance(self.environment.runner, WorkerRunner):
            return
        new = self.traffic.records[self._reported :]
        if not new and not final:
            return
        self._reported += len(new)
        message: dict[str, Any] = {
            "records": [record.to_wire() for record in new],
            "started_unix_s": self.clock.started_unix_s,
            "final": final,
        }
        if final:
            message |= {"in_flight_at_end": self.traffic.in_flight_at_end, "pulse": self.pulses[-1].to_wire()}
        self.environment.runner.send_message(RECORDS, message)

    def _tell_locust(self, record: Record, answer: Answer) -> None:
        """One Locust request for each real one, and never for a metric."""
        if record.outcome is Outcome.NOT_SENT:
            return
        since_s = record.sent_s if record.sent_s is not None else record.dispatched_s
        failure = record.failed
        self.environment.events.request.fire(  # type: ignore[no-untyped-call]
            request_type="POST",
            name=PATH,
            response_time=(record.ended_s - since_s) * 1e3,
            response_length=sum(len(piece.encode()) for piece in answer.text),
            exception=ChatFailed(f"{record.outcome.value}: {record.error or 'no detail'}") if failure else None,
            context={"replica": record.replica},
            start_time=time.time() - (record.ended_s - since_s),
        )

    def _process_name(self) -> str:
        index, count = position(self.environment)
        return f"worker {index}" if count > 1 else "the client"


class ChatFailed(Exception):
    """What Locust's failure table shows of a chat request."""


def attach(environment: Environment, session: Session) -> None:
    """Make `session` the environment's, and wire master and workers."""
    setattr(environment, _ATTRIBUTE, session)


def wire(environment: Environment) -> None:
    """Register the messages between master and workers, once for each runner."""
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        runner.register_message(RECORDS, _on_records)
    elif isinstance(runner, WorkerRunner):
        runner.register_message(CLOSE, _on_close)


def _on_records(environment: Environment, msg: Message, **_: Any) -> None:
    own = find(environment)
    if own is not None:  # else the test was stopped before its workers' last words came
        own.on_worker_records(msg.data)


def _on_close(environment: Environment, **_: Any) -> None:
    own = find(environment)
    if own is not None:
        own.traffic.close()


def find(environment: Environment) -> Session | None:
    """The environment's session; None before the first test."""
    return cast("Session | None", getattr(environment, _ATTRIBUTE, None))


def of(environment: Environment) -> Session:
    """The session of a test that has begun."""
    return cast(Session, getattr(environment, _ATTRIBUTE))


def detach(environment: Environment) -> None:
    """Forget the session of an earlier test."""
    setattr(environment, _ATTRIBUTE, None)


def position(environment: Environment) -> tuple[int, int]:
    """Number of this process among the senders, and how many there are."""
    runner = environment.runner
    if isinstance(runner, MasterRunner | WorkerRunner):
        expected = int(getattr(environment.parsed_options, "expect_workers", 1) or 1)
        return (runner.worker_index if isinstance(runner, WorkerRunner) else 0), expected
    return 0, 1
