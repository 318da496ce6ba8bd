"""What has to be there before the first write: Karpenter, KubeRay, the caller's rights. Facts in, sentences out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from cluster import support
from cluster.client import Api
from cluster.errors import ClusterError, Refused
from cluster.objects import Manifest, dig, mappings, text
from cluster.order import KINDS
from cluster.permissions import Plural, Right

_QUESTIONS_AT_ONCE = 8
KARPENTER_FLOOR = (1, 6, 0)  # the oldest whose NodePool takes every field of ours
# The first Karpenter that supports a Kubernetes (karpenter.sh, Compatibility).
_KARPENTER_FOR_KUBERNETES = {33: (1, 5, 0), 34: (1, 6, 0), 35: (1, 9, 0), 36: (1, 13, 0)}
_CRDS = {
    "nodepools.karpenter.sh": "v1",
    "nodeclaims.karpenter.sh": "v1",
    "ec2nodeclasses.karpenter.k8s.aws": "v1",
    "rayservices.ray.io": "v1",
}
_INSTALL = {
    "karpenter": "install it by its chart: helm upgrade --install karpenter oci://public.ecr.aws/karpenter/karpenter "
    "--version 1.14.1 --namespace kube-system --set settings.clusterName=$EKS_CLUSTER_NAME",
    "kuberay-operator": "install it: helm upgrade --install kuberay-operator kuberay-operator --version 1.6.1 "
    "--repo https://ray-project.github.io/kuberay-helm --namespace kuberay-system --create-namespace",
}
_CALLED = {"karpenter": "Karpenter", "kuberay-operator": "KubeRay's operator"}

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Controller:
    """A Deployment of one of the two."""

    name: str  # karpenter or kuberay-operator
    namespace: str
    version: Version | None  # None where the image's tag names none
    available: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found in the cluster."""

    kubernetes_minor: int
    crds: Mapping[str, frozenset[str]]  # name of each that is there -> versions it serves
    controllers: tuple[Controller, ...]


def gather(api: Api) -> Facts:
    """Read the facts of a cluster."""
    minor = re.match(r"v\d+\.(\d+)", api.server_version())
    return Facts(
        kubernetes_minor=int(minor[1]) if minor else 0,
        crds={name: served for name in _CRDS if (served := _served_versions(api, name))},
        controllers=tuple(_controllers(api)),
    )


def problems(facts: Facts) -> list[str]:
    """Every reason not to begin, each with what to do."""
    return [problem for name in _CALLED for problem in _controller_problems(facts, name)]


def missing_rights(api: Api, rights: Iterable[Right]) -> list[Right]:
    """Those that the caller does not have, as the API server judges."""
    asked = list(rights)
    with ThreadPoolExecutor(_QUESTIONS_AT_ONCE) as pool:  # some two hundred questions, each a round trip to EKS
        allowed = pool.map(lambda right: api.is_allowed(right.attributes), asked)
        return [right for right, may in zip(asked, allowed, strict=True) if not may]


def refuse(reasons: list[str]) -> None:
    """Raises Refused with all of them, if there are any."""
    if reasons:
        raise Refused("Nothing was changed, because:\n" + "\n".join(f"  - {reason}" for reason in reasons))


@contextmanager
def only_looking() -> Iterator[None]:
    """For what writes nothing: an API server that does not answer, or answers with an error, becomes Refused."""
    try:
        yield
    except ClusterError as error:
        raise Refused(str(error)) from error


def plurals(api: Api, desired: Iterable[Manifest]) -> dict[tuple[str, str], Plural]:
    """How the cluster calls every kind that we deploy and every kind of the manifests."""
    kinds = [*KINDS, *((manifest.api_version, manifest.kind) for manifest in desired)]
    resources = {kind: api.resource(*kind) for kind in kinds}
    return {kind: Plural(found.plural, found.namespaced) for kind, found in resources.items() if found}


def _controller_problems(facts: Facts, name: str) -> Iterable[str]:
    called, install = _CALLED[name], _INSTALL[name]
    group = "karpenter" if name == "karpenter" else "ray.io"
    absent = [crd for crd, version in _CRDS.items() if group in crd and version not in facts.crds.get(crd, ())]
    running = [controller for controller in facts.controllers if controller.name == name]
    if absent:
        yield f"{called} is not installed ({', '.join(absent)} not served); {install}"
    elif not running:
        yield f"{called} does not run, only its CRDs are there; {install}"
    for controller in running:
        yield from _health_problems(facts, controller, called, install)


def _health_problems(facts: Facts, controller: Controller, called: str, install: str) -> Iterable[str]:
    where = f"{called} in namespace {controller.namespace}"
    if controller.available < 1:
        yield (
            f"{where} has no available pod; look at: "
            f"kubectl -n {controller.namespace} describe deployment -l app.kubernetes.io/name={controller.name}"
        )
    version = controller.version
    if version is None:
        return
    shown = ".".join(map(str, version))
    if controller.name == "kuberay-operator" and support.errors(support.Combination(kuberay=shown)):
        yield f"{where} is {shown}, and these manifests are written for 1.6.1; {install}"
    if controller.name == "karpenter":
        floor = max(KARPENTER_FLOOR, _KARPENTER_FOR_KUBERNETES.get(facts.kubernetes_minor, (0, 0, 0)))
        if version < floor:
            wanted = ".".join(map(str, floor))
            yield f"{where} is {shown}; Kubernetes 1.{facts.kubernetes_minor} needs {wanted} or newer; {install}"


def _served_versions(api: Api, name: str) -> frozenset[str]:
    resource = api.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    found = api.get(resource, name) if resource else None
    served = (v for v in mappings(dig(found, "spec", "versions")) if v.get("served"))
    return frozenset(text(version.get("name")) for version in served)


def _controllers(api: Api) -> Iterable[Controller]:
    deployments = api.resource("apps/v1", "Deployment")
    if deployments is None:
        return
    for value in api.listing(deployments, labels=f"app.kubernetes.io/name in ({','.join(_CALLED)})").items:
        manifest = Manifest(value)
        image = text(dig(value, "spec", "template", "spec", "containers", 0, "image"))
        yield Controller(
            manifest.labels["app.kubernetes.io/name"],
            manifest.namespace,
            _version(image),
            int(dig(value, "status", "availableReplicas") or 0),
        )


def _version(image: str) -> Version | None:
    found = re.search(r":v?(\d+)\.(\d+)\.(\d+)", image)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
