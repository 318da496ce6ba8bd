"""Images: which one will run, and whether it can."""

from __future__ import annotations

from collections.abc import Iterator

from cluster import support
from cluster.lint.finding import Hit
from cluster.lint.pods import Container, Pod
from cluster.lint.registry import rule
from cluster.lint.stack import Stack
from cluster.objects import text

HOP = "image"


def _containers(stack: Stack) -> Iterator[tuple[Pod, Container]]:
    for pod in stack.pods:
        yield from ((pod, container) for container in pod.all_containers if container.image)


@rule(
    HOP,
    "warning",
    fix="Write a tag of a release, or a digest.",
    evidence="two pods of one group may run different code, and no upgrade is seen",
)
def image_floating(stack: Stack) -> Iterator[Hit]:
    """An image without tag or with a moving one."""
    for pod, container in _containers(stack):
        tag = container.image.rpartition("/")[2].partition("@")[0].partition(":")[2]
        if "@sha256:" not in container.image and tag in ("", "latest", "nightly", "main", "master"):
            yield Hit(pod.manifest, f"{container.path}.image", f"{container.image[:120]} moves by itself")


@rule(
    HOP,
    "warning",
    fix="IfNotPresent, with a tag that does not move.",
    evidence="the registry is asked on every start, and a node without it cannot start what it has on disk",
)
def image_pull_always(stack: Stack) -> Iterator[Hit]:
    """ImagePullPolicy Always on a pod that holds an accelerator: a restart waits for the registry."""
    for pod in stack.ray_pods:
        for container in pod.containers:
            if text(container.value.get("imagePullPolicy")) == "Always":
                yield Hit(
                    pod.manifest,
                    f"{container.path}.imagePullPolicy",
                    f"{container.image[:120]} is asked for on every start",
                )


@rule(
    HOP,
    "error",
    fix="Use SDK 2.25 for transformers-neuronx, or move to NxD Inference or vLLM.",
    evidence="Neuron SDK 2.26 notes: transformers-neuronx ended and left the images",
)
def sdk_without_library(stack: Stack) -> Iterator[Hit]:
    """The image is of an SDK from which transformers-neuronx was removed, and the pod's settings ask for it."""
    for pod, container in _containers(stack):
        sdk = support.sdk_of_image(container.image)
        asks = "transformers-neuronx" in container.command_line or any(
            "transformers-neuronx" in (value or "") for value in container.env.values()
        )
        asks = asks or container.env.get("CHATBOT_RUNNER__KIND") == "neuron"
        if sdk and asks and not support.has_library(sdk):
            yield Hit(pod.manifest, f"{container.path}.image", f"SDK {sdk} has no transformers-neuronx")


@rule(
    HOP,
    "error",
    fix="Use an image with bash and wget, or set ENABLE_PROBES_INJECTION=false and probes of your own.",
    evidence="KubeRay v1.6.1 pod.go: a RayService worker's readiness probe runs bash and wget",
)
def image_lacks_tools(stack: Stack) -> Iterator[Hit]:
    """A RayService worker's image is known to have no bash or wget: its readiness probe always fails."""
    for cluster in stack.clusters:
        for group in cluster.workers if cluster.is_service else []:
            image = group.container.image if group.container else ""
            slim = any(part in image.rpartition("/")[2] for part in ("slim", "alpine", "distroless", "scratch"))
            if slim and group.container and not group.container.value.get("readinessProbe"):
                yield Hit(cluster.manifest, f"{group.container.path}.image", f"{image[:120]} has no bash or wget")


@rule(
    HOP,
    "info",
    fix="Make sure that both have the same Ray and Python version.",
    evidence="Ray refuses workers of another Ray or Python version",
)
def head_worker_image_differ(stack: Stack) -> Iterator[Hit]:
    """Head and workers run different images whose tags do not name Ray's version."""
    for cluster in stack.clusters:
        head = cluster.head.container.image if cluster.head.container else ""
        for group in cluster.workers:
            worker = group.container.image if group.container else ""
            if head and worker and head != worker and not ("rayproject/" in head and "rayproject/" in worker):
                yield Hit(cluster.manifest, group.path, f"head {head[:90]}, {group.name} {worker[:90]}")
