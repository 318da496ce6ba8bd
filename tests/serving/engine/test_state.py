from __future__ import annotations

import pytest

from serving.engine.request import Timings
from serving.engine.state import open_state
from tests.support.contract_runner import EOS, spec
from tests.support.generations import request


def test_the_slot_bounds_the_answer() -> None:
    small = spec(positions=10, longest_prompt=9)
    assert open_state(request(6, max_tokens=100), small, now_s=0.0).answer_limit_tokens == 4
    assert open_state(request(6, max_tokens=3), small, now_s=0.0).answer_limit_tokens == 3


@pytest.mark.parametrize("prompt_tokens", [0, 10, 11])
def test_a_prompt_that_fits_no_slot_is_a_defect_of_the_caller(prompt_tokens: int) -> None:
    with pytest.raises(ValueError, match=f"prompt of {prompt_tokens} tokens"):
        open_state(request(prompt_tokens), spec(positions=10, longest_prompt=10), now_s=0.0)


def test_an_answer_of_no_tokens_is_a_defect_of_the_caller() -> None:
    with pytest.raises(ValueError, match="max_tokens"):
        open_state(request(max_tokens=0), spec(), now_s=0.0)


def test_the_models_end_and_the_callers_own_stop_tokens_stop() -> None:
    state = open_state(request(stop_token_ids=frozenset({7})), spec(), now_s=0.0)
    assert state.is_stop(EOS)
    assert state.is_stop(7)
    assert not state.is_stop(8)


def test_ignore_eos_keeps_the_callers_own_stop_tokens() -> None:
    state = open_state(request(ignore_eos=True, stop_token_ids=frozenset({7})), spec(), now_s=0.0)
    assert not state.is_stop(EOS)
    assert state.is_stop(7)


def test_nothing_stops_before_min_tokens() -> None:
    state = open_state(request(min_tokens=1), spec(), now_s=0.0)
    assert not state.is_stop(EOS)
    state.output_ids.append(5)
    assert state.is_stop(EOS)


def test_phases_never_reached_take_no_time() -> None:
    state = open_state(request(), spec(), now_s=1.0)
    assert state.timings(4.0) == Timings(queue_s=3.0, prefill_s=0.0, decode_s=0.0)
    state.admitted_s = 2.0
    assert state.timings(4.0) == Timings(queue_s=1.0, prefill_s=2.0, decode_s=0.0)
    state.first_token_s = 2.5
    assert state.timings(4.0) == Timings(queue_s=1.0, prefill_s=0.5, decode_s=1.5)
