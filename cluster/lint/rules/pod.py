"""A pod by itself: what the kubelet, the device plugin or the container makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from cluster.instance_types import NEURON, NEURON_CORE
from cluster.lint.capacity import open_pools, wanted_devices
from cluster.lint.finding import Hit
from cluster.lint.pods import Container, Pod
from cluster.lint.ray import NEURON_CORES
from cluster.lint.registry import rule
from cluster.lint.stack import NEURON_DEVICES, Stack
from cluster.objects import dig, mapping, mappings, sequence, text
from cluster.quantity import parse, resources, show

HOP = "pod"
VISIBLE = "NEURON_RT_VISIBLE_CORES"
DOLLAR = re.compile(r"(?<![\\$])\$[A-Za-z_]\w*")
CORES_PER_DEVICE = 2  # of Trainium and Inferentia2; Trainium2 has 8


def _containers(stack: Stack) -> Iterator[tuple[Pod, Container]]:
    for pod in stack.pods:
        yield from ((pod, container) for container in pod.all_containers)


@rule(
    HOP,
    "warning",
    fix="Set CPU and memory requests.",
    evidence="without requests the scheduler packs by nothing, and the kubelet evicts such pods first",
)
def accelerator_pod_without_requests(stack: Stack) -> Iterator[Hit]:
    """A pod that holds an accelerator asks for no CPU or no memory."""
    for pod in stack.pods:
        lacking = [name for name in ("cpu", "memory") if not pod.requests.get(name) and not _malformed(pod, name)]
        if wanted_devices(pod) and lacking:
            yield Hit(pod.manifest, pod.spec_path, f"no request for {' and '.join(lacking)}")


def _malformed(pod: Pod, name: str) -> bool:
    """Whether a request or limit is written and is no quantity, which quantity-invalid says."""
    written = [dig(c.value, "resources", part, name) for c in pod.all_containers for part in ("requests", "limits")]
    return any(amount is not None and parse(amount) is None for amount in written)


@rule(
    HOP,
    "error",
    fix="List the cores, 0,1, or leave the variable to Ray and the device plugin.",
    evidence="Ray 2.60 _private/accelerators/neuron.py splits on commas only",
)
def visible_cores_form(stack: Stack) -> Iterator[Hit]:
    """NEURON_RT_VISIBLE_CORES in a Ray pod is a range, or lists fewer cores than are declared: `ray start` fails."""
    for cluster in stack.clusters:
        for group in cluster.groups:
            value = group.container.env.get(VISIBLE) if group.container else None
            if not value or group.container is None:
                continue
            declared = (group.custom_resources or {}).get(NEURON_CORES, Fraction(0))
            listed = len(value.split(","))
            if "-" in value or listed < declared:
                message = (
                    f"`{value}` counts as {listed} core{'s' * (listed > 1)}, neuron_cores declared: {float(declared):g}"
                )
                yield Hit(cluster.manifest, f"{group.container.path}.env", message)


@rule(
    HOP,
    "error",
    fix="Remove the variable: Ray sets it for each replica.",
    evidence="Ray sets NEURON_RT_VISIBLE_CORES per actor from the cores it was given",
)
def visible_cores_shared(stack: Stack) -> Iterator[Hit]:
    """Every replica on the worker is told the same cores by RAY_EXPERIMENTAL_NOSET_NEURON_RT_VISIBLE_CORES and a fixed list."""
    for cluster in stack.clusters:
        config = stack.config_of(cluster)
        for group in cluster.workers:
            env = group.container.env if group.container else {}
            declared = (group.custom_resources or {}).get(NEURON_CORES, Fraction(0))
            fixed = env.get(VISIBLE) and env.get("RAY_EXPERIMENTAL_NOSET_NEURON_RT_VISIBLE_CORES")
            for deployment in config.deployments if config and fixed else []:
                wanted = (deployment.demand or {}).get(NEURON_CORES)
                if wanted and declared / wanted >= 2 and group.container:
                    count = f"{float(declared):g} ÷ {float(wanted):g} = {int(declared / wanted)} replicas"
                    yield Hit(
                        cluster.manifest, f"{group.container.path}.env", f"{count} would share cores {env.get(VISIBLE)}"
                    )


@rule(
    HOP,
    "error",
    fix="Make neuron_cores, tp_degree and NEURON_RT_NUM_CORES one number, at most the devices' cores.",
    evidence="the Neuron runtime takes NEURON_RT_NUM_CORES cores, and the model was compiled for tp_degree of them",
)
def cores_disagree(stack: Stack) -> Iterator[Hit]:
    """The cores that Ray counts, that the pod gets and that the runtime takes are different numbers."""
    for cluster in stack.clusters:
        for group in cluster.groups:
            declared = (group.custom_resources or {}).get(NEURON_CORES)
            held = group.pod.device(NEURON_CORE) or group.pod.device(NEURON) * CORES_PER_DEVICE
            if declared is None or not group.container:
                continue
            if declared.denominator != 1:
                yield Hit(
                    cluster.manifest, f"{group.path}.resources", f"neuron_cores {float(declared):g} is no whole number"
                )
            if held and declared > held and group.pod.device(NEURON_CORE):
                message = (
                    f"neuron_cores {float(declared):g} > {float(held):g} cores that the pod asks the device plugin for"
                )
                yield Hit(cluster.manifest, f"{group.path}.resources", message)
            taken = parse(group.container.env.get("NEURON_RT_NUM_CORES"))
            if taken is not None and taken > declared:
                message = f"NEURON_RT_NUM_CORES {float(taken):g} > neuron_cores {float(declared):g}"
                yield Hit(cluster.manifest, f"{group.container.path}.env", message)


@rule(
    HOP,
    "error",
    fix="Ask for aws.amazon.com/neuron or for aws.amazon.com/neuroncore, request equal to limit.",
    evidence="Neuron device plugin: the two count the same silicon; neurondevice ended with SDK 2.22; extended resources cannot be overcommitted",
)
def device_request_form(stack: Stack) -> Iterator[Hit]:
    """Devices and cores at once, a request that differs from its limit, or a name that is no longer advertised."""
    for pod, container in _containers(stack):
        path = f"{container.path}.resources"
        asked = [name for name in NEURON_DEVICES if name in container.requests]
        if "aws.amazon.com/neurondevice" in asked:
            yield Hit(pod.manifest, path, "aws.amazon.com/neurondevice is not advertised any more")
        if NEURON in asked and NEURON_CORE in asked:
            yield Hit(pod.manifest, path, f"it asks for both {NEURON} and {NEURON_CORE}")
        written = resources(dig(container.value, "resources", "requests"))
        for name in asked:
            if container.limits.get(name) != written.get(name, container.limits.get(name)):
                limit = container.limits.get(name, Fraction(0))
                yield Hit(pod.manifest, path, f"{name}: request {float(written[name]):g} ≠ limit {float(limit):g}")


@rule(
    HOP,
    "error",
    fix="Ask for aws.amazon.com/neuron or for aws.amazon.com/neuroncore.",
    evidence="Neuron device plugin 2.22: it advertises neuron and neuroncore (and neurondevice before SDK 2.22)",
)
def device_name_unknown(stack: Stack) -> Iterator[Hit]:
    """The pod asks for a Neuron resource that no plugin advertises under that name: it stays pending, and no node is made."""
    for pod, container in _containers(stack):
        for name in container.requests:
            if name.startswith(NEURON) and name not in NEURON_DEVICES:
                yield Hit(pod.manifest, f"{container.path}.resources", f"nobody advertises {name}")


@rule(
    HOP,
    "error",
    fix="Use an emptyDir: with RAID0 it is on the same disks, and works without them.",
    evidence="amazon-eks-ami's setup-local-disks mounts /mnt/k8s-disks/0 only for RAID0 on a type with NVMe",
)
def hostpath_nvme(stack: Stack) -> Iterator[Hit]:
    """A hostPath on the local NVMe needs RAID0 in the node class and NVMe on every type that the pool admits."""
    for pod in stack.pods:
        for name, volume in pod.volumes.items():
            path = text(dig(volume, "hostPath", "path"))
            if not path.startswith("/mnt/k8s-disks"):
                continue
            for pool in open_pools(stack, pod):
                node_class = stack.node_class(pool)
                bare = [kind.name for kind in pool.types if not kind.nvme_gb]
                if node_class is not None and not node_class.raid0:
                    yield Hit(
                        pod.manifest, f"{pod.spec_path}.volumes", f"{name}: {path}, and {node_class.name} has no RAID0"
                    )
                elif bare:
                    shown = f"{', '.join(bare[:3])} of pool {pool.name} ha{'s' if len(bare) == 1 else 've'} no NVMe"
                    yield Hit(pod.manifest, f"{pod.spec_path}.volumes", f"{name}: {path}, and {shown}")


@rule(
    HOP,
    "warning",
    fix="Make sizeLimit a small part of the limit.",
    evidence="memory-backed emptyDirs count against the container's memory limit",
)
def memory_volume_size(stack: Stack) -> Iterator[Hit]:
    """A memory-backed emptyDir has no size, or may take more than half of the memory limit."""
    for pod in stack.pods:
        limits = [c.limits["memory"] for c in pod.containers if "memory" in c.limits]
        for name, volume in pod.volumes.items():
            empty = mapping(volume.get("emptyDir"))
            if text(empty.get("medium")) != "Memory":
                continue
            size = parse(empty.get("sizeLimit"))
            if size is None:
                yield Hit(
                    pod.manifest,
                    f"{pod.spec_path}.volumes",
                    f"{name}: emptyDir in memory without sizeLimit",
                    severity="info",
                )
            elif limits and size > max(limits) / 2:
                shown = f"{show('memory', size)} > half of the limit {show('memory', max(limits))}"
                yield Hit(pod.manifest, f"{pod.spec_path}.volumes", f"{name}: emptyDir in memory of {shown}")


@rule(
    HOP,
    "warning",
    fix="Write $(NAME), or set the whole value.",
    evidence="Kubernetes expands $(NAME) in env values and nothing else; envsubst would replace $NAME while rendering",
)
def env_dollar(stack: Stack) -> Iterator[Hit]:
    """An environment value holds `$NAME`, which Kubernetes passes on literally."""
    for pod, container in _containers(stack):
        for name, value in container.env.items():
            match = DOLLAR.search(value or "")
            if match:
                yield Hit(pod.manifest, f"{container.path}.env", f"{name} holds {match[0]}, which nothing expands")


@rule(
    HOP,
    "error",
    fix="Run such pods in a namespace that enforces `privileged`, or use emptyDir.",
    evidence="Pod Security Standards: baseline forbids hostPath, host namespaces and privileged containers",
)
def pod_security_refuses(stack: Stack) -> Iterator[Hit]:
    """The namespace's Pod Security level refuses the pod: KubeRay tries again for ever, and there is no pod to look at."""
    levels = {m.name: m.labels.get("pod-security.kubernetes.io/enforce", "privileged") for m in stack.of("Namespace")}
    for pod in stack.pods:
        if levels.get(pod.manifest.namespace, "privileged") not in ("baseline", "restricted"):
            continue
        level = levels[pod.manifest.namespace]
        used = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(key) is True]
        used += [f"hostPath volume {name}" for name, volume in pod.volumes.items() if "hostPath" in volume]
        used += [
            f"privileged container {container.name}"
            for container in pod.all_containers
            if dig(container.value, "securityContext", "privileged") is True
        ]
        if used:
            yield Hit(
                pod.manifest, pod.spec_path, f"namespace {pod.manifest.namespace} enforces {level}: {', '.join(used)}"
            )


@rule(
    HOP,
    "error",
    fix="Set autoscalerOptions.securityContext, and run the Ray containers as non-root.",
    evidence="KubeRay v1.6.1 pod.go: the autoscaler's container has a context of its own; restricted wants one on every container",
)
def restricted_needs_context(stack: Stack) -> Iterator[Hit]:
    """The namespace enforces `restricted` and Ray's containers do not meet it."""
    levels = {m.name: m.labels.get("pod-security.kubernetes.io/enforce") for m in stack.of("Namespace")}
    for cluster in stack.clusters:
        if levels.get(cluster.manifest.namespace) != "restricted":
            continue
        if cluster.autoscaling and not mapping(dig(cluster.spec, "autoscalerOptions", "securityContext")):
            yield Hit(
                cluster.manifest,
                f"{cluster.path}.autoscalerOptions.securityContext",
                "the autoscaler's container has no securityContext",
            )
        for group in cluster.groups:
            on_pod = dig(group.pod.spec, "securityContext", "runAsNonRoot")
            for container in group.pod.all_containers:
                if on_pod is not True and dig(container.value, "securityContext", "runAsNonRoot") is not True:
                    yield Hit(cluster.manifest, container.path, f"{container.name} may run as root")


@rule(
    HOP,
    "warning",
    fix="Set a sizeLimit of at least model and compiled files.",
    evidence="16 GB of weights for a 7B model in bf16; the kubelet evicts a pod above its sizeLimit",
)
def volume_smaller_than_model(stack: Stack) -> Iterator[Hit]:
    """A disk emptyDir of an accelerator pod is smaller than the weights of a 7B model."""
    for pod in stack.pods:
        for name, volume in pod.volumes.items():
            size = parse(dig(volume, "emptyDir", "sizeLimit"))
            on_disk = text(dig(volume, "emptyDir", "medium")) != "Memory"
            if wanted_devices(pod) and on_disk and size is not None and size < 15 * 10**9 and "model" in name:
                yield Hit(
                    pod.manifest, f"{pod.spec_path}.volumes", f"{name}: {show('storage', size)} < 14.5 GB of weights"
                )


@rule(
    HOP,
    "error",
    fix="Use a ReadWriteMany volume, or an emptyDir for each pod.",
    evidence="a ReadWriteOnce volume attaches to one node",
)
def rwo_across_nodes(stack: Stack) -> Iterator[Hit]:
    """A worker group that may have several workers shares a ReadWriteOnce volume: the second worker never starts."""
    single = {
        (m.namespace, m.name)
        for m in stack.of("PersistentVolumeClaim")
        if all(mode == "ReadWriteOnce" for mode in sequence(m.spec.get("accessModes")) or [0])
    }  # fmt: skip
    for cluster in stack.clusters:
        for group in cluster.workers:
            for name, volume in group.pod.volumes.items():
                claim = text(dig(volume, "persistentVolumeClaim", "claimName"))
                if (cluster.manifest.namespace, claim) in single and group.maximum > 1:
                    message = f"{name}: {claim} is ReadWriteOnce, {group.name} may have {group.maximum} workers"
                    yield Hit(cluster.manifest, f"{group.pod.spec_path}.volumes", message)


@rule(
    HOP,
    "error",
    fix="Declare the volume, or mount one that is declared.",
    evidence="the API server refuses the pod; KubeRay reports it only in its log",
)
def volume_not_declared(stack: Stack) -> Iterator[Hit]:
    """A container mounts a volume that the pod does not have."""
    for pod, container in _containers(stack):
        templates = {text(dig(t, "metadata", "name")) for t in mappings(pod.manifest.spec.get("volumeClaimTemplates"))}
        for mount in mappings(container.value.get("volumeMounts")):
            name = text(mount.get("name"))
            if name not in pod.volumes and name not in templates:
                yield Hit(pod.manifest, f"{container.path}.volumeMounts", f"no volume is called {name}")
