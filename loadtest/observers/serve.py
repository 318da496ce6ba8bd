"""Ray Serve through the dashboard's REST API: what becomes of one deployment, and how each of its replicas starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from loadtest.observers import Event, NoAnswerInTime, Observation, ObserverError, Sample, TargetSilent, startup
from loadtest.observers.dashboard import Dashboard, document
from loadtest.observers.serve_snapshot import SOURCE, STAGES, Replica, Snapshot, causes, changes, evidence, parse
from loadtest.observers.startup import Startup

PATH = "/api/serve/applications/"
ALIVE_PATH = "/api/version"  # which the dashboard answers without asking anybody
LOADING = frozenset({"model-loaded"})
_STARTUP_S = 1.0  # between two looks into a replica's log


class ServeObserver:
    """Polls the dashboard."""

    name = SOURCE
    interval_s = 0.5

    def __init__(
        self,
        dashboard: Dashboard,
        *,
        application: str = "chatbot",
        deployment: str = "Chat",
        from_deploy: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`from_deploy`: what is there at the first look is news, too; else it only sets the baseline."""
        self._dashboard = dashboard
        self._application = application
        self._deployment = deployment
        self._wall = wall
        self._last = Snapshot(0.0, 0, {}, "", "", None) if from_deploy else None
        self._starts: dict[str, Startup] = {}
        self._read: set[str] = set()  # whose log will say nothing new of their start
        self._next_log_s = float("-inf")
        self._logs_seen = False

    @property
    def stages(self) -> frozenset[str]:
        """With the model's loading where replicas' logs can be read."""
        return STAGES | LOADING if self._logs_seen else STAGES

    def look(self, now_s: float) -> Observation:
        """One GET, and one more for each replica that starts."""
        try:
            found = document(self._dashboard, PATH)
        except NoAnswerInTime as error:
            raise self._silent(error) from error
        except ObserverError as error:
            raise ObserverError(f"Serve does not say how it is: {error}") from error
        snapshot = parse(found, now_s, application=self._application, deployment=self._deployment)
        events = (*changes(self._last, snapshot), *self._loaded(snapshot, now_s))
        self._last = snapshot
        return Observation(
            events=events,
            samples=(
                Sample("replicas_target", now_s, snapshot.target),
                Sample("replicas_running", now_s, snapshot.running),
                Sample("replicas_present", now_s, len(snapshot.replicas)),
            ),
            evidence=evidence(snapshot),
            rule=snapshot.rule,
            replicas=tuple(r.id for r in snapshot.replicas.values() if r.state == "RUNNING"),
            links=tuple(link for replica in snapshot.seen for link in replica.links),
            causes=tuple(causes(snapshot, self._starts)),
        )

    def _silent(self, error: NoAnswerInTime) -> ObserverError:
        """Who it is that takes the question and says nothing: Serve's controller, or the dashboard itself."""
        try:
            self._dashboard.read(ALIVE_PATH)
        except ObserverError as other:
            return ObserverError(f"Ray's dashboard does not answer for Serve, nor for anything else: {other}")
        return TargetSilent(f"Ray's dashboard does not answer for Serve, whose controller it asks: {error}")

    def _loaded(self, snapshot: Snapshot, now_s: float) -> Iterator[Event]:
        """Models that were loaded since the last look into the logs of replicas that start, by the log's own clock."""
        taken_s = self._wall()
        if taken_s < self._next_log_s:
            return
        self._next_log_s = taken_s + _STARTUP_S
        for replica in snapshot.seen:
            if not (replica.started and replica.actor) or replica.id in self._read:
                continue
            start = self._startup(replica)
            if start is None:
                continue
            self._starts[replica.id] = start
            if start.loaded_unix_s is not None or replica.state == "RUNNING":
                self._read.add(replica.id)  # a running replica's log grows by a line a request
            if start.loaded_unix_s is not None and self._last is not None:
                at_s = min(now_s, start.loaded_unix_s - (taken_s - now_s))
                yield Event("model-loaded", at_s, SOURCE, f"replica:{replica.id}", detail=f"in {start.took_s} s")

    def _startup(self, replica: Replica) -> Startup | None:
        """None where its log cannot be had; whoever loads without us seeing it is proven by a later link."""
        try:
            start = startup.read(self._dashboard, replica.actor)
        except ObserverError:
            return None
        self._logs_seen = True
        return start
