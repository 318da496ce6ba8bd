"""The real control plane, started once for the tests that ask for it; each of them leaves it as it found it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from kubernetes.config import new_client_from_config

from cluster.client import Api, Collection, Pace
from cluster.errors import Refused
from cluster.objects import Manifest, dig
from cluster.observe import owners
from cluster.order import KINDS, Phase
from cluster.rehearsal import build
from cluster.rehearsal.control_plane import ControlPlane
from cluster.settings import from_environment
from cluster.wait import Patience, condition, until_gone
from tests.support.status_double import StatusDouble

SYSTEM_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
NEEDED = frozenset({"EC2NodeClass", "NodeClaim", "NodePool", "RayCluster", "RayService"})


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A running control plane with Karpenter's and KubeRay's real CRDs; no controller of theirs."""
    settings = from_environment()
    try:
        built = build.find(settings.cache_dir)
    except Refused as reason:
        pytest.skip(str(reason))
    home = tmp_path_factory.mktemp("control-plane")
    with ControlPlane(built, home, environment=settings.environment) as running:
        install_crds(Api.connect(running.admin_kubeconfig), built)
        yield running


@pytest.fixture
def api(control_plane: ControlPlane) -> Iterator[Api]:
    """The API server as its administrator sees it; what the test made is gone afterwards."""
    connected = Api.connect(control_plane.admin_kubeconfig, pace=Pace(jitter=lambda: 0.0))
    yield connected
    clean(connected)


@pytest.fixture
def controllers(control_plane: ControlPlane, api: Api) -> Iterator[StatusDouble]:
    """The statuses of Karpenter and KubeRay, written by the double while the test runs."""
    client = new_client_from_config(str(control_plane.admin_kubeconfig))  # type: ignore[no-untyped-call]
    with StatusDouble(client).at_work() as double:
        yield double


def install_crds(api: Api, built: build.Built) -> None:
    resource = api.resource(*CRD)
    assert resource is not None
    for path in built.crds:
        document = json.loads(path.read_text())
        if dig(document, "spec", "names", "kind") in NEEDED:
            api.apply(document, resource)
    for items in Collection(api, resource).follow():
        if items and all(condition(item, "Established").get("status") == "True" for item in items):
            return


def clean(api: Api) -> None:
    """Remove every object of the kinds that we deploy, but those of the system."""
    kinds = [*(kind for kind, phase in KINDS.items() if phase is not Phase.NAMESPACE), ("karpenter.sh/v1", "NodeClaim")]
    for kind in [*kinds, ("v1", "Namespace")]:
        resource = api.resource(*kind)
        if resource is None:
            continue
        made = [item for item in api.listing(resource).items if is_of_a_test(Manifest(item))]
        for item in made:
            if dig(item, "metadata", "finalizers") and kind[1] == "NodeClaim":
                continue
            api.delete(item, resource)
    namespaces = api.resource("v1", "Namespace")
    assert namespaces is not None
    names = ",".join(f"metadata.name!={name}" for name in SYSTEM_NAMESPACES)
    until_gone(Collection(api, namespaces, fields=names), "Namespaces", Patience(60.0))


def is_of_a_test(manifest: Manifest) -> bool:
    system = manifest.name.startswith(("system", "kube", "default", "extension-apiserver", "cluster-admin", "admin"))
    ordinary = manifest.name not in {"view", "edit", *SYSTEM_NAMESPACES} and not system
    return ordinary and manifest.namespace not in SYSTEM_NAMESPACES - {"default"} and not owners(manifest.value)
