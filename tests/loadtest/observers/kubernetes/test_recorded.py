"""What a real lab's objects say: the same functions over looks that were recorded while a second worker came and one went."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from loadtest.observers.kubernetes import stages
from loadtest.observers.kubernetes.causes import causes
from loadtest.observers.kubernetes.evidence import evidence
from loadtest.observers.kubernetes.objects import name
from loadtest.observers.kubernetes.snapshot import Snapshot
from tests.support import recorded

BEFORE, CLAIMED, JOINED, RUNNING, LEAVING = range(5)


@pytest.fixture(scope="module")
def looks() -> list[Snapshot]:
    """Pools, classes and DaemonSets did not change: they stand in the first look only."""
    rows: list[dict[str, Any]] = recorded.load("cluster_scaling_out")["looks"]
    known = {field.name for field in fields(Snapshot)}
    found = []
    for row in rows:
        whole = {**rows[0], **row}
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in whole.items() if key in known
        }
        found.append(Snapshot(**values))
    return found


def news(before: Snapshot, after: Snapshot) -> list[str]:
    """Stages that the second look has beyond the first."""
    old = {reached.key for reached in stages.reached(before)}
    return [reached.stage for reached in stages.reached(after) if reached.key not in old]


def test_a_worker_comes_link_by_link(looks: list[Snapshot]) -> None:
    assert news(looks[BEFORE], looks[CLAIMED]) == [
        "pod-created",
        "nodeclaim-created",
        "node-launched",
        "node-registered",
    ]
    assert sorted(news(looks[CLAIMED], looks[JOINED])) == [
        "container-started", "device-advertised", "image-pulled", "pod-scheduled", "ray-node-joined",
    ]  # fmt: skip


def test_each_link_has_an_instant_in_the_order_of_the_chain(looks: list[Snapshot]) -> None:
    pending = next(
        pod for pod in looks[JOINED].workers if name(pod) not in {name(old) for old in looks[BEFORE].workers}
    )
    mine = {
        f"pod:{name(pending)}",
        *(on for subject, on in stages.links(looks[JOINED]) if subject == f"pod:{name(pending)}"),
    }
    claim = looks[JOINED].claim_of(pending)
    assert claim is not None
    mine.add(f"nodeclaim:{name(claim)}")
    instants = {r.stage: r.since_unix_s for r in stages.reached(looks[JOINED]) if r.subject in mine}
    ordered = [
        "pod-created",
        "nodeclaim-created",
        "node-launched",
        "node-registered",
        "pod-scheduled",
        "image-pulled",
        "container-started",
    ]
    values = [instants[stage] for stage in ordered]
    assert None not in values
    assert values == sorted(values, key=lambda value: value or 0)


def test_the_pending_worker_stands_on_the_claim_that_karpenter_made_for_it(looks: list[Snapshot]) -> None:
    (pending,) = [pod for pod in looks[CLAIMED].workers if not pod["spec"].get("nodeName")]
    claim = looks[CLAIMED].claim_of(pending)
    assert claim is not None
    assert claim not in looks[BEFORE].claims


def test_workers_that_are_deleted_are_told_as_given_back(looks: list[Snapshot]) -> None:
    idle = list(stages.idle(looks[LEAVING]))
    assert {reached.stage for reached in idle} == {"ray-node-idle"}
    assert all(reached.since_unix_s and reached.since_unix_s <= looks[LEAVING].taken_unix_s for reached in idle)


def test_nothing_that_a_healthy_cluster_says_on_its_way_counts_as_definite(looks: list[Snapshot]) -> None:
    assert [cause for look in looks for cause in causes(look) if cause.definite] == []


def test_a_healthy_cluster_has_little_to_say(looks: list[Snapshot]) -> None:
    assert len(evidence(looks[RUNNING])) <= 12
    assert evidence(looks[RUNNING])[0].startswith("RayService chatbot: Ready True")
