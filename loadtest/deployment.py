"""Watches a deployment until its first replica answers, or until the link that breaks is known. Sends one question.

Import it only after gevent has patched the standard library, as `run`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence

import gevent

from loadtest import prompts, reasons, verdict
from loadtest.client.chat import ChatClient
from loadtest.client.connection import Endpoint
from loadtest.clock import RunClock
from loadtest.errors import TargetAbsent
from loadtest.observers import Observer
from loadtest.observers.watch import Watch
from loadtest.observers.watched import Watched
from loadtest.progress import Progress
from loadtest.record import Record
from loadtest.run_result import Run
from loadtest.spec import Fixed, Profile, Prompts, Sending, Stage
from loadtest.traffic import Due, Traffic
from loadtest.verdict import Scaling

DEFINITE_S = 10.0  # a cause that nothing but a person ends is believed when it has stood so long
_TICK_S = 0.5
_ASK_S = 30.0  # longest wait for the answer to the one question, then it is asked again


class Deployment:
    """One watch; `interrupt` may be called at any time."""

    def __init__(
        self,
        endpoint: Endpoint | None,
        observers: Sequence[Observer],
        *,
        timeout_s: float,
        tell: Callable[[Progress], None],
    ) -> None:
        """Without an endpoint nobody is asked, and the chain ends with a replica that runs."""
        self._profile = _profile(timeout_s)
        self._endpoint = endpoint
        self._tell = tell
        self._clock = RunClock()
        self._watch = Watch(observers, self._clock.now)
        self._client = ChatClient(endpoint, self._profile.sending, clock=self._clock.now) if endpoint else None
        self._traffic = Traffic(self._profile, self._client, clock=self._clock) if self._client else None
        self._interrupted_s: float | None = None
        self._broken: tuple[str, float] | None = None  # a stage with a definite cause, and since when

    def interrupt(self) -> None:
        """End at once; the verdict is void."""
        self._interrupted_s = self._clock.now()

    def run(self) -> Run:
        """The whole watch."""
        handler = gevent.signal_handler(signal.SIGINT, self.interrupt)
        self._watch.start(forget=False)
        asking = gevent.spawn(self._ask) if self._traffic is not None else None
        try:
            while not self._is_over(self._watch.so_far()):
                self._tell(Progress("deploy", self._clock.now(), self._profile.duration_s, 0, len(self._records()), 0))
                gevent.sleep(_TICK_S)
        finally:
            handler.cancel()
            if asking is not None:
                asking.kill()
        watched = self._watch.stop()
        return Run(
            profile=self._profile, model=self._model(), records=self._records(), pulses=(), in_flight_at_end=0,
            started_unix_s=self._clock.started_unix_s, removed_s=watched.until_s, ended_s=watched.until_s,
            interrupted_s=self._interrupted_s, watched=watched, known_replicas=(), troubles=_troubles(watched), deployment=True,
            asks=self._endpoint is not None,
        )  # fmt: skip

    def _is_over(self, seen: Watched) -> bool:
        now_s = self._clock.now()
        if self._interrupted_s is not None or now_s >= self._profile.duration_s:
            return True
        judged = verdict.judge_deployment(self._profile, seen, self._records(), asks=self._endpoint is not None)
        return judged.broken_link is None or self._is_hopeless(judged, seen, now_s)

    def _is_hopeless(self, judged: Scaling, seen: Watched, now_s: float) -> bool:
        """The same link has been missing for a definite cause for a while."""
        assert judged.broken_link is not None  # noqa: S101 - asked of a broken chain only
        stage = judged.broken_link.stage
        sure = any(
            chain.broken_at is not None
            and chain.broken_at.name == stage
            and reasons.is_definite(stage, chain, seen.now)
            for chain in judged.scale_out
        )
        if not sure:
            self._broken = None
        elif self._broken is None or self._broken[0] != stage:
            self._broken = (stage, now_s)
        return self._broken is not None and now_s - self._broken[1] >= DEFINITE_S

    def _ask(self) -> None:
        """One short question as soon as a replica runs, again until it was answered."""
        assert self._traffic is not None  # noqa: S101 - spawned with a traffic only
        while not self._records() or self._records()[-1].failed:
            gevent.sleep(_TICK_S)
            if any(event.stage == "replica-running" for event in self._watch.so_far().events):
                now_s = self._clock.now()
                index = self._traffic.next_index()
                self._traffic.perform(prompts.request(self._profile, index), Due(index, now_s, 0))

    def _records(self) -> tuple[Record, ...]:
        return tuple(self._traffic.records) if self._traffic is not None else ()

    def _model(self) -> str:
        if self._client is None or not self._records():
            return "(not asked)"
        try:
            return self._client.prepare()
        except TargetAbsent:
            return "(did not answer)"


def _troubles(watched: Watched) -> tuple[str, ...]:
    """Who sees nothing can say nothing of a deployment."""
    return (f"target absent: none of the observers sees it ({watched.now.blind})",) if watched.now.blind else ()


def _profile(timeout_s: float) -> Profile:
    """No load at all: what a document says of a run is a profile's."""
    return Profile(
        name="watch",
        description="A deployment is watched until its first replica answers one question.",
        seed=0,
        loop="closed",
        stages=(Stage(name="deployment", duration_s=timeout_s, users=0),),
        prompts=Prompts(words=Fixed(kind="fixed", value=6), answer_tokens=Fixed(kind="fixed", value=8)),
        sending=Sending(timeout_s=_ASK_S),
    )
