"""What KubeRay 1.6.1 refuses, ignores or makes of a RayCluster that its author did not mean."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.lint.finding import Hit, Severity
from cluster.lint.karpenter import duration_s
from cluster.lint.ray import Cluster, Group, cold_start_s, version
from cluster.lint.registry import rule
from cluster.lint.stack import Stack
from cluster.objects import dig, mapping, text
from cluster.quantity import GIB, parse

HOP = "ray cluster"
VALIDATION = "KubeRay v1.6.1 controllers/ray/utils/validation.go"
MAX_NAME = {"RayService": 47, "RayJob": 47, "RayCluster": 63}
DNS_1035 = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")


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
        least_s = cold_start_s(manifest)
        if seconds is None or seconds < least_s:
            shown = "no duration" if seconds is None else f"{seconds:g} s < {least_s:g} s of a cold start"
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
