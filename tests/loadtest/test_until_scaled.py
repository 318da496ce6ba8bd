"""Stages that only wait for replicas: over when those have answered, and nothing after them is late for it."""

from __future__ import annotations

import pytest

from loadtest.clock import RunClock
from loadtest.observers import Sample, ScalingRule
from loadtest.observers.watched import Watched
from loadtest.spec import Profile
from loadtest.traffic import Traffic
from loadtest.verdict import has_scaled

RULE = ScalingRule(1, 3, 6.0)


def profile(**first: object) -> Profile:
    stages = [{"name": "two", "duration_s": 60, "users": 10, **first}, {"name": "three", "duration_s": 60, "users": 16}]
    return Profile.model_validate({"name": "p", "description": "", "seed": 1, "loop": "closed", "stages": stages})


@pytest.mark.parametrize(
    ("running", "answered", "scaled"),
    [(1, {"a"}, False), (2, {"a"}, False), (2, {"a", "b"}, True), (3, {"a", "b", "c"}, False)],
)
def test_a_stage_has_scaled_when_as_many_as_its_users_ask_for_run_and_have_answered(
    running: int, answered: set[str], scaled: bool
) -> None:
    watched = Watched(samples=(Sample("replicas_running", 1.0, running),), rule=RULE)
    assert has_scaled(10, watched, answered) is scaled


def test_without_a_rule_nothing_can_be_said() -> None:
    assert not has_scaled(10, Watched(samples=(Sample("replicas_running", 1.0, 2),)), {"a", "b"})


def test_the_stages_after_a_shortened_one_begin_earlier() -> None:
    class Nobody:
        def ask(self, request: object, answer: object) -> None:
            raise AssertionError

    now_s = 0.0
    clock = RunClock(monotonic=lambda: now_s)
    traffic = Traffic(profile(), Nobody(), clock=clock)
    traffic.follow(profile().shortened(0, 20.0))
    assert (traffic.stage_at(19.0), traffic.stage_at(21.0)) == (0, 1)
    now_s = 79.0
    assert not traffic.over()
    now_s = 80.0
    assert traffic.over()


def test_an_open_loop_cannot_wait_for_replicas() -> None:
    stage = {"name": "one", "duration_s": 5, "rate": {"shape": "constant", "per_s": 1}, "until_scaled": True}
    with pytest.raises(ValueError, match="until_scaled is for a loop that is closed"):
        Profile.model_validate({"name": "p", "description": "", "seed": 1, "loop": "open", "stages": [stage]})


def test_users_who_think_between_turns_cannot_be_waited_for() -> None:
    prompts = {"turns": 3, "think_time_s": 2}
    stage = {"name": "one", "duration_s": 5, "users": 4, "until_scaled": True}
    with pytest.raises(ValueError, match="until_scaled cannot know how many replicas users with think time ask for"):
        Profile.model_validate(
            {"name": "p", "description": "", "seed": 1, "loop": "closed", "stages": [stage], "prompts": prompts}
        )
