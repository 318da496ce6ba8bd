"""From the RayService down: KubeRay, the head, Serve's applications, the workers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cluster.explain.findings import Branch, Finding, Weight, broken, overdue, waiting
from cluster.explain.pods import explain_pod, is_ready, is_running, pod_title, runs_unready_since
from cluster.explain.snapshot import Snapshot, created, moment, told
from cluster.objects import Manifest, condition, dig, mapping, mappings, text
from cluster.serve_status import last_line, why_not_deployed

Object = Mapping[str, Any]

OPERATOR_S = 60.0
HEAD_S = 60.0
LOAD_S = 1200.0  # a model of 14.5 GB from the network onto the device, compiled before
ENDPOINTS_S = 120.0
_OPERATOR_LOG = "kubectl -n kuberay-system logs deployment/kuberay-operator"
_UNSCHEDULED = re.compile(r"taken more than \S+ to be scheduled")
_INITIALIZING = re.compile(r"taken more than \S+ to initialize")


def explain_service(snapshot: Snapshot, namespace: str, name: str) -> Branch:
    """The whole tree of one RayService."""
    what = f"RayService {namespace}/{name}"
    service = snapshot.named("RayService", name)
    if service is None:
        return _absent(snapshot, what)
    if deleted := moment(dig(service, "metadata", "deletionTimestamp")):
        return waiting(what, "is being deleted", "Wait; its pods end their streams first.", deleted)
    if branch := _refused(snapshot, service, what):
        return branch
    status = mapping(service.get("status"))
    pending = text(dig(status, "pendingServiceStatus", "rayClusterName"))
    active = text(dig(status, "activeServiceStatus", "rayClusterName"))
    if not pending and not active:
        return _unseen(snapshot, service, what)
    which = "pendingServiceStatus" if pending else "activeServiceStatus"
    cluster = _explain_cluster(snapshot, pending or active, mapping(status.get(which)))
    return _summary(snapshot, service, what, cluster, upgrading=bool(pending and active))


def _absent(snapshot: Snapshot, what: str) -> Branch:
    another = "name another: python -m cluster explain NAME -n NAMESPACE"
    if others := ", ".join(sorted(Manifest(other).name for other in snapshot.all("RayService"))):
        return broken(
            what, f"does not exist; in that namespace there is {others}", f"Was that meant? Else {another}", None
        )
    return broken(what, "does not exist", f"Deploy it (python -m cluster deploy TARGET), or {another}", None)


def _refused(snapshot: Snapshot, service: Object, what: str) -> Branch | None:
    ready = condition(service, "Ready")
    invalid = snapshot.events(service, "InvalidRayServiceSpec", "InvalidRayServiceMetadata")
    if ready.get("reason") == "ValidationFailed" or (invalid and not service.get("status")):
        said = told(ready) if ready.get("reason") == "ValidationFailed" else told(invalid[0])
        return broken(
            what, f"is refused by KubeRay: {said}", "Correct the manifest and deploy again.", created(service)
        )
    if ready.get("reason") == "InitializingTimeout":
        why = f"was given up by KubeRay: {told(ready)}"
        do = "Mend the cause, then delete the RayService and deploy again: it does not come back by itself."
        return broken(what, why, do, moment(ready.get("lastTransitionTime")))
    return None


def _unseen(snapshot: Snapshot, service: Object, what: str) -> Branch:
    since = created(service)
    if snapshot.seconds_since(since) < OPERATOR_S:
        return waiting(what, "waits for KubeRay to make its cluster", "Wait; this takes seconds.", since)
    if failed := snapshot.events(service, "FailedToCreateRayCluster"):
        return broken(what, f"gets no cluster: {told(failed[0])}", "Give the operator what it names.", since)
    return broken(what, "is not looked at by KubeRay", f"Is the operator running? {_OPERATOR_LOG}", since)


def _summary(snapshot: Snapshot, service: Object, what: str, cluster: Branch, *, upgrading: bool) -> Branch:
    children = (cluster,)
    below = list(cluster.all_findings())
    ready = condition(service, "Ready")
    since = moment(ready.get("lastTransitionTime")) or created(service)
    if upgrading:
        text_ = f"{what} answers with its old cluster while a new one comes up"
        finding = Finding(Weight.WAITING, what, "moves to a new cluster", "Wait; the old one answers meanwhile.", None)
        return Branch(text_, () if below else (finding,), children)
    if ready.get("status") == "True":
        endpoints = dig(service, "status", "numServeEndpoints") or 0
        return Branch(f"{what} answers on {endpoints} endpoint{'s' * (endpoints != 1)}", (), children)
    if below:
        return Branch(f"{what} does not answer yet", (), children)
    if snapshot.seconds_since(since) < ENDPOINTS_S:
        finding = Finding(Weight.WAITING, what, "gets its endpoints", "Wait; this takes seconds.", since)
    else:
        why = "has running applications and no ready endpoint"
        do = "Look at the readiness of the pods: a probe of your own, or proxy_location, keeps Serve's proxy from being asked."
        finding = Finding(Weight.BROKEN, what, why, do, since)
    return Branch(f"{what} does not answer yet", (finding,), children)


def _explain_cluster(snapshot: Snapshot, name: str, served: Object) -> Branch:
    what = f"RayCluster {name}"
    cluster = snapshot.named("RayCluster", name)
    if cluster is None:
        return waiting(what, "is being made by KubeRay", "Wait; this takes seconds.", None)
    if dig(cluster, "spec", "suspend") is True:
        return broken(what, "is suspended", "Take spec.rayClusterConfig.suspend off, or let Kueue admit it.", None)
    pods = snapshot.labelled("Pod", "ray.io/cluster", name)
    heads = [pod for pod in pods if pod_title(pod) == "Head pod"]
    workers = [pod for pod in pods if pod_title(pod) == "Worker pod"]
    head = _explain_head(snapshot, cluster, what, heads)
    head_ready = any(is_ready(pod) for pod in heads)
    children = [head]
    if head_ready:
        children += _explain_applications(snapshot, cluster, served, workers)
    children += _explain_workers(snapshot, cluster, what, workers, head_ready)
    return Branch(f"{what}: {len(heads)} head, {len(workers)} workers", (), tuple(children))


def _explain_head(snapshot: Snapshot, cluster: Object, what: str, heads: list[Object]) -> Branch:
    if heads:
        return explain_pod(snapshot, heads[0])
    since = created(cluster)
    failed = snapshot.events(cluster, "FailedToCreateHeadPod")
    failure = condition(cluster, "ReplicaFailure")
    if failed or failure.get("status") == "True":
        return broken(f"The head pod of {what}", *_creation_refused(told(failed[0] if failed else failure)), since)
    if snapshot.seconds_since(since) < HEAD_S:
        return waiting(what, "gets its head pod", "Wait; this takes seconds.", since)
    return broken(what, "has no head pod", f"Read the operator's log: {_OPERATOR_LOG}", since)


def _explain_workers(
    snapshot: Snapshot, cluster: Object, what: str, workers: list[Object], head_ready: bool
) -> Iterator[Branch]:
    for pod in workers:
        yield explain_pod(snapshot, pod, head_ready=head_ready)
    desired = int(dig(cluster, "status", "desiredWorkerReplicas") or 0)
    missing = desired - sum(not dig(pod, "metadata", "deletionTimestamp") for pod in workers)
    if missing <= 0:
        return
    failed = snapshot.events(cluster, "FailedToCreateWorkerPod")
    failure = condition(cluster, "ReplicaFailure")
    if failed or failure.get("status") == "True":
        subject = f"{missing} worker pod{'s' * (missing != 1)} of {what}"
        yield broken(subject, *_creation_refused(told(failed[0] if failed else failure)), _event_moment(failed))


def _creation_refused(message: str) -> tuple[str, str]:
    """Why KubeRay may not make a pod, and what to do."""
    if "exceeded quota" in message:
        return f"cannot be made: {message}", "Raise the ResourceQuota; an upgrade needs it twice."
    if "violates PodSecurity" in message:
        return f"cannot be made: {message}", "Change the pod template, or the namespace's pod-security level."
    if "serviceaccount" in message.lower():
        return f"cannot be made: {message}", "Make the service account; KubeRay makes only its own."
    return f"cannot be made: {message}", "Correct what the API server names."


def _explain_applications(
    snapshot: Snapshot, cluster: Object, served: Object, workers: list[Object]
) -> Iterator[Branch]:
    applications = mapping(served.get("applicationStatuses"))
    if not applications and not workers:
        return
    for name, value in applications.items():
        application = mapping(value)
        what = f"Serve application {name}"
        state, message = text(application.get("status")), text(application.get("message")).strip()
        if state == "DEPLOY_FAILED":
            do = "Correct the Serve config or the application; the head's logs hold the traceback."
            yield broken(what, f"cannot be deployed: {why_not_deployed(application)}", do, None)
        elif state == "UNHEALTHY":
            do = "Read the replica's log: a health check fails, or replicas die faster than they start."
            yield broken(what, f"is unhealthy: {last_line(message) or 'no message'}", do, None)
        else:
            told_ = list(_explain_deployments(snapshot, cluster, application, workers, name))
            yield Branch(f"{what} is {state or 'not started'}", (), tuple(told_))


def _explain_deployments(
    snapshot: Snapshot, cluster: Object, application: Object, workers: list[Object], app: str
) -> Iterator[Branch]:
    """KubeRay 1.6 writes no times beside these statuses: since when is told only where a pod tells it."""
    for name, value in mapping(application.get("serveDeploymentStatuses")).items():
        deployment = mapping(value)
        what = f"Serve deployment {app}/{name}"
        message = text(deployment.get("message")).strip()
        if deployment.get("status") == "UNHEALTHY":
            do = "Read the replica's log under /tmp/ray/session_latest/logs/serve on the worker."
            yield broken(what, f"is unhealthy: {last_line(message) or 'no message'}", do, None)
        elif _UNSCHEDULED.search(message):
            yield _explain_unplaced(cluster, workers, what, message)
        elif _INITIALIZING.search(message) or deployment.get("status") in {"UPDATING", "UPSCALING"}:
            since = min(filter(None, map(runs_unready_since, workers)), default=None)
            if any(not is_running(pod) for pod in workers):
                yield Branch(f"{what} waits for a worker")  # the worker itself says why
            elif snapshot.seconds_since(since) < LOAD_S:
                yield waiting(what, "starts a replica: it loads its model", "Wait; a large model takes minutes.", since)
            else:
                do = "Read the replica's log: a missing compiled artefact makes it compile, which takes the better of an hour."
                yield overdue(what, "still starts a replica", do, since)
        else:
            yield Branch(f"{what} is {text(deployment.get('status'))}")


def _explain_unplaced(cluster: Object, workers: list[Object], what: str, message: str) -> Branch:
    """Serve has a replica that no Ray node can take."""
    groups = mappings(dig(cluster, "spec", "workerGroupSpecs"))
    wanted = _custom_resources(message)
    known = {key for group in groups for key in _declared(group)}
    if unknown := sorted(set(wanted) - known):
        names = [text(group.get("groupName")) for group in groups]
        why = f"has a replica that asks for {', '.join(unknown)}, which no worker group declares ({', '.join(names)})"
        do = (
            "Declare it in the group's `resources`: the autoscaler does not read aws.amazon.com/neuron limits, "
            "so it never asks for a worker."
        )
        return broken(what, why, do, None)
    most = sum(int(group.get("maxReplicas") or 0) for group in groups)
    if workers and len(workers) >= most and all(is_running(pod) for pod in workers):
        why = f"wants another replica, and the most workers that the groups allow ({most}) are there"
        return broken(
            what, why, "Raise maxReplicas of the worker group, or lower max_replicas of the deployment.", None
        )
    if any(not is_running(pod) for pod in workers):
        return Branch(f"{what} waits for a worker")  # the worker itself says why
    return overdue(
        what,
        "waits for a worker that Ray's autoscaler has not asked for",
        "Read the autoscaler's log: kubectl logs HEAD_POD -c autoscaler; the replica may ask for more than one worker has.",
        None,
    )


def _custom_resources(message: str) -> list[str]:
    """The resources with names of our own that Serve says a replica asks for."""
    required = re.search(r"Resources required for each replica: (.*?), total", message, re.DOTALL)
    names = re.findall(r'"([\w./:-]+)"\s*:', required[1]) if required else []
    return [name for name in names if name not in {"CPU", "GPU", "memory", "object_store_memory"}]


def _declared(group: Object) -> set[str]:
    declared = set(mapping(group.get("resources")))
    params = text(dig(group, "rayStartParams", "resources"))
    return declared | set(re.findall(r'([\w./:-]+)\\*"\s*:', params))


def _event_moment(events: list[Object]) -> Any:
    return moment(events[0].get("lastTimestamp")) if events else None
