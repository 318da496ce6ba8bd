"""The arithmetic between Serve's replicas, Ray's workers and nodes."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from cluster.instance_types import InstanceType
from cluster.lint.karpenter import TYPE_DOMAIN, TYPE_KEYS, NodePool, type_label
from cluster.lint.pods import Pod
from cluster.lint.ray import Cluster, Group
from cluster.lint.serve import Deployment
from cluster.lint.stack import DEVICES, Stack
from cluster.quantity import MIB, Resources, total

DAEMON_OVERHEAD: Resources = {"cpu": Fraction(210, 1000), "memory": 240 * MIB}
"""What daemon sets take of a node where none is among the manifests: VPC CNI, kube-proxy, a CSI driver, an agent."""


def amounts(values: Mapping[str, Fraction]) -> str:
    """`CPU 6, neuron_cores 2`; memory in Gi."""
    shown = [
        f"{name} {float(value / 1024**3):.1f}Gi" if name == "memory" else f"{name} {float(value):g}"
        for name, value in values.items()
        if value
    ]
    return ", ".join(shown) or "nothing"


@dataclass(frozen=True, slots=True)
class Fit:
    """How many replicas one worker of a group holds."""

    group: Group
    replicas: int
    arithmetic: str


def fit(group: Group, demand: Mapping[str, Fraction]) -> Fit:
    """By the scarcest resource; a group whose resources the autoscaler cannot read holds none."""
    believed = group.believed
    if believed is None:
        return Fit(group, 0, "its resources cannot be read")
    counts = []
    for name, wanted in demand.items():
        offered = believed.get(name, Fraction(0))
        count = math.floor(offered / wanted)
        counts.append((count, f"⌊{float(offered):g} {name} ÷ {float(wanted):g}⌋ = {count}"))
    return Fit(group, *min(counts, key=lambda pair: pair[0])) if counts else Fit(group, 1, "it asks for nothing")


def fits(cluster: Cluster, deployment: Deployment) -> list[Fit]:
    """For each group that may hold the deployment's replicas, the head among them."""
    demand = deployment.demand
    return [] if demand is None else [fit(group, demand) for group in cluster.groups if group.value]


def most_replicas(cluster: Cluster, found: list[Fit]) -> tuple[int, str]:
    """(how many replicas fit when every group is at its maximum, the arithmetic)."""
    parts, count = [], 0
    for one in found:
        pods = 1 if one.group.head else one.group.maximum * one.group.hosts
        if not one.group.head and not cluster.autoscaling:
            pods = one.group.replicas * one.group.hosts
        if one.replicas:
            count += pods * one.replicas
            parts.append(f"{one.group.name} {pods} × {one.arithmetic}")
    return count, "; ".join(parts) or "no group holds one"


def wanted_devices(pod: Pod) -> Resources:
    """The extended resources that the pod asks for."""
    return {name: amount for name, amount in pod.requests.items() if name in DEVICES and amount}


def provides(pool: NodePool, key: str, operator: str, values: tuple[str, ...]) -> bool:
    """Whether some node of `pool` can carry a label that a selector asks for; True where that cannot be known."""
    own = pool.labels.get(key)
    if own is not None:
        return _selects(operator, values, own)
    if key == "karpenter.sh/nodepool":
        return _selects(operator, values, pool.name)
    if _is_type_label(key):
        return any(_selects(operator, values, kind.labels.get(type_label(key))) for kind in pool.types)
    requirement = next((r for r in pool.requirements if r.key == key), None)
    if requirement is not None:
        return operator != "In" or any(requirement.admits(value) for value in values)
    if operator in ("NotIn", "DoesNotExist"):
        return True
    return _is_known_domain(key)


def _selects(operator: str, values: tuple[str, ...], actual: str | None) -> bool:
    if operator in ("NotIn", "DoesNotExist"):
        return actual is None or (operator == "NotIn" and actual not in values)
    return actual is not None and (operator != "In" or actual in values)


def _is_type_label(key: str) -> bool:
    return key in TYPE_KEYS or type_label(key).startswith(TYPE_DOMAIN)


def _is_known_domain(key: str) -> bool:
    """Labels that the cloud, the kubelet or Karpenter puts on nodes whatever the pool says."""
    domain = key.partition("/")[0] if "/" in key else ""
    known = ("kubernetes.io", "topology.kubernetes.io", "node.kubernetes.io", "karpenter.sh", "karpenter.k8s.aws")
    return domain in (*known, "topology.k8s.aws", "eks.amazonaws.com", "topology.ebs.csi.aws.com")


def selectable_pools(stack: Stack, pod: Pod) -> list[NodePool]:
    """The pools whose nodes can carry every label that the pod requires."""
    wanted = tuple((key, operator, values) for key, operator, values, _ in pod.required_labels)
    return stack.once(("selectable", wanted), lambda: [p for p in stack.node_pools if _provides_all(p, wanted)])


def _provides_all(pool: NodePool, wanted: tuple[tuple[str, str, tuple[str, ...]], ...]) -> bool:
    return all(provides(pool, key, operator, values) for key, operator, values in wanted)


def untolerated(pool: NodePool, pod: Pod) -> list[str]:
    """The pool's taints that the pod does not tolerate, as `key=value:effect`."""
    return [
        f"{taint.get('key')}={taint.get('value', '')}:{taint.get('effect')}"
        for taint in pool.taints
        if not pod.tolerates(taint)
    ]


def open_pools(stack: Stack, pod: Pod) -> list[NodePool]:
    """The pools that the pod may use as far as labels and taints go."""
    return stack.once(
        ("open", pod.placement),
        lambda: [pool for pool in selectable_pools(stack, pod) if not untolerated(pool, pod)],
    )


def overhead(stack: Stack, pool: NodePool) -> Resources:
    """What daemon sets take of each node of `pool`: the rendered ones, at least the usual overhead."""
    return stack.once(("overhead", id(pool)), lambda: _overhead(stack, pool))


def _overhead(stack: Stack, pool: NodePool) -> Resources:
    daemons = [
        pod.requests for pod in stack.plain_pods if pod.manifest.kind == "DaemonSet" and pool in open_pools(stack, pod)
    ]
    rendered = total(daemons)
    return {name: max(amount, rendered.get(name, Fraction(0))) for name, amount in DAEMON_OVERHEAD.items()}


def holding_types(stack: Stack, pool: NodePool, pod: Pod) -> list[InstanceType]:
    """The types of `pool`, cheapest first, whose allocatable holds the pod beside the daemon sets."""
    return stack.once((id(pool), id(pod)), lambda: _holding(tuple(pool.types), _asked(stack, pool, pod)))


def _asked(stack: Stack, pool: NodePool, pod: Pod) -> tuple[tuple[str, Fraction], ...]:
    return tuple(sorted(total([pod.requests, overhead(stack, pool)]).items()))


@functools.lru_cache(maxsize=4096)
def _holding(types: tuple[InstanceType, ...], asked: tuple[tuple[str, Fraction], ...]) -> list[InstanceType]:
    return [
        kind for kind in types if all(kind.allocatable.get(n, Fraction(0)) >= v for n, v in asked if _is_counted(n))
    ]


def _is_counted(name: str) -> bool:
    return name in ("cpu", "memory") or name in DEVICES


def aims_at_pools(stack: Stack, pod: Pod) -> bool:
    """Whether the pod is meant for nodes of Karpenter's: a Ray group or a user of devices, with pools to look at."""
    return bool(stack.node_pools) and (bool(pod.role) or bool(wanted_devices(pod)))


def bound_groups(stack: Stack, pool: NodePool) -> list[tuple[Cluster, Group]]:
    """The device-using worker groups that can run on no other pool than `pool`."""
    return stack.once("bound groups", lambda: _bound(stack)).get(id(pool), [])


def _bound(stack: Stack) -> dict[int, list[tuple[Cluster, Group]]]:
    found: dict[int, list[tuple[Cluster, Group]]] = {}
    for cluster in stack.clusters:
        for group in cluster.workers:
            pools = open_pools(stack, group.pod) if wanted_devices(group.pod) else []
            if len(pools) == 1:
                found.setdefault(id(pools[0]), []).append((cluster, group))
    return found
