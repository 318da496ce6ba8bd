"""Why a NodeClaim is not a usable node yet: launched, joined, initialized, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.explain.findings import Branch, broken, waiting
from cluster.explain.snapshot import Snapshot, created, moment, told
from cluster.objects import Manifest, condition, dig, mappings, text
from cluster.placement import taint_text, tolerates

Object = Mapping[str, Any]

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
BOOT_S = 300.0  # an instance that has not joined by then has a reason
REGISTRATION_GIVEN_UP_S = 900  # Karpenter deletes it then and tries again
PLUGIN_S = 120.0
CAPACITY_REMEDY = (
    "Wait, allow subnets in more zones that offer the type, or reserve capacity (an On-Demand Capacity Reservation)."
)

# Reasons that Karpenter's AWS provider gives for a launch that failed -> what a person does about it.
_LAUNCH_REMEDIES = {
    "VCPULimitExceeded": "Ask for a higher quota in Service Quotas: EC2, Running On-Demand Trn instances, counted in vCPUs.",
    "Unauthorized": "Give Karpenter's controller role the permission that CloudTrail shows as denied.",
    "InsufficientFreeAddressesInSubnet": "Free addresses in the subnets, or tag a larger one with karpenter.sh/discovery.",
    "InstanceProfileNameInvalid": "Check spec.role of the EC2NodeClass: Karpenter makes the instance profile from it.",
    "AMINotFound": "Check the alias in spec.amiSelectorTerms of the EC2NodeClass.",
    "SecurityGroupSubnetVPCMismatch": "Let both selectors of the EC2NodeClass find things of one VPC.",
    "NodeClassNotReady": "Look at the EC2NodeClass.",
}
_CAPACITY = frozenset({"InsufficientCapacity", "InsufficientCapacityError", "UnfulfillableCapacity"})


def explain_claim(snapshot: Snapshot, claim: Object) -> Branch:
    """Why a NodeClaim is not a usable node yet; no finding once it is."""
    manifest = Manifest(claim)
    instance_type = manifest.labels.get(INSTANCE_TYPE, "")
    what = f"NodeClaim {manifest.name}" + (f" ({instance_type})" if instance_type else "")
    for step in (_launch, _registration, _initialization):
        branch = step(snapshot, claim, what)
        if branch is not None:
            return branch
    return Branch(f"{what} is a node: {text(dig(claim, 'status', 'nodeName'))}")


def _launch(snapshot: Snapshot, claim: Object, what: str) -> Branch | None:
    launched = condition(claim, "Launched")
    if launched.get("status") == "True":
        return None
    since, reason = created(claim), text(launched.get("reason"))
    ice = snapshot.events(claim, "InsufficientCapacityError")
    if reason in _CAPACITY or ice:
        why = f"cannot be launched: EC2 has no capacity ({told(ice[0] if ice else launched)})"
        return broken(what, why, CAPACITY_REMEDY, since)
    if reason in _LAUNCH_REMEDIES:
        return broken(what, f"cannot be launched: {told(launched)}", _LAUNCH_REMEDIES[reason], since)
    if reason in {"", "AwaitingReconciliation"}:
        return waiting(what, "is being launched by EC2", "Wait; this takes seconds.", since)
    return broken(what, f"cannot be launched: {told(launched)}", "Look at the log of Karpenter's controller.", since)


def _registration(snapshot: Snapshot, claim: Object, what: str) -> Branch | None:
    if condition(claim, "Registered").get("status") == "True":
        return None
    since = moment(condition(claim, "Launched").get("lastTransitionTime"))
    if snapshot.seconds_since(since) < BOOT_S:
        return waiting(what, "boots", "Wait; an instance joins within two or three minutes.", since)
    why = f"was launched but never joined the cluster; Karpenter gives it up after {REGISTRATION_GIVEN_UP_S // 60} min"
    do = (
        "Check that the node role has an EKS access entry (or stands in aws-auth), and that its security group and "
        "subnet reach the API server; the instance's console output says more."
    )
    return broken(what, why, do, since)


def _initialization(snapshot: Snapshot, claim: Object, what: str) -> Branch | None:
    initialized = condition(claim, "Initialized")
    if initialized.get("status") == "True":
        return None
    since = moment(condition(claim, "Registered").get("lastTransitionTime"))
    reason = initialized.get("reason")
    if reason == "ResourceNotRegistered":
        return _device(snapshot, claim, what, told(initialized))
    if reason in {"StartupTaintsExist", "KnownEphemeralTaintsExist"} and snapshot.seconds_since(since) >= PLUGIN_S:
        why = f"has joined, but {told(initialized)}"
        return broken(what, why, "Whoever should take the taint off (CNI, device plugin) does not run there.", since)
    if snapshot.seconds_since(since) >= BOOT_S:
        why = f"has joined and does not become usable: {told(initialized)}"
        return broken(
            what, why, "Look at the node's conditions: kubectl describe node; mostly the CNI is missing.", since
        )
    return waiting(what, "has joined and gets ready", "Wait; this takes seconds.", since)


def _device(snapshot: Snapshot, claim: Object, what: str, message: str) -> Branch:
    """The node is there, its Neuron devices are not: what the device plugin has to do with it."""
    since = moment(condition(claim, "Registered").get("lastTransitionTime"))
    plugins = [ds for ds in snapshot.all("DaemonSet") if "neuron-device-plugin" in Manifest(ds).name]
    why = f"has joined without its Neuron devices ({message}), is billed, and never becomes usable"
    if not plugins:
        return broken(what, f"{why}: no device plugin is installed", "Apply manifests/platform.", since)
    taints = mappings(dig(claim, "spec", "taints"))
    tolerations = mappings(dig(plugins[0], "spec", "template", "spec", "tolerations"))
    if untolerated := [taint for taint in taints if not tolerates(tolerations, taint)]:
        name = Manifest(plugins[0]).name
        why += f": DaemonSet {name} does not tolerate the taint {taint_text(untolerated[0])}"
        return broken(what, why, "Add that toleration to the DaemonSet.", since)
    node = text(dig(claim, "status", "nodeName"))
    pods = [pod for pod in snapshot.all("Pod") if dig(pod, "spec", "nodeName") == node and _is_plugin(pod)]
    if any(dig(pod, "status", "phase") == "Running" for pod in pods) and snapshot.seconds_since(since) >= PLUGIN_S:
        why += ": the device plugin runs there and finds none"
        return broken(
            what, why, "Read the plugin's log: mostly the AMI has no Neuron driver, or another version's.", since
        )
    if snapshot.seconds_since(since) < PLUGIN_S:
        return waiting(
            what, "waits for the device plugin to announce its Neuron cores", "Wait; this takes seconds.", since
        )
    do = f"Look at its pod: kubectl -n kube-system describe pod -l app.kubernetes.io/name={Manifest(plugins[0]).name}"
    return broken(what, f"{why}: the device plugin's pod does not run on {node}", do, since)


def _is_plugin(pod: Object) -> bool:
    return "neuron-device-plugin" in Manifest(pod).name
