"""Measured − rehearsed + production, stage by stage, and never called a measurement."""

from __future__ import annotations

from typing import Any

import pytest

from loadtest.errors import UsageError
from loadtest.rehearsal import Rehearsal, for_speed, from_state
from loadtest.report import prediction
from loadtest.timeline import Chain, StageTime
from tests.support.load_profiles import profile

STATE: dict[str, Any] = {
    "rehearsal": {
        "speed": 10,
        "stages": {"image-pulled": {"rehearsed_s": 13, "production_s": 130, "what": "the image"}},
        "timers": [
            {"name": "upscale_delay_s", "rehearsed": 2, "production": 10, "unit": "s", "stage": "serve-target-raised"},
            {
                "name": "push interval",
                "rehearsed": 500,
                "production": 10000,
                "unit": "ms",
                "stage": "serve-target-raised",
            },
            {"name": "slots", "rehearsed": 2, "production": 8, "unit": "slots", "stage": "serve-target-raised"},
        ],
    }
}


def rehearsal() -> Rehearsal:
    found = from_state(STATE)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("stage", "took_s", "predicted_s"),
    [
        ("image-pulled", 15.0, 132.0),  # 2 s of it were the kubelet's own
        ("image-pulled", 12.0, 130.0),  # seen a second early: never less than production's share
        ("image-pulled", 1.0, 1.0),  # it was on the node already
        ("serve-target-raised", 6.0, 6.0 - 2.5 + 20.0),  # what has no unit of time is no time
        ("node-launched", 3.0, 3.0),  # nobody replaced anything
    ],
)
def test_a_stage_is_predicted_from_what_was_measured(stage: str, took_s: float, predicted_s: float) -> None:
    assert rehearsal().predicted_s(stage, took_s) == pytest.approx(predicted_s)


def test_a_target_that_rehearses_nothing_predicts_nothing() -> None:
    assert from_state({"base_url": "http://x"}) is None
    (row,) = prediction.chains([Chain("a", (StageTime("image-pulled", "reached", 9.0, 4.0),))], None)
    assert row["predicted_s"] is row["stages"][0]["predicted_s"] is None


@pytest.mark.parametrize(("block", "where"), [({"speed": 0}, "rehearsal.speed"), (3, "rehearsal")])
def test_a_state_that_is_wrong_is_a_usage_error(block: object, where: str) -> None:
    with pytest.raises(UsageError) as refused:
        from_state({"rehearsal": block})
    assert str(refused.value) == f"{where} of the target's state is not what it should be: deploy the target again"


def test_a_chain_is_predicted_as_the_sum_of_its_stages() -> None:
    stages = (
        StageTime("load-applied", "reached", 1.0, 0.0),
        StageTime("image-pulled", "reached", 16.0, 15.0),
        StageTime("node-launched", "skipped"),
    )
    (row,) = prediction.chains([Chain("a", stages)], rehearsal())
    assert (row["took_s"], row["predicted_s"]) == (15.0, 132.0)
    assert [stage["rehearsed_s"] for stage in row["stages"]] == [0, 13, None]


def test_a_chain_that_broke_is_not_predicted() -> None:
    (row,) = prediction.chains(
        [Chain("a", (StageTime("load-applied", "reached", 1.0, 0.0), StageTime("image-pulled", "missing")))],
        rehearsal(),
    )
    assert row["predicted_s"] is None


def test_limits_that_are_productions_are_divided_by_the_speed() -> None:
    declared = profile(slo={"ttft_s": 15, "e2e_s": 60, "scale_with_speed": ["ttft_s"]})
    scaled = for_speed(declared, rehearsal())
    assert (scaled.slo.ttft_s, scaled.slo.e2e_s) == (1.5, 60)
    assert for_speed(declared, None) == declared
    assert prediction.rehearsed(rehearsal(), scaled)["slo_scaled"] == {"ttft_s": 1.5}
