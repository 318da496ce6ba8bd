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


def steps(*rises: tuple[float, float, float]) -> list[Event]:
    """Serve's target: instant, from, to."""
    return [Event("serve-target-raised", at_s, "test", step=(old, new)) for at_s, old, new in rises]


def came(replica: str, at_s: float) -> list[Event]:
    return [
        Event("replica-started", at_s, "test", f"replica:{replica}"),
        Event("replica-running", at_s + 1, "test", f"replica:{replica}"),
    ]


LOCAL = frozenset({"serve-target-raised", "replica-started", "replica-running"})
TWO_STEPS = (
    Event("load-applied", 10.0, "client", step=(1, 2)),
    Event("load-applied", 60.0, "client", step=(2, 3)),
)


def stepped(events: list[Event], *, wanted: int = 2) -> list[dict[str, float | None]]:
    chains_ = timeline.scale_out(
        events, [], known=["old"], applied=TWO_STEPS, until_s=120, wanted=wanted, visible=LOCAL
    )
    return [{stage.name: stage.at_s for stage in chain.stages if stage.status == "reached"} for chain in chains_]


def test_a_second_step_of_the_load_is_not_charged_with_the_wait_for_the_first() -> None:
    events = [*steps((15, 1, 2), (66, 2, 3)), *came("a", 20), *came("b", 70)]
    first, second = stepped(events)
    assert (first["load-applied"], first["serve-target-raised"]) == (10, 15)
    assert (second["load-applied"], second["serve-target-raised"]) == (60, 66)


def test_one_rise_by_two_serves_both_replicas() -> None:
    first, second = stepped([*steps((65, 1, 3)), *came("a", 70), *came("b", 71)])
    assert first["serve-target-raised"] == second["serve-target-raised"] == 65


def test_a_target_that_was_raised_for_one_replica_is_not_raised_for_the_next() -> None:
    chains_ = timeline.scale_out(
        [*steps((15, 1, 2)), *came("a", 20)], [], known=["old"], applied=TWO_STEPS, until_s=120, wanted=2, visible=LOCAL
    )
    broken = chains_[1].broken_at
    assert broken is not None
    assert broken.name == "serve-target-raised"


def test_a_target_that_came_back_counts_from_its_last_rise() -> None:
    (first,) = stepped([*steps((15, 1, 2), (40, 1, 2)), *came("a", 45)], wanted=1)
    assert first["serve-target-raised"] == 40


def test_links_of_the_observers_join_what_no_event_does() -> None:
    events = [
        Event("pod-deleted", 110.0, "test", "pod:p"), Event("node-deleted", 120.0, "test", "node:n"),
        Event("replica-drained", 105.0, "test", "replica:old"),
    ]  # fmt: skip
    (chain,) = timeline.scale_in(
        events, removed_s=100.0, wanted=1, visible=chains.EVERYTHING,
        links=[("replica:old", "ip:1"), ("ip:1", "pod:p"), ("pod:p", "node:n")],
    )  # fmt: skip
    assert [stage.name for stage in chain.stages if stage.status == "reached"] == [
        "load-removed", "replica-drained", "pod-deleted", "node-deleted",
    ]  # fmt: skip


def test_a_machine_that_a_pod_stands_on_is_not_given_to_another_replica() -> None:
    events = [
        Event("pod-created", 20.0, "test", "pod:a"), Event("pod-created", 21.0, "test", "pod:b"),
        Event("nodeclaim-created", 22.0, "test", "nodeclaim:of-b"), Event("nodeclaim-created", 23.0, "test", "nodeclaim:of-a"),
    ]  # fmt: skip
    one, other = timeline.scale_out(
        events, [], known=["old"], applied=APPLIED, until_s=100, wanted=2, visible=chains.EVERYTHING,
        links=[("pod:a", "nodeclaim:of-a"), ("pod:b", "nodeclaim:of-b")],
    )  # fmt: skip
    assert one.subjects == {"pod:a", "nodeclaim:of-a"}
    assert other.subjects == {"pod:b", "nodeclaim:of-b"}


def test_the_heads_machine_belongs_to_no_replica() -> None:
    events = [
        Event("pod-created", 20.0, "test", "head:h", "nodeclaim:h"), Event("nodeclaim-created", 20.0, "test", "nodeclaim:h"),
    ]  # fmt: skip
    (chain,) = timeline.scale_out(
        events, [], known=["old"], applied=APPLIED, until_s=100, wanted=1, visible=chains.EVERYTHING
    )
    assert chain.broken_at is not None
    assert chain.subjects == set()


def test_a_deployment_has_the_heads_chain_and_the_first_replicas() -> None:
    applied = Event("load-applied", chains.APPLIED_S, "client")
    head = [Event("pod-created", 11.0, "test", "head:h"), Event("ray-node-joined", 12.0, "test", "head:h")]
    found = timeline.deployment([*chains.events(), *head], [FIRST_TOKEN], applied=applied, visible=chains.EVERYTHING)
    assert [chain.replica for chain in found] == [timeline.HEAD_POD, "new"]
    assert found[1].broken_at is None
    assert [stage.name for stage in found[1].stages].index("serve-target-raised") == 11


def test_a_deployment_on_one_machine_has_no_head_to_wait_for() -> None:
    applied = Event("load-applied", 0.0, "client")
    found = timeline.deployment([*steps((1, 0, 1)), *came("a", 2)], [], applied=applied, visible=LOCAL, asks=False)
    assert [chain.replica for chain in found] == ["a"]
    assert found[0].broken_at is None


def test_a_replica_that_ended_before_anybody_saw_where_it_stood_needed_the_worker_that_is_there() -> None:
    applied = Event("load-applied", chains.APPLIED_S, "client")
    worker = [event for event in chains.events(until="replica-started") if not event.subject.startswith("replica:")]
    ended = Event("replica-drained", 90.0, "test", "replica:quick")
    found = timeline.deployment([*worker, ended], [], applied=applied, visible=chains.EVERYTHING)
    broken = found[-1].broken_at
    assert broken is not None
    assert (found[-1].replica, broken.name) == ("quick", "replica-started")


def test_a_pod_that_was_replaced_does_not_hide_the_one_that_is_there() -> None:
    events = [
        Event("pod-created", 20.0, "test", "pod:first"), Event("container-started", 25.0, "test", "pod:first"),
        Event("pod-deleted", 30.0, "test", "pod:first"),
        Event("pod-created", 31.0, "test", "pod:second"), Event("container-started", 36.0, "test", "pod:second"),
    ]  # fmt: skip
    (chain,) = timeline.scale_out(
        events, [], known=["old"], applied=APPLIED, until_s=100, wanted=1, visible=chains.EVERYTHING
    )
    assert chain.subjects == {"pod:second"}


def test_how_far_a_pod_came_that_ended_says_more_than_where_its_successor_is() -> None:
    events = [
        Event("pod-created", 20.0, "test", "pod:first"), Event("container-started", 25.0, "test", "pod:first"),
        Event("pod-deleted", 30.0, "test", "pod:first"), Event("pod-created", 31.0, "test", "pod:second"),
    ]  # fmt: skip
    (chain,) = timeline.scale_out(
        events, [], known=["old"], applied=APPLIED, until_s=100, wanted=1, visible=chains.EVERYTHING
    )
    assert chain.broken_at is not None
    assert chain.broken_at.name == "ray-node-joined"


def test_a_replica_that_never_had_a_place_leaves_none_behind() -> None:
    events = [Event("replica-drained", 110.0, "test", "replica:placeless")]
    assert timeline.scale_in(events, removed_s=100.0, wanted=0, visible=chains.EVERYTHING) == ()


def test_a_target_that_was_lowered_is_the_cause_of_what_was_drained_after_it() -> None:
    lowered = [
        Event("serve-target-lowered", at_s, "test", step=(old, old - 1)) for at_s, old in ((105.0, 3), (130.0, 2))
    ]
    drained = [Event("replica-drained", at_s, "test", f"replica:{at_s:g}", "ip:1") for at_s in (108.0, 133.0)]
    found = timeline.scale_in([*lowered, *drained], removed_s=100.0, wanted=2, visible=LOCAL | {"serve-target-lowered"})
    assert [next(stage.at_s for stage in chain.stages if stage.name == "serve-target-lowered") for chain in found] == [
        105.0,
        130.0,
    ]


def test_a_node_that_was_there_before_the_load_takes_none_of_its_time() -> None:
    step = Event("load-applied", 60.0, "client", step=(1, 2))
    first = Event("load-applied", 5.0, "client")
    events = [
        Event("nodeclaim-created", 17.0, "test", "nodeclaim:a"),
        *(Event(stage, 70.0, "test", "pod:a", "nodeclaim:a") for stage in ("pod-created", "pod-scheduled")),
    ]
    (chain,) = timeline.scale_out(
        events, [], known=["old"], applied=(first, step), until_s=100, wanted=1, visible=chains.EVERYTHING
    )
    took_s = {stage.name: stage.took_s for stage in chain.stages if stage.status == "reached"}
    assert all(seconds is not None and seconds >= 0 for seconds in took_s.values())
    assert took_s["nodeclaim-created"] == 0


@pytest.mark.parametrize("missing", ["nodeclaim-created", "node-registered", "device-advertised", "ray-node-joined"])
def test_that_serve_wants_its_first_replica_proves_nothing_of_the_workers_machine(missing: str) -> None:
    applied = Event("load-applied", 0.0, "client")
    wanted = Event("serve-target-raised", 90.0, "test", step=(0, 1))
    found = timeline.deployment(
        [*(event for event in chains.events(until=missing) if event.subject or event.stage == "ray-demand-raised"), wanted],
        [], applied=applied, visible=chains.EVERYTHING,
    )  # fmt: skip
    broken = found[1].broken_at
    assert broken is not None
    assert broken.name == missing
