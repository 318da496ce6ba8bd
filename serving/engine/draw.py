"""One token drawn from one row of logits: temperature, min_p, top_k and top_p, in this order (it is vLLM's).

A vocabulary is large and what can be drawn is mostly few, so nothing here computes or sorts it all if it can be helped. A
row is laid out as a grid with COLUMNS columns, and the columns' maxima are looked at first:

* The k-th largest of them bounds the k-th largest element from below, so the k best are in the few columns that reach it.
* `serving.engine.envelope` draws from the whole by them.
* A nucleus is drawn from by rejection: draw from the whole, and draw again if the tokens that are better hold top_p
  already. That is the nucleus' own distribution, and each try succeeds with at least top_p.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from serving.engine.envelope import Envelope
from serving.engine.request import SamplingParams
from serving.engine.runner import RunnerError

COLUMNS = 2048
REJECT_FROM = 0.05  # a smaller top_p would be rejected too often, so everything is sorted instead

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


def check_finite(best: np.float32) -> np.float32:
    """The best logit of a row, which is NaN if any of the row is. Raises RunnerError when it is no finite number."""
    if not math.isfinite(best):
        raise RunnerError("the logits hold NaN or infinity")
    return best


class Drawer:
    """Draws from rows of one vocabulary."""

    def __init__(self, vocabulary: int) -> None:
        height = -(-vocabulary // COLUMNS)
        self._vocabulary = vocabulary
        # For rows that do not fill a grid; the tail is no token, and stays as it is.
        self._padded = np.full((height, COLUMNS), -np.inf, np.float32)

    def draw(self, logits: NDArray[np.float32], params: SamplingParams, at: Iterator[float]) -> int:
        """A token by `params`' distribution over `logits` [vocabulary].

        `at` yields quantiles in [0, 1). Raises RunnerError when the highest logit is no finite number.
        """
        grid = self._grid(logits)
        tops = np.maximum.reduce(grid)
        best = check_finite(tops[tops.argmax()])
        if params.min_p > 0 or params.top_k > 0:
            values, ids = self._candidates(grid, tops, best, params)
            weights = np.exp((values.astype(np.float64) - best) / params.temperature)
            return _draw_from(weights, ids, params.top_p, next(at))
        envelope = Envelope(grid, tops, params.temperature)
        if params.top_p >= 1:
            return envelope.draw(at)[0]
        return self._draw_from_nucleus(envelope, logits, params.top_p, at)

    def logprobs(
        self, logits: NDArray[np.float32], token_id: int, count: int
    ) -> tuple[float, tuple[tuple[int, float], ...]]:
        """`token_id`'s log probability by `logits` [vocabulary] as they are, and the `count` best ids with theirs."""
        grid = self._grid(logits)
        tops = np.maximum.reduce(grid)
        total = float(tops.max()) + float(np.log(Envelope(grid, tops, 1.0).weights.sum(dtype=np.float64)))
        if count == 0:
            return float(logits[token_id]) - total, ()
        values, ids = self._best(grid, tops, count)
        best = zip(ids[:count].tolist(), values[:count].tolist(), strict=True)
        return float(logits[token_id]) - total, tuple((best_id, value - total) for best_id, value in best)

    def _grid(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._vocabulary == self._padded.size:
            return logits.reshape(-1, COLUMNS)
        self._padded.reshape(-1)[: self._vocabulary] = logits
        return self._padded

    def _candidates(
        self, grid: NDArray[np.float32], tops: NDArray[np.float32], best: np.float32, params: SamplingParams
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        if params.min_p > 0:
            lowest = best + np.float32(params.temperature * math.log(params.min_p))
            values, ids = self._at_least(grid, tops, lowest)
        else:
            values, ids = self._best(grid, tops, params.top_k)
        return (values[: params.top_k], ids[: params.top_k]) if params.top_k > 0 else (values, ids)

    def _draw_from_nucleus(
        self, envelope: Envelope, logits: NDArray[np.float32], top_p: float, at: Iterator[float]
    ) -> int:
        if top_p * envelope.most_mass <= 1.0:  # which the best token's weight is
            return int(logits.argmax())
        if top_p >= REJECT_FROM:
            while True:
                token_id, place = envelope.draw(at)
                if envelope.is_among_best(token_id, place, top_p):
                    return token_id
        ids = np.argsort(-logits, kind="stable")
        weights = envelope.weights[ids].astype(np.float64)
        return _draw_from(weights, ids, top_p, next(at))

    def _best(
        self, grid: NDArray[np.float32], tops: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """At least the `count` best of `grid`, best first, equal ones by id; all of it if `count` is large."""
        lowest = np.partition(tops, COLUMNS - count)[COLUMNS - count] if count <= COLUMNS else np.float32(-np.inf)
        return self._at_least(grid, tops, lowest)

    def _at_least(
        self, grid: NDArray[np.float32], tops: NDArray[np.float32], lowest: np.float32
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """All of `grid` that reach `lowest`, best first, equal ones by id; `tops` are its columns' maxima."""
        columns = (tops >= lowest).nonzero()[0]
        part = grid.take(columns, axis=1).reshape(-1)  # in the order of their ids
        places = (part >= lowest).nonzero()[0]
        rows, nth = np.divmod(places, columns.size)
        values, ids = part[places], rows * COLUMNS + columns[nth]
        if ids[-1] >= self._vocabulary:
            values, ids = values[ids < self._vocabulary], ids[ids < self._vocabulary]
        order = (-values).argsort(kind="stable")
        return values[order], ids[order]


def _draw_from(weights: NDArray[np.float64], ids: NDArray[np.intp], top_p: float, at: float) -> int:
    """The one of `ids` at quantile `at` of `weights`, which fall, among the fewest that hold `top_p` of them."""
    mass = np.add.accumulate(weights)
    last = len(mass) - 1
    if top_p < 1:
        last = min(int(mass.searchsorted(top_p * mass[-1])), last)
    return int(ids[min(int(mass.searchsorted(at * mass[last], side="right")), last)])
