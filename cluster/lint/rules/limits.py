"""A NodePool's limits against its nodes and against the workers that it has to hold."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cluster.lint.capacity import bound_groups, wanted_devices
from cluster.lint.finding import Hit
from cluster.lint.karpenter import NodePool
from cluster.lint.ray import Cluster, Group
from cluster.lint.registry import rule
from cluster.lint.rules.node_pool import PRICES, accelerated, price
from cluster.lint.stack import Stack

HOP = "node pool"
LIMITS = "Karpenter core scheduler.go: a type whose capacity exceeds what is left of any limit is left out"


@rule(HOP, "error", fix="Raise the limits, or lower maxReplicas; count an upgrade's second cluster.", evidence=LIMITS)
def limit_below_max_workers(stack: Stack) -> Iterator[Hit]:
    """The pool's limits allow fewer nodes than the workers may become: the last workers stay pending."""
    for pool in stack.node_pools:
        groups = bound_groups(stack, pool)
        nodes, arithmetic = pool.nodes_within_limits
        wanted = sum(_nodes(pool, group) for _, group in groups)
        if nodes is not None and groups and nodes < wanted and wanted < 10_000:
            yield Hit(
                pool.manifest,
                "spec.limits",
                f"{nodes} node{'s' * (nodes != 1)} ({arithmetic}) < {wanted} for {_names(groups)}",
            )


@rule(
    HOP,
    "warning",
    fix="Raise the limits for twice the workers, or set upgradeStrategy.type: None.",
    evidence="KubeRay v1.6.1: any edit of the pods makes a second RayCluster before the first goes; ray-project/kuberay#1476",
)
def upgrade_doubles_accelerators(stack: Stack) -> Iterator[Hit]:
    """An upgrade runs two clusters, and the pool's limits hold one: the new one waits for the old, and neither ends."""
    for pool in stack.node_pools:
        groups = bound_groups(stack, pool)
        nodes, arithmetic = pool.nodes_within_limits
        once = sum(_nodes(pool, group) for _, group in groups)
        twice = sum(cluster.surge * _nodes(pool, group) for cluster, group in groups)
        if nodes is not None and once <= nodes < twice < 10_000:
            yield Hit(
                pool.manifest,
                "spec.limits",
                f"{nodes} nodes ({arithmetic}) < {twice} while an upgrade runs two clusters",
            )


def _nodes(pool: NodePool, group: Group) -> int:
    """Nodes that the group needs at its maximum: as many pods on each as devices allow."""
    devices = wanted_devices(group.pod)
    per_node = [
        min(math.floor(kind.allocatable.get(name, 0) / amount) for name, amount in devices.items())
        for kind in pool.types
        if kind.neuron_devices or kind.nvidia_gpus
    ]
    most = max([count for count in per_node if count], default=1)
    return math.ceil(group.maximum * group.hosts / most)


def _names(groups: list[tuple[Cluster, Group]]) -> str:
    return ", ".join(f"maxReplicas {group.maximum} of {group.name}" for _, group in groups)


@rule(
    HOP,
    "warning",
    fix="Use a resource that the nodes have: cpu, memory, nodes, aws.amazon.com/neuron.",
    evidence="Karpenter core: an absent resource counts 0, so such a limit never binds",
)
def limit_key_unknown(stack: Stack) -> Iterator[Hit]:
    """A limit on a resource that no admitted type has: it never binds."""
    for pool in stack.node_pools:
        known = {"nodes", "cpu", "memory", "pods", "ephemeral-storage"}
        known |= {name for kind in pool.types for name in kind.capacity}
        for key in pool.limits:
            if pool.types and key not in known:
                yield Hit(pool.manifest, f"spec.limits.{key}", f"no admitted type has {key}")


@rule(HOP, "info", fix="Make the device limit the one that binds, so that the bill is what it says.", evidence=LIMITS)
def limit_binding_mismatch(stack: Stack) -> Iterator[Hit]:
    """Another limit ends before the device limit."""
    for pool in stack.node_pools:
        devices = [key for key in pool.limits if "/" in key]
        nodes, arithmetic = pool.nodes_within_limits
        for key in devices:
            per_node = [kind.capacity[key] for kind in pool.types if kind.capacity.get(key)]
            count = math.floor(pool.limits[key] / min(per_node)) if per_node else None
            if count is not None and nodes is not None and nodes < count:
                yield Hit(pool.manifest, "spec.limits", f"{key} allows {count} nodes, {arithmetic}")


@rule(HOP, "error", fix="Raise the limit to at least one node.", evidence=LIMITS)
def limit_below_one_node(stack: Stack) -> Iterator[Hit]:
    """A limit is smaller than one node of every admitted type: the pool makes none."""
    for pool in stack.node_pools:
        for key, limit in pool.limits.items():
            sizes = [kind.capacity[key] for kind in pool.types if kind.capacity.get(key)]
            if sizes and 0 < limit < min(sizes):
                yield Hit(
                    pool.manifest,
                    f"spec.limits.{key}",
                    f"{float(limit):g} < {float(min(sizes)):g} of the smallest admitted type",
                )


@rule(HOP, "warning", fix="Limit devices, nodes or CPUs.", evidence=PRICES)
def accelerator_pool_without_limits(stack: Stack) -> Iterator[Hit]:
    """A pool of accelerators without limits: a wrong replica count buys nodes without end."""
    for pool in stack.node_pools:
        if accelerated(pool) and not pool.limits:
            dearest = max(pool.types, key=price)
            yield Hit(pool.manifest, "spec.limits", f"no limits; one {dearest.name} is ${price(dearest):.2f}/h")
