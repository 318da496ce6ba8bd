"""A small chatbot as manifests: one object of each kind that decides something, no more fields than the CRDs ask for."""

from __future__ import annotations

import copy
from typing import Any

from cluster.objects import Manifest

NAMESPACE = "chatbot"


def namespace(name: str = NAMESPACE) -> Manifest:
    return Manifest({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def config_map(name: str = "page", *, namespace: str = NAMESPACE, **data: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return Manifest({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {"title": "Chat"}})


def node_class(name: str = "trainium-trn1") -> Manifest:
    spec = {
        "amiSelectorTerms": [{"alias": "al2023@v20260801"}],
        "role": "nodes",
        "subnetSelectorTerms": [{"tags": {"karpenter.sh/discovery": "lab"}}],
        "securityGroupSelectorTerms": [{"tags": {"karpenter.sh/discovery": "lab"}}],
    }
    return Manifest(
        {"apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": {"name": name}, "spec": spec}
    )


def node_pool(name: str = "trainium-trn1", instance_type: str = "trn1.2xlarge") -> Manifest:
    template = {
        "metadata": {"labels": {"instanceType": instance_type}},
        "spec": {
            "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": name},
            "requirements": [{"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [instance_type]}],
        },
    }
    spec = {"template": template, "limits": {"aws.amazon.com/neuron": "4"}}
    return Manifest({"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": name}, "spec": spec})


def group(name: str = "trn1", **fields: Any) -> dict[str, Any]:
    pod = {
        "nodeSelector": {"instanceType": "trn1.2xlarge"},
        "tolerations": [{"key": "aws.amazon.com/neuron", "operator": "Exists"}],
        "containers": [{"name": "ray-worker", "image": "chatbot:1"}],
    }
    base = {"groupName": name, "replicas": 2, "minReplicas": 1, "maxReplicas": 3, "rayStartParams": {}}
    return {**base, "template": {"spec": pod}, **fields}


def ray_service(*groups: dict[str, Any], serve: str = "applications: []\n", **config: Any) -> Manifest:
    head = {"rayStartParams": {}, "template": {"spec": {"containers": [{"name": "ray-head", "image": "chatbot:1"}]}}}
    cluster = {"rayVersion": "2.60.0", "headGroupSpec": head, "workerGroupSpecs": list(groups or (group(),)), **config}
    metadata = {"name": "chatbot", "namespace": NAMESPACE}
    spec = {"serveConfigV2": serve, "rayClusterConfig": copy.deepcopy(cluster)}
    return Manifest({"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": metadata, "spec": spec})


def chatbot() -> list[Manifest]:
    """All of it, in no particular order."""
    return [ray_service(), node_pool(), node_class(), config_map(), namespace()]
