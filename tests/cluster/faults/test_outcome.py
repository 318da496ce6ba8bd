from dataclasses import replace

import pytest

from cluster.faults.catalog import chosen
from cluster.faults.fault import STAGE_ONLY, Named
from cluster.faults.outcome import judge, judge_control

(FAULT,) = chosen(["toleration-missing"])  # nodeclaim-created, "tolerate"


def link(stage: str, reason: str = "") -> dict[str, object]:
    return {"verdict": "autoscaling-failed", "broken_link": {"stage": stage, "reason": reason, "evidence": []}}


def test_the_right_stage_with_the_right_words_is_right() -> None:
    outcome = judge(FAULT, link("nodeclaim-created", "the pod does not Tolerate the taint"), 12.0)
    assert outcome.right
    assert not outcome.problem


def test_another_stage_is_wrong_whatever_it_says() -> None:
    assert judge(FAULT, link("pod-created", "tolerate"), 1.0).problem == "names pod-created, not nodeclaim-created"
    nothing = {"verdict": "autoscaling-failed", "broken_link": None}
    assert judge(FAULT, nothing, 1.0).problem == "names nothing, not nodeclaim-created"


@pytest.mark.parametrize(("said", "shown"), [("void", "void"), ("pass", "pass"), (None, "missing")])
def test_a_run_that_did_not_find_autoscaling_broken_names_no_fault(said: str | None, shown: str) -> None:
    document = {**link("nodeclaim-created", "does not tolerate the taint"), "verdict": said}
    outcome = judge(FAULT, document, 1.0)
    assert not outcome.right
    assert outcome.problem == f"the verdict is {shown}"


def test_the_right_stage_for_another_reason_is_wrong() -> None:
    assert judge(FAULT, link("nodeclaim-created", "the limit is used up"), 1.0).problem.startswith(
        "the reason does not"
    )


def test_where_nobody_can_see_the_cause_the_stage_is_enough() -> None:
    fault = replace(FAULT, verdict=Named("nodeclaim-created", STAGE_ONLY))
    assert judge(fault, link("nodeclaim-created", "no node pool took the pending pod"), 1.0).right
    assert not judge(fault, link("pod-created"), 1.0).right


@pytest.mark.parametrize("verdict", ["pass", "slo-failed"])
def test_a_control_that_was_measured_and_names_nothing_is_right(verdict: str) -> None:
    assert judge_control("deploy", {"verdict": verdict, "broken_link": None}, 1.0).right


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (link("pod-created"), "false alarm: pod-created"),
        ({"verdict": "void", "broken_link": None}, "the verdict is void"),
        ({"verdict": "autoscaling-failed", "broken_link": None}, "the verdict is autoscaling-failed"),
        ({"broken_link": None}, "the verdict is missing"),
    ],
)
def test_a_control_that_names_a_link_or_measured_nothing_is_wrong(document: dict[str, object], problem: str) -> None:
    outcome = judge_control("scale-in", document, 1.0)
    assert not outcome.right
    assert outcome.problem == problem
