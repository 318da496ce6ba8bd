"""One run from its first look to its last: settle, load, drain, watch the way back. Locust runs the users.

Import it only after gevent has patched the standard library (`loadtest.__main__` and Locust do that first).
"""

from __future__ import annotations

import signal
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gevent
import locust
from locust.env import Environment
from locust.runners import MasterRunner, Runner

from loadtest import locustfile, session
from loadtest.client.chat import ChatClient
from loadtest.client.connection import Endpoint
from loadtest.clock import RunClock
from loadtest.errors import NotStarted, TargetAbsent
from loadtest.observers import Observer
from loadtest.observers.watch import Watch
from loadtest.observers.watched import Watched
from loadtest.progress import Progress
from loadtest.rehearsal import Rehearsal, for_speed
from loadtest.run_result import Run
from loadtest.session import Session
from loadtest.spec import Profile
from loadtest.verdict import has_scaled, way_back

AFTER_SCALED_S = 5.0  # by then every observer has looked again, and the new replica has its share of the load
START_S = 30.0  # for Locust to start a load whose schedule is computed already
_TICK_S = 0.2


@dataclass(frozen=True, slots=True)
class Workers:
    """Locust workers to wait for: 0 sends from this process."""

    expected: int = 0
    host: str = "127.0.0.1"
    port: int = 5557
    wait_s: float = 60.0


class Conductor:
    """Holds one run together; `interrupt` may be called at any time."""

    def __init__(
        self,
        profile: Profile,
        endpoint: Endpoint,
        observers: Sequence[Observer],
        *,
        workers: Workers,
        tell: Callable[[Progress], None],
        rehearsal: Rehearsal | None = None,
    ) -> None:
        self._rehearsal = rehearsal
        self._profile = for_speed(profile, rehearsal)
        self._endpoint = endpoint
        self._workers = workers
        self._tell = tell
        self._clock = RunClock()
        self._watch = Watch(observers, self._clock_now) if observers else None
        self._own: Session | None = None
        self._interrupts = 0
        self._interrupted_s: float | None = None
        self._troubles: list[str] = []
        self._scaled_s: float | None = None  # since when a stage has the replicas that it waits for

    def interrupt(self) -> None:
        """Once: send nothing new and drain. Twice: cut what is in flight."""
        self._interrupts += 1
        if self._interrupted_s is None:
            self._interrupted_s = max(0.0, self._clock_now()) if self._own is not None else 0.0
        if self._own is not None:
            self._own.close()

    def run(self, *, verify: bool) -> Run:
        """The whole run. Raises TargetAbsent, NotStarted; KeyboardInterrupt where it was interrupted before its load."""
        signal_handler = gevent.signal_handler(signal.SIGINT, self.interrupt)
        try:
            model = ChatClient(self._endpoint, self._profile.sending, clock=self._clock_now).prepare()
            known = self._settle() if verify else ()
            runner = self._runner()
            if self._interrupts:
                runner.quit()
                raise KeyboardInterrupt  # nothing was measured, and the command says so
            own = self._load(runner)
            removed_s = self._profile.duration_s
            if self._interrupted_s is not None:
                removed_s = min(removed_s, self._interrupted_s)
            if verify and self._watch is not None:
                self._await_scale_in(removed_s, before=len(known))
            watched = self._watch.stop() if self._watch is not None else None
            runner.quit()
        finally:
            signal_handler.cancel()
        return Run(
            profile=self._profile,
            model=model,
            records=tuple(sorted(own.traffic.records, key=lambda record: record.index)),
            pulses=tuple(own.pulses),
            in_flight_at_end=own.traffic.in_flight_at_end,
            started_unix_s=own.clock.started_unix_s,
            removed_s=removed_s,
            ended_s=own.clock.now(),
            interrupted_s=self._interrupted_s,
            watched=watched,
            known_replicas=known,
            troubles=tuple(self._troubles),
            rehearsal=self._rehearsal,
        )

    def _clock_now(self) -> float:
        """The load's clock once there is a load; before it, our own."""
        return (self._own.clock if self._own is not None else self._clock).now()

    def _settle(self) -> tuple[str, ...]:
        """Wait for the fewest replicas, so that there is something to scale out from; who runs then.

        An earlier load's workers and machines are waited for as well, but a target may keep more than it has replicas.
        """
        assert self._watch is not None  # noqa: S101 - the command line refuses to verify without observers
        limit_s = self._profile.scaling.settle_s
        while True:
            self._watch.look()
            seen = self._watch.so_far()
            fewest = max(1, seen.rule.min_replicas) if seen.rule else None
            few = fewest is not None and seen.last("replicas_present") == fewest
            left = max(seen.last("workers") or 0, seen.last("nodeclaims") or 0)
            if few and fewest is not None and left <= fewest:
                break
            if self._clock_now() > limit_s:
                self._troubles += [] if few else [_unsettled(seen, limit_s)]
                break
            if self._interrupts:
                break
            self._report("settle", self._clock_now(), limit_s)
            gevent.sleep(1.0)
        return self._watch.replicas()

    def _runner(self) -> Runner:
        options = Namespace(
            **{session.PROFILE_JSON: self._profile.model_dump_json()},
            expect_workers=self._workers.expected,
            headless=False,
            enable_rebalancing=False,
        )
        environment = Environment(events=locust.events, host=str(self._endpoint), parsed_options=options)
        runner: Runner
        if self._workers.expected:
            runner = environment.create_master_runner(self._workers.host, self._workers.port)
        else:
            runner = environment.create_local_runner()
        locustfile.prepare(environment)
        if isinstance(runner, MasterRunner):
            self._await_workers(runner)
        return runner

    def _await_workers(self, runner: MasterRunner) -> None:
        limit_s = self._clock_now() + self._workers.wait_s
        while len(runner.clients.ready) < self._workers.expected and not self._interrupts:
            if self._clock_now() > limit_s:
                runner.quit()
                raise TargetAbsent(
                    f"{len(runner.clients.ready)} of {self._workers.expected} workers came within "
                    f"{self._workers.wait_s:g} s: start them with `locust -f loadtest/locustfile.py --worker`"
                )
            gevent.sleep(_TICK_S)

    def _load(self, runner: Runner) -> Session:
        """Start the shape, and wait until all that was sent has ended."""
        runner.start_shape()
        limit_s = self._clock_now() + START_S
        while (own := session.find(runner.environment)) is None:
            if self._clock_now() > limit_s:  # Locust logs what its listeners raise, and goes on without them
                runner.quit()
                raise NotStarted(f"the load did not begin within {START_S:g} s: what Locust logged says why")
            gevent.sleep(0.005)
        self._own = own
        if self._interrupts:
            own.close()
        if self._watch is not None:
            self._watch.start()
        self._await(lambda: self._is_over(own, runner), own, runner)
        if self._watch is not None:
            self._watch.load_ended()
        self._await(lambda: own.complete, own, runner)
        if own.lost_workers:
            self._troubles.append(f"{own.lost_workers} of {self._workers.expected} workers were lost during the run")
        return own

    def _is_over(self, own: Session, runner: Runner) -> bool:
        """Whether the load has ended; a stage that only waits for replicas ends when they have answered."""
        now_s, number = own.clock.now(), own.traffic.stage_at(own.clock.now())
        stage = self._profile.stages[number]
        # Locust workers keep stages by their own clocks: they go on to the full length.
        if stage.until_scaled and self._watch is not None and not isinstance(runner, MasterRunner):
            answered = {record.replica for record in own.traffic.records if record.replica and record.token_s}
            if not has_scaled(stage.users or 0, self._watch.so_far(), answered):
                self._scaled_s = None
            elif self._scaled_s is None:
                self._scaled_s = now_s
            elif now_s - self._scaled_s >= AFTER_SCALED_S:
                self._profile = self._profile.shortened(number, now_s - self._profile.stage_starts_s()[number])
                own.traffic.follow(self._profile)
                self._scaled_s = None
        return own.traffic.over()

    def _await(self, condition: Callable[[], bool], own: Session, runner: Runner) -> None:
        """Show progress until `condition` holds; see workers go, and cut everything at a second interrupt."""
        while not condition():
            if self._interrupts > 1:
                runner.user_greenlets.kill(block=False)
                if isinstance(runner, MasterRunner):
                    return  # the workers end with us, and what they had in flight is not reported
            if isinstance(runner, MasterRunner) and not own.complete:
                own.lost_workers = max(0, self._workers.expected - runner.worker_count)
            self._report("drain" if own.traffic.over() else "load", own.clock.now(), self._profile.duration_s)
            gevent.sleep(_TICK_S)

    def _await_scale_in(self, removed_s: float, *, before: int) -> None:
        """Until every link of the way back was seen, down to the last machine that this target shows."""
        assert self._watch is not None  # noqa: S101 - as in _settle
        limit_s = self._profile.scaling.scale_in_s
        while self._clock_now() < removed_s + limit_s and not self._interrupts:
            seen = self._watch.so_far()
            fewest = max(1, seen.rule.min_replicas) if seen.rule else 1
            few = (seen.last("replicas_present") or 0) <= fewest and (seen.last("replicas_target") or 0) <= fewest
            if few and not any(chain.broken_at for chain in way_back(seen, removed_s=removed_s, before=before)):
                break
            self._report("scale-in", self._clock_now() - removed_s, limit_s)
            gevent.sleep(0.5)

    def _report(self, phase: str, done_s: float, of_s: float) -> None:
        if self._own is None:
            self._tell(Progress(phase, done_s, of_s, 0, 0, 0))
            return
        traffic = self._own.traffic
        self._tell(Progress(phase, done_s, of_s, traffic.in_flight, len(traffic.records), traffic.failed))


def _unsettled(seen: Watched, limit_s: float) -> str:
    failing = [said for said in seen.failed_looks if said in seen.now.evidence]  # at the last look
    if seen.now.blind or (failing and seen.rule is None):
        return f"the observers could not see the target: {seen.now.blind or failing[0]}"
    if seen.rule is None:
        return "the deployment has no autoscaling_config, so there is nothing to verify"
    return (
        f"after {limit_s:g} s {seen.last('replicas_present') or 0:g} replicas were there instead of "
        f"{max(1, seen.rule.min_replicas)}: wait for an earlier load to end, or raise scaling.settle_s"
    )
