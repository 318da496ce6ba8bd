"""Which links of the chain the objects prove, since when, and what stands on what. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass

from loadtest.observers import Link
from loadtest.observers.kubernetes import objects
from loadtest.observers.kubernetes.objects import Object, about, dig, moment_s, name, named, true_since_s
from loadtest.observers.kubernetes.snapshot import Snapshot, advertises, devices, is_workload, ray_container


@dataclass(frozen=True, slots=True)
class Reached:
    """A link that holds; `since_unix_s` is what the objects say, None where they do not."""

    stage: str
    subject: str
    since_unix_s: float | None
    detail: str = ""
    step: tuple[float, float] | None = None  # as in Event

    @property
    def key(self) -> tuple[str, str]:
        """By which it is known again."""
        return self.stage, self.subject


def reached(snapshot: Snapshot) -> Iterator[Reached]:
    """All links of scale-out that hold now, of the head and of the workers."""
    for pods, role, claims in (
        (snapshot.heads, "head", snapshot.claims_of(snapshot.heads)),
        (snapshot.workers, "pod", snapshot.worker_claims),
    ):
        for pod in pods:
            yield from _pod(snapshot, pod, f"{role}:{name(pod)}")
        wanted = frozenset().union(*(devices(pod) for pod in pods))
        for claim in claims:
            yield from _machine(snapshot, claim, wanted)


def _pod(snapshot: Snapshot, pod: Object, subject: str) -> Iterator[Reached]:
    yield Reached("pod-created", subject, objects.created_s(pod))
    if dig(pod, "spec", "nodeName"):
        yield Reached("pod-scheduled", subject, true_since_s(pod, "PodScheduled"), f"on {dig(pod, 'spec', 'nodeName')}")
    status = ray_container(pod)
    began_s = moment_s(dig(status, "state", "running", "startedAt") or dig(status, "state", "terminated", "startedAt"))
    pulls = about(snapshot.events, pod, "Pulled")
    if pulls or began_s is not None:
        pulled_s = min((s for event in pulls if (s := objects.event_s(event)) is not None), default=began_s)
        yield Reached("image-pulled", subject, pulled_s, str(pulls[-1].get("message")) if pulls else "")
    if began_s is not None:
        yield Reached("container-started", subject, began_s)
    yield from _ray_node(snapshot, pod, subject)


def _ray_node(snapshot: Snapshot, pod: Object, subject: str) -> Iterator[Reached]:
    """Of a worker by Ray's own list; a head is a Ray node when its probe says that Ray answers."""
    address = dig(pod, "status", "podIP")
    if subject.startswith("head:"):
        if (ready_s := true_since_s(pod, "Ready")) is not None:
            yield Reached("ray-node-joined", subject, ready_s, "the head is ready")
    elif address and snapshot.ray_nodes and address in snapshot.ray_nodes:
        yield Reached("ray-node-joined", f"ip:{address}", snapshot.ray_nodes[address])


def _machine(snapshot: Snapshot, claim: Object, wanted: frozenset[str]) -> Iterator[Reached]:
    subject = f"nodeclaim:{name(claim)}"
    yield Reached("nodeclaim-created", subject, objects.created_s(claim))
    if (launched_s := true_since_s(claim, "Launched")) is not None:
        yield Reached("node-launched", subject, launched_s, str(dig(claim, "status", "providerID") or ""))
    if (registered_s := true_since_s(claim, "Registered")) is None:
        return
    node = dig(claim, "status", "nodeName")
    yield Reached("node-registered", f"node:{node}", registered_s)
    found = named(snapshot.nodes, str(node))
    if wanted and found is not None and advertises(found, wanted):
        yield Reached(
            "device-advertised", f"node:{node}", true_since_s(claim, "Initialized"), ", ".join(sorted(wanted))
        )


def links(snapshot: Snapshot) -> Iterator[Link]:
    """Address on pod, pod on node or on the NodeClaim that was made for it, node on NodeClaim."""
    for pods, role in ((snapshot.heads, "head"), (snapshot.workers, "pod")):
        for pod in pods:
            subject, node = f"{role}:{name(pod)}", dig(pod, "spec", "nodeName")
            if address := dig(pod, "status", "podIP"):
                yield f"ip:{address}", subject
            if node:
                yield subject, f"node:{node}"
            elif claim := snapshot.claim_of(pod):
                yield subject, f"nodeclaim:{name(claim)}"
    for claim in snapshot.claims:
        if node := dig(claim, "status", "nodeName"):
            yield f"node:{node}", f"nodeclaim:{name(claim)}"


def gone(before: Snapshot, after: Snapshot, worker_nodes: Set[str]) -> Iterator[Reached]:
    """Workers, and nodes of workers, that ended between two snapshots."""
    pods, nodes = {name(pod) for pod in after.workers}, {name(node) for node in after.nodes}
    for pod in before.workers:
        if name(pod) not in pods:
            yield Reached("pod-deleted", f"pod:{name(pod)}", None)
    for node in before.nodes:
        if name(node) in worker_nodes - nodes:
            yield Reached("node-deleted", f"node:{name(node)}", None)


def idle(snapshot: Snapshot) -> Iterator[Reached]:
    """Workers that the autoscaler gives back; when KubeRay has deleted one already, that was the latest instant of it."""
    deleted = {name(pod): pod for pod in snapshot.workers if dig(pod, "metadata", "deletionTimestamp")}
    for worker, pod in deleted.items():
        grace_s = float(dig(pod, "metadata", "deletionGracePeriodSeconds") or 0)
        deleted_s = moment_s(dig(pod, "metadata", "deletionTimestamp"))
        since_s = None if deleted_s is None else deleted_s - grace_s
        yield Reached("ray-node-idle", f"pod:{worker}", since_s, "its pod is being deleted")
    for worker in sorted(snapshot.leaving() - deleted.keys()):  # its pod may have gone between two looks
        yield Reached("ray-node-idle", f"pod:{worker}", None, "in workersToDelete")


def emptied(snapshot: Snapshot) -> Iterator[Reached]:
    """Nodes of gone workers on which only daemons are left."""
    for node, pods in (snapshot.lodgers or {}).items():
        if not any(is_workload(pod) for pod in pods):
            yield Reached("node-emptied", f"node:{node}", None)
