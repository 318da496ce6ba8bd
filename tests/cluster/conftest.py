"""The real control plane, started once for the tests that ask for it; each of them leaves it as it found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kubernetes.config import new_client_from_config

from cluster.client import Api, Collection
from cluster.errors import Refused
from cluster.objects import Manifest
from cluster.order import KINDS
from cluster.plan import TARGET_LABEL
from cluster.rehearsal import build, first_state
from cluster.rehearsal.control_plane import ControlPlane
from cluster.rehearsal.programs import CONTROL_PLANE
from cluster.settings import from_environment
from cluster.transport import Pace
from cluster.wait import Patience, until_gone
from tests.support.status_double import StatusDouble

SYSTEM_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
CONTROLLERS = frozenset({"karpenter", "kuberay-operator"})


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A running control plane with Karpenter's and KubeRay's real CRDs; no controller of theirs."""
    settings = from_environment()
    try:
        built = build.find(settings.cache_dir, [CONTROL_PLANE])
    except Refused as reason:
        pytest.skip(str(reason))
    home = tmp_path_factory.mktemp("control-plane")
    state = first_state.of(built, settings.environment)
    running = ControlPlane(built, home, environment=settings.environment, first_state=state)
    running.start()
    yield running
    running.stop()


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


def clean(api: Api) -> None:
    """Remove what a test made: what is cluster-scoped or labelled, and whole namespaces."""
    for kind in [*KINDS, ("karpenter.sh/v1", "NodeClaim")]:
        resource = api.resource(*kind)
        if resource is not None:
            for item in api.listing(resource).items:
                name = Manifest(item).labels.get("app.kubernetes.io/name")
                ours = TARGET_LABEL in Manifest(item).labels or name in CONTROLLERS
                if ours or kind[1] in {"NodePool", "EC2NodeClass", "NodeClaim"}:
                    api.delete(item, resource)
    namespaces = api.resource("v1", "Namespace")
    assert namespaces is not None
    made = [item for item in api.listing(namespaces).items if Manifest(item).name not in SYSTEM_NAMESPACES]
    for item in made:
        api.delete(item, namespaces)
    others = ",".join(f"metadata.name!={name}" for name in sorted(SYSTEM_NAMESPACES))
    until_gone(Collection(api, namespaces, fields=others), "Namespaces", Patience(120.0))
