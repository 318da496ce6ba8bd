"""Removing what a deploy made, and nothing else: workload, node pools, the rest, the namespace, node classes.

Nodes take the longest and go by themselves once their pool has gone: the rest goes meanwhile, and is waited for after them,
since it costs nothing.

What carries our label is ours; nodes are ours through their pool. Each step looks anew at what is left, so that a run
after an interruption goes on where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster import order
from cluster.apply import DELETE_TIMEOUT_S
from cluster.client import Collection
from cluster.errors import NotReady
from cluster.objects import Manifest, dig, string_map, text
from cluster.observe import Stage, is_leaving, owners
from cluster.order import Phase
from cluster.plan import TARGET_LABEL, is_ours
from cluster.upgrade import INSTANCE_TYPE
from cluster.wait import Patience, until_gone

POOL_LABEL = "karpenter.sh/nodepool"
NODES_TIMEOUT_S = 1200.0  # a drain may take as long as the longest answer, then EC2 takes its minutes
# Made by Kubernetes in every namespace.
_FURNITURE = frozenset({("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")})


@dataclass(frozen=True, slots=True)
class Destruction:
    """One run over one target."""

    stage: Stage
    desired: Sequence[Manifest]  # of the target: their namespaces and the names of their pools
    tell: Callable[[str], None]
    usd_per_hour: Mapping[str, float]
    nodes_timeout_s: float = NODES_TIMEOUT_S

    def run(self) -> None:
        """Return when all of it is gone.

        Raises NotReady where something does not go in time, with what still costs money.
        """
        pools = self._pools()
        try:
            for phase in (Phase.WORKLOAD, Phase.PLATFORM, Phase.NODE_POOL):
                self._until_gone(self._delete(phase))
            going = [*self._delete(Phase.POLICY), *self._delete_namespaces()]
            self._until_no_nodes(pools)
            self._until_gone(self._delete(Phase.NODE_CLASS))
            self._until_gone(going)
        except NotReady as stuck:
            raise NotReady(f"{stuck}\n{costs(self.remaining(pools), self.usd_per_hour)}") from stuck

    def remaining(self, pools: set[str]) -> list[Mapping[str, Any]]:
        """What is still there and is paid for by the hour."""
        claims = self._claims(pools)
        nodes = claims.listing().items if claims else []
        return [*nodes, *(value for value in self.stage.ours(self.desired) if _is_paid(value))]

    def _delete(self, phase: Phase) -> list[Manifest]:
        """All of a phase, which then goes; what hangs does not keep the rest from going."""
        found = [m for m in map(Manifest, self.stage.ours(self.desired)) if order.phase(m.key) is phase]
        found.sort(key=lambda manifest: order.position(manifest.key), reverse=True)
        for manifest in found:
            self._delete_one(manifest, foreground=phase is Phase.WORKLOAD)
        return found

    def _delete_one(self, manifest: Manifest, *, foreground: bool = False) -> None:
        if not is_leaving(manifest.value):
            self.tell(f"delete {manifest.key}")
            resource = self.stage.resource(manifest.api_version, manifest.kind)
            self.stage.api.delete(manifest.value, resource, foreground=foreground)

    def _until_gone(self, going: Sequence[Manifest]) -> None:
        for manifest in going:
            alone = Collection(
                self.stage.api,
                self.stage.resource(manifest.api_version, manifest.kind),
                manifest.namespace,
                labels=f"{TARGET_LABEL}={self.stage.target}",
                fields=f"metadata.name={manifest.name}",
            )
            until_gone(alone, manifest.kind, Patience(DELETE_TIMEOUT_S, self.tell))

    def _pools(self) -> set[str]:
        """The pools that are ours, also those that an interrupted run has removed already."""
        named = [manifest for manifest in self.desired if manifest.kind == "NodePool"]
        mine = {m.name for m in named if (live := self.stage.live(m)) is None or is_ours(live, self.stage.target)}
        return mine | {Manifest(v).name for v in self.stage.ours(self.desired) if v.get("kind") == "NodePool"}

    def _claims(self, pools: set[str]) -> Collection | None:
        resource = self.stage.api.resource("karpenter.sh/v1", "NodeClaim")
        if resource is None or not pools:
            return None
        return Collection(self.stage.api, resource, labels=f"{POOL_LABEL} in ({','.join(sorted(pools))})")

    def _until_no_nodes(self, pools: set[str]) -> None:
        claims = self._claims(pools)
        if claims:
            until_gone(claims, "NodeClaims", Patience(self.nodes_timeout_s, self.tell))

    def _delete_namespaces(self) -> list[Manifest]:
        """Those of ours in which nobody else has anything."""
        ours = [m for m in map(Manifest, self.stage.ours(self.desired)) if m.kind == "Namespace"]
        going = []
        for manifest in ours:
            if strangers := self._strangers(manifest.name):
                self.tell(f"{manifest.key} stays: others have {', '.join(strangers)} in it")
            else:
                self._delete_one(manifest)
                going.append(manifest)
        return going

    def _strangers(self, namespace: str) -> list[str]:
        """What somebody else put there; what goes with its owner, and Kubernetes' own, is nobody's."""
        pods = self.stage.api.listing(self.stage.resource("v1", "Pod"), namespace).items
        return [
            str(Manifest(value).key)
            for value in [*self.stage.within(namespace), *pods]
            if not owners(value)
            and not is_ours(value, self.stage.target)
            and (text(value.get("kind")), Manifest(value).name) not in _FURNITURE
        ]


def costs(remaining: Sequence[Mapping[str, Any]], usd_per_hour: Mapping[str, float]) -> str:
    """What is still paid for, one a line, with $/h where the price is known."""
    if not remaining:
        return "Nothing of ours that costs money is left."
    lines = [f"  {Manifest(value).key}{_price(value, usd_per_hour)}" for value in remaining]
    return "Still there and paid for; run destroy again, and it goes on from here:\n" + "\n".join(lines)


def _price(value: Mapping[str, Any], usd_per_hour: Mapping[str, float]) -> str:
    instance_type = string_map(dig(value, "metadata", "labels")).get(INSTANCE_TYPE, "")
    since = text(dig(value, "metadata", "creationTimestamp"))
    if not instance_type:
        return f" since {since}"
    price = usd_per_hour.get(instance_type)
    rate = "price unknown" if price is None else f"${price:.2f}/h"
    return f" ({instance_type}, {rate}) since {since}"


def _is_paid(value: Mapping[str, Any]) -> bool:
    kind = value.get("kind")
    return kind in {"Ingress", "PersistentVolumeClaim"} or (
        kind == "Service" and dig(value, "spec", "type") == "LoadBalancer"
    )
