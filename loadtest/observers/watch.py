"""Looks through all observers at a steady pace while the load runs, and keeps what they saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import gevent
from gevent.lock import RLock

from loadtest.observers import (
    Cause,
    Event,
    Link,
    Machine,
    Observation,
    Observer,
    ObserverError,
    Sample,
    ScalingRule,
    TargetSilent,
)
from loadtest.observers.watched import Account, Watched


class Watch:
    """Greenlets around `look`, one an observer, so that a slow one keeps no other waiting."""

    def __init__(self, observers: Sequence[Observer], clock: Callable[[], float]) -> None:
        self._observers = observers
        self._clock = clock
        self._events: list[Event] = []
        self._links: dict[tuple[str, str], Link] = {}  # the last by subject and kind of what it stands on
        self._samples: list[Sample] = []
        self._last: dict[str, Observation | ObserverError] = {}
        self._machines: dict[str, tuple[Machine, ...]] = {}
        self._under_load: Account | None = None
        self._rule: ScalingRule | None = None
        self._replicas: tuple[str, ...] = ()
        self._failed: Counter[str] = Counter()
        self._greenlets: list[gevent.Greenlet] = []
        # An observer compares with its own last look: two at once would tell a change twice, or take it back.
        self._turns = {observer.name: RLock() for observer in observers}

    def look(self) -> None:
        """Once through all observers; one that does not answer is noted, the others go on."""
        for observer in self._observers:
            self._look(observer)

    def replicas(self) -> tuple[str, ...]:
        """Who answered at the last look."""
        return self._replicas

    def start(self, *, forget: bool = True) -> None:
        """Look until `stop`; what came before the load is forgotten unless told otherwise."""
        if forget:
            self._events.clear()
            self._samples.clear()
            self._failed.clear()
        self._greenlets = [gevent.spawn(self._run, observer) for observer in self._observers]

    def load_ended(self) -> None:
        """Keep how things stand at this moment: scale-out is judged by it."""
        self.look()
        self._under_load = self._account()

    def stop(self) -> Watched:
        """What was seen."""
        gevent.killall(self._greenlets)
        return self.so_far()

    def so_far(self) -> Watched:
        """What was seen until now."""
        now = self._account()
        return Watched(
            stages=frozenset().union(*(observer.stages for observer in self._observers)),
            events=tuple(self._events),
            links=frozenset(self._links.values()),
            samples=tuple(self._samples),
            machines=tuple(machine for machines in self._machines.values() for machine in machines),
            now=now,
            under_load=self._under_load or now,
            rule=self._rule,
            until_s=self._clock(),
            interval_s=max(observer.interval_s for observer in self._observers),
            failed_looks=dict(self._failed),
        )

    def _look(self, observer: Observer) -> None:
        with self._turns[observer.name]:
            seen = self._asked(observer)
        if isinstance(seen, ObserverError):
            self._failed[str(seen)] += 1
            self._last[observer.name] = seen
            return
        self._last[observer.name] = seen
        self._events += seen.events
        self._links |= {(subject, on.partition(":")[0]): (subject, on) for subject, on in seen.links}
        self._samples += seen.samples
        self._machines[observer.name] = seen.machines
        self._rule = seen.rule or self._rule
        self._replicas = seen.replicas or self._replicas

    def _asked(self, observer: Observer) -> Observation | ObserverError:
        try:
            return observer.look(self._clock())
        except ObserverError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a dead observer would look like a cluster that stands still
            return ObserverError(f"the observer {observer.name} failed: {type(error).__name__}: {error}")

    def _account(self) -> Account:
        """What all observers say now; one that does not answer is itself why its links are not seen."""
        evidence: list[str] = []
        causes: list[Cause] = []
        for observer in self._observers:
            seen = self._last.get(observer.name, Observation())
            if isinstance(seen, ObserverError):
                evidence.append(str(seen))
                causes += [Cause(stage, str(seen)) for stage in sorted(observer.stages)]
            else:
                evidence += seen.evidence
                causes += seen.causes
        return Account(tuple(evidence), tuple(causes), self._blind())

    def _blind(self) -> str:
        """The last error where every observer's last look failed, and none of them for what it looks at."""
        errors = [seen for seen in self._last.values() if isinstance(seen, ObserverError)]
        saw = len(errors) < len(self._last) or any(isinstance(error, TargetSilent) for error in errors)
        return str(errors[-1]) if errors and not saw else ""

    def _run(self, observer: Observer) -> None:
        while True:
            self._look(observer)
            gevent.sleep(observer.interval_s)
