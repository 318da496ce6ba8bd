"""The chatbot's API objects at one moment, and which of them belong together. Pure.

What KubeRay makes of a RayService, and which labels it gives: its `controllers/ray`, 1.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from loadtest.observers.kubernetes.objects import Object, about, dig, event_last_s, labels, name, named, rows

HEAD, WORKER = "head", "worker"
POOL, TYPE = "karpenter.sh/nodepool", "node.kubernetes.io/instance-type"


@dataclass(frozen=True)
class Snapshot:
    """Lists of objects as the API server gives them; `service` is the RayService, None where there is none."""

    taken_unix_s: float
    service: Object | None = None
    clusters: tuple[Object, ...] = ()  # RayClusters of the service
    pods: tuple[Object, ...] = ()  # of the namespace
    events: tuple[Object, ...] = ()  # of the namespace
    claims: tuple[Object, ...] = ()
    nodes: tuple[Object, ...] = ()
    pools: tuple[Object, ...] = ()
    classes: tuple[Object, ...] = ()
    outside_events: tuple[Object, ...] = ()  # about objects without a namespace
    plugins: tuple[Object, ...] = ()  # pods of device plugins
    plugin_sets: tuple[Object, ...] = ()  # their DaemonSets
    lodgers: Mapping[str, tuple[Object, ...]] | None = (
        None  # node -> pods of all namespaces; only nodes that were asked for
    )
    ray_nodes: Mapping[str, float] | None = None  # address -> when its raylet started; None: Ray does not answer
    autoscaler_log: tuple[str, ...] = ()

    @cached_property
    def workers(self) -> tuple[Object, ...]:
        """The service's worker pods."""
        return tuple(pod for pod in self._ray_pods() if labels(pod).get("ray.io/node-type") == WORKER)

    @cached_property
    def heads(self) -> tuple[Object, ...]:
        """The service's head pods; two during an upgrade."""
        return tuple(pod for pod in self._ray_pods() if labels(pod).get("ray.io/node-type") == HEAD)

    def claim_of(self, pod: Object) -> Object | None:
        """The NodeClaim of the pod's node, or else the one that Karpenter made for it."""
        if node := dig(pod, "spec", "nodeName"):
            return next((claim for claim in self.claims if dig(claim, "status", "nodeName") == node), None)
        for event in about(self.events, pod, "Nominated"):
            for wanted in re.findall(r"nodeclaim/([\w.-]+)", str(event.get("message"))):
                return named(self.claims, wanted)
        return None

    def claims_of(self, pods: tuple[Object, ...]) -> list[Object]:
        """NodeClaims that these pods stand on."""
        own = {name(claim) for pod in pods if (claim := self.claim_of(pod))}
        return [claim for claim in self.claims if name(claim) in own]

    @cached_property
    def worker_claims(self) -> list[Object]:
        """NodeClaims that workers stand on, or that would suit one of them by its node selector."""
        own = {name(claim) for claim in self.claims_of(self.workers)}
        templates = [dig(group, "template", "spec", "nodeSelector") for group in self.groups]
        selectors = [s for s in (*templates, *(dig(pod, "spec", "nodeSelector") for pod in self.workers)) if s]
        return [
            claim
            for claim in self.claims
            if name(claim) in own or any(selector.items() <= labels(claim).items() for selector in selectors)
        ]

    @property
    def groups(self) -> list[Object]:
        """The RayClusters' worker groups."""
        return [group for cluster in self.clusters for group in rows(dig(cluster, "spec", "workerGroupSpecs"))]

    def wanted_workers(self) -> int:
        """How many workers the RayClusters ask for."""
        return sum(max(int(group.get("replicas") or 0), int(group.get("minReplicas") or 0)) for group in self.groups)

    def leaving(self) -> set[str]:
        """Names of the workers that the autoscaler has told KubeRay to delete."""
        return {str(pod) for group in self.groups for pod in dig(group, "scaleStrategy", "workersToDelete") or ()}

    def about_outside(self, value: Object, *reasons: str) -> list[Object]:
        """Events of an object without a namespace, the latest first."""
        return about(self.outside_events, value, *reasons)

    def recent_warnings(self, within_s: float) -> list[Object]:
        """Warnings of the last seconds, in the namespace and on nodes, claims, pools and classes."""
        found = [
            event
            for event in (*self.events, *self.outside_events)
            if event.get("type") == "Warning" and event_last_s(event) >= self.taken_unix_s - within_s
        ]
        return sorted(found, key=event_last_s, reverse=True)

    def _ray_pods(self) -> Iterator[Object]:
        own = {name(cluster) for cluster in self.clusters}
        return (pod for pod in self.pods if labels(pod).get("ray.io/cluster") in own)


def devices(pod: Object) -> frozenset[str]:
    """Extended resources that the pod asks for, such as aws.amazon.com/neuroncore."""
    asked: set[str] = set()
    for container in rows(dig(pod, "spec", "containers")):
        asked |= set(dig(container, "resources", "limits") or ()) | set(dig(container, "resources", "requests") or ())
    return frozenset(resource for resource in asked if "/" in resource and not resource.startswith("kubernetes.io/"))


def advertises(node: Object, wanted: frozenset[str]) -> bool:
    """Whether the node offers some of each."""
    offered = dig(node, "status", "allocatable") or {}
    return all(str(offered.get(resource, "0")) not in ("", "0") for resource in wanted)


def ray_container(pod: Object) -> Object:
    """The status of the container that runs Ray: KubeRay's first."""
    wanted = dig(rows(dig(pod, "spec", "containers"))[0], "name") if rows(dig(pod, "spec", "containers")) else None
    statuses = rows(dig(pod, "status", "containerStatuses"))
    return next((status for status in statuses if status.get("name") == wanted), {})


def is_workload(pod: Object) -> bool:
    """Neither a daemon's, nor the kubelet's own, nor finished."""
    owners = {str(dig(owner, "kind")) for owner in rows(dig(pod, "metadata", "ownerReferences"))}
    return not owners & {"DaemonSet", "Node"} and dig(pod, "status", "phase") not in ("Succeeded", "Failed")
