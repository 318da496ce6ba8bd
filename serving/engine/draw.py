"""One token drawn from one row of logits: temperature, min_p, top_k and top_p, in this order (it is vLLM's).

A vocabulary is large and a nucleus is small, so nothing here sorts the vocabulary if it can be helped. A row is laid out
as a grid with GROUPS columns, and the columns' maxima (or sums) are looked at first: the k-th largest of k or more
maxima bounds the k-th largest element from below, so every candidate is in the few columns that reach it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from serving.engine.request import SamplingParams

GROUPS = 512
FEW = 64  # candidates that nearly always hold a nucleus

_MASK = (1 << 64) - 1


def uniform(seed: int, index: int) -> float:
    """The `index`-th number of `seed`'s stream, in [0, 1): a hash (splitmix64), so it depends on nothing else."""
    return (_mix(_mix(seed & _MASK) + index * 0x9E3779B97F4A7C15) >> 11) * 2.0**-53


def _mix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class Drawer:
    """Draws from rows of one vocabulary, with two rows of scratch memory."""

    def __init__(self, vocabulary: int) -> None:
        height = -(-vocabulary // GROUPS)
        self._vocabulary = vocabulary
        self._scaled = np.full((height, GROUPS), -np.inf, np.float32)  # the tail stays at -inf: no token
        self._weights = np.empty_like(self._scaled)

    def draw(self, logits: NDArray[np.float32], params: SamplingParams, at: float) -> int:
        """The token at quantile `at`, in [0, 1), of `params`' distribution over finite-topped `logits` [vocabulary]."""
        self._scale(logits, params.temperature)
        if params.min_p > 0 or params.top_k > 0:
            values, ids = self._candidates(params)
            return _draw_from(np.exp(values, dtype=np.float64), ids, params.top_p, at)
        np.exp(self._scaled, out=self._weights)
        if params.top_p < 1:
            return self._draw_from_nucleus(params.top_p, at)
        return _invert(self._weights, at)

    def logprobs(
        self, logits: NDArray[np.float32], token_id: int, count: int
    ) -> tuple[float, tuple[tuple[int, float], ...]]:
        """`token_id`'s log probability by `logits` [vocabulary] as they are, and the `count` best ids with theirs."""
        self._scale(logits, 1.0)
        np.exp(self._scaled, out=self._weights)
        total = float(np.log(self._weights.sum(dtype=np.float64)))
        values, ids = self._best(self._scaled, max(count, 1))
        best = zip(ids[:count].tolist(), values[:count].tolist(), strict=True)
        return float(logits[token_id] - logits.max()) - total, tuple(
            (best_id, value - total) for best_id, value in best
        )

    def _scale(self, logits: NDArray[np.float32], temperature: float) -> None:
        scaled = self._scaled.reshape(-1)[: self._vocabulary]
        np.subtract(logits, logits.max(), out=scaled)
        if temperature != 1.0:
            np.multiply(scaled, np.float32(1.0 / temperature), out=scaled)

    def _candidates(self, params: SamplingParams) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        if params.min_p > 0:
            values, ids = self._at_least(self._scaled, np.float32(np.log(params.min_p)))
        else:
            values, ids = self._best(self._scaled, params.top_k)
        return (values[: params.top_k], ids[: params.top_k]) if params.top_k > 0 else (values, ids)

    def _draw_from_nucleus(self, top_p: float, at: float) -> int:
        total = float(self._weights.sum(dtype=np.float64))
        weights, ids = self._best(self._weights, FEW)
        if weights.sum(dtype=np.float64) < top_p * total:
            # All tokens below this weight have less than 1 - top_p together, so the nucleus is above it.
            weights, ids = self._at_least(self._weights, np.float32((1 - top_p) * total / self._weights.size))
        return _draw_from(weights.astype(np.float64), ids, top_p, at, total=total)

    def _best(self, grid: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """At least the `count` best of `grid`, best first, equal ones by id."""
        if count > GROUPS:
            return self._at_least(grid, np.float32(-np.inf))
        return self._at_least(grid, np.partition(grid.max(axis=0), GROUPS - count)[GROUPS - count])

    def _at_least(self, grid: NDArray[np.float32], lowest: np.float32) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """All of `grid` that reach `lowest`, best first, equal ones by id."""
        columns = np.flatnonzero(grid.max(axis=0) >= lowest)
        part = grid[:, columns]
        rows, places = np.nonzero(part >= lowest)
        ids = rows * GROUPS + columns[places]
        values = part[rows, places]
        if ids[-1] >= self._vocabulary or lowest <= 0:
            values, ids = values[ids < self._vocabulary], ids[ids < self._vocabulary]
        order = np.argsort(-values, kind="stable")
        return values[order], ids[order]


def _draw_from(
    weights: NDArray[np.float64], ids: NDArray[np.intp], top_p: float, at: float, *, total: float | None = None
) -> int:
    """Draw by `weights`, which fall, from the fewest of `ids` that hold `top_p` of `total` (of themselves if None)."""
    mass = np.cumsum(weights)
    last = len(mass) - 1
    if top_p < 1:
        last = min(int(np.searchsorted(mass, top_p * (mass[-1] if total is None else total))), last)
    return int(ids[min(int(np.searchsorted(mass, at * mass[last], side="right")), last)])


def _invert(weights: NDArray[np.float32], at: float) -> int:
    """The index into the grid `weights`, read as a distribution in column order, at quantile `at`."""
    mass = np.cumsum(weights.sum(axis=0), dtype=np.float64)
    target = at * mass[-1]
    column = int(np.searchsorted(mass, target, side="right"))
    before = mass[column - 1] if column else 0.0
    within = np.cumsum(weights[:, column], dtype=np.float64)
    row = int(np.searchsorted(within, target - before, side="right"))
    if row == len(within):  # the two sums were rounded differently
        row = int(np.flatnonzero(weights[:, column])[-1])
    return row * GROUPS + column
