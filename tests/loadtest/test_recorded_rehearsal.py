"""The verdict over a real rehearsal, whole, and with its chain cut off at each link in turn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from loadtest.observers import Event, Sample, ScalingRule
from loadtest.observers.watched import Watched
from loadtest.record import Record
from loadtest.spec import Profile
from loadtest.stages import SCALE_IN, SCALE_OUT
from loadtest.verdict import Scaling, judge
from tests.support import recorded
from tests.support.load_profiles import closed, record

KEPT: dict[str, Any] = recorded.load("step_on_rehearsal")
SECOND, THIRD = KEPT["first_token_s"]


def watched() -> Watched:
    return Watched(
        stages=frozenset(KEPT["stages"]),
        events=tuple(
            Event(**{**event, "step": tuple(event["step"]) if "step" in event else None}) for event in KEPT["events"]
        ),
        links=frozenset((subject, on) for subject, on in KEPT["links"]),
        samples=tuple(Sample(name, *change) for name, changes in KEPT["samples"].items() for change in changes),
        rule=ScalingRule(**KEPT["rule"]),
        until_s=KEPT["until_s"],
    )


def profile() -> Profile:
    stages = [{"name": n, "duration_s": s, "users": users, "warmup": warmup} for n, s, users, warmup in KEPT["users"]]
    return closed(stages=stages, scaling={"load_stage": "two"})


def answers(*replicas: str) -> tuple[Record, ...]:
    return tuple(record(i, at_s=KEPT["first_token_s"][name], ttft_s=0, replica=name) for i, name in enumerate(replicas))


def judged(seen: Watched, records: tuple[Record, ...]) -> Scaling:
    return judge(profile(), seen, records, known=KEPT["known"], removed_s=KEPT["removed_s"])


def test_it_passes_and_no_link_of_any_chain_was_left_to_a_guess() -> None:
    scaling = judged(watched(), answers(SECOND, THIRD))
    assert scaling.broken_link is None
    replicas = scaling.replicas
    assert (replicas.before, replicas.expected, replicas.observed, replicas.after, replicas.nodes_launched) == (
        1,
        3,
        3,
        1,
        2,
    )
    assert [chain.replica for chain in scaling.scale_out] == [SECOND, THIRD]
    assert len(scaling.scale_in) == 2
    assert {stage.status for chain in (*scaling.scale_out, *scaling.scale_in) for stage in chain.stages} == {"reached"}


def test_each_replica_has_a_machine_of_its_own_and_begins_with_its_own_step_of_the_load() -> None:
    second, third = judged(watched(), answers(SECOND, THIRD)).scale_out
    assert not second.subjects & third.subjects
    assert second.stages[0].at_s == 5.0
    assert third.stages[0].at_s == pytest.approx(147.797, abs=0.001)


@pytest.mark.parametrize("missing", SCALE_OUT[1:-1])
def test_the_third_replica_cut_off_at_a_link_names_it(missing: str) -> None:
    """From that link on nothing of the third replica happened; the second one is whole."""
    mine = next(chain for chain in judged(watched(), answers(SECOND, THIRD)).scale_out if chain.replica == THIRD)
    after = SCALE_OUT[SCALE_OUT.index(missing) :]
    seen = watched()
    theirs = [
        event
        for event in seen.events
        if event.stage not in after
        or (event.subject not in mine.subjects and (event.subject or event.step is None or event.step[1] < 3))
    ]
    running = tuple(s for s in seen.samples if s.name != "replicas_running" or s.value < 3)
    cut = replace(seen, events=tuple(theirs), samples=(*running, Sample("replicas_running", KEPT["removed_s"], 2)))
    broken = judged(cut, answers(SECOND)).broken_link
    assert broken is not None
    assert broken.stage == missing


@pytest.mark.parametrize("missing", SCALE_IN[1:])
def test_scale_in_cut_off_at_a_link_names_it(missing: str) -> None:
    after = SCALE_IN[SCALE_IN.index(missing) :]
    seen = watched()
    cut = replace(seen, events=tuple(event for event in seen.events if event.stage not in after))
    broken = judged(cut, answers(SECOND, THIRD)).broken_link
    assert broken is not None
    assert broken.stage == missing
