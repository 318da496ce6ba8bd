"""StatusDouble writes what Karpenter's and KubeRay's controllers would write; nothing here launches or runs anything.

It stands in for the two controllers in tests against the real API server: node classes and pools turn Ready, a pool may
get NodeClaims, a RayService gets a cluster's name, its endpoints and its conditions, finalizers are taken off.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

from kubernetes.client import ApiClient, ApiException, AppsV1Api, CoreV1Api, CustomObjectsApi

from cluster.objects import dig, mappings

NOW = "2026-11-24T00:00:00Z"
CLAIM_FINALIZER = "karpenter.sh/termination"
POLL_S = 0.05


class StatusDouble:
    """Two controllers' statuses on one API server."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._api = CustomObjectsApi(client)
        self.ray_services_become_ready = True
        self.terminates_nodes = True
        self.failed_application = ""  # what Serve says of an application that it cannot deploy

    @contextmanager
    def at_work(self) -> Iterator[StatusDouble]:
        """Statuses follow the objects while the block runs."""
        done = threading.Event()

        def work() -> None:
            while not done.wait(POLL_S):
                with suppress(ApiException):  # an object went between list and patch: the next round sees it
                    self.write_once()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield self
        finally:
            done.set()
            thread.join()

    def write_once(self) -> None:
        """One round over every object that a controller would look at."""
        for group, version, plural in (
            ("karpenter.k8s.aws", "v1", "ec2nodeclasses"),
            ("karpenter.sh", "v1", "nodepools"),
        ):
            for value in self._all(group, version, plural):
                if not _is_settled(value):
                    body = {"status": {"conditions": [_condition(value, "Ready", "True")]}}
                    name = value["metadata"]["name"]
                    self._api.patch_cluster_custom_object_status(group, version, plural, name, body)
        if self.ray_services_become_ready:
            for value in self._all("ray.io", "v1", "rayservices"):
                if not _is_settled(value):
                    self._serve(value)
        if self.terminates_nodes:
            for claim in self._all("karpenter.sh", "v1", "nodeclaims"):
                if claim["metadata"].get("deletionTimestamp"):
                    self._release(claim)

    def install_controllers(self, *, karpenter: str = "1.14.1", kuberay: str = "1.6.1") -> None:
        """Their Deployments as the charts make them, with pods that are called ready though nothing runs.

        An empty version leaves one out.
        """
        charts = {
            "karpenter": karpenter and f"public.ecr.aws/karpenter/controller:{karpenter}",
            "kuberay-operator": kuberay and f"quay.io/kuberay/operator:v{kuberay}",
        }
        images = {name: image for name, image in charts.items() if image}
        apps: Any = AppsV1Api(self._client)
        for name, image in images.items():
            labels = {"app.kubernetes.io/name": name}
            template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": name, "image": image}]}}
            spec = {"selector": {"matchLabels": labels}, "template": template}
            apps.create_namespaced_deployment("default", {"metadata": {"name": name, "labels": labels}, "spec": spec})
        for name in images:
            while not apps.read_namespaced_deployment(name, "default").status.available_replicas:
                self._call_pods_ready(name)
                threading.Event().wait(POLL_S)

    def _call_pods_ready(self, name: str) -> None:
        core: Any = CoreV1Api(self._client)
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": NOW}
        for pod in core.list_namespaced_pod("default", label_selector=f"app.kubernetes.io/name={name}").items:
            status = {"status": {"phase": "Running", "conditions": [ready]}}
            try:
                core.patch_namespaced_pod_status(pod.metadata.name, "default", status)
            except ApiException as error:
                if error.status != HTTPStatus.NOT_FOUND:  # the garbage collector is still at an earlier test's pods
                    raise

    def claim(self, pool: str, instance_type: str) -> str:
        """A NodeClaim as Karpenter makes it for a pool; its name."""
        owner: Any = self._api.get_cluster_custom_object("karpenter.sh", "v1", "nodepools", pool)
        body = {
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodeClaim",
            "metadata": {
                "generateName": f"{pool}-",
                "labels": {"karpenter.sh/nodepool": pool, "node.kubernetes.io/instance-type": instance_type},
                "finalizers": [CLAIM_FINALIZER],
                "ownerReferences": [
                    {
                        "apiVersion": "karpenter.sh/v1",
                        "kind": "NodePool",
                        "name": pool,
                        "uid": owner["metadata"]["uid"],
                        "blockOwnerDeletion": True,
                    }
                ],
            },
            "spec": {
                "nodeClassRef": owner["spec"]["template"]["spec"]["nodeClassRef"],
                "requirements": [
                    {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [instance_type]}
                ],
            },
        }
        made: Any = self._api.create_cluster_custom_object("karpenter.sh", "v1", "nodeclaims", body)
        return str(made["metadata"]["name"])

    def _serve(self, value: Mapping[str, Any]) -> None:
        metadata = value["metadata"]
        status: dict[str, Any] = {
            "observedGeneration": metadata["generation"],
            "numServeEndpoints": 2,
            "serviceStatus": "Running",
            "activeServiceStatus": {"rayClusterName": f"{metadata['name']}-abcde"},
            "conditions": [_condition(value, "Ready", "True"), _condition(value, "UpgradeInProgress", "False")],
        }
        if self.failed_application:
            status["conditions"] = [_condition(value, "Ready", "False")]
            application = {"status": "DEPLOY_FAILED", "message": self.failed_application}
            status["activeServiceStatus"]["applicationStatuses"] = {"chatbot": application}
        self._api.patch_namespaced_custom_object_status(
            "ray.io", "v1", metadata["namespace"], "rayservices", metadata["name"], {"status": status}
        )

    def _release(self, claim: Mapping[str, Any]) -> None:
        body = {"metadata": {"finalizers": None}}
        self._api.patch_cluster_custom_object("karpenter.sh", "v1", "nodeclaims", claim["metadata"]["name"], body)

    def _all(self, group: str, version: str, plural: str) -> list[Any]:
        answer: Any = self._api.list_cluster_custom_object(group, version, plural)
        return list(answer["items"])


def _is_settled(value: Mapping[str, Any]) -> bool:
    ready = next((c for c in mappings(dig(value, "status", "conditions")) if c["type"] == "Ready"), {})
    return bool(ready.get("observedGeneration") == value["metadata"]["generation"])


def _condition(value: Mapping[str, Any], kind: str, status: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": "WrittenByStatusDouble",
        "message": "",
        "lastTransitionTime": NOW,
        "observedGeneration": value["metadata"]["generation"],
    }
