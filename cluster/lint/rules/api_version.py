"""Which kind it is, in which version: what the API server does not serve, or serves for old clients only."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from cluster.lint.finding import Hit
from cluster.lint.registry import rule
from cluster.lint.stack import Stack
from cluster.objects import Manifest, dig, text
from cluster.schemas import load

HOP = "manifest"
KARPENTER_CRDS = "CRDs of karpenter-provider-aws v1.14.1"
KUBERAY_CRDS = "CRDs of KubeRay v1.6.1"
KINDS = {  # of the API groups whose schemas are kept: each kind and the version that is served
    group: {key.split("/")[2]: key.split("/")[1] for key in load().kinds if key.startswith(f"{group}/")}
    for group in ("ray.io", "karpenter.sh", "karpenter.k8s.aws")
}
GROUP_OF = {kind: group for group, kinds in KINDS.items() for kind in kinds}
KARPENTER_V1BETA1 = ("NodePool", "NodeClaim", "EC2NodeClass")
RAY_V1ALPHA1 = ("RayCluster", "RayJob", "RayService")
RENAMED_KINDS = {"Provisioner": "NodePool", "AWSNodeTemplate": "EC2NodeClass", "Machine": "NodeClaim"}
V1BETA1_FIELDS = {
    ("spec", "disruption", "expireAfter"): "moved to spec.template.spec.expireAfter",
    ("spec", "template", "spec", "kubelet"): "moved to the EC2NodeClass's spec.kubelet",
    ("spec", "ttlSecondsAfterEmpty"): "became spec.disruption.consolidateAfter",
}


@rule(HOP, "error", fix="Write the kind as the CRD has it.", evidence=f"{KARPENTER_CRDS}, {KUBERAY_CRDS}")
def kind_unknown(stack: Stack) -> Iterator[Hit]:
    """A kind that its API group does not have: the API server refuses the object, and no other rule sees it."""
    for manifest in stack.manifests:
        kinds = KINDS.get(manifest.group, {})
        if kinds and manifest.kind not in (*kinds, *RENAMED_KINDS):
            near = get_close_matches(manifest.kind, kinds, n=1, cutoff=0.7)
            meant = f"did you mean {near[0]}?" if near else f"{manifest.group} has {', '.join(sorted(kinds))}"
            wrong = f"{manifest.group} has no kind `{manifest.kind}`" if manifest.kind else "the kind is missing"
            yield Hit(manifest, "kind", f"{wrong}; {meant}")


@rule(HOP, "error", fix="Write the version that the message names.", evidence=f"{KARPENTER_CRDS}, {KUBERAY_CRDS}")
def version_unknown(stack: Stack) -> Iterator[Hit]:
    """A kind in a version that its API group does not serve, or without its group: the API server refuses the object."""
    for manifest in stack.manifests:
        group = manifest.group or GROUP_OF.get(manifest.kind, "")
        served = KINDS.get(group, {}).get(manifest.kind)
        right = f"{group}/{served}"
        if served and not (manifest.api_version == right or _old(manifest) or "$" in manifest.api_version):
            wrong = (
                f"`{manifest.api_version}` has no {manifest.kind}" if manifest.api_version else "apiVersion is missing"
            )
            yield Hit(manifest, "apiVersion", f"{wrong}; {manifest.kind} is {right}")


def _old(manifest: Manifest) -> bool:
    """Whether it is of a version that once was, for which there are rules of their own."""
    if manifest.group == "ray.io":
        return manifest.api_version.endswith("/v1alpha1") and manifest.kind in RAY_V1ALPHA1
    return manifest.api_version.endswith("/v1beta1") and manifest.kind in KARPENTER_V1BETA1


@rule(
    HOP,
    "error",
    fix="Write karpenter.sh/v1 and karpenter.k8s.aws/v1, and move what moved.",
    evidence="Karpenter's v1 migration guide: v1beta1 is not served since 1.1",
)
def karpenter_api_removed(stack: Stack) -> Iterator[Hit]:
    """A kind, version or field of Karpenter from before v1."""
    for manifest in stack.manifests:
        if not manifest.group.startswith("karpenter."):
            continue
        if manifest.kind in RENAMED_KINDS:
            yield Hit(manifest, "kind", f"{manifest.kind} became {RENAMED_KINDS[manifest.kind]}")
        elif _old(manifest):
            yield Hit(manifest, "apiVersion", f"{manifest.api_version} is not served since Karpenter 1.1")
        for path, became in V1BETA1_FIELDS.items():
            if manifest.kind == "NodePool" and dig(manifest.value, *path) is not None:
                yield Hit(manifest, ".".join(path), f"{path[-1]} {became}")
        if text(dig(manifest.spec, "disruption", "consolidationPolicy")) == "WhenUnderutilized":
            path_of_policy = "spec.disruption.consolidationPolicy"
            yield Hit(manifest, path_of_policy, "WhenUnderutilized became WhenEmptyOrUnderutilized")


@rule(HOP, "info", fix="Write ray.io/v1.", evidence=f"{KUBERAY_CRDS}: v1alpha1 is served for old clients only")
def ray_api_old(stack: Stack) -> Iterator[Hit]:
    """A Ray kind in v1alpha1: newer fields are unknown there."""
    for manifest in stack.manifests:
        if manifest.group == "ray.io" and _old(manifest):
            yield Hit(manifest, "apiVersion", f"{manifest.kind} is written in ray.io/v1alpha1")
