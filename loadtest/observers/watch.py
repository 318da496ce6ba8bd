"""Looks through all observers at a steady pace while the load runs, and keeps what they saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import gevent

from loadtest.observers import Event, Observer, ObserverError, Sample, ScalingRule
from loadtest.observers.watched import INTERVAL_S, Watched


class Watch:
    """A greenlet around `look`."""

    def __init__(self, observers: Sequence[Observer], clock: Callable[[], float]) -> None:
        self._observers = observers
        self._clock = clock
        self._events: list[Event] = []
        self._samples: list[Sample] = []
        self._evidence: dict[str, tuple[str, ...]] = {}
        self._under_load: dict[str, tuple[str, ...]] = {}
        self._rule: ScalingRule | None = None
        self._replicas: tuple[str, ...] = ()
        self._failed: Counter[str] = Counter()
        self._greenlet: gevent.Greenlet | None = None

    def look(self) -> None:
        """Once through all observers; one that does not answer is noted, the others go on."""
        for observer in self._observers:
            try:
                seen = observer.look(self._clock())
            except ObserverError as error:
                self._failed[str(error)] += 1
                continue
            self._events += seen.events
            self._samples += seen.samples
            self._evidence[observer.name] = seen.evidence
            self._rule = seen.rule or self._rule
            self._replicas = seen.replicas or self._replicas

    def replicas(self) -> tuple[str, ...]:
        """Who answered at the last look."""
        return self._replicas

    def start(self) -> None:
        """Forget what came before the load, and look until `stop`."""
        self._events.clear()
        self._samples.clear()
        self._failed.clear()
        self._greenlet = gevent.spawn(self._run)

    def load_ended(self) -> None:
        """Keep the evidence of this moment: scale-out is judged by it."""
        self.look()
        self._under_load = dict(self._evidence)

    def stop(self) -> Watched:
        """What was seen."""
        if self._greenlet is not None:
            self._greenlet.kill()
        return self.so_far()

    def so_far(self) -> Watched:
        """What was seen until now."""
        return Watched(
            stages=frozenset().union(*(observer.stages for observer in self._observers)),
            events=tuple(self._events),
            samples=tuple(self._samples),
            evidence=dict(self._evidence),
            evidence_under_load=dict(self._under_load or self._evidence),
            rule=self._rule,
            until_s=self._clock(),
            failed_looks=dict(self._failed),
        )

    def _run(self) -> None:
        while True:
            self.look()
            gevent.sleep(INTERVAL_S)
