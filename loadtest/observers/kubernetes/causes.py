"""Why a link is not there: from conditions, events and states of containers to one sentence and the stage it explains.

Pure. Each function looks at one kind of thing; the most telling sentence of a stage comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import yaml

from loadtest.observers import Cause
from loadtest.observers.kubernetes import leaving, pools
from loadtest.observers.kubernetes.objects import Object, about, condition, created_s, dig, is_true, name, rows, told
from loadtest.observers.kubernetes.snapshot import Snapshot, ray_container

AUTOSCALER = "autoscaler"  # the container in the head's pod
OPERATOR_S = 30.0  # KubeRay looks at a new object within a second
NO_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
NO_CONTAINER = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
NO_SANDBOX = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")


def causes(snapshot: Snapshot) -> tuple[Cause, ...]:
    """Everything that keeps a link away now."""
    found = [*_service(snapshot), *_cluster(snapshot)]
    for pods, role in ((snapshot.heads, "head"), (snapshot.workers, "pod")):
        for pod in pods:
            found += _pod(snapshot, pod, f"{role}:{name(pod)}")
    found += leaving.kept(snapshot)
    return tuple(found)


def _service(snapshot: Snapshot) -> Iterator[Cause]:
    """Of the RayService: nothing below it is there, or it is refused."""
    service = snapshot.service
    if service is None:
        yield Cause("ray-demand-raised", "There is no RayService: nothing is deployed")
        return
    what = f"RayService {name(service)}"
    invalid = about(snapshot.events, service, "InvalidRayServiceSpec", "InvalidRayServiceMetadata")
    ready = condition(service, "Ready")
    if ready.get("reason") == "ValidationFailed" or invalid:
        said = told(invalid[0]) if invalid else told(ready)
        yield Cause("ray-demand-raised", f"{what} is refused by KubeRay: {said}", definite=True)
    if not snapshot.clusters and (failed := about(snapshot.events, service, "FailedToCreateRayCluster")):
        yield Cause("ray-demand-raised", f"{what} gets no RayCluster: {told(failed[0])}", definite=True)
    if not snapshot.clusters and not dig(service, "status", "conditions"):
        overdue = snapshot.taken_unix_s - (created_s(service) or snapshot.taken_unix_s) > OPERATOR_S
        yield Cause(
            "ray-demand-raised", f"{what} is not looked at by KubeRay: its operator does not run", definite=overdue
        )
    failed = about(snapshot.events, service, "FailedToUpdateServeApplications")
    if failed and not is_true(service, "Ready"):  # while the head comes up KubeRay fails at it, too
        yield Cause("serve-target-raised", f"{what}: KubeRay could not give Serve its config: {told(failed[0])}")


def _cluster(snapshot: Snapshot) -> Iterator[Cause]:
    """Of the RayClusters: pods that may not be made, workers that may not be asked for."""
    for cluster in snapshot.clusters:
        what = f"RayCluster {name(cluster)}"
        for reason, pods in (("FailedToCreateHeadPod", snapshot.heads), ("FailedToCreateWorkerPod", snapshot.workers)):
            failed = about(snapshot.events, cluster, reason)
            if failed and (not pods or reason == "FailedToCreateWorkerPod"):
                yield Cause("pod-created", f"{what}: {told(failed[0])}", definite=True)
        if is_true(cluster, "ReplicaFailure"):
            yield Cause("pod-created", f"{what}: {told(condition(cluster, 'ReplicaFailure'))}", definite=True)
        if dig(cluster, "spec", "suspend") is True:
            yield Cause("pod-created", f"{what} is suspended", definite=True)
        yield from _groups(cluster, what)
        yield from _undeclared(snapshot.service, cluster, what)
    missing = snapshot.wanted_workers() - len(snapshot.workers)
    if missing > 0:
        yield Cause(
            "pod-created", f"KubeRay has not made {missing} of the workers that are asked for: does its operator run?"
        )
    for head in snapshot.heads:
        yield from _autoscaler(snapshot, head)


def _groups(cluster: Object, what: str) -> Iterator[Cause]:
    """What the autoscaler cannot ask for."""
    groups = rows(dig(cluster, "spec", "workerGroupSpecs"))
    if dig(cluster, "spec", "enableInTreeAutoscaling") is not True:
        yield Cause("ray-demand-raised", f"{what} has no autoscaler (enableInTreeAutoscaling): its workers are fixed")
    for group in groups:
        most = int(group.get("maxReplicas") or 0)
        if most and int(group.get("replicas") or 0) >= most:
            text = (
                f"worker group {group.get('groupName')} has its maxReplicas, {most}: Ray may not ask for another worker"
            )
            yield Cause("ray-demand-raised", text, definite=False)


def _undeclared(service: Object | None, cluster: Object, what: str) -> Iterator[Cause]:
    """A replica wants what no group is known to bring: the autoscaler reads Ray's declarations, not the devices of a pod."""
    groups = [*rows(dig(cluster, "spec", "workerGroupSpecs")), dig(cluster, "spec", "headGroupSpec") or {}]
    declared = {name for group in groups for name in _declared(group)}
    for deployment, wanted in _wanted(service):
        # Ray brings by itself what has a colon (node:IP), and reads a TPU from the pod's limits.
        if missing := [name for name in wanted if name not in declared and ":" not in name and name != "TPU"]:
            text = (
                f"no worker group of {what} declares {', '.join(missing)} in its resources, which a replica of "
                f"{deployment} asks for: Ray's autoscaler knows no worker that would help"
            )
            yield Cause("ray-demand-raised", text)


def _declared(group: Object) -> set[str]:
    params = str(dig(group, "rayStartParams", "resources") or "")  # JSON within quotes of a shell
    return {*(group.get("resources") or {}), *re.findall(r'([\w./-]+)\\*"\s*:', params)}


def _wanted(service: Object | None) -> Iterator[tuple[str, list[str]]]:
    """Each deployment with the custom resources that its replicas ask for."""
    try:
        config = yaml.safe_load(str(dig(service, "spec", "serveConfigV2") or ""))
    except (yaml.YAMLError, ValueError):  # KubeRay or Serve could not read it either, and says so
        return
    for application in rows(dig(config, "applications")):
        for deployment in rows(application.get("deployments")):
            asked = dig(deployment, "ray_actor_options", "resources")
            amounts = asked.items() if isinstance(asked, Mapping) else ()
            yield str(deployment.get("name")), sorted(str(name) for name, amount in amounts if amount)


def _autoscaler(snapshot: Snapshot, head: Object) -> Iterator[Cause]:
    for status in rows(dig(head, "status", "containerStatuses")):
        if status.get("name") == AUTOSCALER and (said := _crash(status)):
            text = f"The autoscaler in head pod {name(head)} {said}{_logged(snapshot, status)}"
            yield Cause("ray-demand-raised", text)
    if snapshot.autoscaler_log:
        yield Cause("ray-demand-raised", f"The autoscaler says: {snapshot.autoscaler_log[-1]}")


def _pod(snapshot: Snapshot, pod: Object, subject: str) -> Iterator[Cause]:
    """Of one pod, in the order in which it comes to life."""
    what = f"{'Head' if subject.startswith('head:') else 'Worker'} pod {name(pod)}"
    if deleted := dig(pod, "metadata", "deletionTimestamp"):
        finalizers = ", ".join(dig(pod, "metadata", "finalizers") or ())
        held = f", held by finalizer {finalizers}" if finalizers else " and still ends its streams"
        yield Cause("pod-deleted", f"{what} is being deleted (at the latest {deleted}){held}", subject=subject)
        return
    if not dig(pod, "spec", "nodeName"):
        yield from pools.unscheduled(snapshot, pod, subject, what)
        return
    yield from _containers(snapshot, pod, subject, what)


def _containers(snapshot: Snapshot, pod: Object, subject: str, what: str) -> Iterator[Cause]:
    for event in about(snapshot.events, pod, *NO_SANDBOX)[:1]:
        if not dig(ray_container(pod), "state", "running"):
            yield Cause("container-started", f"{what} cannot be set up on its node: {told(event)}", subject=subject)
    statuses = [*rows(dig(pod, "status", "initContainerStatuses")), *rows(dig(pod, "status", "containerStatuses"))]
    for status in statuses:
        yield from _container(snapshot, pod, subject, f"{what}: container {status.get('name')}", status)
    waiting = [s for s in rows(dig(pod, "status", "initContainerStatuses")) if dig(s, "state", "running")]
    for status in waiting:
        text = f"{what} waits in its init container {status.get('name')}: the head's GCS does not answer it"
        yield Cause("container-started", text, subject=subject)
    for event in about(snapshot.events, pod, "Unhealthy")[:1]:
        if not is_true(pod, "Ready"):
            for stage in ("ray-node-joined",) if subject.startswith("head:") else ("ray-node-joined", "first-token"):
                yield Cause(stage, f"{what} is not ready: {told(event)}", subject=subject)


def _container(snapshot: Snapshot, pod: Object, subject: str, what: str, status: Object) -> Iterator[Cause]:
    waiting = dig(status, "state", "waiting") or {}
    if waiting.get("reason") in NO_IMAGE:
        failed = about(snapshot.events, pod, "Failed")
        said = max((told(waiting), *(told(event) for event in failed)), key=len)
        yield Cause(
            "image-pulled", f"{what} gets no image {status.get('image')}: {said}", definite=True, subject=subject
        )
    if waiting.get("reason") in NO_CONTAINER:
        yield Cause("container-started", f"{what} cannot be started: {told(waiting)}", definite=True, subject=subject)
    if said := _crash(status):
        started = dig(status, "state", "running") or dig(status, "state", "terminated") or dig(status, "lastState")
        stage = (
            "ray-node-joined"
            if started and status in rows(dig(pod, "status", "containerStatuses"))
            else "container-started"
        )
        again = int(status.get("restartCount") or 0) > 1 or _is_for_good(pod, status)
        yield Cause(stage, f"{what} {said}{_logged(snapshot, status)}", definite=again, subject=subject)


def _is_for_good(pod: Object, status: Object) -> bool:
    """Whether nobody starts it again: KubeRay makes a pod anew for the sake of Ray's own container only."""
    ended = status.get("name") == AUTOSCALER and dig(status, "state", "terminated")
    return bool(ended) and dig(pod, "spec", "restartPolicy") == "Never"


def _logged(snapshot: Snapshot, status: Object) -> str:
    """What the container's log says last, of the one whose log is read."""
    if status.get("name") != AUTOSCALER or not snapshot.autoscaler_log:
        return ""
    return f"; its log: {snapshot.autoscaler_log[-1]}"


def _crash(status: Object) -> str:
    """How a container ended, empty when it has not."""
    ended = dig(status, "state", "terminated") or dig(status, "lastState", "terminated") or {}
    if not ended or not (ended.get("exitCode") or ended.get("reason") == "OOMKilled"):
        return ""
    reason = f" ({ended.get('reason')})" if ended.get("reason") not in (None, "Error") else ""
    lines = [line.strip() for line in str(ended.get("message") or "").splitlines() if line.strip()]
    times = f", {status.get('restartCount')} restarts" if status.get("restartCount") else ""
    return f"ended with exit code {ended.get('exitCode')}{reason}{times}" + (f": {lines[-1]}" if lines else "")
