"""Services, Ingresses and load balancers in front of the chatbot."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.lint.finding import Hit, Severity
from cluster.lint.ray import Cluster
from cluster.lint.registry import rule
from cluster.lint.serve import number
from cluster.lint.stack import Stack
from cluster.objects import Manifest, dig, mapping, mappings, string_map, text

HOP = "front door"
DANGEROUS = {
    8265: "the dashboard, which runs code",
    10001: "Ray client, which runs code",
    6379: "GCS",
    52365: "the agent",
}
DANGEROUS_NAMES = {"dashboard": 8265, "client": 10001, "gcs-server": 6379, "gcs": 6379}
AUTH = (
    "auth-type",
    "auth-url",
    "auth-secret",
    "auth-idp",
    "mutual-authentication",
    "oauth2",
    "authorization",
    "wafv2-acl-arn",
    "inbound-cidrs",
)
KUBERAY_LABELS = {"ray.io/is-ray-node": "yes", "app.kubernetes.io/created-by": "kuberay-operator"}
URL = re.compile(r"https?://([a-z0-9][a-z0-9-]*)(?:\.([a-z0-9-]+))?(?:\.svc[\w.]*)?(?::(\d+))?(?:/|$)")


def is_public(manifest: Manifest) -> bool:
    """Whether its load balancer faces the internet."""
    notes = manifest.annotations
    return any(
        notes.get(key) == "internet-facing"
        for key in ("alb.ingress.kubernetes.io/scheme", "service.beta.kubernetes.io/aws-load-balancer-scheme")
    )


def ray_services(stack: Stack) -> list[Cluster]:
    """The clusters of RayServices."""
    return [cluster for cluster in stack.clusters if cluster.is_service]


@rule(
    HOP,
    "error",
    fix="Reach it by kubectl port-forward, or by an internal Ingress that authenticates.",
    evidence="CVE-2023-48022: Ray's dashboard and client run any code they are sent",
)
def dashboard_exposed(stack: Stack) -> Iterator[Hit]:
    """A port of Ray that runs code for whoever connects is reachable from outside the cluster."""
    for service in stack.of("Service"):
        if text(service.spec.get("type")) in ("LoadBalancer", "NodePort"):
            yield from _exposed_by_service(service)
    guarded = any(text(dig(cluster.spec, "authOptions", "mode")) == "token" for cluster in stack.clusters)
    for ingress in stack.of("Ingress"):
        yield from _exposed_by_ingress(ingress, guarded=guarded)
    for cluster in stack.clusters:
        if cluster.head.value.get("enableIngress") is True:
            yield Hit(cluster.manifest, f"{cluster.head.path}.enableIngress", "an Ingress to the dashboard")
        if text(cluster.head.value.get("serviceType")) in ("LoadBalancer", "NodePort"):
            path = f"{cluster.head.path}.serviceType"
            yield Hit(cluster.manifest, path, "the head's Service opens every port of the head", severity="warning")


def _exposed_by_service(service: Manifest) -> Iterator[Hit]:
    for index, port in enumerate(mappings(service.spec.get("ports"))):
        found = _dangerous(port.get("targetPort", port.get("port")))
        if found:
            yield Hit(service, f"spec.ports[{index}]", f"{text(service.spec['type'])} to {found}, {DANGEROUS[found]}")


def _exposed_by_ingress(ingress: Manifest, *, guarded: bool) -> Iterator[Hit]:
    internal = ingress.annotations.get("alb.ingress.kubernetes.io/scheme") == "internal"
    held = guarded or internal or (has_auth(ingress) and not is_public(ingress))
    severity: Severity = "warning" if held else "error"
    for path, backend in backends(ingress):
        found = _dangerous(dig(backend, "port", "number") or dig(backend, "port", "name"))
        if found:
            yield Hit(ingress, path, f"a route to {found}, {DANGEROUS[found]}", severity=severity)


def _dangerous(port: object) -> int | None:
    value = DANGEROUS_NAMES.get(text(port)) or number(port)
    return int(value) if value in DANGEROUS else None


def has_auth(manifest: Manifest) -> bool:
    """Whether an annotation names some authentication or a list of addresses."""
    return any(part in key for key in manifest.annotations for part in AUTH)


def backends(ingress: Manifest) -> Iterator[tuple[str, object]]:
    """(path, service) of each route of an Ingress."""
    yield "spec.defaultBackend", dig(ingress.spec, "defaultBackend", "service")
    for index, entry in enumerate(mappings(ingress.spec.get("rules"))):
        for number_of_path, path in enumerate(mappings(dig(entry, "http", "paths"))):
            yield f"spec.rules[{index}].http.paths[{number_of_path}]", dig(path, "backend", "service")


@rule(
    HOP,
    "warning",
    fix="Send to the Service NAME-serve-svc, which KubeRay keeps on the active cluster.",
    evidence="KubeRay v1.6.1 service.go: only its own Service switches clusters in an upgrade",
)
def service_selects_across_clusters(stack: Stack) -> Iterator[Hit]:
    """A Service selects Ray's pods by hand: during an upgrade it sends to both clusters, ready or not."""
    for service in stack.of("Service"):
        selector = string_map(service.spec.get("selector"))
        exact = {"ray.io/cluster", "ray.io/serve"} <= set(selector)
        for cluster in ray_services(stack):
            if selector and not exact and service.namespace == cluster.manifest.namespace and chosen(cluster, selector):
                yield Hit(service, "spec.selector", f"it selects pods of every cluster of {cluster.manifest.name}")


def chosen(cluster: Cluster, selector: dict[str, str]) -> bool:
    """Whether `selector` fits the pods of a group of `cluster`."""
    return any(
        _selects(selector, _labels(group_labels, head), cluster) for group_labels, head in _group_labels(cluster)
    )


def _group_labels(cluster: Cluster) -> Iterator[tuple[dict[str, str], bool]]:
    for group in cluster.groups:
        yield {**group.pod.labels, "ray.io/group": group.name}, group.head


def _labels(written: dict[str, str], head: bool) -> dict[str, str]:
    kuberay = {"app.kubernetes.io/name": "kuberay"} | KUBERAY_LABELS | written
    return kuberay | {"ray.io/node-type": "head" if head else "worker"}


def _selects(selector: dict[str, str], labels: dict[str, str], cluster: Cluster) -> bool:
    free = ("ray.io/serve", "ray.io/identifier", "ray.io/originated-from-cr-name", "ray.io/originated-from-crd")
    for key, value in selector.items():
        if key in free:
            continue
        if key == "ray.io/cluster":
            if not (
                value.startswith(cluster.manifest.name) and (not cluster.is_service or value != cluster.manifest.name)
            ):
                return False
        elif labels.get(key) != value:
            return False
    return True


@rule(
    HOP,
    "error",
    fix="Name it otherwise, or shape KubeRay's by spec.serveService.",
    evidence="KubeRay v1.6.1 makes NAME-serve-svc and NAME-head-svc itself",
)
def serve_service_name_collision(stack: Stack) -> Iterator[Hit]:
    """A Service has a name that KubeRay gives to its own: one overwrites the other."""
    for service in stack.of("Service"):
        for cluster in ray_services(stack):
            name = cluster.manifest.name
            if (
                service.name in (f"{name}-serve-svc", f"{name}-head-svc")
                and service.namespace == cluster.manifest.namespace
            ):
                yield Hit(service, "metadata.name", f"KubeRay makes {service.name} for RayService {name}")


@rule(
    HOP,
    "error",
    fix="Select by labels that the pods carry; ray.io/cluster of a RayService ends in five random letters.",
    evidence="KubeRay v1.6.1: labels ray.io/cluster, ray.io/node-type, ray.io/group, ray.io/serve",
)
def selector_never_set(stack: Stack) -> Iterator[Hit]:
    """A Service or disruption budget selects Ray's pods by labels that none of them has."""
    for manifest in stack.of("Service", "PodDisruptionBudget"):
        where = "spec.selector" if manifest.kind == "Service" else "spec.selector.matchLabels"
        selector = string_map(dig(manifest.value, *where.split(".")))
        about = [c for c in stack.clusters if c.manifest.namespace == manifest.namespace]
        names_ray = any(key.startswith("ray.io/") for key in selector)
        if about and names_ray and not any(chosen(cluster, selector) for cluster in about):
            shown = ", ".join(f"{key}={value}" for key, value in selector.items())
            yield Hit(manifest, where, f"no pod of {', '.join(c.manifest.name for c in about)} has {shown}")


@rule(
    HOP,
    "error",
    fix="Name it like a port of the head's container: serve, or serve-*.",
    evidence="KubeRay v1.6.1 service.go: ports of serveService whose name the head does not have are dropped",
)
def serveservice_port_dropped(stack: Stack) -> Iterator[Hit]:
    """A port of serveService has no namesake on the head, so KubeRay drops it."""
    for cluster in ray_services(stack):
        container = cluster.head.container
        have = {text(port.get("name")) for port in mappings(container.value.get("ports"))} if container else set()
        for port in mappings(dig(cluster.manifest.spec, "serveService", "spec", "ports")):
            if have and text(port.get("name")) not in have:
                yield Hit(
                    cluster.manifest,
                    "spec.serveService.spec.ports",
                    f"{text(port.get('name'))} is none of {', '.join(sorted(have))}",
                )


@rule(
    HOP,
    "warning",
    fix="proxy_location: EveryNode.",
    evidence="ray-project/kuberay#4997: workers without a proxy are never ready",
)
def proxy_head_only(stack: Stack) -> Iterator[Hit]:
    """Serve's proxy runs on the head only, or nowhere: workers never become ready, and the head carries every byte."""
    for config in stack.serve_configs:
        location = text(config.value.get("proxy_location"), "EveryNode")
        if location in ("HeadOnly", "Disabled"):
            yield Hit(config.manifest, config.at("proxy_location"), f"proxy_location {location}")


@rule(
    HOP,
    "warning",
    fix="Render that Service, or correct the address.",
    evidence="cluster DNS has names of Services only",
)
def endpoint_not_rendered(stack: Stack) -> Iterator[Hit]:
    """An address in a pod's environment names a Service of this namespace that nothing here makes."""
    services = {(m.namespace, m.name) for m in stack.of("Service")}
    for cluster in stack.clusters:
        services |= {
            (cluster.manifest.namespace, f"{cluster.manifest.name}-{end}") for end in ("serve-svc", "head-svc")
        }
    spaces = {namespace for namespace, _ in services}
    for pod in stack.plain_pods:
        for container in pod.containers:
            for name, value in container.env.items():
                match = URL.match(value or "")
                namespace = match[2] or pod.manifest.namespace if match else ""
                local = match is not None and (".svc" in (value or "") or match[2] is None)
                if (
                    match
                    and local
                    and namespace in spaces
                    and match[1] != "localhost"
                    and (namespace, match[1]) not in services
                ):
                    yield Hit(pod.manifest, f"{container.path}.env", f"{name}={value} names no Service of {namespace}")


@rule(HOP, "error", fix="Send to the port that the Service has.", evidence="the rendered Service's ports")
def ingress_port_missing(stack: Stack) -> Iterator[Hit]:
    """An Ingress sends to a Service's port that the Service does not have."""
    services = {(m.namespace, m.name): m for m in stack.of("Service")}
    for ingress in stack.of("Ingress"):
        for path, backend in backends(ingress):
            service = services.get((ingress.namespace, text(dig(backend, "name"))))
            port = mapping(dig(backend, "port"))
            if service is None or not port:
                continue
            ports = mappings(service.spec.get("ports"))
            if ports and not any(
                p.get("port") == port.get("number") or (port.get("name") and p.get("name") == port.get("name"))
                for p in ports
            ):
                yield Hit(ingress, path, f"{service.name} has no port {port.get('number') or port.get('name')}")
