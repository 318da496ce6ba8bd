"""What KubeRay 1.6.1 refuses, ignores or makes of a RayCluster that its author did not mean."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.lint.finding import Hit, Severity
from cluster.lint.karpenter import duration_s
from cluster.lint.ray import Cluster, Group, version
from cluster.lint.registry import rule
from cluster.lint.stack import Stack
from cluster.objects import dig, mapping, sequence, string_map, text
from cluster.quantity import GIB, parse

HOP = "ray cluster"
VALIDATION = "KubeRay v1.6.1 controllers/ray/utils/validation.go"
MAX_NAME = {"RayService": 47, "RayJob": 47, "RayCluster": 63}
DNS_1035 = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
COLD_START_S = 600.0  # node, 10 GB of image, weights and graphs; measured runs replace it (docs/lint.md)


def _groups(stack: Stack) -> Iterator[tuple[Cluster, Group]]:
    for cluster in stack.clusters:
        yield from ((cluster, group) for group in cluster.groups if group.value)


@rule(HOP, "error", fix="Use `resources` alone.", evidence=VALIDATION)
def resources_and_start_params(stack: Stack) -> Iterator[Hit]:
    """A group has `resources` and resource figures in rayStartParams: KubeRay refuses the cluster."""
    for cluster, group in _groups(stack):
        both = [n for n in ("num-cpus", "num-gpus", "memory", "resources") if group.start_params.get(n)]
        if group.resources and both:
            yield Hit(cluster.manifest, group.path, f"{group.name} sets resources and rayStartParams {', '.join(both)}")


@rule(HOP, "error", fix="Use the group's `labels`.", evidence=VALIDATION)
def start_param_labels(stack: Stack) -> Iterator[Hit]:
    """rayStartParams.labels is refused."""
    for cluster, group in _groups(stack):
        if "labels" in group.start_params:
            yield Hit(
                cluster.manifest,
                f"{group.path}.rayStartParams.labels",
                "rayStartParams.labels is refused since KubeRay 1.5",
            )


@rule(HOP, "error", fix="0 ≤ minReplicas ≤ replicas ≤ maxReplicas.", evidence=VALIDATION)
def worker_bounds_invalid(stack: Stack) -> Iterator[Hit]:
    """Worker counts that are negative or out of order: KubeRay refuses the cluster."""
    for cluster in stack.clusters:
        for group in cluster.workers:
            written = [parse(group.value.get(key)) for key in ("minReplicas", "replicas", "maxReplicas")]
            counts = [count for count in written if count is not None]
            if any(count < 0 for count in counts) or counts != sorted(counts):
                shown = ", ".join(str(count) for count in counts)
                yield Hit(cluster.manifest, group.path, f"{group.name}: minReplicas, replicas, maxReplicas are {shown}")


@rule(HOP, "error", fix="Leave headService.metadata.name out.", evidence=VALIDATION)
def headservice_name_set(stack: Stack) -> Iterator[Hit]:
    """A RayService names its head Service: each upgrade would need the name twice, so KubeRay refuses it."""
    for cluster in stack.clusters:
        if cluster.is_service and text(dig(cluster.head.value, "headService", "metadata", "name")):
            yield Hit(
                cluster.manifest, f"{cluster.head.path}.headService.metadata.name", "the head Service must not be named"
            )


@rule(HOP, "error", fix="Leave restartPolicy out, or write Never.", evidence=VALIDATION)
def v2_restart_policy(stack: Stack) -> Iterator[Hit]:
    """Autoscaler v2 replaces pods by itself: KubeRay refuses pods that restart."""
    for cluster, group in _groups(stack):
        policy = text(group.pod.spec.get("restartPolicy"), "Never")
        if cluster.autoscaling and cluster.autoscaler_v2 and policy != "Never":
            yield Hit(
                cluster.manifest,
                f"{group.pod.spec_path}.restartPolicy",
                f"{group.name}: restartPolicy {policy} with autoscaler v2",
            )


@rule(
    HOP,
    "warning",
    fix="Write autoscalerOptions.version: v2.",
    evidence="Ray ≥ 2.47 runs v2 by itself; KubeRay v1.6.1 sets restartPolicy Never only when it is written",
)
def autoscaler_version_implicit(stack: Stack) -> Iterator[Hit]:
    """Ray runs autoscaler v2, and KubeRay, which was not told, lets the kubelet restart pods that v2 already replaced."""
    for cluster in stack.clusters:
        versions = cluster.ray_version
        if (
            cluster.autoscaling
            and versions
            and versions >= (2, 47, 0)
            and not dig(cluster.spec, "autoscalerOptions", "version")
        ):
            yield Hit(
                cluster.manifest,
                f"{cluster.path}.autoscalerOptions.version",
                "Ray ≥ 2.47 runs v2; the version is not written",
            )


@rule(HOP, "info", fix="Remove them.", evidence="KubeRay v1.6.1 rayservice_types.go: deprecated, read by nothing")
def dead_rayservice_field(stack: Stack) -> Iterator[Hit]:
    """Thresholds of old RayServices that nothing reads any more."""
    for manifest in stack.of("RayService"):
        for key in ("serviceUnhealthySecondThreshold", "deploymentUnhealthySecondThreshold"):
            if key in manifest.spec:
                yield Hit(manifest, f"spec.{key}", f"{key} is ignored")


@rule(
    HOP,
    "warning",
    fix="Write rayVersion as the image's Ray version.",
    evidence="KubeRay v1.6.1 pod.go: probes and start commands depend on rayVersion",
)
def ray_version_missing(stack: Stack) -> Iterator[Hit]:
    """Without rayVersion KubeRay falls back to old probes, and token authentication is refused."""
    for cluster in stack.clusters:
        if cluster.head.value and not text(cluster.spec.get("rayVersion")):
            yield Hit(cluster.manifest, f"{cluster.path}.rayVersion", "rayVersion is not set")


@rule(
    HOP,
    "error",
    fix="Use one Ray version everywhere.",
    evidence="a worker of another Ray version is refused by the head",
)
def ray_version_mismatch(stack: Stack) -> Iterator[Hit]:
    """RayVersion and the images' tags, or two images, name different versions of Ray."""
    for cluster in stack.clusters:
        found: dict[tuple[int, int, int], str] = {}
        written = version(text(cluster.spec.get("rayVersion")))
        if written:
            found[written] = f"rayVersion {text(cluster.spec.get('rayVersion'))}"
        for group in cluster.groups:
            image = group.container.image if group.container else ""
            tagged = version(image.rpartition(":")[2]) if "rayproject/" in image or "/ray:" in image else None
            if tagged:
                found.setdefault(tagged, f"{group.name} {image}")
        if len(found) > 1:
            yield Hit(cluster.manifest, cluster.path, f"these differ: {', '.join(found.values())}")


@rule(HOP, "error", fix="Set spec.rayVersion to 2.52.0 or later.", evidence=VALIDATION)
def auth_needs_version(stack: Stack) -> Iterator[Hit]:
    """Token authentication needs a written rayVersion of at least 2.52: KubeRay refuses the cluster otherwise."""
    for cluster in stack.clusters:
        written = version(text(cluster.spec.get("rayVersion")))
        if text(dig(cluster.spec, "authOptions", "mode")) == "token" and (written is None or written < (2, 52, 0)):
            shown = text(cluster.spec.get("rayVersion"), "unset")
            yield Hit(cluster.manifest, f"{cluster.path}.authOptions", f"mode token with rayVersion {shown}")


@rule(
    HOP,
    "warning",
    fix="Write authOptions.mode: token (or disabled, and mean it).",
    evidence="Ray ≥ 2.59 turns token authentication on by default in places; KubeRay sends a token only for mode token",
)
def auth_mode_implicit(stack: Stack) -> Iterator[Hit]:
    """Ray may ask for a token that KubeRay does not send, and anybody who reaches the dashboard may run code if not."""
    for cluster in stack.clusters:
        found = cluster.ray_version
        if found and found >= (2, 59, 0) and not text(dig(cluster.spec, "authOptions", "mode")):
            yield Hit(
                cluster.manifest,
                f"{cluster.path}.authOptions.mode",
                f"Ray {'.'.join(map(str, found))} and authOptions.mode is not written",
            )


@rule(HOP, "error", fix="Shorten it; small letters, digits and dashes, a letter first.", evidence=VALIDATION)
def ray_name_invalid(stack: Stack) -> Iterator[Hit]:
    """A name that KubeRay refuses: it makes names of clusters, Services and pods of it."""
    for manifest in stack.of(*MAX_NAME):
        if manifest.group != "ray.io" or not text(dig(manifest.value, "metadata", "name")):
            continue
        if len(manifest.name) > MAX_NAME[manifest.kind] or not DNS_1035.match(manifest.name):
            most = MAX_NAME[manifest.kind]
            yield Hit(
                manifest,
                "metadata.name",
                f"`{manifest.name[:80]}` has {len(manifest.name)} characters (most {most}) or others than [a-z0-9-]",
            )


@rule(HOP, "error", fix="Write a duration such as 30m, longer than a cold start, or leave it out.", evidence=VALIDATION)
def initializing_timeout_short(stack: Stack) -> Iterator[Hit]:
    """ray.io/initializing-timeout ends before a cold start: the service fails for good and has to be made anew."""
    for manifest in stack.of("RayService"):
        written = manifest.annotations.get("ray.io/initializing-timeout")
        if not written:
            continue
        seconds = float(written) if written.isdigit() and len(written) < 12 else duration_s(written)
        if seconds is None or seconds < COLD_START_S:
            shown = "no duration" if seconds is None else f"{seconds:g} s < {COLD_START_S:g} s of a cold start"
            yield Hit(manifest, "metadata.annotations", f"ray.io/initializing-timeout `{written[:40]}`: {shown}")


@rule(
    HOP,
    "error",
    fix="Use NewCluster or None, or meet what the message names.",
    evidence=f"{VALIDATION}; pkg/features: RayServiceIncrementalUpgrade is alpha and off in 1.6.1",
)
def incremental_upgrade_unmet(stack: Stack) -> Iterator[Hit]:
    """An incremental upgrade lacks what KubeRay asks for: the service is refused, or its gate is off."""
    for cluster in stack.clusters:
        strategy = mapping(dig(cluster.manifest.value, "spec", "upgradeStrategy"))
        if not cluster.is_service or text(strategy.get("type")) != "NewClusterWithIncrementalUpgrade":
            continue
        options = mapping(strategy.get("clusterUpgradeOptions"))
        lacking = [key for key in ("stepSizePercent", "intervalSeconds", "gatewayClassName") if not options.get(key)]
        lacking += [] if cluster.autoscaling else ["enableInTreeAutoscaling"]
        reason = f"it lacks {', '.join(lacking)}" if lacking else "its gate is off by default in KubeRay 1.6.1"
        severity: Severity = "error" if lacking else "warning"
        yield Hit(cluster.manifest, "spec.upgradeStrategy", reason, severity=severity)


@rule(
    HOP,
    "warning",
    fix="Add gcsFaultToleranceOptions with a Redis that keeps its data.",
    evidence="Ray: without GCS fault tolerance the head's death ends every worker and Serve",
)
def gcs_ft_absent(stack: Stack) -> Iterator[Hit]:
    """One head and no GCS fault tolerance: when the head goes, the whole service goes."""
    for cluster in stack.clusters:
        if cluster.is_service and not cluster.fault_tolerant and not _is_protected(cluster):
            yield Hit(
                cluster.manifest,
                f"{cluster.path}.gcsFaultToleranceOptions",
                "the head's state is nowhere but in the head",
            )


def _is_protected(cluster: Cluster) -> bool:
    return cluster.head.pod.annotations.get("karpenter.sh/do-not-disrupt") == "true"


@rule(
    HOP,
    "warning",
    fix="Give Redis a volume that outlives its pod.",
    evidence="Ray reads its state back from Redis after a restart",
)
def gcs_redis_ephemeral(stack: Stack) -> Iterator[Hit]:
    """The Redis behind GCS fault tolerance has no volume of its own, so it forgets what it is there to remember."""
    wanted = {
        text(dig(c.spec, "gcsFaultToleranceOptions", "redisAddress")).partition(":")[0].partition(".")[0]
        for c in stack.clusters
    }
    for pod in stack.plain_pods:
        claims = pod.manifest.spec.get("volumeClaimTemplates") or [
            v for v in pod.volumes.values() if "persistentVolumeClaim" in v
        ]
        named = any("redis" in container.image for container in pod.containers)
        if named and any(wanted) and not claims:
            yield Hit(pod.manifest, pod.spec_path, "it keeps its data in the container")


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
    "warning",
    fix="Give the head 4Gi or more and the autoscaler 1Gi.",
    evidence="Ray's dashboard, GCS and Serve's controller take 1 to 2 GB before the first replica",
)
def head_memory_small(stack: Stack) -> Iterator[Hit]:
    """The head's memory limit is below what an idle head of a service needs."""
    for cluster in stack.clusters:
        container = cluster.head.container
        limit = container.limits.get("memory") if container else None
        if cluster.is_service and limit is not None and limit < 2 * GIB and container:
            yield Hit(
                cluster.manifest, f"{container.path}.resources.limits.memory", f"{float(limit / GIB):.1f}Gi < 2Gi"
            )


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
