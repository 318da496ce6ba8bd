"""Prompts: byte for byte the same for a seed, of the length that was drawn, unique unless pooled."""

from __future__ import annotations

import hashlib
import itertools
import json

import pytest

from loadtest import prompts, seeds
from loadtest.spec import Fixed, Lognormal, Uniform
from tests.support.load_profiles import closed, profile


def bodies(seed: int, count: int = 20) -> bytes:
    return b"".join(prompts.request(profile(seed=seed), i).body("m") for i in range(count))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert bodies(5) == bodies(5)
    assert bodies(5) != bodies(6)


def test_the_bytes_of_a_seed_do_not_change_between_versions_of_this_package() -> None:
    assert hashlib.sha256(bodies(5)).hexdigest()[:16] == "5e56ac05380f0e11"


def test_a_request_asks_for_a_stream_with_usage_and_an_answer_of_exactly_the_drawn_length() -> None:
    body = json.loads(prompts.request(profile(), 3).body("some-model"))
    assert body["model"] == "some-model"
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert body["ignore_eos"] is True
    assert body["max_tokens"] == 6
    assert len(body["messages"][0]["content"].split()) == 5


def test_unique_prompts_never_repeat_and_pooled_ones_do() -> None:
    long = {"words": 30, "answer_tokens": 6}
    unique = {prompts.request(profile(prompts=long), i).messages for i in range(300)}
    pooled = {prompts.request(profile(prompts=long | {"unique_share": 0, "pool": 4}), i).messages for i in range(300)}
    assert len(unique) == 300
    assert len(pooled) == 4


def test_only_what_comes_from_the_pool_is_called_pooled() -> None:
    prompts_of = {"words": 5, "answer_tokens": 6, "unique_share": 0}
    talk = closed(prompts=prompts_of)
    turn = next(prompts.conversations(talk, 0))[0]
    assert not prompts.request(talk, 0, turn=turn).pooled
    assert prompts.request(profile(prompts=prompts_of), 0).pooled


def test_the_share_of_readers_who_leave_is_the_profiles() -> None:
    leaving = profile(sending={"cancel_share": 0.3, "cancel_after_tokens": 2})
    left = [prompts.request(leaving, i).cancel_after_tokens for i in range(1000)]
    assert sum(after == 2 for after in left) == pytest.approx(300, abs=50)


def test_a_conversation_has_the_drawn_turns_and_thinks_before_all_but_the_first() -> None:
    talk = closed(prompts={"words": 5, "answer_tokens": 6, "turns": 3, "think_time_s": 2})
    conversation = next(prompts.conversations(talk, 0))
    assert [turn.think_time_s for turn in conversation] == [0, 2, 2]


def test_users_talk_about_different_things() -> None:
    talk = closed(prompts={"words": 20, "answer_tokens": 6})
    first = [next(prompts.conversations(talk, user))[0].content for user in range(10)]
    assert len(set(first)) == 10


def test_a_turn_carries_the_system_prompt_and_the_history() -> None:
    talk = closed(prompts={"system": "Be kind.", "words": 5, "answer_tokens": 6})
    history = (("user", "hello"), ("assistant", "hi"))
    turn = next(itertools.islice(prompts.conversations(talk, 0), 1))[0]
    roles = [role for role, _ in prompts.request(talk, 0, turn=turn, history=history).messages]
    assert roles == ["system", "user", "assistant", "user"]


def test_draws_stay_within_their_limits() -> None:
    rng = seeds.stream(1)
    assert prompts.draw(Fixed(kind="fixed", value=7), rng) == 7
    uniform = [prompts.draw(Uniform(kind="uniform", least=2, most=4), rng) for _ in range(200)]
    tail = [prompts.draw(Lognormal(kind="lognormal", median=10, sigma=1, least=5, most=20), rng) for _ in range(200)]
    assert min(uniform) >= 2
    assert max(uniform) <= 4
    assert min(tail) == 5
    assert max(tail) == 20
