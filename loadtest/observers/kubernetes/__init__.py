"""The chain through Kubernetes, Karpenter and KubeRay: what the API objects prove, on any cluster with a kubeconfig.

`api` reads, `gather` makes a `Snapshot` of it, and everything else is pure over snapshots: `stages` (what is reached, and
what stands on what), `causes` and `pools` (why a link is missing), `evidence` (how things stand), `machines` (what is paid).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from loadtest.observers import Event, Observation, Sample
from loadtest.observers.dashboard import Dashboard
from loadtest.observers.kubernetes import stages
from loadtest.observers.kubernetes.api import Api
from loadtest.observers.kubernetes.causes import causes
from loadtest.observers.kubernetes.evidence import evidence
from loadtest.observers.kubernetes.gather import Gatherer
from loadtest.observers.kubernetes.machines import Machines
from loadtest.observers.kubernetes.objects import created_s, dig, is_true, name
from loadtest.observers.kubernetes.snapshot import Snapshot, devices
from loadtest.observers.kubernetes.stages import Reached

RAY = frozenset({"ray-demand-raised", "pod-created", "pod-scheduled", "image-pulled", "container-started",
                 "ray-node-joined", "ray-node-idle", "pod-deleted", "node-emptied"})  # fmt: skip
KARPENTER = frozenset({"nodeclaim-created", "node-launched", "node-registered", "node-deleted"})
DEVICE = frozenset({"device-advertised"})
_SOURCE = "kubernetes"


class KubernetesObserver:
    """Polls the objects of one RayService and the nodes below it."""

    name = _SOURCE
    interval_s = 1.0  # the objects' own stamps are whole seconds

    def __init__(
        self,
        api: Api,
        dashboard: Dashboard,
        *,
        namespace: str = "chatbot",
        service: str = "chatbot",
        usd_per_h: Mapping[str, float] | None = None,
        from_deploy: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`from_deploy`: what is there at the first look is news, too; else it only sets the baseline."""
        self._gatherer = Gatherer(api, namespace, service, dashboard)
        self._machines = Machines(usd_per_h or {})
        self._from_deploy = from_deploy
        self._wall = wall
        self._last: Snapshot | None = None
        self._known: set[tuple[str, str]] = set()
        self._worker_nodes: set[str] = set()  # that a worker stood on
        self._karpenter: bool | None = None

    @property
    def stages(self) -> frozenset[str]:
        """Without machines where nobody claims any, without devices where no worker asks for one."""
        found = RAY if self._karpenter is False else RAY | KARPENTER
        groups = self._last.groups if self._last else []
        asked = any(devices(dig(group, "template") or {}) for group in groups)
        return found | DEVICE if asked or not groups else found

    def look(self, now_s: float) -> Observation:
        """One snapshot, compared with what was known."""
        if self._karpenter is None:
            self._karpenter = self._gatherer.has_karpenter()
        taken_s = self._wall()
        before, after = self._last, self._gatherer.look(taken_s, self._deserted())
        offset_s = taken_s - now_s  # from wall clock to the run's
        found = self._news(before, after)
        self._last = after
        self._worker_nodes |= {
            str(dig(pod, "spec", "nodeName")) for pod in after.workers if dig(pod, "spec", "nodeName")
        }
        machines = self._machines.seen(after, offset_s)
        return Observation(
            events=tuple(self._event(reached, before, taken_s, offset_s) for reached in found),
            samples=(*_samples(after, now_s), *self._machines.samples(now_s)),
            evidence=evidence(after),
            links=tuple(stages.links(after)),
            causes=causes(after),
            machines=machines,
        )

    def _news(self, before: Snapshot | None, after: Snapshot) -> list[Reached]:
        found = [*_demand(before, after), *stages.reached(after), *stages.idle(after)]
        if before is not None:
            found += [*stages.gone(before, after, self._worker_nodes), *stages.emptied(after)]
        new = [reached for reached in found if reached.key not in self._known or not reached.subject]
        self._known |= {reached.key for reached in new}
        return new if before is not None or self._from_deploy else []

    def _event(self, reached: Reached, before: Snapshot | None, taken_s: float, offset_s: float) -> Event:
        at_s = instant(reached.since_unix_s, before.taken_unix_s if before else None, taken_s)
        return Event(reached.stage, at_s - offset_s, _SOURCE, reached.subject, detail=reached.detail, step=reached.step)

    def _deserted(self) -> Iterable[str]:
        """Nodes that a worker stood on and none does now, as long as they are there and somebody may still be on them."""
        if self._last is None:
            return ()
        there = {name(node) for node in self._last.nodes}
        used = {str(dig(pod, "spec", "nodeName")) for pod in self._last.workers}
        emptied = {subject.removeprefix("node:") for stage, subject in self._known if stage == "node-emptied"}
        return sorted((self._worker_nodes & there) - used - emptied)


def instant(since_s: float | None, before_s: float | None, taken_s: float) -> float:
    """When a thing happened: what its object says, never later than the look that saw it.

    Stamps are cut to the second: where the last look, within that second, did not show it yet, it came after that look.
    """
    if since_s is None:
        return taken_s
    if before_s is not None and since_s < before_s < since_s + 1:
        since_s = before_s
    return min(since_s, taken_s)


def _demand(before: Snapshot | None, after: Snapshot) -> Iterable[Reached]:
    """Ray asks for more workers than at the last look; the first demand is as old as its RayCluster."""
    was, now = before.wanted_workers() if before else 0, after.wanted_workers()
    if now > was:
        first_s = (
            None
            if before and before.clusters
            else min((s for c in after.clusters if (s := created_s(c))), default=None)
        )
        yield Reached("ray-demand-raised", "", first_s, f"{was} → {now} workers", (was, now))


def _samples(snapshot: Snapshot, now_s: float) -> Iterable[Sample]:
    """Workers' nodes and pods; the head's are not counted, they do not scale."""
    mine = {dig(claim, "status", "nodeName") for claim in snapshot.worker_claims}
    nodes = [node for node in snapshot.nodes if name(node) in mine]
    pending = [pod for pod in (*snapshot.heads, *snapshot.workers) if dig(pod, "status", "phase") == "Pending"]
    yield Sample("nodes_total", now_s, len(nodes))
    yield Sample("nodes_ready", now_s, sum(is_true(node, "Ready") for node in nodes))
    yield Sample("nodeclaims", now_s, len(snapshot.worker_claims))
    yield Sample("pods_pending", now_s, len(pending))
    yield Sample("workers", now_s, len(snapshot.workers))
