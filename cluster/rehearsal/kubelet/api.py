"""What a kubelet asks of the API server about pods, and what it tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.client import Api, Resource
from cluster.objects import dig, text
from cluster.rehearsal.kubelet.pod.environment import StoreKind
from cluster.rehearsal.kubelet.pod.spec import Pod
from cluster.transport import ApiError

PODS = Resource("v1", "Pod", "pods", True)
NODES = Resource("v1", "Node", "nodes", False)
SERVICES = Resource("v1", "Service", "services", True)
SLICES = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", True)
_STORES: dict[StoreKind, Resource] = {
    "ConfigMap": Resource("v1", "ConfigMap", "configmaps", True),
    "Secret": Resource("v1", "Secret", "secrets", True),
}
_EVENTS = Resource("v1", "Event", "events", True)
_STRATEGIC = "application/strategic-merge-patch+json"
_MERGED_LISTS = ("podIPs", "hostIPs")  # which a merge would add to
_REPLACE = {"$patch": "replace"}
# None of our changes names a resourceVersion, and the API server itself tries again where a write comes between: what it
# calls a conflict is another uid, or an event that is there already.
_GONE_OR_REPLACED = frozenset({404, 409})


@dataclass(frozen=True, slots=True)
class KubeletApi:
    """Every method raises ApiError or Unreachable where it says nothing else."""

    api: Api

    def patch_status(self, pod: Pod, status: Mapping[str, Any]) -> None:
        """Nothing where this very pod is no more."""
        lists = {name: [_REPLACE, *status[name]] for name in _MERGED_LISTS if name in status}
        body = {"metadata": {"uid": pod.uid}, "status": {**status, **lists}}
        path = f"{PODS.path(pod.name, pod.namespace)}/status"
        self._unless_gone("patch", path, body, _STRATEGIC)

    def let_go(self, pod: Pod) -> None:
        """Delete its object for good: everything of it has ended. Nothing where it is gone already."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": pod.uid},
        }
        self._unless_gone("delete", PODS.path(pod.name, pod.namespace), body, None)

    def token(self, pod: Pod, audience: str, lifetime_s: int) -> str:
        """One of its service account, bound to the pod: it ends with it."""
        spec: dict[str, Any] = {
            "expirationSeconds": lifetime_s,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid},
        }
        if audience:
            spec["audiences"] = [audience]
        path = Resource("v1", "ServiceAccount", "serviceaccounts", True).path(pod.service_account, pod.namespace)
        answer = self.api.transport.ask("post", f"{path}/token", body={"spec": spec})
        return text(dig(answer, "status", "token"))

    def store(self, kind: StoreKind, name: str, namespace: str) -> Mapping[str, Any] | None:
        """A ConfigMap or Secret, None where there is none."""
        return self.api.get(_STORES[kind], name, namespace)

    def create_event(self, event: Mapping[str, Any]) -> None:
        """One that has not been told yet."""
        self._unless_gone("post", _EVENTS.path(namespace=text(dig(event, "metadata", "namespace"))), event, None)

    def patch_event(self, name: str, namespace: str, change: Mapping[str, Any]) -> bool:
        """One that has happened again; False where it has expired meanwhile."""
        return self._unless_gone("patch", _EVENTS.path(name, namespace), change, "application/merge-patch+json")

    def _unless_gone(self, method: str, path: str, body: Mapping[str, Any], content_type: str | None) -> bool:
        try:
            self.api.transport.ask(method, path, body=body, content_type=content_type)
        except ApiError as error:
            if error.status in _GONE_OR_REPLACED:
                return False
            raise
        return True
