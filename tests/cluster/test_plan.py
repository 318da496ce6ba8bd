from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from cluster.objects import Manifest
from cluster.plan import TARGET_LABEL, Action, Conflict, FieldChange, Observed, diff, field_changes, marked
from cluster.upgrade import Verdict
from tests.support.manifests import chatbot, config_map, namespace, node_pool, ray_service

MANAGER = "chatbot-cluster"


def live(manifest: Manifest, *, ours: bool = True, managed: bool = True) -> dict[str, Any]:
    value = copy.deepcopy(dict(manifest.value))
    value["metadata"].update(resourceVersion="7", uid="u", generation=3)
    value["metadata"]["labels"] = {TARGET_LABEL: "eks"} if ours else {}
    value["metadata"]["managedFields"] = [{"manager": MANAGER, "operation": "Apply"}] if managed else []
    value["status"] = {"phase": "Active"}
    return value


def only_change(manifest: Manifest, observed: Observed) -> Any:
    (change,) = diff([manifest], {manifest.key: observed}, [], field_manager=MANAGER).changes
    return change


def test_what_is_missing_is_created_in_order() -> None:
    plan = diff(chatbot(), {}, [], field_manager=MANAGER)
    assert [(change.action, change.key.kind) for change in plan.changes] == [
        (Action.CREATE, "Namespace"),
        (Action.CREATE, "ConfigMap"),
        (Action.CREATE, "EC2NodeClass"),
        (Action.CREATE, "NodePool"),
        (Action.CREATE, "RayService"),
    ]


def test_the_servers_own_bookkeeping_is_no_change() -> None:
    before = live(namespace())
    after = {**copy.deepcopy(before), "status": {"phase": "Terminating"}}
    after["metadata"]["resourceVersion"] = "8"
    change = only_change(namespace(), Observed(before, after))
    assert change.action is Action.KEEP


def test_a_change_names_each_field_with_its_value_before_and_after() -> None:
    before, after = live(config_map(a="1", b="2")), live(config_map(a="1", b="3", c="4"))
    change = only_change(config_map(a="1", b="3", c="4"), Observed(before, after))
    assert change.action is Action.CHANGE
    assert change.fields == (FieldChange("data.b", "2", "3"), FieldChange("data.c", None, "4"))


def test_an_object_that_others_made_is_adopted_even_where_nothing_differs() -> None:
    before = live(config_map(), ours=False, managed=False)
    change = only_change(config_map(), Observed(before, copy.deepcopy(before)))
    assert (change.action, change.adopted) == (Action.CHANGE, True)


def test_a_conflict_is_part_of_the_plan() -> None:
    before = live(config_map(a="1"))
    conflict = Conflict("data.a", "kubectl")
    plan = diff(
        [config_map(a="2")],
        {config_map().key: Observed(before, live(config_map(a="2")), (conflict,))},
        [],
        field_manager=MANAGER,
    )
    assert plan.conflicts == [(config_map().key, conflict)]


def test_what_cannot_be_changed_is_replaced_with_the_servers_reason() -> None:
    change = only_change(node_pool(), Observed(live(node_pool()), immutable="field is immutable"))
    assert (change.action, change.reason) == (Action.REPLACE, "field is immutable")


def test_orphans_are_deleted_last_and_in_reverse_order() -> None:
    orphans = [live(config_map("old")), live(node_pool("old"))]
    plan = diff([namespace()], {}, orphans, field_manager=MANAGER)
    assert [(change.action, change.key.kind) for change in plan.changes] == [
        (Action.CREATE, "Namespace"),
        (Action.DELETE, "NodePool"),
        (Action.DELETE, "ConfigMap"),
    ]


def test_a_changed_ray_service_says_what_kuberay_makes_of_it() -> None:
    before, after = live(ray_service()), live(ray_service(rayVersion="2.61.0"))
    change = only_change(ray_service(rayVersion="2.61.0"), Observed(before, after))
    assert change.upgrade is not None
    assert change.upgrade.verdict is Verdict.NEW_CLUSTER


def test_our_label_goes_on_what_is_new_or_ours_and_on_nothing_that_others_made() -> None:
    def label(before: Mapping[str, Any] | None) -> Any:
        return marked(config_map(), before, "eks")["metadata"].get("labels", {}).get(TARGET_LABEL)

    assert label(None) == "eks"
    assert label(live(config_map())) == "eks"
    assert label(live(config_map(), ours=False)) is None
    assert TARGET_LABEL not in config_map().labels


def test_lists_are_compared_item_by_item() -> None:
    assert field_changes({"spec": {"a": [1, 2]}}, {"spec": {"a": [1, 3, 4]}}) == [
        FieldChange("spec.a[1]", 2, 3),
        FieldChange("spec.a[2]", None, 4),
    ]
