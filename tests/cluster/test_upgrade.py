"""KubeRay 1.6.1's decision, case by case."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from cluster.plan import field_changes
from cluster.upgrade import Nodes, Upgrade, Verdict, judge
from tests.support.manifests import group, node_pool, ray_service


def upgrade(change: Callable[[dict[str, Any]], None], **spec: Any) -> Upgrade | None:
    """What becomes of our small RayService when `change` edits it; `spec` is set on both sides."""
    before = copy.deepcopy(dict(ray_service().value))
    before["spec"].update(spec)
    after = copy.deepcopy(before)
    change(after["spec"])
    changed = [item.path for item in field_changes(before, after)]
    prices = {"trn1.2xlarge": 1.34375}
    return judge(before, after, changed=changed, node_pools=[node_pool()], usd_per_hour=prices)


def pod(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]
    return found


def test_nothing_changed_is_no_upgrade() -> None:
    assert upgrade(lambda _: None) is None


def test_another_serve_config_is_taken_in_place() -> None:
    found = upgrade(lambda spec: spec.update(serveConfigV2="applications: [{}]\n"))
    assert found == Upgrade(Verdict.SERVE_ONLY, ("spec.serveConfigV2",))


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec["rayClusterConfig"]["workerGroupSpecs"][0].update(maxReplicas=5),
        lambda spec: spec["rayClusterConfig"]["workerGroupSpecs"][0].update(replicas=1, minReplicas=0),
        lambda spec: spec["rayClusterConfig"]["workerGroupSpecs"][0].update(scaleStrategy={"workersToDelete": ["a"]}),
        lambda spec: spec["rayClusterConfig"].update(upgradeStrategy={"type": "Recreate"}),
        lambda spec: pod(spec).update(tolerations=[]),
        lambda spec: pod(spec).update(schedulingGates=[{"name": "gate"}]),
        lambda spec: spec["rayClusterConfig"]["headGroupSpec"]["template"]["spec"].update(tolerations=[{"key": "a"}]),
    ],
)
def test_a_muted_field_reaches_no_running_cluster(change: Callable[[dict[str, Any]], None]) -> None:
    found = upgrade(change)
    assert found is not None
    assert found.verdict is Verdict.NO_EFFECT


def test_worker_groups_appended_at_the_end_are_added_in_place() -> None:
    found = upgrade(lambda spec: spec["rayClusterConfig"]["workerGroupSpecs"].append(group("inf2")))
    assert found is not None
    assert found.verdict is Verdict.IN_PLACE


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda spec: pod(spec)["containers"][0].update(image="chatbot:2"), "template.spec.containers[0].image"),
        (lambda spec: pod(spec).update(nodeSelector={"a": "b"}), "template.spec.nodeSelector.instanceType"),
        (lambda spec: spec["rayClusterConfig"]["workerGroupSpecs"].insert(0, group("first")), "[0].groupName"),
        (lambda spec: spec["rayClusterConfig"]["workerGroupSpecs"].clear(), "workerGroupSpecs"),
        (lambda spec: spec["rayClusterConfig"].update(rayVersion="2.61.0"), "rayVersion"),
        (
            lambda spec: spec["rayClusterConfig"]["workerGroupSpecs"][0].update(resources={"CPU": "6"}),
            "workerGroupSpecs[0].resources",
        ),
    ],
)
def test_anything_else_makes_a_new_cluster_and_names_the_field(
    change: Callable[[dict[str, Any]], None], path: str
) -> None:
    found = upgrade(change)
    assert found is not None
    assert found.verdict is Verdict.NEW_CLUSTER
    assert any(path in field for field in found.because)


def test_a_muted_field_beside_a_decisive_one_is_not_named_as_the_cause() -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["rayClusterConfig"]["workerGroupSpecs"][0].update(maxReplicas=5)
        pod(spec)["containers"][0].update(image="chatbot:2")

    found = upgrade(change)
    assert found is not None
    assert found.because == ("spec.rayClusterConfig.workerGroupSpecs[0].template.spec.containers[0].image",)


def test_a_new_cluster_costs_its_workers_nodes_while_both_run() -> None:
    found = upgrade(lambda spec: spec["rayClusterConfig"].update(rayVersion="2.61.0"))
    assert found is not None
    assert found.extra_nodes == (Nodes(2, "trn1.2xlarge", "trainium-trn1", 2.6875),)


@pytest.mark.parametrize("strategy", ["None", "NewClusterWithIncrementalUpgrade"])
def test_a_strategy_that_makes_no_new_cluster_blocks_the_change(strategy: str) -> None:
    found = upgrade(
        lambda spec: spec["rayClusterConfig"].update(rayVersion="2.61.0"), upgradeStrategy={"type": strategy}
    )
    assert found is not None
    assert found.verdict is Verdict.BLOCKED
