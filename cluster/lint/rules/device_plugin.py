"""The device plugin and the agents of a node: without them a node is there and offers nothing."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.lint.capacity import open_pools, untolerated, wanted_devices
from cluster.lint.finding import Hit
from cluster.lint.karpenter import INSTANCE_TYPE, NodePool
from cluster.lint.pods import Pod
from cluster.lint.registry import rule
from cluster.lint.stack import NEURON_DEVICES, Stack
from cluster.objects import dig, mappings, sequence, text

HOP = "device plugin"
INITIALISED = (
    "Karpenter core initialization.go: a node whose requested device stays 0 is never initialised, and billed for ever"
)


def _plugins(stack: Stack) -> list[Pod]:
    return [p for p in _daemons(stack) if any("neuron-device-plugin" in c.image for c in p.containers)]


def _daemons(stack: Stack) -> list[Pod]:
    return [pod for pod in stack.plain_pods if pod.manifest.kind == "DaemonSet"]


def _neuron_pools(stack: Stack) -> list[NodePool]:
    return [pool for pool in stack.node_pools if pool.types and all(kind.neuron_devices for kind in pool.types)]


@rule(
    HOP,
    "warning",
    fix="Render manifests/platform, or install Neuron's chart, before the workload.",
    evidence=INITIALISED,
)
def plugin_missing(stack: Stack) -> Iterator[Hit]:
    """Pods ask for Neuron devices from Karpenter's nodes, and no device plugin is among the manifests."""
    users = [pod for pod in stack.pods if any(pod.device(name) for name in NEURON_DEVICES)]
    claims = [m for m in stack.manifests if m.kind in ("ResourceClaimTemplate", "DeviceClass")]
    for pool in _neuron_pools(stack):
        meant = [pod for pod in users if pool in open_pools(stack, pod)]
        auto = text(dig(pool.node, "nodeClassRef", "group")) == "eks.amazonaws.com"
        if meant and not _plugins(stack) and not claims and not auto:
            yield Hit(
                pool.manifest,
                "",
                f"{meant[0].manifest.kind} {meant[0].manifest.name} needs devices of {pool.types[0].name}, and nothing here advertises them",
            )


@rule(HOP, "error", fix="Tolerate each taint of the pool with operator Exists.", evidence=INITIALISED)
def plugin_not_tolerating(stack: Stack) -> Iterator[Hit]:
    """The device plugin does not tolerate the pool's taints: its pods never run there, and the devices stay unknown."""
    for plugin in _plugins(stack):
        for pool in _neuron_pools(stack):
            left = untolerated(pool, plugin)
            if left:
                yield Hit(
                    plugin.manifest,
                    f"{plugin.spec_path}.tolerations",
                    f"not tolerated: {', '.join(left)} of pool {pool.name}",
                )


@rule(
    HOP,
    "error",
    fix="Add the type to the affinity list, or select by a label of the pool.",
    evidence="Neuron's raw plugin manifest lists instance types and lacks newer ones",
)
def plugin_type_list(stack: Stack) -> Iterator[Hit]:
    """The device plugin is bound to a list of instance types, and the pool makes another."""
    for plugin in _plugins(stack):
        terms = mappings(
            dig(
                plugin.spec,
                "affinity",
                "nodeAffinity",
                "requiredDuringSchedulingIgnoredDuringExecution",
                "nodeSelectorTerms",
            )
        )
        listed = {
            text(value)
            for term in terms
            for item in mappings(term.get("matchExpressions"))
            if text(item.get("key")) == INSTANCE_TYPE and text(item.get("operator")) == "In"
            for value in sequence(item.get("values"))
        }
        for pool in _neuron_pools(stack) if listed else []:
            absent = [kind.name for kind in pool.types if kind.name not in listed]
            if absent:
                yield Hit(
                    plugin.manifest,
                    f"{plugin.spec_path}.affinity",
                    f"{', '.join(absent[:3])} of {pool.name} is not in its list",
                )


@rule(HOP, "error", fix="Keep one of them.", evidence="Neuron's DRA page: driver and plugin must not both run")
def plugin_and_dra(stack: Stack) -> Iterator[Hit]:
    """The Neuron device plugin and the DRA driver are both rendered."""
    drivers = [p for p in stack.plain_pods if any("neuron-dra-driver" in c.image for c in p.containers)]
    for driver in drivers if _plugins(stack) else []:
        yield Hit(
            driver.manifest, driver.spec_path, f"the device plugin {_plugins(stack)[0].manifest.name} runs as well"
        )


@rule(
    HOP,
    "warning",
    fix="Add the pool's toleration.",
    evidence="Neuron's monitor manifest has no toleration: its metrics are absent on tainted pools, silently",
)
def daemonset_not_tolerating(stack: Stack) -> Iterator[Hit]:
    """A monitor, log or metrics agent does not reach the tainted pool, and nothing says so."""
    names = ("monitor", "fluent", "exporter", "cloudwatch", "otel", "promtail", "vector", "datadog", "alloy")
    for pod in _daemons(stack):
        name = f"{pod.manifest.name} {' '.join(c.image for c in pod.containers)}".lower()
        for pool in _neuron_pools(stack) if any(part in name for part in names) else []:
            left = untolerated(pool, pod)
            if left:
                yield Hit(
                    pod.manifest,
                    f"{pod.spec_path}.tolerations",
                    f"not tolerated: {', '.join(left)} of pool {pool.name}",
                )


@rule(
    HOP,
    "info",
    fix="Give it requests, so that the arithmetic of every pod on the node holds.",
    evidence="the scheduler subtracts requests, not use",
)
def daemonset_without_requests(stack: Stack) -> Iterator[Hit]:
    """A daemon set has no CPU or memory request: it takes of each node what nobody counted."""
    for pod in _daemons(stack):
        lacking = [key for key in ("cpu", "memory") if not pod.requests.get(key)]
        if lacking and pod.containers:
            yield Hit(pod.manifest, f"{pod.spec_path}.containers", f"no request for {' and '.join(lacking)}")


@rule(
    HOP,
    "warning",
    fix="Ask for the devices that the selected nodes have.",
    evidence="the pool's types by EC2's description",
)
def device_not_on_pool(stack: Stack) -> Iterator[Hit]:
    """A pod selects a pool by name or label and asks for a device that no type of it has."""
    for pod in stack.pods:
        pools = [pool for pool in open_pools(stack, pod) if pool.types] if pod.required_labels else []
        for name in wanted_devices(pod) if pools else {}:
            if not any(kind.allocatable.get(name) for pool in pools for kind in pool.types):
                shown = ", ".join(pool.name for pool in pools)
                yield Hit(pod.manifest, f"{pod.spec_path}.containers", f"{name} is on no type of {shown}")
