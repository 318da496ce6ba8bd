"""What Ray's autoscaler reads of a group, and what makes it give up."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.instance_types import NEURON_CORE
from cluster.lint.finding import Hit
from cluster.lint.ray import Cluster, Group, autoscaler_resources, shell_resources
from cluster.lint.registry import rule
from cluster.lint.stack import Stack
from cluster.objects import dig, text
from cluster.quantity import parse

HOP = "ray autoscaler"
SOURCE = "Ray 2.60.0 autoscaler/_private/kuberay/autoscaling_config.py"


def _groups(stack: Stack) -> Iterator[tuple[Cluster, Group]]:
    for cluster in stack.clusters:
        yield from ((cluster, group) for group in cluster.groups if group.value)


@rule(
    HOP,
    "error",
    fix='Use the group\'s `resources` field, or quote as \'"{\\"neuron_cores\\": 2}"\'.',
    evidence=f"{SOURCE}, _get_custom_resources; `ray start` gets the value through a shell",
)
def custom_resource_quoting(stack: Stack) -> Iterator[Hit]:
    """rayStartParams.resources has two readers, the autoscaler and a shell, and one of them cannot read it."""
    for cluster, group in _groups(stack):
        written = group.start_params.get("resources")
        if written is None:
            continue
        broken = []
        if cluster.autoscaling and autoscaler_resources(written) is None:
            broken.append(
                f"the autoscaler drops first and last character and reads `{written[1:-1][:60]}`, which is no JSON"
            )
        if shell_resources(written) is None:
            broken.append("for the shell it is not one word that holds JSON")
        if broken:
            yield Hit(
                cluster.manifest, f"{group.path}.rayStartParams.resources", f"`{written[:80]}`: {' and '.join(broken)}"
            )


@rule(
    HOP,
    "error",
    fix="Give the group `resources: {CPU: ...}`, or its first container a CPU request.",
    evidence=f"{SOURCE}, _get_num_cpus raises ValueError, and the autoscaler's container restarts for ever",
)
def group_without_cpu(stack: Stack) -> Iterator[Hit]:
    """A group without any CPU figure, the head included, stops the autoscaler for all groups."""
    for cluster, group in _groups(stack):
        container = group.container
        if not cluster.autoscaling or container is None:
            continue
        places = (group.resources.get("CPU"), group.start_params.get("num-cpus"), container.requests.get("cpu"))
        if all(place is None for place in places):
            yield Hit(
                cluster.manifest,
                group.path,
                f"{group.name} names CPUs neither in resources, rayStartParams nor its container",
            )


@rule(HOP, "error", fix="Write `CPU`.", evidence=f"{SOURCE}: any other name is a custom resource")
def resources_lowercase_cpu(stack: Stack) -> Iterator[Hit]:
    """`resources.cpu` is a custom resource called cpu to the autoscaler; `GPU` and `CPU` are upper-case, `memory` is not."""
    for cluster, group in _groups(stack):
        for name in ("cpu", "gpu", "Memory"):
            if name in group.resources:
                yield Hit(
                    cluster.manifest,
                    f"{group.path}.resources.{name}",
                    f"`{name}` is a custom resource for the autoscaler",
                )


@rule(HOP, "error", fix="Write whole numbers; memory in bytes.", evidence=f"{SOURCE}: int() of the start parameter")
def start_param_type(stack: Stack) -> Iterator[Hit]:
    """num-cpus, num-gpus or memory in rayStartParams is no whole number: the autoscaler stops on it."""
    for cluster, group in _groups(stack):
        for name in ("num-cpus", "num-gpus", "memory"):
            value = group.start_params.get(name)
            if value is not None and not _is_int(value):
                yield Hit(
                    cluster.manifest,
                    f"{group.path}.rayStartParams.{name}",
                    f"{name} is `{value}`, and must be a whole number",
                )


def _is_int(value: str) -> bool:
    return value.strip().lstrip("+-").isdigit()


@rule(
    HOP,
    "error",
    fix="Put the Ray container first.",
    evidence=f"{SOURCE} and KubeRay v1.6.1 pod.go: container 0 is the Ray container",
)
def ray_container_not_first(stack: Stack) -> Iterator[Hit]:
    """The first container is not Ray: it gets Ray's command and ports, and its resources are what the autoscaler reads."""
    for cluster, group in _groups(stack):
        containers = group.pod.containers
        named = [c for c in containers[1:] if "ray" in c.name.lower() or "ray" in c.image.lower()]
        if containers and named and not ("ray" in containers[0].name.lower() or "ray" in containers[0].image.lower()):
            yield Hit(cluster.manifest, containers[0].path, f"{containers[0].name} stands before {named[0].name}")


@rule(
    HOP,
    "warning",
    fix="Drop `ray start` from the command, or keep its figures equal to the group's.",
    evidence="KubeRay v1.6.1 pod.go: with `ray start` in the command nothing is generated; the autoscaler still reads the CR",
)
def ray_start_drift(stack: Stack) -> Iterator[Hit]:
    """The container starts Ray by itself with other figures than the autoscaler believes."""
    for cluster, group in _groups(stack):
        container = group.container
        if container is None or "ray start" not in container.command_line:
            continue
        words = container.command_line.replace("=", " ").split()
        cpus = parse(words[words.index("--num-cpus") + 1]) if "--num-cpus" in words[:-1] else None
        believed = (group.believed or {}).get("CPU")
        if cpus is not None and believed is not None and cpus != believed:
            yield Hit(
                cluster.manifest,
                container.path,
                f"`ray start --num-cpus {cpus}`; the autoscaler believes {believed} CPU",
            )


@rule(
    HOP,
    "error",
    fix="Remove automountServiceAccountToken: false from the head.",
    evidence="the autoscaler's container patches the RayCluster with the head's token",
)
def autoscaler_token_missing(stack: Stack) -> Iterator[Hit]:
    """The head's token is switched off, so the autoscaler cannot ask for workers."""
    accounts = {(m.namespace, m.name): m for m in stack.of("ServiceAccount")}
    for cluster in stack.clusters:
        spec, path = cluster.head.pod.spec, cluster.head.pod.spec_path
        if not cluster.autoscaling:
            continue
        account = accounts.get((cluster.manifest.namespace, text(spec.get("serviceAccountName"))))
        on_pod = spec.get("automountServiceAccountToken")
        off = on_pod is False or (
            on_pod is None and account is not None and account.get("automountServiceAccountToken") is False
        )
        if off:
            yield Hit(
                cluster.manifest, f"{path}.automountServiceAccountToken", "the autoscaler's container has no token"
            )


@rule(
    HOP,
    "warning",
    fix="Declare neuron_cores in `resources`; it serves KubeRay and the autoscaler.",
    evidence="KubeRay v1.6.1 pod.go: what is not JSON in rayStartParams.resources is logged, and the device limit is not mapped",
)
def neuron_mapping_lost(stack: Stack) -> Iterator[Hit]:
    """The quoted start parameter keeps KubeRay from mapping aws.amazon.com/neuroncore to neuron_cores, and lacks them itself."""
    for cluster, group in _groups(stack):
        written = group.start_params.get("resources")
        asked = group.pod.device(NEURON_CORE)
        if written is not None and asked and "neuron_cores" not in (group.custom_resources or {}):
            yield Hit(
                cluster.manifest,
                f"{group.path}.rayStartParams.resources",
                f"{asked} cores are asked for, none is declared",
            )


@rule(
    HOP,
    "warning",
    fix="Keep idleTimeoutSeconds at 30 or more.",
    evidence="Ray's autoscaler removes a worker that was idle for idleTimeoutSeconds; Serve reports every 10 s",
)
def idle_timeout_short(stack: Stack) -> Iterator[Hit]:
    """Workers are taken away between two of Serve's reports, together with the node that a scale-out just paid for."""
    for cluster in stack.clusters:
        idle = parse(dig(cluster.spec, "autoscalerOptions", "idleTimeoutSeconds"))
        if cluster.autoscaling and idle is not None and idle < 30:
            yield Hit(
                cluster.manifest,
                f"{cluster.path}.autoscalerOptions.idleTimeoutSeconds",
                f"idleTimeoutSeconds {idle} < 30",
            )
