"""What KubeRay and Ray's autoscaler make of a RayCluster spec, in a RayService, RayCluster or RayJob."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from cluster.lint.pods import Container, Pod
from cluster.objects import Manifest, dig, mapping, mappings, string_map, text
from cluster.quantity import MIB, Resources, parse, resources

SPEC_PATHS = {
    "RayCluster": ("spec",),
    "RayService": ("spec", "rayClusterConfig"),
    "RayJob": ("spec", "rayClusterSpec"),
}
UNBOUNDED = 2_147_483_647  # the CRD's default of maxReplicas
NEURON_CORES = "neuron_cores"
COLD_START = (
    "chatbot.cluster/cold-start-seconds"  # a RayService's annotation: measured, from pending pod to first token
)
USUAL_COLD_START_S = 600.0  # node, 10 GB of image, weights and graphs
_VERSION = re.compile(r"(?<![\d.])(\d{1,4})\.(\d{1,4})(?:\.(\d{1,6}))?")


def version(value: str) -> tuple[int, int, int] | None:
    """`2.60.0` of a rayVersion or an image's tag."""
    match = _VERSION.search(value)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def cold_start_s(manifest: Manifest) -> float:
    """What the author of `manifest` measured from a pending worker to its first token, else what is usual."""
    written = parse(manifest.annotations.get(COLD_START))
    return USUAL_COLD_START_S if written is None else float(written)


@dataclass(frozen=True, eq=False)
class Group:
    """The head group or one worker group."""

    manifest: Manifest
    value: Mapping[str, Any]
    path: str
    head: bool
    autoscaler: Resources | None = None  # requests of the autoscaler's container, in the head of an autoscaled cluster

    @property
    def name(self) -> str:
        """`headgroup`, or the worker group's name."""
        return "headgroup" if self.head else text(self.value.get("groupName"))

    @cached_property
    def pod(self) -> Pod:
        """Its pod template, with what KubeRay adds."""
        role = "ray-head" if self.head else "ray-worker"
        return Pod(self.manifest, mapping(self.value.get("template")), f"{self.path}.template", role, self.autoscaler)

    @cached_property
    def container(self) -> Container | None:
        """The Ray container: always the first."""
        return next(iter(self.pod.containers), None)

    @property
    def start_params(self) -> dict[str, str]:
        """`rayStartParams`."""
        return string_map(self.value.get("rayStartParams"))

    @property
    def resources(self) -> Mapping[str, Any]:
        """The group's own `resources` field, as written."""
        return mapping(self.value.get("resources"))

    def _count(self, key: str, default: int) -> int:
        amount = parse(self.value.get(key))
        return default if amount is None else max(0, min(UNBOUNDED, math.floor(amount)))

    @property
    def hosts(self) -> int:
        """Pods that one replica consists of."""
        return self._count("numOfHosts", 1)

    @property
    def replicas(self) -> int:
        """Wanted at first; the CRD's default is 0, and at least the minimum."""
        return max(self._count("replicas", 0), self.minimum)

    @property
    def minimum(self) -> int:
        """`minReplicas`."""
        return self._count("minReplicas", 0)

    @property
    def maximum(self) -> int:
        """`maxReplicas`, UNBOUNDED where it is not set."""
        return self._count("maxReplicas", UNBOUNDED)

    @cached_property
    def believed(self) -> dict[str, Fraction] | None:
        """What Ray's autoscaler takes one pod of the group for, by Ray's resource names; None where it gives up.

        Read in the order of `ray.autoscaler._private.kuberay.autoscaling_config`: `resources`, start parameters, limits and
        requests of the first container. CPUs are rounded up. Neuron limits are never read.
        """
        cpu = self._believed("CPU", "num-cpus", "cpu")
        custom = self.custom_resources
        if cpu is None or custom is None:
            return None
        amounts = {"CPU": Fraction(math.ceil(cpu))} | custom
        gpu = self._believed("GPU", "num-gpus", "nvidia.com/gpu")
        memory = self._believed("memory", "memory", "memory")
        return amounts | {n: v for n, v in (("GPU", gpu), ("memory", memory)) if v is not None}

    def _believed(self, resource: str, start_param: str, limit: str) -> Fraction | None:
        if resource in self.resources:
            return parse(self.resources[resource])
        if start_param in self.start_params:
            return parse(self.start_params[start_param])
        if self.container is None:
            return None
        requests = resources(dig(self.container.value, "resources", "requests"))
        return self.container.limits.get(limit, requests.get(limit))

    @cached_property
    def custom_resources(self) -> dict[str, Fraction] | None:
        """Custom resources that the autoscaler reads; None where it cannot parse what is written."""
        if self.resources:
            named = {k: parse(v) for k, v in self.resources.items() if k not in ("CPU", "GPU", "memory")}
            return {k: v for k, v in named.items() if v is not None}
        if "resources" not in self.start_params:
            return {}
        return autoscaler_resources(self.start_params["resources"])


def autoscaler_resources(value: str) -> dict[str, Fraction] | None:
    """The start parameter `resources` as the autoscaler reads it: first and last character dropped, backslashes too."""
    return _json_amounts(value[1:-1].replace("\\", ""))


def shell_resources(value: str) -> dict[str, Fraction] | None:
    """The start parameter `resources` as `ray start` reads it: one word of a shell, holding JSON."""
    try:
        words = shlex.split(value)
    except ValueError:
        return None
    return _json_amounts(words[0]) if len(words) == 1 else None


def _json_amounts(content: str) -> dict[str, Fraction] | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    amounts = {name: parse(amount) for name, amount in value.items()}
    return {name: amount for name, amount in amounts.items() if amount is not None}


@dataclass(frozen=True, eq=False)
class Cluster:
    """One RayCluster spec."""

    manifest: Manifest
    spec: Mapping[str, Any]
    path: str

    @property
    def autoscaling(self) -> bool:
        """In-tree autoscaling."""
        return self.spec.get("enableInTreeAutoscaling") is True

    @property
    def autoscaler_v2(self) -> bool:
        """Whether `autoscalerOptions.version: v2` is written."""
        return text(dig(self.spec, "autoscalerOptions", "version")) == "v2"

    @cached_property
    def head(self) -> Group:
        """The head group, empty where none is written."""
        requests = dig(self.spec, "autoscalerOptions", "resources", "requests")
        sidecar = {"cpu": Fraction(1, 2), "memory": 512 * MIB} | resources(requests) if self.autoscaling else None
        return Group(
            self.manifest, mapping(self.spec.get("headGroupSpec")), f"{self.path}.headGroupSpec", True, sidecar
        )

    @cached_property
    def workers(self) -> list[Group]:
        """The worker groups, in order."""
        return [
            Group(self.manifest, value, f"{self.path}.workerGroupSpecs[{index}]", False)
            for index, value in enumerate(mappings(self.spec.get("workerGroupSpecs")))
        ]

    @cached_property
    def groups(self) -> list[Group]:
        """Head and workers."""
        return [self.head, *self.workers]

    @property
    def ray_version(self) -> tuple[int, int, int] | None:
        """`rayVersion`, else what the head's image is tagged with."""
        container = self.head.container
        written = version(text(self.spec.get("rayVersion")))
        tag = container.image.rpartition(":")[2] if container and "ray" in container.image else ""
        return written or version(tag)

    @property
    def is_service(self) -> bool:
        """Whether it belongs to a RayService."""
        return self.manifest.kind == "RayService"

    @property
    def surge(self) -> int:
        """How many clusters an upgrade runs at once: 2, or 1 where upgrades make none. Only a RayService upgrades."""
        strategy = text(dig(self.manifest.value, "spec", "upgradeStrategy", "type"))
        return 2 if self.is_service and strategy != "None" else 1

    @property
    def fault_tolerant(self) -> bool:
        """Whether the head's state outlives the head."""
        return bool(mapping(self.spec.get("gcsFaultToleranceOptions"))) or (
            self.manifest.annotations.get("ray.io/ft-enabled") == "true"
        )


def clusters(manifest: Manifest) -> Iterator[Cluster]:
    """The RayCluster spec in `manifest`; nothing for other kinds."""
    path = SPEC_PATHS.get(manifest.kind)
    if path is not None and manifest.group == "ray.io":
        spec = dig(manifest.value, *path)
        if isinstance(spec, Mapping):
            yield Cluster(manifest, spec, ".".join(path))
