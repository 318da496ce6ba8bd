"""EKS, or any cluster with Karpenter on AWS and KubeRay: the current context of the kubeconfig."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster import kustomize, preflight
from cluster.client import Api
from cluster.observe import Stage
from cluster.release import Release

NAME = "eks"
MANIFESTS = Path("manifests/clusters/eks")


@dataclass(frozen=True, slots=True)
class EksTarget:
    """Satisfies `Target`."""

    release: Release
    chat: Callable[[], None]  # one real request through the front door; raises NotReady
    base_url: Callable[[], str]
    name: str = NAME

    def up(self) -> None:
        """Preflight, plan, apply, wait, one chat request."""
        self.check()
        self.release.apply(self.release.plan())
        self.chat()

    def check(self) -> None:
        """Raises Refused with everything that stands in the way, before the first write."""
        preflight.refuse(preflight.problems(preflight.gather(self.release.stage.api)))
        self.release.refuse_without_rights()

    def endpoint(self) -> str:
        """The base URL of the HTTP face."""
        return self.base_url()

    def down(self) -> None:
        """Remove what deploys made, nodes included."""
        self.release.destroy()


def release(
    environment: Mapping[str, str], api: Api, tell: Callable[[str], None], *, force_conflicts: bool = False
) -> Release:
    """The manifests of this target, filled from the environment, on a cluster.

    Raises Refused where a variable is not set.
    """
    desired = kustomize.render(MANIFESTS, environment)
    return Release(Stage(api, NAME), desired, tell, {}, force_conflicts)
