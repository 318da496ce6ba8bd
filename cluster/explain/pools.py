"""Why a pod has no node: gates, schedulers, and what keeps each pool from making one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cluster.explain.claims import CAPACITY_REMEDY, explain_claim
from cluster.explain.findings import Branch, broken, waiting
from cluster.explain.snapshot import Snapshot, created, moment, told
from cluster.objects import Manifest, condition, dig, mapping, mappings, string_map, text
from cluster.placement import provides, requests_of, spent_limits, taint_text, untolerated_taints

Object = Mapping[str, Any]

DEFAULT_SCHEDULER = "default-scheduler"
KARPENTER_S = 60.0  # it batches for ten seconds at most
_NO_AMI = "The alias in spec.amiSelectorTerms names no AMI for this Kubernetes version: pin one that exists."
_CLASS_REMEDIES = {
    "SubnetsNotFound": "Tag the private subnets as spec.subnetSelectorTerms ask (karpenter.sh/discovery), "
    "or set EKS_CLUSTER_NAME right.",
    "SecurityGroupsNotFound": "Tag the node security group as spec.securityGroupSelectorTerms ask, "
    "or set EKS_CLUSTER_NAME right.",
    "AMINotFound": _NO_AMI,
    "AMIsReady": _NO_AMI,
}
_EVENT_DETAIL = re.compile(r"^Failed to schedule pod,\s*")


def explain_unscheduled(snapshot: Snapshot, pod: Object, what: str) -> Branch:
    """Why the pod has no node."""
    since = created(pod)
    if gates := [text(gate.get("name")) for gate in mappings(dig(pod, "spec", "schedulingGates"))]:
        why = f"is held back by the scheduling gate {', '.join(gates)}"
        return broken(what, why, "Whoever set the gate has to take it off (Kueue: admit the workload).", since)
    scheduler = text(dig(pod, "spec", "schedulerName")) or DEFAULT_SCHEDULER
    if not condition(pod, "PodScheduled") and scheduler != DEFAULT_SCHEDULER:
        why = f"asks for the scheduler {scheduler}, which has not looked at it"
        return broken(what, why, "Install that scheduler, or take schedulerName out of the pod template.", since)
    if claim := _nominated(snapshot, pod):
        return Branch(f"{what} will run on NodeClaim {Manifest(claim).name}", (), (explain_claim(snapshot, claim),))
    return _explain_pools(snapshot, pod, what)


def _explain_pools(snapshot: Snapshot, pod: Object, what: str) -> Branch:
    since = created(pod)
    selector = string_map(dig(pod, "spec", "nodeSelector"))
    pools = snapshot.all("NodePool")
    provided = [pool for pool in pools if provides(pool, selector)]
    if not provided:
        labels = ", ".join(f"{key}={value}" for key, value in selector.items()) or "what it asks for"
        return broken(
            what,
            f"has no node: no node pool gives nodes with {labels}",
            "Correct nodeSelector or the pool's labels.",
            since,
        )
    tolerations = mappings(dig(pod, "spec", "tolerations"))
    open_pools = [pool for pool in provided if not untolerated_taints(pool, tolerations)]
    if not open_pools:
        name, taints = Manifest(provided[0]).name, untolerated_taints(provided[0], tolerations)
        why = f"has no node: it does not tolerate the taint {taint_text(taints[0])} of NodePool {name}"
        return broken(what, why, "Add the toleration to the pod template.", since)
    return _explain_pool(snapshot, pod, what, open_pools[0])


def _explain_pool(snapshot: Snapshot, pod: Object, what: str, pool: Object) -> Branch:
    since, name = created(pod), Manifest(pool).name
    if condition(pool, "Ready").get("status") != "True":
        return Branch(f"{what} waits for NodePool {name}", (), (_explain_unready_pool(snapshot, pool),))
    for event in snapshot.events(pool, "NoCompatibleInstanceTypes"):
        why = f"has no node: NodePool {name} admits no instance type ({told(event)})"
        do = "Correct the pool's requirements, or the zones of its subnets: EC2 offers trn1 in few of them."
        return broken(what, why, do, since)
    events = snapshot.events(pod, "FailedScheduling")
    event = next((e for e in events if _reporter(e) == "karpenter"), next(iter(events), {}))
    message = _EVENT_DETAIL.sub("", told(event))
    if spent := spent_limits(pool, pod) or ("exceed limits" in message or "limits have been exhausted" in message):
        limits = ", ".join(f"{key}: {value}" for key, value in mapping(dig(pool, "spec", "limits")).items())
        which = ", ".join(spent) if isinstance(spent, list) else limits
        why = f"has no node: NodePool {name} has used up its limit ({which})"
        return broken(what, why, "Raise spec.limits of the pool, or lower maxReplicas of the worker group.", since)
    if "no instance type" in message or "filtered out all" in message:
        requests = ", ".join(f"{key} {value}" for key, value in requests_of(pod).items())
        why = f"has no node: no instance type of NodePool {name} is large enough for it ({requests})"
        return broken(what, why, "Ask for less than the type's allocatable resources, or allow a larger type.", since)
    if lost := _lost_to_capacity(snapshot, name):
        why = f"has no node: EC2 has no capacity for NodePool {name} ({told(lost)})"
        return broken(what, why, CAPACITY_REMEDY, since)
    if (message and "did not" in message) or "incompatible" in message:
        return broken(what, f"has no node: {message}", "Correct the pod template or the pool.", since)
    if snapshot.seconds_since(since) < KARPENTER_S:
        return waiting(
            what, f"waits for Karpenter to make a node of NodePool {name}", "Wait; this takes seconds.", since
        )
    why = f"has no node, and Karpenter has not reacted to it, though NodePool {name} fits"
    return broken(what, why, "Look at the log of Karpenter's controller: is it running?", since)


def _explain_unready_pool(snapshot: Snapshot, pool: Object) -> Branch:
    name = Manifest(pool).name
    class_name = text(dig(pool, "spec", "template", "spec", "nodeClassRef", "name"))
    node_class = snapshot.named("EC2NodeClass", class_name)
    since = moment(condition(pool, "Ready").get("lastTransitionTime")) or created(pool)
    if node_class is None:
        why = f"is not ready: its EC2NodeClass {class_name} does not exist"
        return broken(f"NodePool {name}", why, "Apply manifests/nodepools.", since)
    for failing in mappings(dig(node_class, "status", "conditions")):
        if failing.get("type") != "Ready" and failing.get("status") != "True":
            reason = text(failing.get("reason"))
            kind = text(failing.get("type"))  # what is not found may stay "awaiting reconciliation" for ever
            do = _CLASS_REMEDIES.get(reason) or _CLASS_REMEDIES.get(
                kind, "Correct the EC2NodeClass, or the rights of Karpenter's controller role."
            )
            if failing.get("type") == "InstanceProfileReady":
                do = "Check that the role of spec.role exists and that Karpenter's controller may pass it (iam:PassRole)."
            why = f"is not ready: {text(failing.get('type'))}: {told(failing)}"
            return broken(f"EC2NodeClass {class_name}", why, do, moment(failing.get("lastTransitionTime")))
    if snapshot.seconds_since(since) < KARPENTER_S:
        return waiting(f"NodePool {name}", "is being looked at by Karpenter", "Wait; this takes seconds.", since)
    unready = told(condition(pool, "Ready")) or "Karpenter has given it no status"
    return broken(f"NodePool {name}", f"is not ready: {unready}", "Look at the log of Karpenter's controller.", since)


def _nominated(snapshot: Snapshot, pod: Object) -> Object | None:
    for event in snapshot.events(pod, "Nominated"):
        for name in re.findall(r"nodeclaim/([\w.-]+)", told(event)):
            if claim := snapshot.named("NodeClaim", name):
                return claim
    return None


def _reporter(event: Object) -> str:
    """Who says so: Karpenter knows why it makes no node, the scheduler only that there is none."""
    return text(dig(event, "source", "component")) or text(event.get("reportingComponent"))


def _lost_to_capacity(snapshot: Snapshot, pool: str) -> Object | None:
    """The last launch of this pool that EC2 refused: Karpenter deletes such a claim at once, its event stays."""
    events = snapshot.events_about("NodeClaim", "InsufficientCapacityError")
    return next((e for e in events if text(dig(e, "involvedObject", "name")).startswith(f"{pool}-")), None)
