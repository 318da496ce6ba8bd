from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.engine.draw import Drawer, uniforms
from serving.engine.request import SamplingParams

VOCABULARY = 1500  # no multiple of the grid's width


def noise(seed: int, *, spread: float = 3.0, vocabulary: int = VOCABULARY) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(vocabulary) * spread).astype(np.float32)


def quantiles(count: int) -> Iterator[Iterator[float]]:
    """A stream for each of `count` draws; their first numbers are evenly spread, the next ones (redraws) are random."""
    return (chain([(i + 0.5) / count], uniforms(i, 0)) for i in range(count))


def reference(logits: NDArray[np.float32], params: SamplingParams) -> NDArray[np.float64]:
    """The distribution by the book: full sorts, float64, one filter after the other."""
    probabilities = np.exp((logits.astype(np.float64) - logits.max()) / params.temperature)
    if params.min_p > 0:
        probabilities[probabilities < params.min_p] = 0.0
    order = np.argsort(-probabilities, kind="stable")
    if params.top_k > 0:
        probabilities[order[params.top_k :]] = 0.0
    probabilities /= probabilities.sum()
    if params.top_p < 1:
        mass_before = np.cumsum(probabilities[order]) - probabilities[order]
        probabilities[order[mass_before >= params.top_p]] = 0.0
    return np.asarray(probabilities / probabilities.sum())


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(),
        SamplingParams(temperature=0.3),
        SamplingParams(temperature=1.7),
        SamplingParams(top_p=0.9),
        SamplingParams(top_p=0.5, temperature=2.0),
        SamplingParams(top_p=0.1),
        SamplingParams(top_k=1),
        SamplingParams(top_k=7),
        SamplingParams(top_k=600),
        SamplingParams(top_k=5000),
        SamplingParams(min_p=0.1),
        SamplingParams(min_p=0.02, top_k=20, top_p=0.7, temperature=1.3),
        SamplingParams(top_k=20, top_p=0.7),
        SamplingParams(min_p=1.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("spread", [0.1, 3.0, 12.0])
def test_draws_follow_the_distribution_by_the_book(params: SamplingParams, spread: float) -> None:
    logits, draws = noise(1, spread=spread), 1000
    drawer = Drawer(VOCABULARY)
    drawn = np.bincount([drawer.draw(logits, params, at) for at in quantiles(draws)], minlength=VOCABULARY)
    expected = reference(logits, params)
    assert set(np.flatnonzero(drawn)) <= set(np.flatnonzero(expected > 0))
    redrawn = expected.max() * (1 - params.top_p)  # at most: by rejection, for all tokens but the FEW best
    np.testing.assert_allclose(drawn / draws, expected, atol=1.5 / draws + 4 * np.sqrt(redrawn / draws))


def test_a_nucleus_of_nothing_is_the_best_token() -> None:
    logits = noise(2)
    assert Drawer(VOCABULARY).draw(logits, SamplingParams(top_p=0.0), iter([0.999])) == logits.argmax()


def test_equal_logits_are_cut_in_order_of_their_ids() -> None:
    drawer = Drawer(VOCABULARY)
    logits = np.zeros(VOCABULARY, np.float32)
    drawn = {drawer.draw(logits, SamplingParams(top_k=3), at) for at in quantiles(30)}
    assert drawn == {0, 1, 2}


@pytest.mark.parametrize("params", [SamplingParams(), SamplingParams(top_p=0.99), SamplingParams(top_k=40)], ids=str)
def test_the_ends_of_the_quantiles_draw_tokens_that_exist(params: SamplingParams) -> None:
    logits = noise(3)
    logits[100:] = -np.inf
    drawer = Drawer(VOCABULARY)
    assert all(drawer.draw(logits, params, iter([at, at])) < 100 for at in (0.0, 1.0 - 2.0**-53))


def test_the_logits_are_not_written_to() -> None:
    logits = noise(4)
    before = logits.copy()
    drawer = Drawer(VOCABULARY)
    drawer.draw(logits, SamplingParams(top_p=0.9), iter([0.5, 0.5]))
    drawer.logprobs(logits, 3, 5)
    np.testing.assert_array_equal(logits, before)


def test_logprobs_are_the_models_own() -> None:
    logits = noise(5)
    expected = logits - np.log(np.exp(logits.astype(np.float64)).sum())
    chosen, best = Drawer(VOCABULARY).logprobs(logits, 17, 4)
    assert chosen == pytest.approx(expected[17], abs=1e-4)
    order = np.argsort(-logits, kind="stable")[:4]
    assert [token_id for token_id, _ in best] == order.tolist()
    assert [value for _, value in best] == pytest.approx(expected[order].tolist(), abs=1e-4)


def test_logprobs_of_the_chosen_token_alone() -> None:
    assert Drawer(VOCABULARY).logprobs(noise(6), 1, 0)[1] == ()


def test_more_best_tokens_than_there_are() -> None:
    _, best = Drawer(5).logprobs(noise(7, vocabulary=5), 1, 20)
    assert len(best) == 5


def test_uniform_numbers_depend_on_seed_and_index_alone_and_fill_the_interval() -> None:
    numbers = np.array([[next(uniforms(seed, index)) for index in range(100)] for seed in (-5, 0, 1, 2**63)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert len(np.unique(numbers)) == numbers.size
    assert abs(numbers.mean() - 0.5) < 0.05
    assert abs(np.corrcoef(numbers)[1, 2]) < 0.3
    assert list(islice(uniforms(1, 7), 3)) == list(islice(uniforms(1, 7), 3))
    assert len(set(islice(uniforms(1, 7), 100))) == 100
