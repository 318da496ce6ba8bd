"""EKS, or any cluster with Karpenter on AWS and KubeRay that the kubeconfig leads to."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.cluster_target import ClusterTarget

NAME = "eks"


@dataclass(frozen=True, slots=True)
class EksTarget(ClusterTarget):
    """Satisfies `cluster.targets.Target`."""

    name: str = NAME
