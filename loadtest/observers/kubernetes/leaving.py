"""Why a node that nobody needs is still there: what Karpenter says, or what its pool tells it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest.observers import Cause
from loadtest.observers.kubernetes.objects import Object, dig, labels, name, named, rows, told
from loadtest.observers.kubernetes.snapshot import POOL, Snapshot, is_workload

_KEPT = ("DisruptionBlocked", "FailedDraining", "Unconsolidatable")


def kept(snapshot: Snapshot) -> Iterator[Cause]:
    """Of every node of the workers."""
    for claim in snapshot.worker_claims:
        node = named(snapshot.nodes, str(dig(claim, "status", "nodeName")))
        if node is not None:
            yield from _lodgers(snapshot, node)
            yield from _karpenter(snapshot, claim, node)


def _lodgers(snapshot: Snapshot, node: Object) -> Iterator[Cause]:
    """Other pods that keep it from being empty."""
    others = [name(pod) for pod in (snapshot.lodgers or {}).get(name(node), ()) if is_workload(pod)]
    if others:
        text = f"Node {name(node)} is not empty: {', '.join(others[:3])} run there"
        yield Cause("node-emptied", text, subject=f"node:{name(node)}")


def _karpenter(snapshot: Snapshot, claim: Object, node: Object) -> Iterator[Cause]:
    subject, what = f"node:{name(node)}", f"Node {name(node)} stays"
    pool = named(snapshot.pools, labels(claim).get(POOL, "")) or {}
    if dig(pool, "spec", "disruption", "consolidateAfter") == "Never":
        text = f"{what}: NodePool {name(pool)} never consolidates (consolidateAfter: Never)"
        yield Cause("node-deleted", text, definite=True, subject=subject)
    if any(_forbids(budget) for budget in rows(dig(pool, "spec", "disruption", "budgets"))):
        text = f"{what}: a disruption budget of NodePool {name(pool)} allows no node to go"
        yield Cause("node-deleted", text, definite=True, subject=subject)
    for value in (node, claim, pool):
        for event in snapshot.about_outside(value, *_KEPT)[:1]:
            for stage in ("node-emptied", "node-deleted"):
                yield Cause(stage, f"{what}: {told(event)}", subject=subject)


def _forbids(budget: Object) -> bool:
    """Whether it keeps empty nodes, always."""
    reasons = budget.get("reasons") or ("Empty",)
    return str(budget.get("nodes")) in ("0", "0%") and "Empty" in reasons and not budget.get("schedule")
