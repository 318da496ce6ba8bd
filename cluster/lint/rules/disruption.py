"""When Karpenter takes a node away: budgets, consolidation, expiry and drift against streams."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cluster.lint.capacity import open_pools
from cluster.lint.finding import Hit, Severity
from cluster.lint.karpenter import NodePool, duration_s
from cluster.lint.pods import Pod
from cluster.lint.ray import COLD_START, Cluster, cold_start_s
from cluster.lint.registry import rule
from cluster.lint.rules.node_pool import accelerated
from cluster.lint.serve import number
from cluster.lint.stack import Stack
from cluster.objects import Manifest, dig, string_map, text

HOP = "node pool"
DISRUPTION = "Karpenter's disruption page; core pkg/apis/v1/nodepool.go"
HELD = "karpenter.sh/do-not-disrupt"


def _serving(stack: Stack, pool: NodePool) -> list[tuple[Cluster, Pod]]:
    """The pods of RayServices that may run on `pool`."""
    return stack.once("serving pods", lambda: _by_pool(stack)).get(id(pool), [])


def _by_pool(stack: Stack) -> dict[int, list[tuple[Cluster, Pod]]]:
    found: dict[int, list[tuple[Cluster, Pod]]] = {}
    for cluster in stack.clusters:
        for group in cluster.groups if cluster.is_service else []:
            for pool in open_pools(stack, group.pod) if group.value else []:
                found.setdefault(id(pool), []).append((cluster, group.pod))
    return found


def _unheld(pods: list[tuple[Cluster, Pod]]) -> list[str]:
    return sorted({f"{pod.role} of {cluster.manifest.name}" for cluster, pod in pods if HELD not in pod.annotations})


@rule(
    HOP,
    "error",
    fix="Give the zero budget `reasons: [Underutilized, Drifted]`, and let Empty go.",
    evidence=f"{DISRUPTION}: the smallest active budget wins; aws/karpenter-provider-aws#7026",
)
def budget_zero_always(stack: Stack) -> Iterator[Hit]:
    """A budget of 0 that is always active and covers Empty: idle nodes stay until they expire."""
    for pool in stack.node_pools:
        budget = pool.always_zero("Empty")
        if budget:
            kept = "for ever" if math.isinf(pool.expire_after_s) else f"{pool.expire_after_s / 3600:g} h"
            price = min((kind.usd_per_hour or 0 for kind in pool.types), default=0)
            severity: Severity = "error" if accelerated(pool) else "warning"
            message = f"nodes {budget.nodes} for Empty at all times: an idle node costs ${price:.2f}/h {kept}"
            yield Hit(pool.manifest, budget.path, message, severity=severity)


@rule(
    HOP,
    "warning",
    fix="Add a budget without a schedule.",
    evidence=f"{DISRUPTION}: outside its schedule a budget does not exist; aws/karpenter-provider-aws#8247",
)
def budget_window_inverted(stack: Stack) -> Iterator[Hit]:
    """All budgets are scheduled: outside their windows every node may go at once."""
    for pool in stack.node_pools:
        if all(budget.scheduled for budget in pool.budgets):
            yield Hit(pool.manifest, "spec.disruption.budgets", f"{len(pool.budgets)} budgets, all with a schedule")


@rule(HOP, "warning", fix="Write a budget that names a number.", evidence=f"{DISRUPTION}: percentages are rounded up")
def default_budget_small_pool(stack: Stack) -> Iterator[Hit]:
    """A percentage is rounded up: of few nodes it may be all of them."""
    for pool in stack.node_pools:
        serving = _serving(stack, pool)
        nodes, _ = pool.nodes_within_limits
        for budget in pool.budgets:
            percent = budget.nodes[:-1] if budget.nodes.endswith("%") else ""
            if not serving or not _unheld(serving) or not percent.isdigit() or pool.policy == "WhenEmpty":
                continue
            taken = math.ceil(int(percent) / 100)
            if 0 < int(percent) < 100 and (nodes or 1) * int(percent) <= 100 and taken >= 1:
                yield Hit(pool.manifest, budget.path, f"⌈1 node × {percent} %⌉ = 1: the only node may go")


@rule(
    HOP,
    "warning",
    fix="WhenEmpty, or karpenter.sh/do-not-disrupt on the pods, or a zero budget for Underutilized.",
    evidence="ray-project/kuberay#1333: consolidation evicts Ray pods like any other",
)
def consolidation_evicts_serving(stack: Stack) -> Iterator[Hit]:
    """Karpenter may move a serving pod to save money, and the streams on it end."""
    for pool in stack.node_pools:
        unheld = _unheld(_serving(stack, pool))
        if unheld and pool.policy != "WhenEmpty" and pool.always_zero("Underutilized") is None:
            yield Hit(pool.manifest, "spec.disruption", f"{pool.policy} may evict {', '.join(unheld)}")


@rule(
    HOP,
    "warning",
    fix='Annotate the head\'s template with karpenter.sh/do-not-disrupt: "true", or add GCS fault tolerance.',
    evidence="ray-project/kuberay#1333; Ray: the head's end is the cluster's end",
)
def head_unprotected(stack: Stack) -> Iterator[Hit]:
    """Nothing keeps Karpenter from taking the head's node, and the head's end is the service's end."""
    for cluster in stack.clusters:
        pod = cluster.head.pod
        pools = open_pools(stack, pod) if cluster.head.value else []
        if cluster.is_service and pools and not cluster.fault_tolerant and HELD not in pod.annotations:
            yield Hit(
                cluster.manifest,
                f"{pod.path}.metadata.annotations",
                f"no {HELD}, no GCS fault tolerance, on pool {pools[0].name}",
            )


@rule(
    HOP,
    "warning",
    fix="Pin the AMI and budget Drifted to 0, or leave terminationGracePeriod out.",
    evidence=f"{DISRUPTION}: with terminationGracePeriod drift ignores do-not-disrupt and budgets of pods",
)
def tgp_opens_drift(stack: Stack) -> Iterator[Hit]:
    """TerminationGracePeriod lets drift take nodes in spite of do-not-disrupt, and the AMI floats or no budget stops it."""
    for pool in stack.node_pools:
        node_class = stack.node_class(pool)
        if pool.termination_grace_s is None or not _serving(stack, pool) or pool.always_zero("Drifted"):
            continue
        floating = [alias for alias in node_class.aliases if alias.endswith("@latest")] if node_class else []
        shown = text(pool.node.get("terminationGracePeriod"))
        if floating:
            message = f"terminationGracePeriod {shown} and {floating[0]}: each AMI release takes every serving node within {shown}"
            yield Hit(pool.manifest, "spec.template.spec.terminationGracePeriod", message, severity="error")
        else:
            message = f"terminationGracePeriod {shown}, and no budget holds Drifted at 0"
            yield Hit(pool.manifest, "spec.template.spec.terminationGracePeriod", message)


@rule(
    HOP,
    "warning",
    fix="Set terminationGracePeriod, or expireAfter: Never.",
    evidence=f"{DISRUPTION}: an expired node drains for as long as a pod may not be evicted",
)
def expiry_hangs(stack: Stack) -> Iterator[Hit]:
    """Nodes expire, their pods may not be disrupted, and no grace period ends the wait."""
    for pool in stack.node_pools:
        held = [pod for _, pod in _serving(stack, pool) if pod.annotations.get(HELD) == "true"]
        if held and math.isfinite(pool.expire_after_s) and pool.termination_grace_s is None:
            yield Hit(
                pool.manifest,
                "spec.template.spec.expireAfter",
                f"expireAfter {pool.expire_after_s / 3600:g} h, {HELD} on {held[0].role}, no terminationGracePeriod",
            )


@rule(
    HOP,
    "warning",
    fix="expireAfter: Never, and renew nodes by drift in a window or by the next upgrade.",
    evidence=f"{DISRUPTION}: expiry is forceful, budgets do not apply, and the replacement starts afterwards",
)
def expiry_forceful(stack: Stack) -> Iterator[Hit]:
    """Nodes that serve expire: no budget holds it back, and the gap is a cold start long."""
    for pool in stack.node_pools:
        serving = _serving(stack, pool)
        if serving and math.isfinite(pool.expire_after_s):
            names = sorted({f"{pod.role} of {cluster.manifest.name}" for cluster, pod in serving})
            yield Hit(
                pool.manifest,
                "spec.template.spec.expireAfter",
                f"after {pool.expire_after_s / 3600:g} h it takes {', '.join(names)}",
            )


@rule(
    HOP,
    "info",
    fix="consolidateAfter of about a cold start, 300s to 600s.",
    evidence="a node that goes after seconds comes back after a cold start",
)
def consolidate_after_short(stack: Stack) -> Iterator[Hit]:
    """Empty accelerator nodes go sooner than a new one would be ready: each swing of the load pays a cold start."""
    for pool in stack.node_pools:
        seconds = duration_s(pool.disruption.get("consolidateAfter", "0s"))
        if accelerated(pool) and seconds is not None and seconds < 120:
            yield Hit(pool.manifest, "spec.disruption.consolidateAfter", f"{seconds:g} s < 120 s")


@rule(
    HOP,
    "warning",
    fix="consolidateAfter of about a cold start, 300s to 600s.",
    evidence="Karpenter v1.14.1 emptiness.go: without consolidateAfter an empty node is never a candidate",
)
def empty_nodes_stay(stack: Stack) -> Iterator[Hit]:
    """ConsolidateAfter Never on a pool of accelerators: a node that a scale-in has emptied is paid for until it expires."""
    for pool in stack.node_pools:
        if accelerated(pool) and text(pool.disruption.get("consolidateAfter")) == "Never":
            price = min((kind.usd_per_hour or 0 for kind in pool.types), default=0)
            yield Hit(pool.manifest, "spec.disruption.consolidateAfter", f"an idle node costs ${price:.2f}/h")


@rule(
    HOP,
    "warning",
    fix="One capacity type for serving pools.",
    evidence="Karpenter replaces an on-demand fallback by spot when spot returns",
)
def spot_on_demand_churn(stack: Stack) -> Iterator[Hit]:
    """Spot and on-demand with consolidation: nodes that fell back to on-demand are replaced when spot returns."""
    for pool in stack.node_pools:
        types = pool.values("karpenter.sh/capacity-type")
        moved = pool.policy != "WhenEmpty" and pool.always_zero("Underutilized") is None
        if {"spot", "on-demand"} <= set(types) and moved and _unheld(_serving(stack, pool)):
            yield Hit(pool.manifest, "spec.disruption", f"capacity types {', '.join(types)} with {pool.policy}")


@rule(
    HOP,
    "warning",
    fix=f"Make downscale_delay_s + idleTimeoutSeconds + consolidateAfter at least that, or write the cold start that you measured into the RayService's annotation {COLD_START}.",
    evidence="a flap costs a cold start: node, image, weights, graphs",
)
def downscale_below_cold_start(stack: Stack) -> Iterator[Hit]:
    """From a lull to a deleted accelerator node it takes less than a cold start: the load that returns waits for it again."""
    for cluster in stack.clusters:
        config = stack.config_of(cluster)
        idle = number(dig(cluster.spec, "autoscalerOptions", "idleTimeoutSeconds"))
        waited = 60.0 if idle is None else idle
        least_s = cold_start_s(cluster.manifest)
        pools = {
            id(pool): pool for group in cluster.workers for pool in open_pools(stack, group.pod) if accelerated(pool)
        }
        for deployment in config.deployments if config else []:
            delay = deployment.seconds("autoscaling_config", "downscale_delay_s")
            for pool in pools.values():
                after = duration_s(pool.disruption.get("consolidateAfter", "0s"))
                if delay is not None and after is not None and config and delay + waited + after < least_s:
                    total = f"{delay:g} + {waited:g} + {after:g} = {delay + waited + after:g} s"
                    path = config.at(f"{deployment.path}.autoscaling_config")
                    yield Hit(
                        cluster.manifest, path, f"{total} < {least_s:g} s from lull to deleted node ({pool.name})"
                    )


@rule(
    HOP,
    "warning",
    fix="Add a PodDisruptionBudget for the workers (minAvailable) and for the head (maxUnavailable: 0).",
    evidence="ray-project/kuberay#5004: KubeRay makes none; Karpenter's drains respect nothing else",
)
def pdb_missing(stack: Stack) -> Iterator[Hit]:
    """A RayService on Karpenter's nodes without any disruption budget over its pods."""
    budgets = stack.of("PodDisruptionBudget")
    for cluster in stack.clusters:
        if not cluster.is_service or not stack.node_pools:
            continue
        held = any(g.pod.annotations.get("karpenter.sh/do-not-disrupt") == "true" for g in cluster.groups)
        mine = [b for b in budgets if b.namespace == cluster.manifest.namespace]
        if not mine and not held:
            yield Hit(
                cluster.manifest,
                cluster.path,
                "no PodDisruptionBudget in its namespace, and no karpenter.sh/do-not-disrupt",
            )


@rule(
    HOP,
    "warning",
    fix="Set terminationGracePeriod on the pool, or let the budget allow one.",
    evidence="Karpenter's disruption page: a drain waits for budgets without end unless terminationGracePeriod is set",
)
def pdb_blocks_for_ever(stack: Stack) -> Iterator[Hit]:
    """A budget that never allows an eviction meets nodes that expire: the drain hangs, and both nodes are paid for."""
    for budget in stack.of("PodDisruptionBudget"):
        for pool in stack.node_pools if _never_allows(budget) else []:
            finite = pool.expire_after_s < float("inf") and pool.termination_grace_s is None
            mine = [p for p in stack.pods if p.manifest.namespace == budget.namespace] if finite else []
            if any(pool in open_pools(stack, pod) for pod in mine):
                hours = pool.expire_after_s / 3600
                yield Hit(
                    budget,
                    "spec",
                    f"it allows 0 evictions; nodes of {pool.name} expire after {hours:g} h and have no terminationGracePeriod",
                )


@rule(
    HOP,
    "warning",
    fix="Take the budget away: what replaces a DaemonSet's pods obeys its updateStrategy, not budgets.",
    evidence="Karpenter v1.14.1 statenode.go ValidatePodsDisruptable: a pod of a DaemonSet that may not be evicted keeps its node",
)
def pdb_holds_daemon_set(stack: Stack) -> Iterator[Hit]:
    """A budget over a DaemonSet's pods never allows an eviction: Karpenter never takes their nodes, empty or not."""
    for budget in stack.of("PodDisruptionBudget"):
        selector = string_map(dig(budget.spec, "selector", "matchLabels"))
        for pod in stack.plain_pods if _never_allows(budget) and selector else []:
            mine = pod.manifest.kind == "DaemonSet" and pod.manifest.namespace == budget.namespace
            if mine and selector.items() <= pod.labels.items():
                yield Hit(budget, "spec", f"it holds every node on which DaemonSet {pod.manifest.name} runs")


def _never_allows(budget: Manifest) -> bool:
    return text(budget.spec.get("maxUnavailable")) in ("0", "0%") or text(budget.spec.get("minAvailable")) == "100%"
