"""In which order objects are made and removed, and which kinds we look through for what we once made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum

from cluster.objects import Key, Manifest


class Phase(IntEnum):
    """What must be ready before the next is touched; destroy.py says in which order they go."""

    NAMESPACE = 0
    POLICY = 1  # identities, rights, configuration, quotas
    NODE_CLASS = 2
    NODE_POOL = 3
    PLATFORM = 4  # what runs or listens without being the workload
    WORKLOAD = 5


# (apiVersion, kind) of everything that our manifests may hold: pruning and destroying look through exactly these.
KINDS: dict[tuple[str, str], Phase] = {
    ("v1", "Namespace"): Phase.NAMESPACE,
    ("scheduling.k8s.io/v1", "PriorityClass"): Phase.POLICY,
    ("v1", "ServiceAccount"): Phase.POLICY,
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): Phase.POLICY,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): Phase.POLICY,
    ("rbac.authorization.k8s.io/v1", "Role"): Phase.POLICY,
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): Phase.POLICY,
    ("v1", "ConfigMap"): Phase.POLICY,
    ("v1", "Secret"): Phase.POLICY,
    ("v1", "LimitRange"): Phase.POLICY,
    ("v1", "ResourceQuota"): Phase.POLICY,
    ("v1", "PersistentVolumeClaim"): Phase.POLICY,
    ("networking.k8s.io/v1", "NetworkPolicy"): Phase.POLICY,
    ("policy/v1", "PodDisruptionBudget"): Phase.POLICY,
    ("karpenter.k8s.aws/v1", "EC2NodeClass"): Phase.NODE_CLASS,
    ("karpenter.sh/v1", "NodePool"): Phase.NODE_POOL,
    ("apps/v1", "DaemonSet"): Phase.PLATFORM,
    ("apps/v1", "Deployment"): Phase.PLATFORM,
    ("apps/v1", "StatefulSet"): Phase.PLATFORM,
    ("v1", "Service"): Phase.PLATFORM,
    ("networking.k8s.io/v1", "Ingress"): Phase.PLATFORM,
    ("monitoring.coreos.com/v1", "PodMonitor"): Phase.PLATFORM,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): Phase.PLATFORM,
    ("monitoring.coreos.com/v1", "PrometheusRule"): Phase.PLATFORM,
    ("ray.io/v1", "RayService"): Phase.WORKLOAD,
    ("batch/v1", "Job"): Phase.WORKLOAD,
}
_PHASES = {(api_version.rpartition("/")[0], kind): phase for (api_version, kind), phase in KINDS.items()}


def phase(key: Key) -> Phase:
    """Of an object; a kind that is not in the table comes with what runs or listens."""
    return _PHASES.get((key.group, key.kind), Phase.PLATFORM)


def is_deployable(key: Key) -> bool:
    """Whether pruning and destroying would find an object of this kind again."""
    return (key.group, key.kind) in _PHASES


def position(key: Key) -> tuple[int, int, str, str]:
    """Sorts objects into the order in which they are made."""
    identity = (key.group, key.kind)
    at = list(_PHASES).index(identity) if identity in _PHASES else len(_PHASES)
    return (phase(key), at, key.namespace, key.name)


def places(desired: Sequence[Manifest], own_namespaces: Iterable[str] = ()) -> list[tuple[tuple[str, str], str]]:
    """Where to look for what we made: (apiVersion, kind) and namespace, which is empty for what is cluster-scoped.

    Every kind in the namespaces that are ours, in others only the kinds that we put there: nobody has to let us read
    the secrets of kube-system.
    """
    own = {manifest.name for manifest in desired if manifest.kind == "Namespace"} | set(own_namespaces)
    put = {((manifest.api_version, manifest.kind), manifest.namespace) for manifest in desired}
    everywhere = {(kind, namespace) for kind in KINDS for namespace in own | {""}}
    return sorted(everywhere | {(kind, namespace) for kind, namespace in put if kind in KINDS})
