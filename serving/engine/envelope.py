"""A token drawn from softmax(logits / temperature) without computing it, by rejection from an envelope.

The vocabulary is laid out as a grid, and only its columns' maxima are looked at. Columns that hold much stand in the
envelope element by element; of every other one it says that all its elements are as likely as its best. That is too much
for most of them, so an element drawn there is kept with the probability that makes up for it, and else all is drawn anew:
what is kept has softmax' own distribution. Expected tries: two to three for a language model's logits, about ten for
normal noise, and never more than the grid has rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float32]

HEAVY_SHARE = np.float32(1 / 512)  # of the sum of all columns' best: a column with more stands element by element


class Envelope:
    """Over one row of logits. Weights are exp((logit - best) / temperature), in float32; the best token's is 1."""

    def __init__(self, grid: Row, tops: Row, temperature: float) -> None:
        """`tops` are the maxima of the columns of `grid` [rows, columns], whose highest is finite."""
        self._grid, self._tops = grid, tops
        self._best = tops[tops.argmax()]
        self._scale = np.float32(1.0 / temperature)
        self._light = self._weigh(tops)  # of a column's best
        self._heavy = (self._light > np.add.reduce(self._light) * HEAVY_SHARE).nonzero()[0]
        self._light[self._heavy] = 0.0
        self._logits = grid.take(self._heavy, axis=1).reshape(-1)  # in the order of their ids
        self._weights = self._weigh(self._logits)
        self._heavy_sums = _sums(self._weights)
        self._heavy_mass = float(self._heavy_sums[-1]) if self._heavy.size else 0.0
        self._light_mass = float(np.add.reduce(self._light))

    @property
    def least_mass(self) -> float:
        """Of all tokens, at least: light columns hold their best."""
        return self._heavy_mass + self._light_mass

    @property
    def most_mass(self) -> float:
        """Of all tokens, at most: the envelope's own."""
        return self._heavy_mass + self._light_mass * len(self._grid)

    def draw(self, at: Iterator[float]) -> tuple[int, int | None]:
        """A token, and its place among the elements of heavy columns; None for one of a light column.

        `at` yields numbers in [0, 1): one for most draws, three more for each rejection.
        """
        rows, columns = self._grid.shape
        mass = self.most_mass
        while True:
            target = next(at) * mass
            if target < self._heavy_mass:
                place = int(self._heavy_sums.searchsorted(target, side="right"))
                row, nth = divmod(place, self._heavy.size)
                return row * columns + int(self._heavy[nth]), place
            column = self._light_column((target - self._heavy_mass) / (self._light_mass * rows))
            row = int(next(at) * rows)
            if next(at) < math.exp((self._grid[row, column] - self._tops[column]) * self._scale):
                return row * columns + column, None

    def is_among_best(self, token_id: int, place: int | None, share: float) -> bool:
        """Whether the tokens before a drawn one, best first and equal ones by id, hold less than `share` of the mass.

        Bounds settle that for most; else every weight is computed.
        """
        if place is not None and self._logits[place] > self._light_best:
            before = _mass_before(self._logits, self._weights, place)
            if before < share * self.least_mass:
                return True
            if before >= share * self.most_mass:
                return False
        logits, weights = self._grid.reshape(-1), self.weights
        return _mass_before(logits, weights, token_id) < share * float(weights.sum(dtype=np.float64))

    @cached_property
    def weights(self) -> Row:
        """Of every token [rows * columns]: the pass that this class is there to avoid."""
        return self._weigh(self._grid.reshape(-1))

    @cached_property
    def _light_best(self) -> float:
        """The highest logit of light columns; whatever is above it has only elements of heavy columns before it."""
        tops = self._tops.copy()
        tops[self._heavy] = -np.inf
        return float(tops[tops.argmax()])

    @cached_property
    def _light_sums(self) -> NDArray[np.float64]:
        return _sums(self._light)

    def _light_column(self, quantile: float) -> int:
        column = self._light_sums.searchsorted(quantile * self._light_sums[-1], side="right")
        return min(int(column), len(self._light) - 1)  # a quantile below 1 may have been rounded up to it

    def _weigh(self, logits: Row) -> Row:
        weights: Row = logits - self._best
        weights *= self._scale
        return np.exp(weights, out=weights)


def _sums(weights: Row) -> NDArray[np.float64]:
    return np.add.accumulate(weights.astype(np.float64))


def _mass_before(logits: Row, weights: Row, place: int) -> float:
    logit = logits[place]
    equal = int(np.count_nonzero(logits[:place] == logit))
    return float(weights[logits > logit].sum(dtype=np.float64)) + equal * float(weights[place])
