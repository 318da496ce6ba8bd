"""Load balancers in front of the chatbot: who may come in, and when a connection is cut."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.lint.finding import Hit
from cluster.lint.ray import Cluster
from cluster.lint.registry import rule
from cluster.lint.rules.drain import longest_answer_s
from cluster.lint.rules.front_door import backends, chosen, has_auth, is_public, ray_services
from cluster.lint.stack import Stack
from cluster.objects import Manifest, dig, sequence, string_map, text

HOP = "front door"
OPENED = ("LoadBalancer", "NodePort")


@rule(
    HOP,
    "warning",
    fix="Make it internal, or put authentication in front (API keys, OIDC, a firewall's list).",
    evidence="an open model is spent by whoever finds it",
)
def public_lb_without_auth(stack: Stack) -> Iterator[Hit]:
    """A load balancer faces the internet and nothing authenticates."""
    keys = any("API_KEY" in name for pod in stack.pods for c in pod.containers for name in c.env)
    keys = keys or any(_asks_for_keys(stack, cluster) for cluster in ray_services(stack))
    for manifest in stack.of("Service", "Ingress"):
        bounded = manifest.spec.get("loadBalancerSourceRanges")
        if is_public(manifest) and not has_auth(manifest) and not keys and not bounded:
            message = "internet-facing, and neither an auth annotation nor API keys"
            yield Hit(manifest, "metadata.annotations", message)


@rule(
    HOP,
    "error",
    fix="Add chat/components/api-keys, or let what stands in front authenticate.",
    evidence="network policies see an Ingress or a load balancer, not who is behind it; api.trusted_network speaks of the cluster's pods",
)
def open_chatbot_behind_load_balancer(stack: Stack) -> Iterator[Hit]:
    """Somebody outside the cluster is led to this chatbot, and neither API keys nor what stands in front asks who it is."""
    for cluster in ray_services(stack):
        if _is_chatbot(stack, cluster) and not _asks_for_keys(stack, cluster):
            for manifest, path in _ways_in(stack, cluster):
                if not has_auth(manifest):
                    yield Hit(
                        manifest,
                        path,
                        f"it leads to RayService {cluster.manifest.name}, which has no api.api_keys_file",
                    )


@rule(
    HOP,
    "warning",
    fix="Add chat/components/api-keys, or a NetworkPolicy that names who may reach the pods.",
    evidence="pods of EKS have addresses of the VPC; policies hold where the VPC CNI runs with enableNetworkPolicy",
)
def open_chatbot_without_policy(stack: Stack) -> Iterator[Hit]:
    """The chatbot asks for no API keys, and no network policy says who may reach it."""
    for cluster in ray_services(stack):
        if _is_chatbot(stack, cluster) and not _asks_for_keys(stack, cluster) and not _closed(stack, cluster):
            yield Hit(cluster.manifest, "spec", "no api.api_keys_file, and whoever has a route to its pods may ask")


def _closed(stack: Stack, cluster: Cluster) -> bool:
    """Policies close the workers' pods, and each of their rules names who may come in."""
    labels = [{**group.pod.labels, "ray.io/node-type": "worker"} for group in cluster.groups if not group.head]
    about = [
        policy
        for policy in stack.of("NetworkPolicy")
        if policy.namespace == cluster.manifest.namespace and all(_selected(policy, pod) for pod in labels)
    ]
    closing = [p for p in about if "Ingress" in sequence(p.spec.get("policyTypes")) or "ingress" in p.spec]
    return bool(closing) and all(
        sequence(dig(entry, "from")) for policy in closing for entry in sequence(policy.spec.get("ingress"))
    )


def _selected(policy: Manifest, labels: dict[str, str]) -> bool:
    wanted = string_map(dig(policy.spec, "podSelector", "matchLabels"))
    return all(labels.get(key) == value for key, value in wanted.items())


def _is_chatbot(stack: Stack, cluster: Cluster) -> bool:
    config = stack.config_of(cluster)
    return config is not None and any(
        text(app.get("import_path")).startswith("serving.") for _, app in config.applications
    )


def _asks_for_keys(stack: Stack, cluster: Cluster) -> bool:
    """The settings are read where the application is built, on the head or on a worker: both have to say it."""
    config = stack.config_of(cluster)
    args = [dig(app, "args", "api", "api_keys_file") for _, app in config.applications] if config else []
    containers = [group.container for group in cluster.groups]
    return any(args) or all(c is not None and "CHATBOT_API__API_KEYS_FILE" in c.env for c in containers)


def _ways_in(stack: Stack, cluster: Cluster) -> Iterator[tuple[Manifest, str]]:
    """(manifest, path) of what leads from outside to the Service that KubeRay makes."""
    service, own = f"{cluster.manifest.name}-serve-svc", "spec.serveService.spec.type"
    for ingress in stack.of("Ingress"):
        for path, backend in backends(ingress):
            if ingress.namespace == cluster.manifest.namespace and text(dig(backend, "name")) == service:
                yield ingress, path
    if text(dig(cluster.manifest.value, *own.split("."))) in OPENED:
        yield cluster.manifest, own
    for manifest in stack.of("Service"):
        selector = string_map(manifest.spec.get("selector"))
        ours = manifest.namespace == cluster.manifest.namespace and selector and chosen(cluster, selector)
        if ours and text(manifest.spec.get("type")) in OPENED:
            yield manifest, "spec.type"


@rule(
    HOP,
    "warning",
    fix="Set idle_timeout.timeout_seconds (ALB), the TCP idle time-out (NLB) or proxy-read-timeout above the longest wait.",
    evidence="ALB closes a silent connection after 60 s, NLB after 350 s, nginx after 60 s",
)
def lb_idle_short(stack: Stack) -> Iterator[Hit]:
    """The load balancer closes a connection that is silent for less than a request may wait for its first token."""
    waits = [w for c in ray_services(stack) if (w := longest_answer_s(stack.config_of(c))) is not None]
    for manifest in stack.of("Ingress"):
        idle = _idle_s(manifest)
        if waits and idle is not None and idle < 60.0 + 10.0:
            yield Hit(manifest, "metadata.annotations", f"idle after {idle:g} s < 70 s of queue and first token")


def _idle_s(manifest: Manifest) -> float | None:
    notes = manifest.annotations
    attributes = notes.get("alb.ingress.kubernetes.io/load-balancer-attributes", "")
    match = re.search(r"idle_timeout\.timeout_seconds=(\d{1,6})", attributes)
    if match:
        return float(match[1])
    nginx = notes.get("nginx.ingress.kubernetes.io/proxy-read-timeout", "")
    if nginx.isdigit() and len(nginx) < 7:
        return float(nginx)
    known = text(manifest.spec.get("ingressClassName")) or notes.get("kubernetes.io/ingress.class", "")
    return 60.0 if known in ("alb", "nginx") else None


@rule(
    HOP,
    "warning",
    fix="Set deregistration_delay.timeout_seconds above the longest answer.",
    evidence="a target that leaves is cut off after the deregistration delay, 300 s by default",
)
def lb_deregistration_short(stack: Stack) -> Iterator[Hit]:
    """The load balancer drops a leaving pod before its longest answer ends."""
    longest = max(
        (w for c in ray_services(stack) if (w := longest_answer_s(stack.config_of(c))) is not None), default=None
    )
    for manifest in stack.of("Ingress"):
        attributes = manifest.annotations.get("alb.ingress.kubernetes.io/target-group-attributes", "")
        match = re.search(r"deregistration_delay\.timeout_seconds=(\d{1,6})", attributes)
        if longest is not None and match and float(match[1]) < longest:
            yield Hit(
                manifest, "metadata.annotations", f"deregistration delay {match[1]} s < longest answer {longest:g} s"
            )


@rule(
    HOP,
    "warning",
    fix="healthcheck-path /-/healthz, healthcheck-port 8000.",
    evidence="Serve's proxy answers /-/healthz; `/` may be an answer of the application",
)
def lb_health_path(stack: Stack) -> Iterator[Hit]:
    """The load balancer asks another path than the one by which a Serve proxy says that it is ready."""
    names = {f"{c.manifest.name}-serve-svc" for c in ray_services(stack)}
    for ingress in stack.of("Ingress"):
        serves = any(text(dig(backend, "name")) in names for _, backend in backends(ingress))
        alb = any(key.startswith("alb.ingress") for key in ingress.annotations)
        path = ingress.annotations.get("alb.ingress.kubernetes.io/healthcheck-path", "/")
        if serves and alb and path != "/-/healthz":
            yield Hit(ingress, "metadata.annotations", f"health check path {path}")
