"""How things stand, in sentences that quote the objects. Pure; what is as it should be takes one line at most."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest.observers.kubernetes.objects import Object, condition, dig, is_true, name, rows, told
from loadtest.observers.kubernetes.snapshot import Snapshot

WARNINGS_S, MOST_WARNINGS = 300.0, 8


def evidence(snapshot: Snapshot) -> tuple[str, ...]:
    """From the service down to the machines, then the last warnings."""
    return (
        *_ray(snapshot),
        *(line for pod in (*snapshot.heads, *snapshot.workers) for line in _pod(pod)),
        *(line for claim in snapshot.claims for line in _conditions("NodeClaim", claim, ("Launched", "Registered", "Initialized"))),
        *(f"Node {name(node)} is not ready: {told(condition(node, 'Ready'))}" for node in snapshot.nodes if not is_true(node, "Ready")),
        *(line for pool in snapshot.pools for line in _conditions("NodePool", pool, ("Ready",))),
        *(line for found in snapshot.classes for line in _false("EC2NodeClass", found)),
        *_warnings(snapshot),
    )  # fmt: skip


def _ray(snapshot: Snapshot) -> Iterator[str]:
    if snapshot.service is None:
        yield "there is no RayService"
        return
    states = "; ".join(
        f"{row.get('type')} {row.get('status')} ({told(row)})"
        for row in rows(dig(snapshot.service, "status", "conditions"))
    )
    yield f"RayService {name(snapshot.service)}: {states or 'no conditions yet'}"
    for cluster in snapshot.clusters:
        wanted, there = snapshot.wanted_workers(), len(snapshot.workers)
        yield f"RayCluster {name(cluster)}: {wanted} workers wanted, {there} pods there"
        yield from _false("RayCluster", cluster, but=("RayClusterSuspending", "RayClusterSuspended", "ReplicaFailure"))


def _pod(pod: Object) -> Iterator[str]:
    for status in (*rows(dig(pod, "status", "initContainerStatuses")), *rows(dig(pod, "status", "containerStatuses"))):
        waiting = dig(status, "state", "waiting") or {}
        ended = dig(status, "state", "terminated") or dig(status, "lastState", "terminated") or {}
        if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            yield f"pod {name(pod)}: container {status.get('name')} waits: {told(waiting)}"
        if ended and ended.get("exitCode"):
            yield f"pod {name(pod)}: container {status.get('name')} ended with exit code {ended.get('exitCode')} ({told(ended)})"
    for kind in ("PodScheduled", "Ready"):
        found = condition(pod, kind)
        if found.get("status") != "True":
            yield f"pod {name(pod)} ({dig(pod, 'status', 'phase')}): {kind} is {found.get('status') or 'unknown'} ({told(found)})"
            return


def _conditions(kind: str, value: Object, wanted: tuple[str, ...]) -> Iterator[str]:
    """The first of these that is not True."""
    for each in wanted:
        if not is_true(value, each):
            found = condition(value, each)
            yield f"{kind} {name(value)}: {each} is {found.get('status') or 'not set'} ({told(found) or 'no reason given'})"
            return


def _false(kind: str, value: Object, *, but: tuple[str, ...] = ()) -> Iterator[str]:
    for row in rows(dig(value, "status", "conditions")):
        if row.get("status") != "True" and row.get("type") not in but:
            yield f"{kind} {name(value)}: {row.get('type')} is {row.get('status')} ({told(row)})"


def _warnings(snapshot: Snapshot) -> Iterator[str]:
    seen: set[str] = set()
    for event in snapshot.recent_warnings(WARNINGS_S):
        who = f"{dig(event, 'involvedObject', 'kind')} {dig(event, 'involvedObject', 'name')}"
        line = f"warning on {who}: {told(event)}"
        if line not in seen and len(seen) < MOST_WARNINGS:
            seen.add(line)
            yield line
