"""Why a pod has no node: what keeps a pool from taking it, and how far its NodeClaim came. Pure.

Conditions, reasons and messages are those of Karpenter 1.14 and its AWS provider.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from loadtest.observers import Cause
from loadtest.observers.kubernetes.objects import (
    Object,
    about,
    condition,
    created_s,
    dig,
    event_s,
    is_true,
    labels,
    moment_s,
    name,
    named,
    rows,
    told,
)  # fmt: skip
from loadtest.observers.kubernetes.snapshot import TYPE, Snapshot, advertises, devices

DEFAULT_SCHEDULER = "default-scheduler"
PROVISIONING_S = 12.0  # Karpenter batches for ten seconds at most, and tries again after ten
_REQUIREMENTS = re.compile(r", requirements=.*?(?=, resources=|;|$)")  # all labels of the pool, a screen long
RECONCILED_S = 30.0  # a condition that is Unknown so long stays so
LAUNCH_FAILED = frozenset({"", "AwaitingReconciliation"})  # a launch that nothing has refused yet
BOOT_S = 300.0
NO_CAPACITY, CAPACITY_S = "InsufficientCapacityError", 180.0  # the claim is gone by then, and tried again
PLUGIN_S = 60.0
ZONE = "topology.kubernetes.io/zone"
# What a node class asks AWS for, by the condition that says whether AWS has it.
_ASKED = {
    "AMIsReady": "amiSelectorTerms",
    "SubnetsReady": "subnetSelectorTerms",
    "SecurityGroupsReady": "securityGroupSelectorTerms",
}


def unscheduled(snapshot: Snapshot, pod: Object, subject: str, what: str) -> Iterator[Cause]:
    """Of a pod without a node: by its NodeClaim if it has one, else by the pools."""
    yield from _held_back(pod, subject, what)
    claim = snapshot.claim_of(pod)
    if claim is not None:
        yield from _claim(snapshot, claim, pod, subject)
    else:
        yield from _unclaimed(snapshot, pod, subject, what)
    for event in about(snapshot.events, pod, "FailedScheduling"):
        if not _by_karpenter(event):
            yield Cause("pod-scheduled", f"{what}: {told(event)}", subject=subject)
            break


def _held_back(pod: Object, subject: str, what: str) -> Iterator[Cause]:
    """Nobody may schedule it, or nobody does: then Karpenter does not look at it either."""
    if gates := [str(gate.get("name")) for gate in rows(dig(pod, "spec", "schedulingGates"))]:
        text = f"{what} is held back by the scheduling gate {', '.join(gates)}"
        yield Cause("nodeclaim-created", text, definite=True, subject=subject)
    scheduler = dig(pod, "spec", "schedulerName") or DEFAULT_SCHEDULER
    if scheduler != DEFAULT_SCHEDULER and not condition(pod, "PodScheduled"):
        text = f"{what} asks for the scheduler {scheduler}, which has not looked at it"
        yield Cause("nodeclaim-created", text, definite=True, subject=subject)


def _unclaimed(snapshot: Snapshot, pod: Object, subject: str, what: str) -> Iterator[Cause]:
    """What Karpenter says of the pod, its pools and EC2's capacity; else that it says nothing."""
    suiting = [pool for pool in snapshot.pools if _selector(pod).items() <= _provided(pool).items()]
    for text, definite in (*_pools(snapshot, pod, what, suiting), *_karpenter(snapshot, pod, what, suiting)):
        yield Cause("nodeclaim-created", text, definite, subject)


def _pools(snapshot: Snapshot, pod: Object, what: str, suiting: Sequence[Object]) -> Iterator[tuple[str, bool]]:
    for pool in suiting:
        if not is_true(pool, "Ready"):
            yield _unready(snapshot, pool)
    if not snapshot.pools:
        yield f"No node pool took pending {what}: there is none", False
    elif not suiting:
        wanted = ", ".join(f"{key}={value}" for key, value in _selector(pod).items())
        yield f"No node pool took pending {what}: none gives nodes with {wanted}", True


def _karpenter(snapshot: Snapshot, pod: Object, what: str, suiting: Sequence[Object]) -> Iterator[tuple[str, bool]]:
    for pool in suiting:
        for event in snapshot.about_outside(pool, "NoCompatibleInstanceTypes")[:1]:
            text = f"NodePool {name(pool)} has no instance type to offer: {told(event)}{_bounds(pool)}"
            yield text, _stands(snapshot, event)
    failed = [event for event in about(snapshot.events, pod, "FailedScheduling") if _by_karpenter(event)]
    for event in failed[:1]:
        said = _REQUIREMENTS.sub("", told(event)) + "".join(_bounds(pool) for pool in suiting)
        yield f"No node pool took pending {what}: {said}", _stands(snapshot, event)
    for event in [event for event in snapshot.recent_warnings(CAPACITY_S) if event.get("reason") == NO_CAPACITY][:1]:
        yield f"EC2 has no capacity: {told(event)}", False
    yield f"No node pool took pending {what}, and Karpenter says nothing of it: does it run?", False


def _bounds(pool: Object) -> str:
    """Which types and zones it is bound to, for whoever sees that none of them does."""
    wanted = [
        row for row in rows(dig(pool, "spec", "template", "spec", "requirements")) if row.get("key") in (TYPE, ZONE)
    ]
    bounds = [f"{row.get('key')} {row.get('operator')} {', '.join(row.get('values') or ())}" for row in wanted]
    return f"; NodePool {name(pool)} wants {' and '.join(bounds)}" if bounds else ""


def _selector(pod: Object) -> Mapping[str, str]:
    return dig(pod, "spec", "nodeSelector") or {}


def _provided(pool: Object) -> dict[str, str]:
    """Labels that the pool's nodes have for certain: its own, and requirements with a single value."""
    found: dict[str, str] = {**(dig(pool, "spec", "template", "metadata", "labels") or {})}
    for requirement in rows(dig(pool, "spec", "template", "spec", "requirements")):
        values = list(requirement.get("values") or ())
        if requirement.get("operator") == "In" and len(values) == 1:
            found[str(requirement.get("key"))] = str(values[0])
    return found


def _unready(snapshot: Snapshot, pool: Object) -> tuple[str, bool]:
    """The deepest reason, a condition of its node class or its own, and whether Karpenter has made up its mind."""
    wanted = str(dig(pool, "spec", "template", "spec", "nodeClassRef", "name"))
    node_class = named(snapshot.classes, wanted)
    if node_class is None:
        return f"NodePool {name(pool)} is not ready: there is no EC2NodeClass {wanted}", True
    failing = [row for row in rows(dig(node_class, "status", "conditions")) if row.get("status") != "True"]
    telling = [row for row in failing if row.get("type") not in ("Ready", "ValidationSucceeded")] or failing
    telling.sort(key=lambda row: row.get("status") != "False")
    said = "; ".join(
        f"{row.get('type')} is {row.get('status')} ({told(row)}){_asked(node_class, row)}" for row in telling[:2]
    )
    if any(row.get("type") == "InstanceProfileReady" for row in telling):
        said += f"; its role is {dig(node_class, 'spec', 'role')}: does it exist, and may Karpenter pass it?"
    said = said or told(condition(pool, "Ready")) or "Karpenter has given it no status"
    since_s = moment_s(condition(pool, "Ready").get("lastTransitionTime")) or created_s(pool) or snapshot.taken_unix_s
    refused = any(row.get("status") == "False" for row in telling) or snapshot.taken_unix_s - since_s > RECONCILED_S
    return f"NodePool {name(pool)} is not ready: EC2NodeClass {wanted}: {said}", refused


def _asked(node_class: Object, failing: Object) -> str:
    field = _ASKED.get(str(failing.get("type")))
    return f", its {field} are {json.dumps(dig(node_class, 'spec', field))}" if field else ""


def _claim(snapshot: Snapshot, claim: Object, pod: Object, subject: str) -> Iterator[Cause]:
    """The first of launched, registered, initialized that the NodeClaim lacks."""
    kind = labels(claim).get(TYPE)
    what = f"NodeClaim {name(claim)}" + (f" ({kind})" if kind else "")
    launched, registered = condition(claim, "Launched"), condition(claim, "Registered")
    if not is_true(claim, "Launched"):
        refused = str(launched.get("reason") or "") not in LAUNCH_FAILED
        why = [told(event) for event in snapshot.about_outside(claim, "InsufficientCapacityError", "NodeClassNotReady")]
        said = told(launched) if refused else next(iter(why), "no answer yet")
        yield Cause("node-launched", f"{what} is not launched: {said}", refused, subject)
    elif not is_true(claim, "Registered"):
        overdue = (
            snapshot.taken_unix_s - (moment_s(launched.get("lastTransitionTime")) or snapshot.taken_unix_s) > BOOT_S
        )
        said = told(registered) or "no node has joined for it"
        yield Cause(
            "node-registered",
            f"{what} was launched, but its instance has not joined the cluster: {said}",
            overdue,
            subject,
        )
    else:
        yield from _node(snapshot, claim, pod, subject, what)


def _node(snapshot: Snapshot, claim: Object, pod: Object, subject: str, what: str) -> Iterator[Cause]:
    node_name = str(dig(claim, "status", "nodeName"))
    node = named(snapshot.nodes, node_name) or {"metadata": {"name": node_name}}
    initialized, wanted = condition(claim, "Initialized"), devices(pod)
    since_s = moment_s(condition(claim, "Registered").get("lastTransitionTime")) or snapshot.taken_unix_s
    overdue = snapshot.taken_unix_s - since_s > PLUGIN_S
    if not is_true(node, "Ready"):
        said = told(condition(node, "Ready")) or "it never said that it is"
        for stage in ("device-advertised", "pod-scheduled"):
            yield Cause(stage, f"Node {node_name} is not ready: {said}", overdue, subject)
    if wanted and not advertises(node, wanted):
        yield Cause("device-advertised", _no_device(snapshot, node, wanted), overdue, subject)
    if initialized.get("reason") in ("StartupTaintsExist", "KnownEphemeralTaintsExist"):
        text = f"{what} has joined, but nobody takes its startup taint off: {told(initialized)}"
        yield Cause("pod-scheduled", text, overdue, subject)


def _no_device(snapshot: Snapshot, node: Object, wanted: frozenset[str]) -> str:
    """What the device plugin has to do with it."""
    what = f"Node {name(node)} does not advertise {', '.join(sorted(wanted))}"
    mine = [pod for pod in snapshot.plugins if dig(pod, "spec", "nodeName") == name(node)]
    if mine:
        return (
            f"{what}: device plugin pod {name(mine[0])} is {dig(mine[0], 'status', 'phase')} there and announces none"
        )
    if not snapshot.plugin_sets:
        return f"{what}: no device plugin is installed"
    plugin = snapshot.plugin_sets[0]
    tolerations = rows(dig(plugin, "spec", "template", "spec", "tolerations"))
    for taint in rows(dig(node, "spec", "taints")):
        if not any(_tolerates(toleration, taint) for toleration in tolerations):
            said = f"{taint.get('key')}={taint.get('value') or ''}:{taint.get('effect')}"
            return f"{what}: DaemonSet {name(plugin)} of the device plugin does not tolerate the node's taint {said}"
    return f"{what}: no pod of DaemonSet {name(plugin)}, the device plugin, runs on it"


def _tolerates(toleration: Object, taint: Object) -> bool:
    """As the scheduler decides it."""
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint.get("key"))
    return (toleration.get("key"), toleration.get("value")) == (taint.get("key"), taint.get("value"))


def _by_karpenter(event: Object) -> bool:
    return "karpenter" in (dig(event, "source", "component"), event.get("reportingComponent"))


def _stands(snapshot: Snapshot, event: Object) -> bool:
    """Whether Karpenter has had the time to try again since it said so: pools turn ready a moment after they are made."""
    return snapshot.taken_unix_s - (event_s(event) or snapshot.taken_unix_s) > PROVISIONING_S
