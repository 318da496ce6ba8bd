"""Probes: when a pod counts as ready, and when it is killed."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.lint.finding import Hit, Severity
from cluster.lint.registry import rule
from cluster.lint.serve import number
from cluster.lint.stack import Stack
from cluster.objects import dig, mapping, mappings, sequence, string_map, text

HOP = "readiness"
KUBERAY = "KubeRay v1.6.1 pod.go: a probe that is set is kept as it is"
# GCS, dashboard, its agent, client, Serve, metrics: open whether or not they are listed.
_RAY_PORTS = frozenset({"6379", "8265", "52365", "10001", "8000", "8080"})
MODEL_LOAD_S = 300.0  # of a 7B model with its graphs at hand


@rule(
    HOP,
    "error",
    fix="Remove the probe, or ask http://localhost:8000/-/healthz in it as well.",
    evidence=f"{KUBERAY}; the generated one asks Serve's proxy",
)
def user_probe_drops_serve_check(stack: Stack) -> Iterator[Hit]:
    """A readiness probe on a RayService worker replaces KubeRay's: the worker gets traffic before it has a replica."""
    for cluster in stack.clusters:
        for group in cluster.workers if cluster.is_service else []:
            probe = mapping(group.container.value.get("readinessProbe")) if group.container else {}
            written = " ".join(text(part) for part in sequence(dig(probe, "exec", "command"))) + text(
                dig(probe, "httpGet", "path")
            )
            if probe and group.container and "/-/healthz" not in written:
                yield Hit(
                    cluster.manifest,
                    f"{group.container.path}.readinessProbe",
                    f"{group.name}: `{written[:80]}` does not ask /-/healthz",
                )


@rule(
    HOP,
    "error",
    fix="Add a startupProbe of many minutes, or leave liveness to KubeRay.",
    evidence="initialDelaySeconds + periodSeconds × failureThreshold",
)
def liveness_kills_load(stack: Stack) -> Iterator[Hit]:
    """A liveness probe that asks for the model gives up before a model is loaded: the container is killed for ever."""
    for pod in stack.ray_pods:
        for container in pod.containers:
            probe = mapping(container.value.get("livenessProbe"))
            path = text(dig(probe, "httpGet", "path"))
            if not probe or container.value.get("startupProbe") or "/api/healthz" in path or not path:
                continue
            delay, period, failures = (
                number(probe.get(k, d)) or 0
                for k, d in (("initialDelaySeconds", 0), ("periodSeconds", 10), ("failureThreshold", 3))
            )
            if delay + period * failures < MODEL_LOAD_S:
                total = f"{delay:g} + {period:g} × {failures:g} = {delay + period * failures:g} s < {MODEL_LOAD_S:g} s"
                yield Hit(pod.manifest, f"{container.path}.livenessProbe", f"{path}: {total} of loading")


@rule(
    HOP,
    "warning",
    fix="timeoutSeconds of 5 or more, or an HTTP probe.",
    evidence="starting Python takes seconds on a busy node; the default is 1 s",
)
def probe_timeout_short(stack: Stack) -> Iterator[Hit]:
    """A probe starts `ray` or Python and has less than five seconds: on a busy node it fails in a row."""
    for pod in stack.ray_pods:
        for container in pod.containers:
            for name in ("livenessProbe", "readinessProbe", "startupProbe"):
                probe = mapping(container.value.get(name))
                command = " ".join(text(part) for part in sequence(dig(probe, "exec", "command")))
                seconds = number(probe.get("timeoutSeconds", 1)) or 0
                if seconds < 5 and any(part in command for part in ("ray ", "python")):
                    yield Hit(pod.manifest, f"{container.path}.{name}", f"`{command[:60]}` within {seconds:g} s")


@rule(
    HOP,
    "warning",
    fix="Probe a port that the container lists, by its name.",
    evidence="a port that nobody listens on never answers; a name that no port has is accepted and never resolves",
)
def probe_port_not_listed(stack: Stack) -> Iterator[Hit]:
    """A probe asks a port that the container does not list and that is none of Ray's: the pod never becomes ready."""
    for pod in stack.ray_pods:
        for container in pod.containers:
            ports = mappings(container.value.get("ports"))
            known = {text(port.get(key)) for port in ports for key in ("name", "containerPort")} | _RAY_PORTS
            for name in ("livenessProbe", "readinessProbe", "startupProbe"):
                for kind in ("httpGet", "tcpSocket", "grpc"):
                    port = text(dig(container.value, name, kind, "port"))
                    if ports and port and port not in known:
                        listed = ", ".join(text(item.get("containerPort")) for item in ports)
                        yield Hit(pod.manifest, f"{container.path}.{name}", f"port {port} is none of {listed}")


@rule(HOP, "warning", fix="Add a readinessProbe.", evidence="a pod without one is ready as soon as its process runs")
def readiness_missing(stack: Stack) -> Iterator[Hit]:
    """A load balancer sends to pods that have no readiness probe."""
    for service in stack.of("Service"):
        if text(service.spec.get("type")) != "LoadBalancer":
            continue
        selector = string_map(service.spec.get("selector"))
        for pod in stack.plain_pods:
            chosen = selector and all(pod.labels.get(key) == value for key, value in selector.items())
            if (
                chosen
                and pod.manifest.namespace == service.namespace
                and not any(c.value.get("readinessProbe") for c in pod.containers)
            ):
                yield Hit(
                    pod.manifest,
                    f"{pod.spec_path}.containers",
                    f"Service {service.name} sends to it from its first second",
                )


@rule(
    HOP,
    "warning",
    fix="List dashboard and serve by name, or list no ports.",
    evidence="KubeRay v1.6.1 service.go: default ports are added only where none is listed",
)
def serve_port_missing(stack: Stack) -> Iterator[Hit]:
    """The head lists ports, and none is called serve (or dashboard): the Services lack it, and nothing gets through."""
    for cluster in stack.clusters:
        container = cluster.head.container
        names = {text(port.get("name")) for port in mappings(container.value.get("ports"))} if container else set()
        if not cluster.is_service or not names or container is None:
            continue
        lacking = [
            name for name in ("dashboard", "serve") if not any(n == name or n.startswith(f"{name}-") for n in names)
        ]
        if lacking:
            severity: Severity = "error" if "serve" in lacking else "warning"
            message = f"ports {', '.join(sorted(names))}: no {' and no '.join(lacking)}"
            yield Hit(
                cluster.manifest,
                f"{container.path}.ports",
                message,
                severity=severity,
            )
