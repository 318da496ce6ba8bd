"""What stands beside a RayCluster and may shut it off: accounts, priorities, network policies, a quota."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.lint.finding import Hit
from cluster.lint.ray import Cluster
from cluster.lint.registry import rule
from cluster.lint.stack import Stack
from cluster.objects import dig, mapping, sequence, string_map, text
from cluster.quantity import parse

HOP = "ray cluster"


@rule(
    HOP,
    "error",
    fix="Render that ServiceAccount, or leave serviceAccountName to KubeRay.",
    evidence="KubeRay v1.6.1 raycluster_controller.go binds the autoscaler's Role to the account that the head names, and does not make it",
)
def head_account_not_rendered(stack: Stack) -> Iterator[Hit]:
    """The head names a ServiceAccount that is not among the manifests."""
    accounts = stack.of("ServiceAccount")
    for cluster in stack.clusters:
        name = text(cluster.head.pod.spec.get("serviceAccountName"))
        namespace = cluster.manifest.namespace
        if (
            accounts
            and name not in ("", "default")
            and not any(a.name == name and a.namespace == namespace for a in accounts)
        ):
            yield Hit(
                cluster.manifest,
                f"{cluster.head.pod.spec_path}.serviceAccountName",
                f"no ServiceAccount {namespace}/{name} is rendered",
            )


@rule(
    HOP,
    "warning",
    fix="Render that ServiceAccount beside the namespace, or make it before the first deploy.",
    evidence="the API server refuses a pod whose ServiceAccount does not exist, and KubeRay makes none for workers",
)
def worker_account_not_rendered(stack: Stack) -> Iterator[Hit]:
    """The namespace is made here, and the ServiceAccount that a worker group names is not: no worker pod is created."""
    made = {namespace.name for namespace in stack.of("Namespace")}
    accounts = {(account.namespace, account.name) for account in stack.of("ServiceAccount")}
    for cluster in stack.clusters:
        namespace = cluster.manifest.namespace
        for group in cluster.workers if namespace in made else []:
            name = text(group.pod.spec.get("serviceAccountName"), "default")
            if name != "default" and (namespace, name) not in accounts:
                path = f"{group.pod.spec_path}.serviceAccountName"
                yield Hit(cluster.manifest, path, f"no ServiceAccount {namespace}/{name} is rendered")


@rule(
    HOP,
    "warning",
    fix="Render the PriorityClass, or make it before the first deploy.",
    evidence="the API server's Priority admission refuses a pod whose class does not exist; KubeRay tries again for ever",
)
def priority_class_not_rendered(stack: Stack) -> Iterator[Hit]:
    """A Ray pod names a PriorityClass that is not among the manifests: without it no pod is created."""
    classes = {manifest.name for manifest in stack.of("PriorityClass")}
    for pod in stack.ray_pods:
        name = text(pod.spec.get("priorityClassName"))
        if name and not name.startswith("system-") and name not in classes:
            yield Hit(pod.manifest, f"{pod.spec_path}.priorityClassName", f"no PriorityClass {name} is rendered")


@rule(
    HOP,
    "error",
    fix="Let Ingress reach 8265 and the serve port of the head from pods labelled app.kubernetes.io/name: kuberay-operator.",
    evidence="KubeRay v1.6.1 sends the Serve config to the head's dashboard",
)
def policy_blocks_operator(stack: Stack) -> Iterator[Hit]:
    """NetworkPolicies close the head, and none lets the operator in: the Serve config never arrives."""
    for cluster in stack.clusters:
        if not cluster.is_service:
            continue
        labels = {**cluster.head.pod.labels, "ray.io/node-type": "head", "ray.io/is-ray-node": "yes"}
        about = [
            p
            for p in stack.of("NetworkPolicy")
            if p.namespace == cluster.manifest.namespace and _selects(p.spec, labels)
        ]
        closing = [p for p in about if "Ingress" in sequence(p.spec.get("policyTypes")) or "ingress" in p.spec]
        if closing and not any(_opens(p.spec, 8265) for p in closing):
            yield Hit(
                closing[0],
                "spec.ingress",
                f"it closes the head of {cluster.manifest.name}, and no policy opens 8265 to another pod",
            )


def _selects(spec: object, labels: dict[str, str]) -> bool:
    wanted = string_map(dig(spec, "podSelector", "matchLabels"))
    return all(labels.get(key) == value for key, value in wanted.items())


def _opens(spec: object, port: int) -> bool:
    """Whether a rule lets somebody besides pods of its own namespace reach `port`."""
    for entry in sequence(dig(spec, "ingress")):
        ports = sequence(dig(entry, "ports"))
        reached = not ports or any(dig(p, "port") in (port, str(port), "dashboard") for p in ports)
        peers = sequence(dig(entry, "from"))
        if reached and (not peers or any(dig(p, "namespaceSelector") is not None or dig(p, "ipBlock") for p in peers)):
            return True
    return False


@rule(
    HOP,
    "warning",
    fix="Let Egress reach port 53, and the API server where the autoscaler runs.",
    evidence="workers find the head by its Service's name; the autoscaler patches the RayCluster",
)
def policy_blocks_egress(stack: Stack) -> Iterator[Hit]:
    """A policy closes Egress of Ray's pods without leaving DNS open."""
    for cluster in stack.clusters:
        labels = {**cluster.head.pod.labels, "ray.io/node-type": "head", "ray.io/is-ray-node": "yes"}
        closing = [
            p for p in stack.of("NetworkPolicy")
            if p.namespace == cluster.manifest.namespace and _selects(p.spec, labels)
            and ("Egress" in sequence(p.spec.get("policyTypes")) or "egress" in p.spec)
        ]  # fmt: skip
        if closing and not any(_leaves(p.spec, 53) for p in closing):
            yield Hit(closing[0], "spec.egress", "no rule leaves port 53 open")


def _leaves(spec: object, port: int) -> bool:
    for entry in sequence(dig(spec, "egress")):
        ports = sequence(dig(entry, "ports"))
        if not ports or any(dig(p, "port") in (port, str(port), "dns") for p in ports):
            return True
    return False


@rule(
    HOP,
    "error",
    fix="Raise the quota to the sum, or lower maxReplicas.",
    evidence="a quota counts what KubeRay adds (autoscaler 500m and 512Mi, or as written); an upgrade runs two clusters",
)
def quota_too_small(stack: Stack) -> Iterator[Hit]:
    """The namespace's quota ends before the workers' maximum: the last pods are refused at creation, with no event on a pod."""
    for quota in stack.of("ResourceQuota"):
        for name, hard in mapping(quota.spec.get("hard")).items():
            limit, resource = parse(hard), name.removeprefix("requests.")
            about = [c for c in stack.clusters if c.manifest.namespace == quota.namespace]
            if limit is None or not name.startswith("requests.") or not about:
                continue
            most = [_most(c, resource) for c in about]
            factor = max(c.surge for c in about)
            if sum(most) * factor > limit and all(g.maximum < 10_000 for c in about for g in c.workers):
                shown = f"{float(sum(most)):g} × {factor} clusters = {float(sum(most) * factor):g} > {float(limit):g}"
                yield Hit(quota, f"spec.hard.{name}", f"{shown} (memory in bytes)" if resource == "memory" else shown)


def _most(cluster: Cluster, resource: str) -> float:
    workers = sum(float(g.pod.requests.get(resource, 0)) * g.maximum * g.hosts for g in cluster.workers)
    return float(cluster.head.pod.requests.get(resource, 0)) + workers
