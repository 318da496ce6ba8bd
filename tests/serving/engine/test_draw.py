from __future__ import annotations

from itertools import chain, islice, repeat

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.engine.draw import COLUMNS, Drawer, uniforms
from serving.engine.request import SamplingParams

VOCABULARY = 9_000  # five rows of the grid, the last one not full


def noise(seed: int, *, spread: float = 3.0, vocabulary: int = VOCABULARY) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(vocabulary) * spread).astype(np.float32)


def like_a_models(seed: int, vocabulary: int = VOCABULARY) -> NDArray[np.float32]:
    """A few likely tokens above a broad rest, as a language model has them."""
    logits = noise(seed, vocabulary=vocabulary)
    likely = np.random.default_rng(seed).choice(vocabulary, 12, replace=False)
    logits[likely] = 14 + 1.5 * np.arange(12)[::-1] / 2
    return logits


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


def drawn(logits: NDArray[np.float32], params: SamplingParams, draws: int) -> NDArray[np.float64]:
    """How often each token came."""
    drawer = Drawer(logits.size)
    ids = [drawer.draw(logits, params, uniforms(seed, 0)) for seed in range(draws)]
    return np.bincount(ids, minlength=logits.size).astype(np.float64)


def surprise(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Pearson's chi-square in standard deviations from its mean, over groups of tokens that should come about 20 times each."""
    counts = expected * found.sum()
    order = np.argsort(-counts, kind="stable")
    groups = np.floor(np.cumsum(counts[order]) / 20).astype(int)
    wanted, had = (np.bincount(groups, weights=values[order]) for values in (counts, found))
    had, wanted = had[wanted > 5], wanted[wanted > 5]
    freedom = max(len(wanted) - 1, 1)
    return float((((had - wanted) ** 2 / wanted).sum() - freedom) / np.sqrt(2 * freedom))


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(),
        SamplingParams(temperature=0.3),
        SamplingParams(temperature=1.7),
        SamplingParams(top_p=0.9),
        SamplingParams(top_p=0.5, temperature=2.0),
        SamplingParams(top_p=0.1),
        SamplingParams(top_p=0.01),
        SamplingParams(top_k=1),
        SamplingParams(top_k=7),
        SamplingParams(top_k=3000),
        SamplingParams(min_p=0.1),
        SamplingParams(min_p=0.02, top_k=20, top_p=0.7, temperature=1.3),
        SamplingParams(top_k=20, top_p=0.7),
        SamplingParams(min_p=1.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("logits", [like_a_models(1), noise(1, spread=0.1), noise(1), noise(1, spread=12.0)])
def test_draws_follow_the_distribution_by_the_book(logits: NDArray[np.float32], params: SamplingParams) -> None:
    expected = reference(logits, params)
    found = drawn(logits, params, 300)
    assert set(np.flatnonzero(found)) <= set(np.flatnonzero(expected > 0))
    assert surprise(found, expected) < 4.5


@pytest.mark.parametrize("vocabulary", [1, 5, COLUMNS, COLUMNS + 1])
def test_small_vocabularies_are_vocabularies(vocabulary: int) -> None:
    logits = noise(8, spread=1.0, vocabulary=vocabulary)
    for params in (SamplingParams(), SamplingParams(top_p=0.8), SamplingParams(top_k=3), SamplingParams(min_p=0.3)):
        assert surprise(drawn(logits, params, 1000), reference(logits, params)) < 4.5


def test_a_nucleus_of_nothing_is_the_best_token() -> None:
    logits = noise(2)
    assert Drawer(VOCABULARY).draw(logits, SamplingParams(top_p=0.0), iter([0.999])) == logits.argmax()


def test_equal_logits_are_cut_in_order_of_their_ids() -> None:
    logits = np.zeros(VOCABULARY, np.float32)
    assert set(np.flatnonzero(drawn(logits, SamplingParams(top_k=3), 30))) == {0, 1, 2}
    assert set(np.flatnonzero(drawn(logits, SamplingParams(top_p=0.001), 200))) == set(range(9))


@pytest.mark.parametrize("params", [SamplingParams(), SamplingParams(top_p=0.99), SamplingParams(top_k=40)], ids=str)
def test_the_ends_of_the_quantiles_draw_tokens_that_exist(params: SamplingParams) -> None:
    logits = noise(3)
    logits[100:] = -np.inf
    drawer = Drawer(VOCABULARY)
    for first in (0.0, 1.0 - 2.0**-53):
        for rest in (0.0, 0.5):
            assert drawer.draw(logits, params, chain([first], repeat(rest, 1000), uniforms(0, 0))) < 100


def test_the_logits_are_not_written_to() -> None:
    logits = noise(4)
    before = logits.copy()
    drawer = Drawer(VOCABULARY)
    drawer.draw(logits, SamplingParams(top_p=0.9), uniforms(0, 0))
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
