from cluster.faults.catalog import chosen
from cluster.faults.outcome import Outcome, judge, judge_control, unjudged
from cluster.faults.results import Results

(FAULT,) = chosen(["toleration-missing"])  # nodeclaim-created, "tolerate"


def link(stage: str, reason: str = "") -> dict[str, object]:
    return {"verdict": "autoscaling-failed", "broken_link": {"stage": stage, "reason": reason, "evidence": []}}


def test_the_right_stage_with_the_right_words_is_right() -> None:
    outcome = judge(FAULT, link("nodeclaim-created", "the pod does not Tolerate the taint"), 12.0)
    assert outcome.right
    assert not outcome.problem


def test_another_stage_is_wrong_whatever_it_says() -> None:
    assert judge(FAULT, link("pod-created", "tolerate"), 1.0).problem == "names pod-created, not nodeclaim-created"
    assert judge(FAULT, {"broken_link": None}, 1.0).problem == "names nothing, not nodeclaim-created"


def test_the_right_stage_for_another_reason_is_wrong() -> None:
    assert judge(FAULT, link("nodeclaim-created", "the limit is used up"), 1.0).problem.startswith(
        "the reason does not"
    )


def test_a_broken_link_where_nothing_is_broken_is_a_false_alarm() -> None:
    assert judge_control("deploy", {"broken_link": None}, 1.0).right
    assert judge_control("deploy", link("pod-created"), 1.0).problem == "false alarm: pod-created"


def test_results_survive_their_file_and_take_newer_outcomes() -> None:
    old = Results(
        "2026-01-01", {"Ray": "1"}, (judge(FAULT, link("pod-created"), 1.0), unjudged("other", "deploy", "no", 2))
    )
    again = Results.from_document(old.document())
    assert again == old
    newer = Results("2026-02-02", {"Ray": "2"}, (Outcome(FAULT.name, "deploy", "x", "y", right=True, took_s=3.0),))
    joined = old.joined(newer)
    assert [(o.name, o.right) for o in joined.outcomes] == [("other", False), (FAULT.name, True)]
    assert joined.document()["wrong"] == ["other"]
