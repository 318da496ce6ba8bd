"""A chatbot's API objects at any point of its start, made by hand after what KubeRay 1.6, Karpenter 1.14 and Kubernetes write.

`World` holds them by kind and answers an API server's GETs; a test changes what it wants to be otherwise.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

START_UNIX_S = 1_790_000_000.0
DEVICE = "aws.amazon.com/neuroncore"
CLUSTER, HEAD, WORKER, CLAIM, NODE = (
    "chatbot-abcde",
    "chatbot-abcde-head",
    "chatbot-trn1-one",
    "trainium-trn1-x1",
    "trn1-node",
)
HEAD_CLAIM, HEAD_NODE = "x86-cpu-karpenter-h1", "x86-node"
ORDER = (
    "raycluster", "pod-created", "nodeclaim-created", "node-launched", "node-registered", "device-advertised", "pod-scheduled",
    "image-pulled", "container-started", "ray-node-joined", "serve", "replica-started", "replica-running",
)  # fmt: skip


def stamp(at_s: float) -> str:
    """`at_s` seconds after the start, as objects carry it: whole seconds."""
    return datetime.fromtimestamp(START_UNIX_S + int(at_s), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(
    kind: str, *, status: str = "True", at_s: float = 0, reason: str = "", message: str = ""
) -> dict[str, Any]:
    return {"type": kind, "status": status, "lastTransitionTime": stamp(at_s), "reason": reason, "message": message}


def event(
    kind: str, name: str, reason: str, message: str, *, at_s: float = 0, by: str = "", warning: bool = True
) -> dict[str, Any]:
    return {
        "kind": "Event", "type": "Warning" if warning else "Normal", "reason": reason, "message": message,
        "firstTimestamp": stamp(at_s), "lastTimestamp": stamp(at_s), "source": {"component": by},
        "involvedObject": {"kind": kind, "name": name},
    }  # fmt: skip


@dataclass
class World:
    """What stands. Stage n of ORDER was reached n seconds after the start, for the worker; the head is one second quicker."""

    until: str = ""  # a stage of ORDER that is not reached any more; empty: all are
    service: dict[str, Any] | None = None
    clusters: list[dict[str, Any]] = field(default_factory=list)
    pods: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    pools: list[dict[str, Any]] = field(default_factory=list)
    classes: list[dict[str, Any]] = field(default_factory=list)
    outside_events: list[dict[str, Any]] = field(default_factory=list)
    plugin_pods: list[dict[str, Any]] = field(default_factory=list)
    plugin_sets: list[dict[str, Any]] = field(default_factory=list)
    ray_nodes: list[dict[str, Any]] = field(default_factory=list)
    applications: dict[str, Any] = field(default_factory=dict)
    log: str = ""  # of the replica
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.service = {
            "kind": "RayService",
            "metadata": {"name": "chatbot", "creationTimestamp": stamp(0)},
            "spec": {},
        }
        self.pools = [
            pool("trainium-trn1", {"neuron.amazonaws.com/neuron-device": "true"}),
            pool("x86-cpu-karpenter", {"workload": "rayhead"}),
        ]
        self.classes = [node_class("trainium-trn1"), node_class("x86-cpu-karpenter")]
        self.plugin_sets = [plugin_set()]
        if self.has("raycluster"):
            self.clusters = [ray_cluster()]
            self.service["status"] = {
                "conditions": [condition("Ready", status="False", reason="Initializing")],
                "pendingServiceStatus": {"rayClusterName": CLUSTER},
            }
        if self.has("pod-created"):
            self._head()
            self._worker()
        self._machine()
        self._serve()

    def has(self, stage: str) -> bool:
        return not self.until or ORDER.index(stage) < ORDER.index(self.until)

    def at_s(self, stage: str) -> float:
        return float(ORDER.index(stage))

    def _head(self) -> None:
        self.pods.append(pod(HEAD, "head", HEAD_NODE, address="10.88.8.2", selector={"workload": "rayhead"}))
        self.claims.append(claim(HEAD_CLAIM, "x86-cpu-karpenter", "c5.large", {"workload": "rayhead"}, HEAD_NODE))
        self.nodes.append(node(HEAD_NODE))

    def _worker(self) -> None:
        has = self.has
        made = pod(
            WORKER, "worker", NODE if has("pod-scheduled") else "", address="10.88.8.3" if has("container-started") else "",
            selector={"neuron.amazonaws.com/neuron-device": "true"}, at_s=self.at_s("pod-created"),
            scheduled_s=self.at_s("pod-scheduled"), started_s=self.at_s("container-started") if has("container-started") else None,
        )  # fmt: skip
        self.pods.append(made)
        if has("nodeclaim-created"):
            text = f"Pod should schedule on: nodeclaim/{CLAIM}"
            self.events.append(event("Pod", WORKER, "Nominated", text, at_s=2, by="karpenter", warning=False))
        if has("image-pulled"):
            self.events.append(
                event("Pod", WORKER, "Pulled", "Successfully pulled image", at_s=7, by="kubelet", warning=False)
            )

    def _machine(self) -> None:
        if not self.has("nodeclaim-created"):
            return
        reached = [
            name
            for stage, name in (
                ("node-launched", "Launched"),
                ("node-registered", "Registered"),
                ("pod-scheduled", "Initialized"),
            )
            if self.has(stage)
        ]
        times = {"Launched": 3.0, "Registered": 4.0, "Initialized": 6.0}
        made = claim(
            CLAIM,
            "trainium-trn1",
            "trn1.2xlarge",
            {"neuron.amazonaws.com/neuron-device": "true"},
            NODE,
            at_s=2,
            reached={n: times[n] for n in reached},
        )
        self.claims.append(made)
        if self.has("node-registered"):
            self.nodes.append(node(NODE, devices=self.has("device-advertised"), at_s=4))

    def _serve(self) -> None:
        if self.has("ray-node-joined"):
            self.ray_nodes = [
                {"node_ip": ip, "state": "ALIVE", "start_time_ms": (START_UNIX_S + at_s) * 1e3}
                for ip, at_s in (("10.88.8.2", 3.25), ("10.88.8.3", 9.25))
            ]
        if not self.has("serve"):
            return
        started = self.has("replica-started")
        replica = {
            "replica_id": "one", "state": "RUNNING" if self.has("replica-running") else "STARTING", "pid": 77 if started else None,
            "node_ip": "10.88.8.3" if started else None, "actor_id": "a1" if started else None,
        }  # fmt: skip
        if self.has("replica-running"):
            self.log = log_line(11.5, "start-up stage passed", stage="runner", took_s=0.4)
        config = {"min_replicas": 1, "max_replicas": 3, "target_ongoing_requests": 6}
        deployment = {
            "name": "Chat", "status": "UPDATING", "message": "", "target_num_replicas": 1,
            "deployment_config": {"autoscaling_config": config}, "replicas": [replica],
        }  # fmt: skip
        self.applications = {"chatbot": {"status": "DEPLOYING", "message": "", "deployments": {"Chat": deployment}}}

    def __call__(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """A GET as the API server answers it."""
        self.asked.append(path)
        parts = urlsplit(path)
        if ":dashboard/proxy" in parts.path:
            return self._ray(parts.path.partition("/proxy")[2], headers)
        if parts.path.endswith("/log"):
            return 200, b""
        found = self._answer(parts.path, parse_qs(parts.query))
        if found is None:
            return 404, json.dumps({"kind": "Status", "message": f"{parts.path} not found"}).encode()
        return 200, json.dumps(found).encode()

    def _answer(self, path: str, query: Mapping[str, list[str]]) -> Any:
        collections = {
            "/rayclusters": self.clusters, "/namespaces/chatbot/pods": self.pods, "/namespaces/chatbot/events": self.events,
            "/namespaces/default/events": self.outside_events, "/namespaces/kube-system/pods": self.plugin_pods,
            "/daemonsets": self.plugin_sets, "/nodeclaims": self.claims, "/nodepools": self.pools,
            "/ec2nodeclasses": self.classes, "/api/v1/nodes": self.nodes,
        }  # fmt: skip
        if path == "/api/v1/pods":
            wanted = query["fieldSelector"][0].removeprefix("spec.nodeName=")
            return {"items": [p for p in (*self.pods, *self.plugin_pods) if p["spec"].get("nodeName") == wanted]}
        if path == "/apis/karpenter.sh/v1":
            return {"resources": []}
        for end, items in collections.items():
            if path.endswith(end):
                return {"items": items}
        if "/rayservices/" in path:
            return self.service
        if "/rayclusters/" in path:
            return self.clusters[0] if self.clusters else None
        if "/secrets/" in path:
            return {"data": {"auth_token": base64.b64encode(b"secret").decode()}}
        return None

    def _ray(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        if headers.get("x-ray-authorization") != "Bearer secret":
            return 401, b"no token"
        if path.startswith("/api/v0/nodes"):
            return 200, json.dumps({"data": {"result": {"result": self.ray_nodes}}}).encode()
        if path.startswith("/api/v0/logs"):
            return 200, self.log.encode()
        return 200, json.dumps({"applications": self.applications}).encode()


def log_line(at_s: float, message: str, **fields: Any) -> str:
    time = datetime.fromtimestamp(START_UNIX_S + at_s, timezone.utc).isoformat(timespec="milliseconds")
    return json.dumps({"time": time, "level": "INFO", "message": message, **fields}) + "\n"


def ray_cluster(*, replicas: int = 1, **spec: Any) -> dict[str, Any]:
    selector = {"neuron.amazonaws.com/neuron-device": "true"}
    template = {
        "spec": {
            "nodeSelector": selector,
            "containers": [{"name": "ray-worker", "resources": {"limits": {DEVICE: "2"}}}],
        }
    }
    group = {"groupName": "trn1", "replicas": replicas, "minReplicas": 1, "maxReplicas": 3, "template": template}
    return {
        "kind": "RayCluster",
        "metadata": {"name": CLUSTER, "creationTimestamp": stamp(0), "ownerReferences": [{"kind": "RayService", "name": "chatbot"}]},
        "spec": {"enableInTreeAutoscaling": True, "authOptions": {"mode": "token"}, "workerGroupSpecs": [group], **spec},
        "status": {"head": {"serviceName": f"{CLUSTER}-head-svc"}},
    }  # fmt: skip


def pod(
    name: str, role: str, node_name: str, *, address: str, selector: dict[str, str], at_s: float = 0, scheduled_s: float = 1,
    started_s: float | None = 2,
) -> dict[str, Any]:  # fmt: skip
    container = "ray-head" if role == "head" else "ray-worker"
    resources = {} if role == "head" else {"limits": {DEVICE: "2", "cpu": "6"}}
    state = (
        {"running": {"startedAt": stamp(started_s)}}
        if started_s is not None
        else {"waiting": {"reason": "ContainerCreating"}}
    )
    conditions = (
        [condition("PodScheduled", at_s=scheduled_s)]
        if node_name
        else [condition("PodScheduled", status="False", reason="Unschedulable")]
    )
    if role == "head":
        conditions.append(condition("Ready", at_s=3))
    return {
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "chatbot", "creationTimestamp": stamp(at_s),
            "labels": {"ray.io/cluster": CLUSTER, "ray.io/node-type": role},
        },
        "spec": {"nodeName": node_name, "nodeSelector": selector, "containers": [{"name": container, "resources": resources}]},
        "status": {
            "phase": "Running" if started_s is not None else "Pending", "podIP": address, "conditions": conditions,
            "containerStatuses": [{"name": container, "image": "chatbot", "restartCount": 0, "state": state}] if node_name else [],
        },
    }  # fmt: skip


def claim(
    name: str, pool_name: str, kind: str, labels: dict[str, str], node_name: str, *, at_s: float = 0,
    reached: Mapping[str, float] | None = None,
) -> dict[str, Any]:  # fmt: skip
    times = {"Launched": 0.0, "Registered": 1.0, "Initialized": 1.0} if reached is None else dict(reached)
    conditions = [
        condition(each, at_s=times[each]) if each in times else condition(each, status="Unknown")
        for each in ("Launched", "Registered", "Initialized")
    ]
    return {
        "kind": "NodeClaim",
        "metadata": {"name": name, "creationTimestamp": stamp(at_s), "labels": {**labels, "karpenter.sh/nodepool": pool_name, "node.kubernetes.io/instance-type": kind}},
        "status": {"nodeName": node_name if "Registered" in times else "", "conditions": conditions},
    }  # fmt: skip


def node(
    name: str, *, devices: bool = False, at_s: float = 0, taints: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    offered = {"cpu": "8", **({DEVICE: "2"} if devices else {})}
    return {
        "kind": "Node", "metadata": {"name": name, "labels": {"karpenter.sh/nodepool": "trainium-trn1"}},
        "spec": {"taints": taints or []}, "status": {"allocatable": offered, "conditions": [condition("Ready", at_s=at_s)]},
    }  # fmt: skip


def pool(name: str, labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": labels}, "spec": {"nodeClassRef": {"name": name}}}
    return {"kind": "NodePool", "metadata": {"name": name, "creationTimestamp": stamp(0)}, "spec": {"template": template, **spec}, "status": {"conditions": [condition("Ready")]}}  # fmt: skip


def node_class(name: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "EC2NodeClass",
        "metadata": {"name": name},
        "status": {"conditions": list(conditions) or [condition("Ready")]},
    }


def plugin_set(*tolerations: dict[str, str]) -> dict[str, Any]:
    return {
        "kind": "DaemonSet",
        "metadata": {"name": "neuron-device-plugin"},
        "spec": {"template": {"spec": {"tolerations": list(tolerations)}}},
    }
