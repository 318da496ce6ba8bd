"""Chains from hand-made events."""

from __future__ import annotations

import pytest

from loadtest import timeline
from loadtest.observers import Event
from loadtest.stages import SCALE_IN, SCALE_OUT
from loadtest.timeline import NO_REPLICA, Chain
from tests.support import chains
from tests.support.load_profiles import record

APPLIED = (Event("load-applied", chains.APPLIED_S, "client"),)
FIRST_TOKEN = record(at_s=chains.APPLIED_S + 15, ttft_s=0.5, replica="new")


def out(seen: list[Event], *, wanted: int = 1, visible: frozenset[str] = chains.EVERYTHING) -> tuple[Chain, ...]:
    return timeline.scale_out(
        seen,
        [FIRST_TOKEN],
        known=["old"],
        applied=APPLIED,
        until_s=chains.REMOVED_S,
        wanted=wanted,
        visible=visible,
    )


def test_a_whole_chain_is_joined_from_the_replica_down_to_its_node() -> None:
    (chain,) = out(chains.events())
    assert chain.replica == "new"
    assert [stage.name for stage in chain.stages] == list(SCALE_OUT)
    assert {stage.status for stage in chain.stages} == {"reached"}
    assert [stage.took_s for stage in chain.stages[1:-1]] == pytest.approx([1.0] * 14)
    assert chain.stages[-1].took_s == pytest.approx(1.5)


@pytest.mark.parametrize("missing", SCALE_OUT[1:-1])
def test_a_chain_that_ends_names_its_first_missing_link(missing: str) -> None:
    (chain,) = timeline.scale_out(
        chains.events(until=missing), [], known=["old"], applied=APPLIED, until_s=chains.REMOVED_S,
        wanted=1, visible=chains.EVERYTHING,
    )  # fmt: skip
    broken = chain.broken_at
    assert broken is not None
    assert broken.name == missing
    assert chain.last_reached.name == SCALE_OUT[SCALE_OUT.index(missing) - 1]


@pytest.mark.parametrize("hole", SCALE_OUT[1:-1])
def test_a_link_that_nobody_saw_is_proven_by_a_later_one(hole: str) -> None:
    (chain,) = out(chains.events(without=(hole,)))
    statuses = {stage.name: stage.status for stage in chain.stages}
    assert statuses.pop(hole) == "unseen"
    if hole not in ("ray-node-joined", "node-registered", "pod-created"):
        assert set(statuses.values()) == {"reached"}
    assert chain.broken_at is None


@pytest.mark.parametrize("absent", SCALE_OUT[1:-1])
def test_a_link_that_the_target_does_not_have_is_skipped(absent: str) -> None:
    (chain,) = out(chains.events(without=(absent,)), visible=chains.EVERYTHING - {absent})
    assert {stage.name: stage.status for stage in chain.stages}[absent] == "skipped"
    assert chain.broken_at is None


def test_a_replica_that_ran_before_has_no_chain() -> None:
    old = Event("replica-running", chains.APPLIED_S + 1, "test", "replica:old")
    assert [chain.replica for chain in out([old, *chains.events()])] == ["new"]


def test_what_happened_before_the_load_does_not_count() -> None:
    early = Event("serve-target-raised", 1.0, "test")
    (chain,) = out([early, *chains.events()])
    assert chain.stages[1].at_s == chains.APPLIED_S + 1


def test_a_pod_that_no_replica_stands_on_belongs_to_the_replica_that_is_missing() -> None:
    (chain,) = timeline.scale_out(
        chains.events(until="pod-scheduled"), [], known=[], applied=APPLIED, until_s=chains.REMOVED_S,
        wanted=1, visible=chains.EVERYTHING,
    )  # fmt: skip
    assert chain.replica == NO_REPLICA
    assert {stage.name: stage.status for stage in chain.stages}["pod-created"] == "reached"


def test_two_replicas_have_two_chains_and_share_what_is_shared() -> None:
    second = [
        Event("replica-started", chains.APPLIED_S + 20, "test", "replica:second"),
        Event("replica-running", chains.APPLIED_S + 21, "test", "replica:second"),
    ]
    one, other = out([*chains.events(), *second], wanted=2)
    assert one.stages[1].at_s == other.stages[1].at_s
    assert other.replica == "second"
    assert other.broken_at is not None
    assert other.broken_at.name == "first-token"


def test_scale_in_has_a_chain_for_each_replica_that_went() -> None:
    seen = chains.events(until="ray-node-idle")
    local = chains.EVERYTHING - {"ray-node-idle", "pod-deleted", "node-emptied", "node-deleted"}
    (chain,) = timeline.scale_in(seen, removed_s=chains.REMOVED_S, wanted=1, visible=local)
    assert chain.replica == "new"
    assert [stage.name for stage in chain.stages] == list(SCALE_IN)
    assert [stage.status for stage in chain.stages] == ["reached"] * 3 + ["skipped"] * 4


def test_scale_in_goes_down_to_the_node_that_the_replica_stood_on() -> None:
    (chain,) = timeline.scale_in(chains.events(), removed_s=chains.REMOVED_S, wanted=1, visible=chains.EVERYTHING)
    assert {stage.status for stage in chain.stages} == {"reached"}


@pytest.mark.parametrize("missing", ["serve-target-lowered", "replica-drained"])
def test_scale_in_that_stops_names_its_first_missing_link(missing: str) -> None:
    (chain,) = timeline.scale_in(
        chains.events(until=missing), removed_s=chains.REMOVED_S, wanted=1, visible=chains.EVERYTHING
    )
    assert chain.broken_at is not None
    assert chain.broken_at.name == missing
