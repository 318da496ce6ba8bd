"""Why a pod, Ray's most of all, is not ready: without a node, pulling, crashing, starting."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cluster.explain.findings import Branch, broken, overdue, waiting
from cluster.explain.pools import explain_unscheduled
from cluster.explain.snapshot import Snapshot, created, moment, told
from cluster.objects import Manifest, condition, dig, mapping, mappings, text

Object = Mapping[str, Any]

PULL_S = 900.0  # a 10 GB image from a registry in the same region takes five to eight minutes
SETUP_S = 120.0
START_S = 300.0
GCS_WAIT_S = 180.0

_PULL_FAILED = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_CONFIG_FAILED = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_MOUNT_EVENTS = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")


def explain_pod(snapshot: Snapshot, pod: Object, *, head_ready: bool = True) -> Branch:
    """The state of one pod; no finding where it is ready."""
    what = f"{pod_title(pod)} {Manifest(pod).name}"
    if deleted := moment(dig(pod, "metadata", "deletionTimestamp")):
        return _leaving(snapshot, pod, what, deleted)
    if dig(pod, "status", "phase") == "Failed":
        return _failed(pod, what)
    if not dig(pod, "spec", "nodeName"):
        return explain_unscheduled(snapshot, pod, what)
    if branch := _lost_node(snapshot, pod, what):
        return branch
    for status in [*_statuses(pod, "initContainerStatuses"), *_statuses(pod, "containerStatuses")]:
        if branch := _container(snapshot, pod, what, status):
            return branch
    if branch := _initializing(snapshot, pod, what, head_ready):
        return branch
    return _readiness(snapshot, pod, what)


def pod_title(pod: Object) -> str:
    """Head pod or Worker pod; Pod where it is none of Ray's."""
    return {"head": "Head pod", "": "Pod"}.get(Manifest(pod).labels.get("ray.io/node-type", ""), "Worker pod")


def is_ready(pod: Object) -> bool:
    """Kubernetes' own condition, of a pod that stays."""
    return condition(pod, "Ready").get("status") == "True" and not dig(pod, "metadata", "deletionTimestamp")


def is_running(pod: Object) -> bool:
    """Every container runs, ready or not."""
    states = [mapping(status.get("state")) for status in _statuses(pod, "containerStatuses")]
    return bool(states) and all("running" in state for state in states)


def runs_unready_since(pod: Object) -> datetime | None:
    """Since when a worker runs without a replica: its probe asks Serve's proxy, which comes with the first."""
    if is_ready(pod) or not is_running(pod):
        return None
    started = [moment(dig(status, "state", "running", "startedAt")) for status in _statuses(pod, "containerStatuses")]
    unready = moment(condition(pod, "Ready").get("lastTransitionTime"))
    return max(filter(None, [*started, unready]), default=None)


def _statuses(pod: Object, which: str) -> list[Object]:
    return mappings(dig(pod, "status", which))


def _leaving(snapshot: Snapshot, pod: Object, what: str, deleted: Any) -> Branch:
    # deletionTimestamp is the end of the grace period, not its beginning.
    if snapshot.seconds_since(deleted) > SETUP_S:
        node = text(dig(pod, "spec", "nodeName"))
        why = f"should be gone and is not: nobody on node {node} ends it"
        return broken(
            what, why, f"Look at the node: kubectl describe node {node}; a dead one has to go first.", deleted
        )
    return Branch(f"{what} ends its last streams")


def _failed(pod: Object, what: str) -> Branch:
    reason = text(dig(pod, "status", "reason"))
    if reason == "Evicted":
        why, do = (
            f"was evicted: {told(mapping(pod.get('status')))}",
            "Raise what it ran out of, in requests and limits.",
        )
        return broken(what, why, do, created(pod))
    for status in _statuses(pod, "containerStatuses"):
        ended = mapping(dig(status, "state", "terminated"))
        if ended:
            return _ended(pod, what, status, ended)
    return broken(what, f"has failed: {told(mapping(pod.get('status')))}", "Look at its events.", created(pod))


def _lost_node(snapshot: Snapshot, pod: Object, what: str) -> Branch | None:
    name = text(dig(pod, "spec", "nodeName"))
    node = snapshot.named("Node", name)
    ready = condition(node, "Ready")
    if node is None or not ready or ready.get("status") == "True":
        return None
    since = moment(ready.get("lastTransitionTime"))
    why = f"stands on node {name}, which is not ready: {told(ready)}"
    return overdue(
        what,
        why,
        f"Wait five minutes for its pods to move, or delete its NodeClaim; kubectl describe node {name}.",
        since,
    )


def _container(snapshot: Snapshot, pod: Object, what: str, status: Object) -> Branch | None:
    """What a container's own state says; None where it runs or has done its work."""
    state = mapping(status.get("state"))
    reason = text(dig(state, "waiting", "reason"))
    message = text(dig(state, "waiting", "message")) or reason
    name = text(status.get("name"))
    if reason in _PULL_FAILED:
        image = text(status.get("image"))
        do = "Check name and tag, and that the node role may read the registry (AmazonEC2ContainerRegistryPullOnly)."
        return broken(what, f"cannot pull its image {image}: {message}", do, created(pod))
    if reason in _CONFIG_FAILED:
        return broken(
            what, f"cannot start container {name}: {message}", "Make what it names, or correct the name.", created(pod)
        )
    if reason == "CrashLoopBackOff":
        return _ended(pod, what, status, mapping(dig(status, "lastState", "terminated")))
    ended = mapping(state.get("terminated"))
    if ended and ended.get("exitCode"):
        return _ended(pod, what, status, ended)
    if reason in {"ContainerCreating", "PodInitializing"} and not _is_initializing(pod):
        return _preparing(snapshot, pod, what)
    return None


def _ended(pod: Object, what: str, status: Object, ended: Object) -> Branch:
    name, pod_name = text(status.get("name")), Manifest(pod).name
    since = moment(ended.get("finishedAt")) or created(pod)
    if ended.get("reason") == "OOMKilled":
        why = f"was killed for lack of memory in container {name}"
        return broken(
            what, why, "Raise the container's memory limit, or lower what it loads (slots, positions).", since
        )
    times = int(status.get("restartCount") or 0)
    why = f"crashes: container {name} ended with exit code {ended.get('exitCode')}" + (
        f", {times} restarts" if times else ""
    )
    if said := text(ended.get("message")).strip().split("\n")[-1]:
        why += f" ({said})"
    previous = " --previous" if times else ""
    return broken(what, why, f"Read: kubectl -n {Manifest(pod).namespace} logs {pod_name} -c {name}{previous}", since)


def _preparing(snapshot: Snapshot, pod: Object, what: str) -> Branch:
    if failures := snapshot.events(pod, *_MOUNT_EVENTS):
        why = f"cannot be set up on its node: {told(failures[0])}"
        return broken(what, why, "Make the volume, secret or address that it names.", created(pod))
    pulls = snapshot.events(pod, "Pulling", "Pulled")
    scheduled = moment(condition(pod, "PodScheduled").get("lastTransitionTime")) or created(pod)
    if pulls and pulls[0].get("reason") == "Pulling":
        since = moment(pulls[0].get("lastTimestamp")) or scheduled
        if snapshot.seconds_since(since) < PULL_S:
            return waiting(what, "pulls its image", "Wait; 10 GB take five to eight minutes on a new node.", since)
        do = "Check the way from the node to the registry; a registry in the same region, or a VPC endpoint, is faster."
        return overdue(what, "still pulls its image", do, since)
    if snapshot.seconds_since(scheduled) < SETUP_S:
        return waiting(what, "is set up on its node", "Wait; this takes seconds.", scheduled)
    do = f"Look at its events: kubectl -n {Manifest(pod).namespace} describe pod {Manifest(pod).name}"
    return overdue(what, "is still being set up on its node", do, scheduled)


def _is_initializing(pod: Object) -> bool:
    return any("running" in mapping(status.get("state")) for status in _statuses(pod, "initContainerStatuses"))


def _initializing(snapshot: Snapshot, pod: Object, what: str, head_ready: bool) -> Branch | None:
    """KubeRay's init container waits until the head's GCS answers."""
    if not _is_initializing(pod):
        return None
    started = dig(_statuses(pod, "initContainerStatuses"), 0, "state", "running", "startedAt")
    since = moment(started)
    if not head_ready:
        return waiting(what, "waits for the head", "Wait for the head.", since)
    if snapshot.seconds_since(since) < GCS_WAIT_S:
        return waiting(what, "joins the head", "Wait; this takes seconds.", since)
    do = "Check DNS from the worker's node and that no NetworkPolicy closes port 6379 of the head to the workers."
    return broken(what, "cannot reach the head, which is ready", do, since)


def _readiness(snapshot: Snapshot, pod: Object, what: str) -> Branch:
    if is_ready(pod):
        return Branch(f"{what} is ready")
    since = moment(condition(pod, "Ready").get("lastTransitionTime")) or created(pod)
    probe = next(iter(snapshot.events(pod, "Unhealthy")), {})
    if pod_title(pod) == "Worker pod":
        # KubeRay's probe asks Serve's proxy, which stands on nodes with a replica only: not ready is no fault by itself.
        return Branch(f"{what} runs; it gets ready with its first Serve replica")
    said = f": {told(probe)}" if probe else ""
    if pod_title(pod) == "Pod":
        return Branch(f"{what} is not ready{said}")
    if snapshot.seconds_since(since) < START_S:
        return waiting(what, "starts Ray", "Wait; a head takes about half a minute.", since)
    do = f"Read: kubectl -n {Manifest(pod).namespace} logs {Manifest(pod).name} -c ray-head"
    return broken(what, f"runs and does not become ready{said}", do, since)
