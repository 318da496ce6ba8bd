"""The one document: valid, and true to the run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from loadtest.honesty import Pulse
from loadtest.observers.watched import Account
from loadtest.record import Outcome, Record
from loadtest.report import document as documents
from loadtest.report import terminal
from loadtest.report.files import schema
from loadtest.run_result import Run
from tests.support import chains, runs
from tests.support.load_profiles import failure, profile, record


def build(run: Run, *, verify: bool = False) -> dict[str, Any]:
    document = documents.build(run, verify=verify, target=runs.TARGET, versions=runs.VERSIONS)
    jsonschema.validate(json.loads(json.dumps(document)), schema())
    return document


def test_a_good_run_passes() -> None:
    document = build(runs.run())
    assert (document["verdict"], document["exit_code"], document["broken_link"]) == ("pass", 0, None)
    assert document["schema"] == "chatbot.verdict/v1"


def test_a_missed_slo_says_what_was_promised() -> None:
    document = build(runs.run(tuple(record(i, at_s=i / 2, ttft_s=3) for i in range(20))))
    assert (document["verdict"], document["exit_code"]) == ("slo-failed", 1)
    assert document["sentence"] == "A promise was missed: goodput is 0.0%, promised 95.0%."
    assert document["slo_violating_s"] == 10
    assert document["recovery_s"] == 10


def test_a_verified_run_has_its_chains_and_its_replicas() -> None:
    document = build(runs.verified(), verify=True)
    assert document["verdict"] == "pass"
    replicas = {name: document["replicas"][name] for name in ("before", "expected", "observed", "after")}
    assert replicas == {"before": 1, "expected": 2, "observed": 2, "after": 1}
    reached = [stage["name"] for stage in document["scale_out"][0]["stages"] if stage["status"] == "reached"]
    assert reached == ["load-applied", "serve-target-raised", "replica-started", "replica-running", "first-token"]
    assert document["sentence"].startswith("It scaled from 1 to 2 replicas under load and back to 1")


@pytest.mark.parametrize(
    "link", ["serve-target-raised", "replica-started", "replica-running", "serve-target-lowered", "replica-drained"]
)
def test_a_broken_link_is_named_in_the_document(link: str) -> None:
    document = build(_broken(link), verify=True)
    assert (document["verdict"], document["exit_code"]) == ("autoscaling-failed", 2)
    assert document["broken_link"]["stage"] == link
    assert document["broken_link"]["evidence"]


def _broken(link: str) -> Run:
    out = ("serve-target-raised", "replica-started", "replica-running")
    records = tuple(
        record(i, at_s=10 + i, stage=1, replica="old" if link in out or i < 16 else "new") for i in range(60)
    )
    return runs.verified(until=link, records=records)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"interrupted_s": 4.2}, "interrupted 4.2 s after the start: the report is partial"),
        (
            {"troubles": ("the observers could not see the target: gone",)},
            "the observers could not see the target: gone",
        ),
        ({"pulses": (Pulse("the client", (0.9,), (0.2,)),)}, "client saturated"),
        ({"records": tuple(failure(Outcome.CONNECT_ERROR, i, sent_s=None) for i in range(3))}, "target absent"),
    ],
)
def test_a_void_run_says_why(fields: dict[str, Any], said: str) -> None:
    document = build(runs.run(**fields))
    assert (document["verdict"], document["exit_code"]) == ("void", 3)
    assert document["void_reasons"][0].startswith(said)
    assert document["partial"] == ("interrupted_s" in fields)


def test_a_warm_up_is_in_no_total_and_has_its_row() -> None:
    stages = [
        {"name": n, "duration_s": 5, "warmup": n == "warm", "rate": {"shape": "constant", "per_s": 2}}
        for n in ("warm", "real")
    ]
    records = tuple(record(i, at_s=i / 2, stage=int(i >= 10), ttft_s=9 if i < 10 else 0.1) for i in range(20))
    document = build(runs.run(records, profile=profile(stages=stages)))
    assert document["verdict"] == "pass"
    assert document["traffic"]["total"]["started"] == 10
    assert [row["started"] for row in document["traffic"]["stages"]] == [10, 10]
    assert document["traffic"]["honesty"]["warmup_excluded"] == 10


def test_every_outcome_is_counted_apart() -> None:
    records = tuple(failure(outcome, i) for i, outcome in enumerate(Outcome))
    total = build(runs.run(records))["traffic"]["total"]
    assert total["outcomes"] == dict.fromkeys((outcome.value for outcome in Outcome), 1)
    assert total["started"] == len(Outcome)


def test_the_knee_is_the_last_rate_that_kept_the_slo() -> None:
    rates = [1, 2, 4]
    stages = [{"name": f"{r}/s", "duration_s": 10, "rate": {"shape": "constant", "per_s": r}} for r in rates]
    records = [record(100 * s + i, at_s=10 * s + i / r, stage=s, ttft_s=5 if r == 4 else 0.1) for s, r in enumerate(rates) for i in range(10 * r)]  # fmt: skip
    knee = build(
        runs.run(tuple(records), profile=profile(stages=stages, find_knee=True), removed_s=30.0, ended_s=32.0)
    )["traffic"]["knee"]
    assert knee == {
        "found": True, "last_good_per_s": 2.0, "first_bad_per_s": 4.0,
        "sentence": "the SLO holds up to 2.00/s offered (2.00/s answered); at 4.00/s offered (2.00/s answered) in stage 4/s goodput is 0%",
    }  # fmt: skip


def test_a_knee_that_was_not_reached_is_not_claimed() -> None:
    knee = build(runs.run(profile=profile(find_knee=True)))["traffic"]["knee"]
    assert not knee["found"]
    assert knee["sentence"] == "no knee up to 2.00/s offered (2.00/s answered): every stage kept the SLO"


def test_a_price_gives_cost_per_token_and_the_break_even() -> None:
    cost = {"node_usd_per_h": 3.6, "hosted_usd_per_million_tokens": 0.25}
    verified = runs.verified()
    document = build(
        runs.verified(profile=verified.profile.model_copy(update={"cost": profile(cost=cost).cost})), verify=True
    )
    assert document["cost"]["node_seconds"] == pytest.approx(40 + 2 * 110 + 50)
    tokens = 120
    assert document["cost"]["usd_per_million_output_tokens_all"] == pytest.approx(310 * 0.001 / tokens * 1e6)
    assert document["cost"]["break_even_tokens_per_s"] == pytest.approx(4000)


def test_in_flight_and_waiting_are_counted_per_bin() -> None:
    records = tuple(record(i, at_s=0.1, ttft_s=1.5, gaps_s=(1.0,)) for i in range(3))
    series = build(runs.run(records, ended_s=4.0))["series"]
    assert series["in_flight"] == [3, 3, 3, 0]
    assert series["waiting"] == [3, 3, 0, 0]
    assert series["ttft_p50_s"] == [pytest.approx(1.5), None, None, None]


def test_machines_are_priced_by_their_type_for_as_long_as_they_were_there() -> None:
    cost = build(runs.clustered(), verify=True)["cost"]
    usd = {machine["name"]: machine["usd"] for machine in cost["machines"]}
    assert usd["trn1-two"] == pytest.approx(169 * 1.34375 / 3600), "from its claim until it was gone"
    assert usd["x86-head"] == pytest.approx(200 * 0.192 / 3600), "what it cost before the run is not the run's"
    assert cost["usd_all"] == pytest.approx(sum(usd.values()))
    assert cost["usd_loaded"] < cost["usd_all"]


def test_without_a_price_machines_are_listed_and_nothing_is_computed() -> None:
    clustered = runs.clustered()
    assert clustered.watched is not None
    free = tuple(replace(machine, usd_per_h=None) for machine in clustered.watched.machines)
    cost = build(replace(clustered, watched=replace(clustered.watched, machines=free)), verify=True)["cost"]
    assert len(cost["machines"]) == 4
    assert cost["usd_all"] is None


def test_a_cluster_counts_the_machines_that_its_replicas_took() -> None:
    replicas = build(runs.clustered(), verify=True)["replicas"]
    assert (replicas["before"], replicas["observed"], replicas["after"], replicas["nodes_launched"]) == (1, 3, 1, 2)


def test_each_step_of_the_load_has_its_own_replica_chain() -> None:
    document = build(runs.clustered(), verify=True)
    assert document["verdict"] == "pass"
    begins = {chain["replica"]: chain["stages"][0]["at_s"] for chain in document["scale_out"]}
    assert begins == {"two": 10.0, "three": 90.0}


def test_a_rehearsed_run_says_what_was_rehearsed_and_predicts_each_stage() -> None:
    document = build(runs.clustered(), verify=True)
    assert document["rehearsal"]["speed"] == 10
    assert document["rehearsal"]["slo_scaled"] == {"ttft_s": 1.5}
    pulled = next(stage for stage in document["scale_out"][0]["stages"] if stage["name"] == "image-pulled")
    assert (pulled["took_s"], pulled["rehearsed_s"], pulled["production_s"]) == (14.0, 13.1, 131.0)
    assert pulled["predicted_s"] == pytest.approx(131.9)
    told = "\n".join(terminal.lines(document))
    assert "predicted for production" in told
    assert "predictions are arithmetic, not measurements" in told


def test_a_deployment_is_judged_without_load_or_promises() -> None:
    document = build(runs.deployed(), verify=True)
    assert (document["mode"], document["verdict"], document["slo"]) == ("watch", "pass", [])
    assert document["sentence"] == "The first replica runs 170.0 s after the watch began."
    assert [chain["replica"] for chain in document["scale_out"]] == ["(head)", "two"]


def test_a_deployment_that_stands_still_says_where() -> None:
    document = build(runs.deployed(before_s=20.0), verify=True)
    assert document["exit_code"] == 2
    assert document["sentence"].startswith("The deployment stands still at node-launched after ")


def test_a_knee_is_not_said_of_a_void_run() -> None:
    saturated = (Pulse("the client", (0.9,), (0.2,)),)
    assert build(runs.run(profile=profile(find_knee=True), pulses=saturated))["traffic"]["knee"] is None


def behind(stage: int = 0, *, start_s: float = 0.0) -> tuple[Record, ...]:
    """Ten requests a second for ten seconds, to a server of one answer of 50 tokens a second: it drains for ninety more."""
    return tuple(
        record(
            i, at_s=start_s + i / 10, stage=stage, token_s=tuple(start_s + i + (k + 0.5) / 50 for k in range(50)), ended_s=start_s + i + 0.99,
            completion_tokens=50,
        )
        for i in range(100)
    )  # fmt: skip


def test_a_server_that_falls_behind_is_reported_at_the_rate_at_which_it_answers() -> None:
    total = build(runs.run(behind(), profile=profile(slo={}), ended_s=100.0))["traffic"]["total"]
    assert (total["started"], total["outcomes"]["ok"], total["offered_per_s"]) == (100, 100, 10.0)
    assert total["completed_per_s"] == total["goodput"]["per_s"] == 1.0
    assert total["tokens"]["completion_per_s"] == pytest.approx(50)
    assert total["tokens"]["completion"] == 5000


def test_what_a_warm_up_asked_for_is_throughput_of_the_stage_in_which_it_arrives() -> None:
    stages = [
        {"name": n, "duration_s": 10, "warmup": n == "warm", "rate": {"shape": "constant", "per_s": 2}}
        for n in ("warm", "real")
    ]
    traffic = build(runs.run(behind(), profile=profile(stages=stages, slo={}), removed_s=20.0, ended_s=100.0))[
        "traffic"
    ]
    assert [row["completed_per_s"] for row in traffic["stages"]] == [1.0, 1.0]
    assert (traffic["total"]["started"], traffic["total"]["completed_per_s"]) == (0, 1.0)
    assert traffic["total"]["tokens"]["completion_per_s"] == pytest.approx(50)


def test_a_token_of_several_words_of_usage_counts_as_often_as_usage_says() -> None:
    halves = (record(0, at_s=9.0, ttft_s=0.5, gaps_s=(1.0,), completion_tokens=40),)
    assert build(runs.run(halves))["traffic"]["total"]["tokens"]["completion_per_s"] == pytest.approx(2.0)


def test_an_interrupted_stage_has_the_rates_of_the_time_that_it_had() -> None:
    records = tuple(record(i, at_s=i / 2) for i in range(8))
    total = build(runs.run(records, interrupted_s=4.0, removed_s=4.0))["traffic"]["total"]
    assert total["offered_per_s"] == total["completed_per_s"] == 2.0


def test_a_knee_says_how_far_the_answers_stayed_behind_what_was_asked() -> None:
    knee = build(runs.run(behind(), profile=profile(find_knee=True, slo={"e2e_s": 200}), ended_s=100.0))["traffic"][
        "knee"
    ]
    assert knee["sentence"] == "no knee up to 10.00/s offered (1.00/s answered): every stage kept the SLO"


def test_tokens_that_came_after_the_load_cost_what_the_machines_cost_after_it() -> None:
    cost = {"node_usd_per_h": 3.6}
    watched = chains.watched([], visible=runs.LOCAL)
    run = runs.run(behind(), profile=profile(slo={}, cost=cost), watched=watched, ended_s=100.0)
    found = build(run)["cost"]
    assert found["usd_per_million_output_tokens_loaded"] == pytest.approx(10 * 0.001 / 500 * 1e6)
    assert found["usd_per_million_output_tokens_all"] == pytest.approx(found["node_seconds"] * 0.001 / 5000 * 1e6)


@pytest.mark.parametrize(("out", "when"), [(True, "when the load ended"), (False, "at the end")])
def test_a_link_that_nobody_could_see_voids_the_run_and_blames_nothing(*, out: bool, when: str) -> None:
    run = _broken("serve-target-raised" if out else "serve-target-lowered")
    assert run.watched is not None
    gone = Account(("gone",), blind="Ray's dashboard does not answer: refused")
    blind = replace(run.watched, now=gone, under_load=gone if out else run.watched.under_load)
    document = build(replace(run, watched=blind), verify=True)
    assert (document["verdict"], document["exit_code"], document["broken_link"]) == ("void", 3, None)
    assert document["sentence"] == (
        f"The run is void: nobody could see the target {when}, so nothing can be said of its scaling: "
        "Ray's dashboard does not answer: refused."
    )


def test_a_chain_that_was_seen_whole_stands_whatever_the_observers_see_afterwards() -> None:
    run = runs.verified()
    assert run.watched is not None
    blind = replace(run.watched, now=Account(("gone",), blind="gone"), under_load=Account(("gone",), blind="gone"))
    assert build(replace(run, watched=blind), verify=True)["verdict"] == "pass"


def test_a_chatbot_that_wants_a_key_voids_the_run_and_says_which_variable_to_set() -> None:
    said = "no key (set CHATBOT_LOADTEST_API_KEY to a key that it knows)"
    document = build(runs.run(tuple(failure(Outcome.REFUSED, i, status=401, error=said) for i in range(3))))
    assert (document["exit_code"], document["sentence"]) == (
        3,
        f"The run is void: the chatbot refused all 3 requests: {said}.",
    )


def test_seconds_of_a_warm_up_are_shaded_no_more_than_they_are_counted() -> None:
    stages = [
        {"name": n, "duration_s": 5, "warmup": n == "warm", "rate": {"shape": "constant", "per_s": 2}}
        for n in ("warm", "real")
    ]
    records = tuple(record(i, at_s=i / 2, stage=int(i >= 10), ttft_s=9 if i in (2, 14) else 0.1) for i in range(20))
    document = build(runs.run(records, profile=profile(stages=stages)))
    assert document["series"]["violating_s"] == [7]
    assert document["slo_violating_s"] == 1
