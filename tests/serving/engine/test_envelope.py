"""What the envelope promises beyond the distribution of its draws, which test_draw.py holds against one by the book."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from serving.engine.draw import uniforms
from serving.engine.envelope import Envelope

ROWS, COLUMNS = 6, 2048
logits = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).standard_normal((ROWS, COLUMNS)))
spreads = st.floats(0.0, 20.0)
temperatures = st.floats(0.01, 2.0)


def envelope(logits: NDArray[np.float64], temperature: float) -> Envelope:
    grid = logits.astype(np.float32)
    return Envelope(grid, grid.max(axis=0), temperature)


def by_the_book(logits: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    flat = logits.astype(np.float32).astype(np.float64).reshape(-1)
    return np.asarray(np.exp((flat - flat.max()) / temperature))


@settings(deadline=None)
@given(logits, spreads, temperatures)
def test_it_is_nowhere_below_and_never_more_than_its_rows_too_much(
    logits: NDArray[np.float64], spread: float, temperature: float
) -> None:
    made, mass = envelope(logits * spread, temperature), by_the_book(logits * spread, temperature).sum()
    assert made.least_mass <= mass * (1 + 1e-4)
    assert mass * (1 - 1e-4) <= made.most_mass <= mass * ROWS * (1 + 1e-4)


@settings(deadline=None)
@given(logits, spreads, temperatures)
def test_bounds_say_the_same_of_a_nucleus_as_all_weights(
    logits: NDArray[np.float64], spread: float, temperature: float
) -> None:
    made, weights = envelope(logits * spread, temperature), by_the_book(logits * spread, temperature)
    flat = (logits * spread).astype(np.float32).reshape(-1)
    for share in (0.05, 0.5, 0.95):
        token_id, place = made.draw(uniforms(int(flat.size * share), 0))
        first = (flat > flat[token_id]) | ((flat == flat[token_id]) & (np.arange(flat.size) < token_id))
        before = weights[first].sum() / weights.sum()
        if abs(before - share) > 1e-4:
            assert made.is_among_best(token_id, place, share) == (before < share)


def test_a_row_gives_the_same_wherever_it_lies_in_memory() -> None:
    rows = np.random.default_rng(0).standard_normal((5, ROWS * COLUMNS + 3), np.float32)
    for row in rows:
        grid, alone = row[3:].reshape(ROWS, COLUMNS), row[3:].copy().reshape(ROWS, COLUMNS)
        ours, theirs = (Envelope(g, g.max(axis=0), 0.7) for g in (grid, alone))
        assert (ours.least_mass, ours.most_mass) == (theirs.least_mass, theirs.most_mass)
        assert [ours.draw(uniforms(i, 0)) for i in range(50)] == [theirs.draw(uniforms(i, 0)) for i in range(50)]


@pytest.mark.parametrize("temperature", [1e-5, 1.0])
def test_tokens_that_cannot_be_are_never_drawn(temperature: float) -> None:
    grid = np.full((ROWS, COLUMNS), -np.inf, np.float32)
    grid[3, 7], grid[5, 9] = 1.0, 1.0
    made = Envelope(grid, grid.max(axis=0), temperature)
    assert {made.draw(uniforms(i, 0))[0] for i in range(100)} == {3 * COLUMNS + 7, 5 * COLUMNS + 9}
