"""Removing against the real API server and its garbage collector; Karpenter's part is a double's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cluster.client import Api
from cluster.destroy import Destruction, costs
from cluster.errors import NotReady
from cluster.objects import Manifest
from cluster.observe import Stage
from tests.cluster.test_apply import Killed, apply_as, deployed
from tests.support import manifests
from tests.support.status_double import StatusDouble

PRICES = {"trn1.2xlarge": 1.34375}


def destroyed(stage: Stage, desired: Sequence[Manifest], *, nodes_timeout_s: float = 60.0) -> list[str]:
    told: list[str] = []
    Destruction(stage, desired, told.append, PRICES, nodes_timeout_s).run()
    return told


@pytest.mark.cluster
def test_everything_goes_in_order_nodes_before_their_classes(api: Api, controllers: StatusDouble) -> None:
    stage = Stage(api, "eks")
    deployed(stage, manifests.chatbot())
    controllers.claim("trainium-trn1", "trn1.2xlarge")
    told = destroyed(stage, manifests.chatbot())
    steps = [line.split()[1] for line in told if line.startswith("delete ")]
    assert steps == ["RayService", "NodePool", "ConfigMap", "Namespace", "EC2NodeClass"]
    assert all(stage.live(manifest) is None for manifest in manifests.chatbot())


@pytest.mark.cluster
def test_what_it_did_not_make_stays(api: Api, controllers: StatusDouble) -> None:
    stage = Stage(api, "eks")
    theirs = [manifests.node_class("theirs"), manifests.node_pool("theirs", "m5.large")]
    for manifest in theirs:
        apply_as(api, "their-tool", manifest.value)
    deployed(stage, manifests.chatbot())
    apply_as(api, "their-tool", manifests.config_map("theirs").value)
    controllers.claim("theirs", "m5.large")
    told = destroyed(stage, manifests.chatbot())
    assert "Namespace chatbot stays: others have ConfigMap chatbot/theirs in it" in told
    assert all(stage.live(manifest) is not None for manifest in [*theirs, manifests.namespace()])
    assert stage.live(manifests.ray_service()) is None
    claims = api.resource("karpenter.sh/v1", "NodeClaim")
    assert claims is not None
    assert len(api.listing(claims).items) == 1


@pytest.mark.cluster
def test_what_was_there_before_the_deploy_is_changed_by_it_and_left_by_destroy(
    api: Api, controllers: StatusDouble
) -> None:
    stage = Stage(api, "eks")
    apply_as(api, "their-tool", manifests.namespace().value)
    deployed(stage, manifests.chatbot())
    destroyed(stage, manifests.chatbot())
    assert stage.live(manifests.namespace()) is not None
    assert stage.live(manifests.config_map()) is None


@pytest.mark.cluster
def test_nodes_that_do_not_go_are_an_error_with_what_they_cost_and_the_next_run_goes_on(
    api: Api, controllers: StatusDouble
) -> None:
    stage = Stage(api, "eks")
    deployed(stage, manifests.chatbot())
    controllers.terminates_nodes = False
    claim = controllers.claim("trainium-trn1", "trn1.2xlarge")
    with pytest.raises(NotReady, match=rf"(?s)NodeClaims still there.*{claim}.*trn1\.2xlarge, \$1\.34/h") as stuck:
        destroyed(stage, manifests.chatbot(), nodes_timeout_s=0.0)
    assert "run destroy again" in str(stuck.value)
    assert stage.live(manifests.node_pool()) is None
    assert stage.live(manifests.node_class()) is not None
    controllers.terminates_nodes = True
    told = destroyed(stage, manifests.chatbot())
    assert [line.split()[1] for line in told if line.startswith("delete ")] == ["EC2NodeClass"]
    assert all(stage.live(manifest) is None for manifest in manifests.chatbot())


@pytest.mark.cluster
def test_what_hangs_and_costs_nothing_is_waited_for_when_nodes_and_their_classes_are_gone(
    api: Api, controllers: StatusDouble
) -> None:
    stage = Stage(api, "eks")
    deployed(stage, manifests.chatbot())
    controllers.claim("trainium-trn1", "trn1.2xlarge")
    held = manifests.config_map()
    configs = stage.resource("v1", "ConfigMap")
    hold(api, configs.path(held.name, held.namespace), ["tests/hold"])

    def die_while_it_hangs(told: str) -> None:
        if told.startswith(f"waiting until ConfigMap {held.name}"):
            raise Killed

    with pytest.raises(Killed):
        Destruction(stage, manifests.chatbot(), die_while_it_hangs, PRICES).run()
    left = {manifest.kind for manifest in manifests.chatbot() if stage.live(manifest)}
    hold(api, configs.path(held.name, held.namespace), [])  # before all else: whatever fails here must not hang
    assert left == {"Namespace", "ConfigMap"}
    destroyed(stage, manifests.chatbot())
    assert all(stage.live(manifest) is None for manifest in manifests.chatbot())


def hold(api: Api, path: str, finalizers: list[str]) -> None:
    body = {"metadata": {"finalizers": finalizers}}
    api.transport.ask("patch", path, body=body, content_type="application/merge-patch+json")


@pytest.mark.cluster
def test_killed_after_every_delete_and_run_again_nothing_of_it_is_left(
    api: Api, controllers: StatusDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(api, "eks")
    deployed(stage, manifests.chatbot())
    controllers.claim("trainium-trn1", "trn1.2xlarge")
    delete = api.delete

    def delete_and_die(*args: Any, **options: Any) -> None:
        delete(*args, **options)
        raise Killed

    for _ in manifests.chatbot():
        monkeypatch.setattr(api, "delete", delete_and_die)
        with pytest.raises(Killed):
            destroyed(stage, manifests.chatbot())
        monkeypatch.setattr(api, "delete", delete)
    assert all(told.startswith("waiting until") for told in destroyed(stage, manifests.chatbot()))
    assert all(stage.live(manifest) is None for manifest in manifests.chatbot())
    claims = api.resource("karpenter.sh/v1", "NodeClaim")
    assert claims is not None
    assert api.listing(claims).items == []


@pytest.mark.cluster
def test_where_nothing_stands_nothing_is_done(api: Api) -> None:
    assert destroyed(Stage(api, "eks"), manifests.chatbot()) == []


def test_what_is_left_is_listed_with_its_price_where_that_is_known() -> None:
    def claim(name: str, **labels: str) -> dict[str, Any]:
        metadata = {"name": name, "labels": labels, "creationTimestamp": "2026-11-24T11:00:00Z"}
        return {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": metadata}

    known = claim("a", **{"node.kubernetes.io/instance-type": "trn1.2xlarge"})
    unknown = claim("b", **{"node.kubernetes.io/instance-type": "x9.huge"})
    assert costs([known, unknown], PRICES).splitlines()[1:] == [
        "  NodeClaim a (trn1.2xlarge, $1.34/h) since 2026-11-24T11:00:00Z",
        "  NodeClaim b (x9.huge, price unknown) since 2026-11-24T11:00:00Z",
    ]
    assert costs([], PRICES) == "Nothing of ours that costs money is left."
