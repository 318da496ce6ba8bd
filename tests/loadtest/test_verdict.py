"""PASS, or the link that broke, how long it was waited for, and why."""

from __future__ import annotations

import pytest

from loadtest.observers import Event, ScalingRule
from loadtest.observers.watched import Watched
from loadtest.record import Record
from loadtest.slo import Objective
from loadtest.spec import Profile
from loadtest.stages import SCALE_OUT
from loadtest.verdict import Scaling, Verdict, expected_replicas, judge, overall
from tests.support import chains
from tests.support.load_profiles import closed, profile, record

FIRST_TOKEN = record(at_s=chains.APPLIED_S + 15, ttft_s=0.5, replica="new")
LOCAL = frozenset(
    {"serve-target-raised", "replica-started", "replica-running", "serve-target-lowered", "replica-drained"}
)


def scaling(
    seen: Watched,
    load: Profile | None = None,
    records: tuple[Record, ...] = (FIRST_TOKEN,),
    known: tuple[str, ...] = ("old",),
) -> Scaling:
    return judge(
        load or closed(users=4), seen, records, known=known, applied_s=chains.APPLIED_S, removed_s=chains.REMOVED_S
    )


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
    tight = closed(users=4, scaling={"stage_budget_s": {"replica-running": 1.5}})
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
