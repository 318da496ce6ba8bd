"""PASS, or the link that broke, how long it was waited for, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from loadtest import profiles
from loadtest.observers import Event, Sample, ScalingRule
from loadtest.observers.watched import Watched
from loadtest.profiles.reader import read
from loadtest.record import Outcome, Record
from loadtest.slo import Objective
from loadtest.spec import Profile
from loadtest.stages import SCALE_OUT
from loadtest.verdict import Scaling, Verdict, expected_replicas, judge, overall, wanted_replicas
from tests.support import chains
from tests.support import recorded as recordings
from tests.support.load_profiles import closed, profile, record

FIRST_TOKEN = record(at_s=chains.APPLIED_S + 15, ttft_s=0.5, replica="new")
LOCAL = frozenset(
    {"serve-target-raised", "replica-started", "replica-running", "serve-target-lowered", "replica-drained"}
)


def stepped(users: int = 4, **fields: Any) -> Profile:
    """One user, and from APPLIED_S on four."""
    calm = {"name": "calm", "duration_s": chains.APPLIED_S, "users": 1, "warmup": True}
    return closed(stages=[calm, {"name": "loaded", "duration_s": 90, "users": users}], **fields)


def scaling(
    seen: Watched,
    load: Profile | None = None,
    records: tuple[Record, ...] = (FIRST_TOKEN,),
    known: tuple[str, ...] = ("old",),
) -> Scaling:
    return judge(load or stepped(), seen, records, known=known, removed_s=chains.REMOVED_S)


def local(*, until: str | None = None) -> list[Event]:
    return [event for event in chains.events(until=until) if event.stage in LOCAL]


def test_a_whole_chain_out_and_in_breaks_nothing() -> None:
    judged = scaling(chains.watched(local(), visible=LOCAL))
    assert judged.broken_link is None
    assert (judged.replicas.before, judged.replicas.expected, judged.replicas.observed, judged.replicas.after) == (
        1,
        2,
        2,
        1,
    )


@pytest.mark.parametrize("missing", SCALE_OUT[1:-1])
def test_each_missing_link_is_named_in_turn_with_the_wait_and_the_evidence(missing: str) -> None:
    broken = scaling(chains.watched(chains.events(until=missing), under_load=1), records=()).broken_link
    assert broken is not None
    assert broken.stage == missing
    last_s = chains.APPLIED_S + SCALE_OUT.index(missing) - 1
    assert broken.waited_s == pytest.approx(chains.REMOVED_S - last_s)
    assert broken.evidence == ("the evidence under load",)
    assert f"the last link that held was {SCALE_OUT[SCALE_OUT.index(missing) - 1]}" in broken.reason


def test_a_replica_that_runs_and_never_answers_breaks_first_token() -> None:
    broken = scaling(chains.watched(local(), visible=LOCAL), records=()).broken_link
    assert broken is not None
    assert broken.stage == "first-token"


@pytest.mark.parametrize("missing", ["serve-target-lowered", "replica-drained"])
def test_scale_in_is_judged_after_scale_out(missing: str) -> None:
    broken = scaling(chains.watched(local(until=missing), visible=LOCAL)).broken_link
    assert broken is not None
    assert broken.stage == missing
    assert broken.evidence == ("the evidence at the end",)


def test_a_cap_of_one_replica_is_given_as_the_reason() -> None:
    capped = chains.watched([], visible=LOCAL, rule=ScalingRule(1, 1, 2.0), under_load=1)
    broken = scaling(capped).broken_link
    assert broken is not None
    assert broken.stage == "serve-target-raised"
    assert broken.reason == "max_replicas is 1 and 1 ran already: Serve may not raise its target"


def test_a_closed_loop_demands_the_exact_number_of_replicas() -> None:
    more = chains.watched(local(), visible=LOCAL, rule=ScalingRule(1, 4, 2.0), under_load=3)
    broken = scaling(more).broken_link
    assert broken is not None
    assert broken.reason.startswith("3 replicas ran when the load ended, not 2 (clamp(ceil(4 users / target 2), 1, 4))")


def test_an_open_loop_demands_one_more_than_before() -> None:
    judged = scaling(chains.watched(local(), visible=LOCAL, rule=ScalingRule(1, 4, 2.0)), profile())
    assert judged.replicas.expected is None
    assert judged.broken_link is None


def test_a_stage_above_its_budget_breaks_though_it_was_reached() -> None:
    tight = stepped(scaling={"stage_budget_s": {"replica-running": 1.5}})
    broken = scaling(chains.watched(local(), visible=LOCAL), tight).broken_link
    assert broken is not None
    assert broken.stage == "replica-running"
    assert "above its budget of 1.5 s" in broken.reason


@pytest.mark.parametrize(
    ("users", "replicas"), [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3), (7, 3), (100, 3)]
)
def test_the_replica_rule(users: int, replicas: int) -> None:
    assert expected_replicas(users, ScalingRule(1, 3, 2.0)) == replicas


KEPT = Objective("goodput", 0.9, 1.0, passed=True, detail="")
MISSED = Objective("goodput", 0.9, 0.1, passed=False, detail="")


def test_the_verdict_is_the_gravest_finding() -> None:
    whole = scaling(chains.watched(local(), visible=LOCAL))
    broken = scaling(chains.watched([], visible=LOCAL))
    assert overall((), whole, [KEPT]) is Verdict.PASS
    assert overall((), None, [MISSED]) is Verdict.SLO_FAILED
    assert overall((), broken, [MISSED]) is Verdict.AUTOSCALING_FAILED
    assert overall(("client saturated",), broken, [MISSED]) is Verdict.VOID


def test_exit_codes_are_as_promised() -> None:
    assert {verdict.value: verdict.exit_code for verdict in Verdict} == {
        "pass": 0, "slo-failed": 1, "autoscaling-failed": 2, "void": 3,
    }  # fmt: skip


def recorded() -> tuple[Watched, tuple[Record, ...], dict[str, Any]]:
    kept = recordings.load("step_on_local")
    seen = Watched(
        stages=frozenset(kept["stages"]),
        events=tuple(Event(**event) for event in kept["events"]),
        samples=tuple(Sample(name, *change) for name, changes in kept["samples"].items() for change in changes),
        rule=ScalingRule(**kept["rule"]),
        until_s=kept["until_s"],
    )
    first = kept["first_token_s"].items()
    return seen, tuple(record(i, at_s=at_s, ttft_s=0, replica=name) for i, (name, at_s) in enumerate(first)), kept


def judge_recorded(seen: Watched, records: tuple[Record, ...], kept: dict[str, Any]) -> Scaling:
    return judge(
        read(profiles.find("step")), seen, records,
        known=kept["known"], removed_s=kept["removed_s"],
    )  # fmt: skip


def test_a_recorded_run_passes_with_the_seconds_that_it_took() -> None:
    judged = judge_recorded(*recorded())
    assert judged.broken_link is None
    assert (judged.replicas.before, judged.replicas.expected, judged.replicas.observed, judged.replicas.after) == (
        1,
        2,
        2,
        1,
    )
    (chain,) = judged.scale_out
    took = {stage.name: round(stage.took_s or 0, 1) for stage in chain.stages if stage.status == "reached"}
    assert took == {
        "load-applied": 0.0, "serve-target-raised": 15.2, "replica-started": 1.5, "replica-running": 59.0, "first-token": 3.1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "link", ["serve-target-raised", "replica-started", "replica-running", "serve-target-lowered", "replica-drained"]
)
def test_a_recorded_run_without_one_link_and_all_that_follow_names_it(link: str) -> None:
    seen, records, kept = recorded()
    order = [event.stage for event in seen.events]
    cut = [event for event in seen.events if order.index(event.stage) < order.index(link)]
    running = 2 if link in ("serve-target-lowered", "replica-drained") else 1
    samples = (*seen.samples, Sample("replicas_running", kept["removed_s"], running))
    broken = judge_recorded(
        replace(seen, events=tuple(cut), samples=samples), records if running == 2 else records[:1], kept
    )
    assert broken.broken_link is not None
    assert broken.broken_link.stage == link


def talking(**fields: Any) -> Profile:
    """Eight users who think between the turns of a conversation."""
    prompts = {"words": 5, "answer_tokens": 6, "turns": 3, "think_time_s": {"kind": "lognormal", "median": 3, "sigma": 1, "least": 0, "most": 9}}  # fmt: skip
    calm = {"name": "calm", "duration_s": chains.APPLIED_S, "users": 1, "warmup": True}
    return closed(stages=[calm, {"name": "talking", "duration_s": 90, "users": 8}], prompts=prompts, **fields)


def answered(at_once: int, *, until_s: float = chains.REMOVED_S) -> tuple[Record, ...]:
    """So many answers of a second each, one after the other, from the beginning of the load."""
    seconds = range(int(chains.APPLIED_S), int(until_s))
    return tuple(record(i, at_s=at_s, ttft_s=1.0, gaps_s=()) for at_s in seconds for i in range(at_once))


STILL = chains.watched([], visible=LOCAL, rule=ScalingRule(1, 2, 6.0), under_load=1)


def test_users_who_think_are_not_always_waiting_so_no_number_of_replicas_is_expected() -> None:
    judged = scaling(chains.watched(local(), visible=LOCAL, rule=ScalingRule(1, 4, 2.0)), talking())
    assert judged.replicas.expected is None
    assert judged.replicas.rule == (
        "the 8 users think between turns, and are not always waiting for an answer: more than before, at most 4"
    )
    assert judged.broken_link is None
    assert read(profiles.find("conversation")).prompts.users_pause


def test_think_time_without_a_second_turn_is_never_taken() -> None:
    once = closed(prompts={"words": 5, "answer_tokens": 6, "turns": 1, "think_time_s": 3})
    assert wanted_replicas(once, ScalingRule(1, 4, 2.0)) == 2


@pytest.mark.parametrize(("most", "expected"), [(None, 2), (4, 2), (3, None)])
def test_more_users_than_the_replicas_let_in_give_no_number(most: int | None, expected: int | None) -> None:
    rule = ScalingRule(1, 4, 2.0, max_ongoing_requests=most)
    assert wanted_replicas(stepped(), rule) == expected
    judged = scaling(chains.watched(local(), visible=LOCAL, rule=rule))
    assert ("4 users are more than the 3 requests that max_ongoing_requests 3 lets in" in judged.replicas.rule) == (
        most == 3
    )


def test_a_load_that_asks_for_no_further_replica_verifies_nothing_and_blames_nobody() -> None:
    judged = scaling(STILL, talking(), answered(4))
    assert judged.broken_link is None
    assert judged.inconclusive == (
        "this load asks for no further replica, so there is nothing to verify: in its busiest 30 s on average "
        "4.0 requests were in flight, and Serve adds one above 6"
    )


def test_users_of_a_closed_loop_whom_one_replica_is_enough_for_verify_nothing() -> None:
    assert "nothing to verify" in scaling(STILL, stepped(), answered(4)).inconclusive


@pytest.mark.parametrize(
    ("load", "records"),
    [
        (talking(), answered(8)),
        (talking(), (*answered(4), *(replace(r, outcome=Outcome.UNAVAILABLE) for r in answered(1)))),
        (stepped(8), answered(4)),
    ],
    ids=["more in flight than the target", "in flight so few because they failed", "users who never pause"],
)
def test_a_load_that_does_ask_for_one_is_not_excused(load: Profile, records: tuple[Record, ...]) -> None:
    broken = scaling(STILL, load, records).broken_link
    assert broken is not None
    assert broken.stage == "serve-target-raised"
