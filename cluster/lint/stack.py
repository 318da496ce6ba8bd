"""Everything that was read, and how its parts belong together; computed once, used by every rule."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from cluster.documents import RepeatedKey
from cluster.instance_types import GPU, NEURON, NEURON_CORE
from cluster.lint.karpenter import NodeClass, NodePool
from cluster.lint.pods import Pod, plain_pods
from cluster.lint.ray import Cluster, clusters
from cluster.lint.serve import ServeConfig, serve_configs
from cluster.objects import Key, Manifest
from cluster.schemas import POD_TEMPLATE, Problem, load

T = TypeVar("T")
DEVICES = (NEURON, NEURON_CORE, "aws.amazon.com/neurondevice", GPU)
NEURON_DEVICES = DEVICES[:3]


@dataclass
class Stack:
    """The manifests that are linted together."""

    manifests: Sequence[Manifest]
    repeated_keys: Sequence[tuple[Manifest, RepeatedKey]] = ()
    unset_placeholders: Sequence[tuple[str, str]] = ()  # (name, example that stands for it)
    declared_placeholders: Sequence[str] = ()
    unreadable: Sequence[tuple[Manifest, str]] = ()
    unrendered: Sequence[tuple[Manifest, str]] = ()  # entry points, so what would be applied was not seen
    serve_files: Mapping[Key, str] = field(default_factory=dict)  # of a RayService whose Serve config stands elsewhere
    _known: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """`compute()`, kept under `key`: rules ask the same of pods and pools again and again."""
        if key not in self._known:
            self._known[key] = compute()
        found: T = self._known[key]
        return found

    def of(self, *kinds: str) -> list[Manifest]:
        """The manifests of `kinds`, kind by kind."""
        return [manifest for kind in kinds for manifest in self._by_kind.get(kind, ())]

    @cached_property
    def _by_kind(self) -> dict[str, list[Manifest]]:
        found: dict[str, list[Manifest]] = {}
        for manifest in self.manifests:
            found.setdefault(manifest.kind, []).append(manifest)
        return found

    @cached_property
    def schema_problems(self) -> list[tuple[Manifest, Problem]]:
        """Where the manifests depart from the CRDs of Karpenter and KubeRay, and pods from a pod's schema."""
        schemas = load()
        found: list[tuple[Manifest, Problem]] = []
        for manifest in self.manifests:
            schema = schemas.find(f"{manifest.api_version}/{manifest.kind}")
            problems = schemas.check(manifest.value, schema) if schema else ()
            found += [(manifest, problem) for problem in problems if not problem.path.startswith("status")]
        template = schemas.find(POD_TEMPLATE)
        for pod in self.plain_pods:
            problems = schemas.check(pod.value, template, pod.path) if template and pod.path else ()
            found += [(pod.manifest, problem) for problem in problems]
        return found

    @cached_property
    def clusters(self) -> list[Cluster]:
        """Every RayCluster spec."""
        return [cluster for manifest in self.manifests for cluster in clusters(manifest)]

    @cached_property
    def serve_configs(self) -> list[ServeConfig]:
        """Every Serve config."""
        return [config for manifest in self.manifests for config in serve_configs(manifest)]

    @cached_property
    def ray_pods(self) -> list[Pod]:
        """The pod templates of Ray groups."""
        return [group.pod for cluster in self.clusters for group in cluster.groups if group.value]

    @cached_property
    def plain_pods(self) -> list[Pod]:
        """The pod templates of built-in workloads."""
        return [pod for manifest in self.manifests for pod in plain_pods(manifest)]

    @cached_property
    def pods(self) -> list[Pod]:
        """Every pod template."""
        return [*self.ray_pods, *self.plain_pods]

    @cached_property
    def node_pools(self) -> list[NodePool]:
        """Every NodePool of Karpenter's."""
        return [NodePool(m) for m in self.of("NodePool") if m.group == "karpenter.sh"]

    @cached_property
    def node_classes(self) -> list[NodeClass]:
        """Every EC2NodeClass."""
        return [NodeClass(m) for m in self.of("EC2NodeClass") if m.group == "karpenter.k8s.aws"]

    def node_class(self, pool: NodePool) -> NodeClass | None:
        """The node class that `pool` refers to, None where it is not among the manifests."""
        return self.once("classes", lambda: {c.name: c for c in reversed(self.node_classes)}).get(pool.class_name)

    def config_of(self, cluster: Cluster) -> ServeConfig | None:
        """The readable Serve config that runs on `cluster`; a config in a file of its own belongs to the only service."""
        own = [c for c in self.serve_configs if c.manifest is cluster.manifest]
        services = [c for c in self.clusters if c.is_service]
        loose = [c for c in self.serve_configs if not c.path] if len(services) == 1 and cluster.is_service else []
        return next((config for config in [*own, *loose] if not config.error), None)
