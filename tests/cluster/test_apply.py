"""Deploying against the real API server with the real CRDs; the controllers' statuses are a double's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from cluster.apply import Execution
from cluster.client import FIELD_MANAGER, Api
from cluster.errors import NotReady, Refused
from cluster.objects import Manifest, dig
from cluster.observe import Stage
from cluster.order import Phase
from cluster.plan import TARGET_LABEL, Action, Plan, diff
from tests.support import manifests
from tests.support.status_double import StatusDouble

pytestmark = pytest.mark.cluster

IN_ORDER = ["Namespace", "ConfigMap", "EC2NodeClass", "NodePool", "RayService"]


def planned(stage: Stage, desired: Sequence[Manifest]) -> Plan:
    return diff(desired, stage.observe(desired), stage.orphans(desired), field_manager=FIELD_MANAGER)


def deployed(stage: Stage, desired: Sequence[Manifest], *, force: bool = False) -> list[str]:
    """Plan and carry out; what was told."""
    told: list[str] = []
    Execution(stage, told.append, force_conflicts=force).run(planned(stage, desired), desired)
    return told


def live(stage: Stage, manifest: Manifest) -> Mapping[str, Any]:
    value = stage.live(manifest)
    assert value is not None
    return value


def apply_as(api: Api, manager: str, value: Mapping[str, Any]) -> None:
    """Somebody else's server-side apply."""
    resource = api.resource(value["apiVersion"], value["kind"])
    assert resource is not None
    path = resource.path(value["metadata"]["name"], value["metadata"].get("namespace", ""))
    query = [("fieldManager", manager), ("force", "true")]
    api.transport.ask("patch", path, query, body=value, content_type="application/apply-patch+yaml")


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@contextmanager
def killed_at_write(api: Api, number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process ends just before its write of that number."""
    writes = iter(range(1, 1000))

    def guarded(write: Any) -> Any:
        def call(*args: Any, dry_run: bool = False, **options: Any) -> Any:
            if dry_run:
                return write(*args, dry_run=True, **options)
            if next(writes) == number:
                raise Killed
            return write(*args, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(api, "apply", guarded(api.apply))
        yield


def test_objects_are_made_in_the_order_in_which_they_need_each_other(api: Api, controllers: StatusDouble) -> None:
    stage = Stage(api, "eks")
    told = deployed(stage, manifests.chatbot())
    made = [line.removeprefix("create ") for line in told if line.startswith("create ")]
    assert [line.split()[0] for line in made] == IN_ORDER
    assert all(live(stage, manifest)["metadata"]["labels"][TARGET_LABEL] == "eks" for manifest in manifests.chatbot())


def test_the_second_deploy_changes_nothing(api: Api, controllers: StatusDouble) -> None:
    stage = Stage(api, "eks")
    deployed(stage, manifests.chatbot())
    before = [live(stage, manifest)["metadata"]["resourceVersion"] for manifest in manifests.chatbot()]
    assert planned(stage, manifests.chatbot()).pending == []
    assert [line for line in deployed(stage, manifests.chatbot()) if line.startswith(("create", "change"))] == []
    assert [live(stage, manifest)["metadata"]["resourceVersion"] for manifest in manifests.chatbot()] == before


def test_killed_at_every_step_and_run_again_it_comes_to_the_same_end(
    api: Api, controllers: StatusDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(api, "eks")
    for made in range(len(IN_ORDER)):
        with killed_at_write(api, 2 if made else 1, monkeypatch), pytest.raises(Killed):
            deployed(stage, manifests.chatbot())
        assert sum(stage.live(manifest) is not None for manifest in manifests.chatbot()) == made
    deployed(stage, manifests.chatbot())
    assert planned(stage, manifests.chatbot()).pending == []


def test_a_plan_writes_nothing(api: Api, controllers: StatusDouble) -> None:
    stage = Stage(api, "eks")
    planned(stage, manifests.chatbot())
    assert stage.live(manifests.node_pool()) is None
    deployed(stage, manifests.chatbot())
    before = live(stage, manifests.config_map())
    planned(stage, [manifests.config_map(title="Other"), *manifests.chatbot()[:3], manifests.namespace()])
    assert live(stage, manifests.config_map()) == before


def test_a_field_that_somebody_else_set_is_shown_and_never_taken(api: Api, controllers: StatusDouble) -> None:
    stage = Stage(api, "eks")
    deployed(stage, manifests.chatbot())
    theirs = {**manifests.config_map(title="Theirs").value}
    apply_as(api, "their-tool", theirs)
    plan = planned(stage, manifests.chatbot())
    assert [(str(key), conflict.path, conflict.manager) for key, conflict in plan.conflicts] == [
        ("ConfigMap chatbot/page", "data.title", "their-tool")
    ]
    with pytest.raises(Refused, match=r"data\.title is managed by their-tool"):
        deployed(stage, manifests.chatbot())
    assert dig(live(stage, manifests.config_map()), "data", "title") == "Theirs"
    deployed(stage, manifests.chatbot(), force=True)
    assert dig(live(stage, manifests.config_map()), "data", "title") == "Chat"


def test_a_field_that_we_do_not_set_stays_as_others_set_it(api: Api, controllers: StatusDouble) -> None:
    stage = Stage(api, "eks")
    deployed(stage, manifests.chatbot())
    metadata = {"name": "page", "namespace": manifests.NAMESPACE, "annotations": {"theirs": "yes"}}
    apply_as(api, "their-tool", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    assert planned(stage, manifests.chatbot()).pending == []
    assert dig(live(stage, manifests.config_map()), "metadata", "annotations") == {"theirs": "yes"}


def test_what_was_taken_out_of_the_manifests_is_pruned_and_only_that(api: Api, controllers: StatusDouble) -> None:
    stage = Stage(api, "eks")
    extra = manifests.config_map("extra")
    deployed(stage, [*manifests.chatbot(), extra])
    apply_as(api, "their-tool", manifests.config_map("theirs").value)
    plan = planned(stage, manifests.chatbot())
    assert [(change.action, change.key.name) for change in plan.pending] == [(Action.DELETE, "extra")]
    deployed(stage, manifests.chatbot())
    assert stage.live(extra) is None
    assert stage.live(manifests.config_map("theirs")) is not None


def test_a_new_value_and_a_field_taken_out_both_reach_the_cluster(api: Api, controllers: StatusDouble) -> None:
    stage = Stage(api, "eks")
    others = [manifest for manifest in manifests.chatbot() if manifest.kind != "ConfigMap"]
    deployed(stage, [*others, manifests.config_map(title="Chat", colour="green")])
    deployed(stage, [*others, manifests.config_map(title="Chat 2")])
    assert live(stage, manifests.config_map())["data"] == {"title": "Chat 2"}


def test_what_the_api_server_finds_invalid_is_refused_before_the_first_write(
    api: Api, controllers: StatusDouble
) -> None:
    stage = Stage(api, "eks")
    pool = manifests.node_pool()
    pool.value["spec"]["template"]["spec"]["requirements"][0]["operator"] = "Like"
    with pytest.raises(Refused, match="NodePool trainium-trn1 is not accepted"):
        deployed(stage, [manifests.namespace(), pool])
    assert stage.live(manifests.namespace()) is None


def test_what_does_not_become_ready_in_time_is_an_error_with_the_reason(api: Api, controllers: StatusDouble) -> None:
    controllers.ray_services_become_ready = False
    stage = Stage(api, "eks")
    desired = manifests.chatbot()
    patience = {**dict.fromkeys(Phase, 60.0), Phase.WORKLOAD: 0.0}
    with pytest.raises(NotReady, match="RayService chatbot/chatbot is not ready after 0 s: KubeRay has not looked"):
        Execution(stage, lambda _: None, timeouts_s=patience).run(planned(stage, desired), desired)


def test_what_can_only_be_replaced_is_where_that_costs_nothing_and_refused_where_it_takes_more_along(
    api: Api, controllers: StatusDouble
) -> None:
    stage = Stage(api, "eks")

    def binding(role: str) -> Manifest:
        group = "rbac.authorization.k8s.io"
        metadata = {"name": "reader", "namespace": manifests.NAMESPACE}
        ref = {"apiGroup": group, "kind": "ClusterRole", "name": role}
        return Manifest({"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": metadata, "roleRef": ref})

    deployed(stage, [*manifests.chatbot(), binding("view")])
    told = deployed(stage, [*manifests.chatbot(), binding("edit")])
    assert "replace RoleBinding chatbot/reader" in told
    assert dig(live(stage, binding("edit")), "roleRef", "name") == "edit"
    pool = manifests.node_pool()
    pool.value["spec"]["template"]["spec"]["nodeClassRef"]["kind"] = "OtherNodeClass"
    others = [manifest for manifest in manifests.chatbot() if manifest.kind != "NodePool"]
    with pytest.raises(Refused, match=r"NodePool trainium-trn1: .*immutable"):
        deployed(stage, [*others, pool, binding("edit")])


def test_an_application_that_serve_cannot_deploy_ends_the_wait_at_once(api: Api, controllers: StatusDouble) -> None:
    controllers.failed_application = "ValueError: profile is unknown"
    stage = Stage(api, "eks")
    with pytest.raises(NotReady, match="Serve cannot deploy application chatbot: ValueError: profile is unknown"):
        deployed(stage, manifests.chatbot())
