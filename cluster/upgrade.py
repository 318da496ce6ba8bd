"""What KubeRay 1.6.1 makes of a changed RayService, decided as its operator decides it, and what that costs.

The operator hashes `spec.rayClusterConfig` with some fields muted (ray-operator `GenerateHashWithoutReplicasAnd-
WorkersToDelete`, `shouldPrepareNewCluster`). The same hash: nothing happens to the running cluster, also where a muted
field changed. The same hash without worker groups appended at the end: updated in place. Else: a second whole cluster,
and the first one is removed once the second answers; with the strategy `None`: nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cluster.objects import Manifest, dig, mapping, mappings, string_map, text
from cluster.placement import provides

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
_MUTED_IN_GROUP = ("replicas", "minReplicas", "maxReplicas")
_MUTED_IN_POD = ("tolerations", "schedulingGates")
_NEW_CLUSTER_STRATEGIES = ("", "NewCluster")  # 1.6.1 knows the incremental one, with its gate off


class Verdict(Enum):
    """What the operator does with the running cluster."""

    SERVE_ONLY = "in place: Serve takes the new configuration, no pod is replaced"
    IN_PLACE = "in place: worker groups are added to the running cluster"
    NO_EFFECT = "no effect on the running cluster: KubeRay ignores this change until a new cluster is made"
    NEW_CLUSTER = "new cluster: a second one is made beside the running one, which goes when the new one answers"
    BLOCKED = "no effect: upgradeStrategy allows no new cluster; delete the RayService to have it"


@dataclass(frozen=True, slots=True)
class Nodes:
    """Instances of one kind, for as long as both clusters run."""

    count: int
    instance_type: str  # "" where the pool leaves the choice to Karpenter
    node_pool: str
    usd_per_hour: float | None  # for all of them; None where no price is known


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The operator's decision, with the fields that led to it."""

    verdict: Verdict
    because: tuple[str, ...]  # paths within spec
    extra_nodes: tuple[Nodes, ...] = ()


def judge(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    changed: Sequence[str],
    node_pools: Iterable[Manifest] = (),
    usd_per_hour: Mapping[str, float] | None = None,
) -> Upgrade | None:
    """What happens to a live RayService (`before`) that becomes `after`; None where its spec stays.

    `changed` are the paths that differ, `usd_per_hour` the prices of instance types.
    """
    spec_changes = tuple(path for path in changed if path.startswith("spec."))
    if not spec_changes:
        return None
    old, new = (mapping(dig(value, "spec", "rayClusterConfig")) for value in (before, after))
    cluster_changes = tuple(path for path in spec_changes if path.startswith("spec.rayClusterConfig"))
    if not cluster_changes:
        return Upgrade(Verdict.SERVE_ONLY, spec_changes)
    if _hashed(old) == _hashed(new):
        return Upgrade(Verdict.NO_EFFECT, cluster_changes)
    kept = len(mappings(old.get("workerGroupSpecs")))
    if _hashed(old) == _hashed(new, groups=kept):
        return Upgrade(Verdict.IN_PLACE, cluster_changes)
    decisive = tuple(path for path in cluster_changes if not _is_muted(path))
    if text(dig(after, "spec", "upgradeStrategy", "type")) not in _NEW_CLUSTER_STRATEGIES:
        return Upgrade(Verdict.BLOCKED, decisive)
    extra = _nodes_of(new, list(node_pools), usd_per_hour or {})
    return Upgrade(Verdict.NEW_CLUSTER, decisive, tuple(extra))


def _hashed(config: Mapping[str, Any], *, groups: int | None = None) -> dict[str, Any]:
    """What of a RayClusterSpec goes into the operator's hash, of the first `groups` worker groups only."""
    workers = mappings(config.get("workerGroupSpecs"))
    rest = {key: value for key, value in config.items() if key not in {"upgradeStrategy", "workerGroupSpecs"}}
    rest["headGroupSpec"] = _without_pod_scheduling(mapping(config.get("headGroupSpec")))
    rest["workerGroupSpecs"] = [_muted_group(group) for group in workers[:groups]]
    return rest


def _muted_group(group: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in group.items() if key not in _MUTED_IN_GROUP}
    strategy = {
        key: value for key, value in mapping(kept.pop("scaleStrategy", None)).items() if key != "workersToDelete"
    }
    return _without_pod_scheduling({**kept, **({"scaleStrategy": strategy} if strategy else {})})


def _without_pod_scheduling(group: Mapping[str, Any]) -> dict[str, Any]:
    template = mapping(group.get("template"))
    pod = {key: value for key, value in mapping(template.get("spec")).items() if key not in _MUTED_IN_POD}
    return {**group, "template": {**template, "spec": pod}}


def _is_muted(path: str) -> bool:
    inside = path.removeprefix("spec.rayClusterConfig.").replace("[", ".").replace("]", "").split(".")
    return (
        inside[0] == "upgradeStrategy"
        or (inside[0] == "workerGroupSpecs" and any(part in _MUTED_IN_GROUP for part in inside[2:3]))
        or "workersToDelete" in inside
        or any(part in _MUTED_IN_POD for part in inside)
    )


def _nodes_of(config: Mapping[str, Any], pools: list[Manifest], prices: Mapping[str, float]) -> Iterable[Nodes]:
    """The nodes that a new cluster's workers start with; one worker fills an accelerator node."""
    for group in mappings(config.get("workerGroupSpecs")):
        count = int(group.get("replicas", group.get("minReplicas", 0)) or 0)
        selector = string_map(dig(group, "template", "spec", "nodeSelector"))
        pool = pool_for(selector, pools)
        if pool is None or not count:
            continue
        types = instance_types_of(pool)
        price = prices.get(types[0]) if len(types) == 1 else None
        yield Nodes(count, types[0] if len(types) == 1 else "", pool.name, None if price is None else price * count)


def pool_for(selector: Mapping[str, str], pools: Iterable[Manifest]) -> Manifest | None:
    """The first pool whose nodes carry these labels; None for an empty selector, which says nothing."""
    return next((pool for pool in pools if selector and provides(pool.value, selector)), None)


def instance_types_of(pool: Manifest) -> list[str]:
    """The types that the pool names, empty where it leaves the choice to Karpenter."""
    for requirement in mappings(pool.get("spec", "template", "spec", "requirements")):
        if requirement.get("key") == INSTANCE_TYPE and requirement.get("operator") == "In":
            return [text(value) for value in requirement.get("values") or []]
    return []
