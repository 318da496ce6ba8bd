"""Load balancers in front of the chatbot: who may come in, and when a connection is cut."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.lint.finding import Hit
from cluster.lint.registry import rule
from cluster.lint.rules.drain import longest_answer_s
from cluster.lint.rules.front_door import backends, has_auth, is_public, ray_services
from cluster.lint.stack import Stack
from cluster.objects import Manifest, dig, text

HOP = "front door"


@rule(
    HOP,
    "warning",
    fix="Make it internal, or put authentication in front (API keys, OIDC, a firewall's list).",
    evidence="an open model is spent by whoever finds it",
)
def public_lb_without_auth(stack: Stack) -> Iterator[Hit]:
    """A load balancer faces the internet and nothing authenticates."""
    keys = any("API_KEY" in name for pod in stack.pods for c in pod.containers for name in c.env)
    for manifest in stack.of("Service", "Ingress"):
        bounded = manifest.spec.get("loadBalancerSourceRanges")
        if is_public(manifest) and not has_auth(manifest) and not keys and not bounded:
            message = "internet-facing, and neither an auth annotation nor API keys"
            yield Hit(manifest, "metadata.annotations", message)


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
