"""Reads a snapshot: what the stages need at every look, and what only explains them every few seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from loadtest.observers import ObserverError
from loadtest.observers.dashboard import Dashboard, document
from loadtest.observers.kubernetes.api import Api
from loadtest.observers.kubernetes.objects import Object, dig, name, rows
from loadtest.observers.kubernetes.snapshot import Snapshot

SLOW_S = 5.0
KARPENTER, AWS = "/apis/karpenter.sh/v1", "/apis/karpenter.k8s.aws/v1"
CLUSTER_EVENTS = "/api/v1/namespaces/default/events"  # where events about nodes and claims are kept
_TELLING = ("error", "exception", "forbidden", "refused", "denied", "failed")


@dataclass(slots=True)
class Gatherer:
    """Keeps between looks what is read more rarely."""

    api: Api
    namespace: str
    service: str
    dashboard: Dashboard
    _slow: dict[str, Any] = field(default_factory=dict)
    _slow_at_s: float = float("-inf")

    def look(self, taken_unix_s: float, empty_nodes: Iterable[str]) -> Snapshot:
        """Now; of `empty_nodes` also who else runs there. Raises ObserverError."""
        ray, core = f"/apis/ray.io/v1/namespaces/{self.namespace}", f"/api/v1/namespaces/{self.namespace}"
        service = self.api.find(f"{ray}/rayservices/{self.service}")
        clusters = tuple(c for c in self.api.listing(f"{ray}/rayclusters") if _owner(c) == self.service)
        pods = self.api.listing(f"{core}/pods")
        if taken_unix_s - self._slow_at_s >= SLOW_S:
            self._slow, self._slow_at_s = self._read_slowly(pods), taken_unix_s
        return Snapshot(
            taken_unix_s=taken_unix_s,
            service=service,
            clusters=clusters,
            pods=pods,
            events=self.api.listing(f"{core}/events"),
            claims=self.api.listing(f"{KARPENTER}/nodeclaims"),
            nodes=self.api.listing("/api/v1/nodes", labels="karpenter.sh/nodepool"),
            lodgers={node: self._lodgers(node) for node in empty_nodes},
            ray_nodes=self._ray_nodes() if clusters else None,
            **self._slow,
        )

    def has_karpenter(self) -> bool:
        """Whether machines are claimed here."""
        return self.api.find(KARPENTER) is not None

    def _read_slowly(self, pods: tuple[Object, ...]) -> dict[str, Any]:
        plugins = self.api.listing("/api/v1/namespaces/kube-system/pods")
        sets = self.api.listing("/apis/apps/v1/namespaces/kube-system/daemonsets")
        return {
            "pools": self.api.listing(f"{KARPENTER}/nodepools"),
            "classes": self.api.listing(f"{AWS}/ec2nodeclasses"),
            "outside_events": self.api.listing(CLUSTER_EVENTS),
            "plugins": tuple(pod for pod in plugins if "device-plugin" in name(pod)),
            "plugin_sets": tuple(found for found in sets if "device-plugin" in name(found)),
            "autoscaler_log": self._autoscaler_log(pods),
        }

    def _lodgers(self, node: str) -> tuple[Object, ...]:
        return self.api.listing("/api/v1/pods", fields=f"spec.nodeName={node}")

    def _ray_nodes(self) -> dict[str, float] | None:
        """Addresses of Ray's nodes that live; None while Ray does not answer, which Serve's observer reports."""
        try:
            answer = document(self.dashboard, "/api/v0/nodes", {"detail": "true", "limit": "1000"})
        except ObserverError:
            return None
        found = rows(dig(answer, "data", "result", "result"))
        return {
            str(row.get("node_ip")): float(row.get("start_time_ms") or 0) / 1e3
            for row in found
            if row.get("state") == "ALIVE"
        }

    def _autoscaler_log(self, pods: tuple[Object, ...]) -> tuple[str, ...]:
        """Lines of trouble among the last of each head's autoscaler; empty where its log cannot be read."""
        lines: list[str] = []
        for pod in pods:
            if any(status.get("name") == "autoscaler" for status in rows(dig(pod, "status", "containerStatuses"))):
                path = f"/api/v1/namespaces/{self.namespace}/pods/{name(pod)}/log"
                try:
                    text = self.api.read(path, {"container": "autoscaler", "tailLines": "30"}).decode(
                        "utf-8", "replace"
                    )
                except ObserverError:
                    continue
                lines += [
                    line.strip()[:300] for line in text.splitlines() if any(word in line.lower() for word in _TELLING)
                ]
        return tuple(lines[-3:])


def _owner(cluster: Object) -> str:
    owners = rows(dig(cluster, "metadata", "ownerReferences"))
    return next((str(owner.get("name")) for owner in owners if owner.get("kind") == "RayService"), "")
