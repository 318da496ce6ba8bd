"""One token drawn from one row of logits: temperature, min_p, top_k and top_p, in this order (it is vLLM's).

A vocabulary is large and what can be drawn is mostly few, so nothing here sorts the vocabulary if it can be helped:

* A row is laid out as a grid with COLUMNS columns, and the columns' maxima are looked at first. The k-th largest of
  them bounds the k-th largest element from below, so the k best are in the few columns that reach it.
* A nucleus that is not among the FEW best is drawn from by rejection: draw from the whole, and draw again if the tokens
  that are better hold top_p already. That is the nucleus' own distribution, and each try succeeds with at least top_p.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from serving.engine.request import SamplingParams

COLUMNS = 512
FEW = 64  # candidates that hold most nuclei
REJECT_FROM = 0.3  # a smaller top_p would be rejected too often, so its candidates are sorted instead

_MASK = (1 << 64) - 1
_STRIDE = 0x9E3779B97F4A7C15


def uniforms(seed: int, index: int) -> Iterator[float]:
    """Numbers in [0, 1) for the `index`-th token of `seed`: a hash (splitmix64), so they depend on nothing else."""
    state = _mix(_mix(seed & _MASK) + index * _STRIDE)
    while True:
        yield (_mix(state) >> 11) * 2.0**-53
        state += _STRIDE


def _mix(value: int) -> int:
    value = (value + _STRIDE) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class Drawer:
    """Draws from rows of one vocabulary, with two rows of scratch memory."""

    def __init__(self, vocabulary: int) -> None:
        height = -(-vocabulary // COLUMNS)
        self._vocabulary = vocabulary
        self._logits = np.full((height, COLUMNS), -np.inf, np.float32)  # the tail is no token, and stays as it is
        self._weights = np.zeros((height, COLUMNS), np.float32)
        self._mass = np.zeros(COLUMNS)  # of the weights in each column and in those before it

    def draw(self, logits: NDArray[np.float32], params: SamplingParams, at: Iterator[float]) -> int:
        """A token by `params`' distribution over `logits` [vocabulary], whose highest is finite.

        `at` yields quantiles in [0, 1); all but few draws take one of them.
        """
        if params.min_p > 0 or params.top_k > 0:
            values, ids = self._candidates(logits, params)
            weights = np.exp((values - values[0]).astype(np.float64) / params.temperature)
            return _draw_from(weights, ids, params.top_p * weights.sum(), next(at))
        self._weigh(logits, params.temperature)
        if params.top_p < 1:
            return self._draw_from_nucleus(params.top_p, at)
        return self._draw_from_all(next(at))

    def logprobs(
        self, logits: NDArray[np.float32], token_id: int, count: int
    ) -> tuple[float, tuple[tuple[int, float], ...]]:
        """`token_id`'s log probability by `logits` [vocabulary] as they are, and the `count` best ids with theirs."""
        self._weigh(logits, 1.0)
        total = float(logits.max()) + float(np.log(self._mass[-1]))
        if count == 0:
            return float(logits[token_id]) - total, ()
        self._logits.reshape(-1)[: self._vocabulary] = logits
        values, ids = self._best(self._logits, count)
        best = zip(ids[:count].tolist(), values[:count].tolist(), strict=True)
        return float(logits[token_id]) - total, tuple((best_id, value - total) for best_id, value in best)

    def _weigh(self, logits: NDArray[np.float32], temperature: float) -> None:
        weights = self._weights.reshape(-1)[: self._vocabulary]
        np.subtract(logits, logits.max(), out=weights)
        if temperature != 1.0:
            np.multiply(weights, np.float32(1.0 / temperature), out=weights)
        np.exp(weights, out=weights)
        np.cumsum(self._weights.sum(axis=0), dtype=np.float64, out=self._mass)

    def _candidates(
        self, logits: NDArray[np.float32], params: SamplingParams
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        self._logits.reshape(-1)[: self._vocabulary] = logits
        if params.min_p > 0:
            tops = self._logits.max(axis=0)
            lowest = tops.max() + np.float32(params.temperature * np.log(params.min_p))
            values, ids = self._at_least(self._logits, tops, lowest)
        else:
            values, ids = self._best(self._logits, params.top_k)
        return (values[: params.top_k], ids[: params.top_k]) if params.top_k > 0 else (values, ids)

    def _draw_from_nucleus(self, top_p: float, at: Iterator[float]) -> int:
        limit = top_p * float(self._mass[-1])
        weights, ids = self._best(self._weights, FEW)
        if weights.sum(dtype=np.float64) >= limit:
            return _draw_from(weights.astype(np.float64), ids, limit, next(at))
        if top_p >= REJECT_FROM:
            return next(token_id for token_id in map(self._draw_from_all, at) if self._better(token_id) < limit)
        weights, ids = self._best(self._weights, self._weights.size)
        return _draw_from(weights.astype(np.float64), ids, limit, next(at))

    def _draw_from_all(self, at: float) -> int:
        """The token at quantile `at` of the weights, read column by column."""
        target = at * self._mass[-1]
        column = int(np.searchsorted(self._mass, target, side="right"))
        before = self._mass[column - 1] if column else 0.0
        within = np.cumsum(self._weights[:, column], dtype=np.float64)
        row = int(np.searchsorted(within, target - before, side="right"))
        if row == len(within):  # the two sums were rounded differently
            row = int(np.flatnonzero(self._weights[:, column])[-1])
        return row * COLUMNS + column

    def _better(self, token_id: int) -> float:
        """The mass of the tokens that come before `token_id`, best first, equal ones by id."""
        weights = self._weights.reshape(-1)
        weight = float(weights[token_id])
        equal = int(np.count_nonzero(weights[:token_id] == weights[token_id]))
        return float(np.dot(weights, weights > weights[token_id])) + equal * weight

    def _best(self, grid: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """At least the `count` best of `grid`, best first, equal ones by id; all of it if `count` is large."""
        tops = grid.max(axis=0)
        lowest = np.partition(tops, COLUMNS - count)[COLUMNS - count] if count <= COLUMNS else np.float32(-np.inf)
        return self._at_least(grid, tops, lowest)

    def _at_least(
        self, grid: NDArray[np.float32], tops: NDArray[np.float32], lowest: np.float32
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """All of `grid` that reach `lowest`, best first, equal ones by id; `tops` are its columns' maxima."""
        columns = np.flatnonzero(tops >= lowest)
        part = grid[:, columns]
        rows, places = np.nonzero(part >= lowest)
        ids, values = rows * COLUMNS + columns[places], part[rows, places]
        if ids[-1] >= self._vocabulary:
            values, ids = values[ids < self._vocabulary], ids[ids < self._vocabulary]
        order = np.argsort(-values, kind="stable")
        return values[order], ids[order]


def _draw_from(weights: NDArray[np.float64], ids: NDArray[np.intp], limit: float, at: float) -> int:
    """The one of `ids` at quantile `at` of `weights`, which fall, among the fewest that hold `limit`."""
    mass = np.cumsum(weights)
    last = min(int(np.searchsorted(mass, limit)), len(mass) - 1)
    return int(ids[min(int(np.searchsorted(mass, at * mass[last], side="right")), last)])
