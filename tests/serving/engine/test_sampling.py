from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.engine.request import SamplingParams, Token
from serving.engine.runner import RunnerError
from serving.engine.sampling import Sampler
from tests.support.contract_runner import spec
from tests.support.generations import request

VOCABULARY = 1000
STOP = 5


class Bench:
    """A sampler whose slots are bound one after the other."""

    def __init__(self, *params: SamplingParams, min_tokens: int = 0) -> None:
        seeds = iter(range(1000))
        self.sampler = Sampler(spec(slots=16, vocabulary=VOCABULARY), draw_seed=lambda: next(seeds))
        self.slots = list(range(len(params)))
        for slot, sampling in enumerate(params):
            wanted = request(sampling=sampling, min_tokens=min_tokens, max_tokens=100)
            self.sampler.bind(slot, wanted, frozenset({STOP}))

    def tokens(self, logits: NDArray[np.float32]) -> list[Token]:
        return self.sampler.sample(logits, self.slots)

    def ids(self, logits: NDArray[np.float32]) -> list[int]:
        return [token.token_id for token in self.tokens(logits)]


def noise(rows: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, VOCABULARY), np.float32) * 3


def peaks(*ids: int) -> NDArray[np.float32]:
    """One row whose best tokens are `ids`, each 1 behind the one before."""
    row = np.zeros((1, VOCABULARY), np.float32)
    row[0, list(ids)] = 10.0 - np.arange(len(ids))
    return row


def greedy(**fields: Any) -> SamplingParams:
    return SamplingParams(temperature=0, **fields)


def test_greedy_takes_the_best_of_each_row() -> None:
    logits = noise(4)
    assert Bench(*[greedy()] * 4).ids(logits) == logits.argmax(axis=1).tolist()


def test_a_temperature_too_small_to_divide_by_is_greedy() -> None:
    logits = noise(1)
    assert Bench(SamplingParams(temperature=1e-300)).ids(logits) == [logits.argmax()]


def test_a_seed_draws_the_same_tokens_whatever_rows_surround_it() -> None:
    seeded = SamplingParams(seed=42, temperature=1.3, top_p=0.95)
    steps = [noise(1, seed) for seed in range(20)]
    alone = Bench(seeded)
    expected = [alone.ids(logits)[0] for logits in steps]
    for place in range(4):
        others: list[SamplingParams] = [SamplingParams(), greedy(), SamplingParams(top_k=4)]
        crowd = Bench(*others[:place], seeded, *others[place:])
        around = [np.insert(noise(3, 99 + n), place, logits, axis=0) for n, logits in enumerate(steps)]
        assert [crowd.ids(logits)[place] for logits in around] == expected
    assert len(set(expected)) > 10


def test_rows_may_come_in_any_order_of_slots() -> None:
    bench = Bench(greedy(logit_bias={3: 50.0}), greedy(logit_bias={4: 50.0}))
    bench.slots = [1, 0]
    assert bench.ids(noise(2)) == [4, 3]


def test_a_slot_bound_anew_starts_its_seed_anew() -> None:
    bench, logits = Bench(SamplingParams(seed=1)), [noise(1, seed) for seed in range(5)]
    first = [bench.ids(row) for row in logits]
    bench.sampler.bind(0, request(sampling=SamplingParams(seed=1)), frozenset())
    assert [bench.ids(row) for row in logits] == first


def test_without_a_seed_two_requests_differ() -> None:
    bench = Bench(SamplingParams(), SamplingParams())
    same = np.repeat(noise(1), 2, axis=0)
    draws = [bench.ids(same) for _ in range(10)]
    assert [a for a, _ in draws] != [b for _, b in draws]


def test_bias_moves_and_forbids() -> None:
    assert Bench(greedy(logit_bias={7: -100.0})).ids(peaks(7, 8)) == [8]
    assert Bench(greedy(logit_bias={9: 100.0})).ids(peaks(7, 8)) == [9]


def test_presence_penalty_counts_a_token_once() -> None:
    bench = Bench(greedy(presence_penalty=1.5))
    assert [bench.ids(peaks(7, 8))[0] for _ in range(4)] == [7, 8, 7, 7]


def test_frequency_penalty_grows_with_every_use() -> None:
    bench = Bench(greedy(frequency_penalty=0.6))
    assert [bench.ids(peaks(7, 8))[0] for _ in range(6)] == [7, 7, 8, 7, 8, 7]


def test_stop_tokens_are_masked_until_min_tokens() -> None:
    bench = Bench(greedy(), min_tokens=2)
    assert [bench.ids(peaks(STOP, 8))[0] for _ in range(3)] == [8, 8, STOP]


def test_logprobs_are_the_models_before_bias_and_temperature() -> None:
    logits = peaks(7, 8)
    [token] = Bench(SamplingParams(temperature=0.2, seed=0, logprobs=2, logit_bias={9: 100.0})).tokens(logits)
    total = np.log(np.exp(logits.astype(np.float64)).sum())
    assert token.token_id == 9
    assert token.logprob == pytest.approx(-total, abs=1e-5)
    assert [token_id for token_id, _ in token.top_logprobs] == [7, 8]
    assert token.top_logprobs[0][1] == pytest.approx(10.0 - total, abs=1e-5)


def test_no_logprobs_unless_asked_for() -> None:
    [token] = Bench(SamplingParams()).tokens(noise(1))
    assert (token.logprob, token.top_logprobs) == (None, ())


def test_the_runners_buffer_is_left_as_it_is() -> None:
    logits = noise(2)
    logits.flags.writeable = False
    Bench(greedy(logit_bias={3: 1.0}, logprobs=1), SamplingParams(presence_penalty=1.0)).tokens(logits)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_a_failure_of_the_runner(bad: float) -> None:
    logits = noise(2)
    logits[1, 500] = bad
    with pytest.raises(RunnerError):
        Bench(greedy(), greedy()).tokens(logits)


def test_a_row_too_few_is_a_failure_of_the_runner() -> None:
    with pytest.raises(RunnerError, match="1 rows of logits for 2 slots"):
        Bench(greedy(), greedy()).tokens(noise(1))


def test_an_unbound_slot_is_a_defect() -> None:
    bench = Bench(greedy())
    bench.slots = [3]
    with pytest.raises(RunnerError, match="slot 3"):
        bench.tokens(noise(1))


def test_no_rows_no_tokens() -> None:
    assert Bench().tokens(noise(0)) == []
