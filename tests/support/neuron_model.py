"""A contract fake of transformers-neuronx' continuous batching: its rules, its silence and its pitfalls, on plain arrays.

It keeps a cache of token ids in place of keys and values, and answers from what the cache holds, so that a slot that was
overwritten, padded wrongly or left out gives other tokens from there on. It is not the library: no numerics, no timing.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serving.engine.runners.neuron.plan import NeuronPlan, Sampling
from serving.engine.runners.neuron.runner import GREEDY, Ids, SamplingRow
from tests.support.contract_runner import next_token


class ContractModel:
    """Satisfies `NeuronModel`, and counts what must not happen."""

    def __init__(self, plan: NeuronPlan, *, vocabulary: int) -> None:
        self.plan = plan
        self.vocabulary = vocabulary
        self.cache: Ids = np.zeros((plan.slots, plan.positions), np.int64)
        self.rows: list[SamplingRow] = [GREEDY] * plan.slots
        self.rows_writes = 0
        self.calls: list[tuple[int, ...]] = []  # shapes of input_ids
        self.overlaps = 0  # calls while another was under way
        self.fails: Exception | None = None
        self._busy = threading.Lock()

    def forward(self, input_ids: Ids, cache_ids: Ids, start_ids: Ids) -> NDArray[np.generic]:
        """One call, as the table of the contract says."""
        if not self._busy.acquire(blocking=False):
            self.overlaps += 1
            raise RuntimeError("two calls at once share the staging buffers")
        try:
            if self.fails is not None:
                raise self.fails
            if {a.dtype for a in (input_ids, cache_ids, start_ids)} != {np.dtype(np.int64)}:
                raise RuntimeError("scatter needs one dtype")
            self.calls.append(input_ids.shape)
            if input_ids.shape[1] == 1:
                return self._decode(input_ids[:, 0], cache_ids[:, 0], start_ids)
            if cache_ids[0, 0] != 0:
                raise AttributeError("no speculation on this class")  # P6
            return self._prefill(input_ids[0], cache_ids[0], int(start_ids[0]))
        finally:
            self._busy.release()

    def set_sampling_rows(self, rows: Sequence[SamplingRow]) -> None:
        """Lists are indexed by slot, and must have a row for each."""
        if len(rows) != self.plan.slots:
            raise AssertionError("one row for each slot")
        self.rows = list(rows)
        self.rows_writes += 1

    def _prefill(self, tokens: Ids, positions: Ids, slot: int) -> NDArray[np.generic]:
        if len(tokens) > self.plan.longest_prompt:
            raise AssertionError("longer than the largest prefill bucket")  # P3
        bucket = next(bucket for bucket in self.plan.prefill_buckets if bucket >= len(tokens))
        slot %= self.plan.slots  # P5: a slot that does not exist lands in another one's rows
        self.cache[slot, :bucket] = 0
        last = int(positions.max())  # P12: increasing positions in the padding would be taken for the prompt's end
        for token, position in zip(
            tokens[::-1], positions[::-1], strict=True
        ):  # of two at one position the first stays
            self.cache[slot, position] = token
        return self._answer([slot], [last])

    def _decode(self, tokens: Ids, positions: Ids, slots: Ids) -> NDArray[np.generic]:
        if positions.max() >= self.plan.positions:
            raise StopIteration  # P4
        if slots.max() >= self.plan.slots:
            raise RuntimeError("scatter index out of bounds")
        unlisted = np.setdiff1d(np.arange(self.plan.slots), slots)
        self.cache[unlisted, 0] = 0  # P1
        self.cache[slots, positions] = tokens
        return self._answer(slots.tolist(), positions.tolist())

    def _answer(self, slots: Sequence[int], lasts: Sequence[int]) -> NDArray[np.generic]:
        picked = [
            self._pick(next_token(self.cache[slot, : last + 1].tolist(), self.vocabulary), self.rows[slot])
            for slot, last in zip(slots, lasts, strict=True)
        ]
        if self.plan.sampling is Sampling.DEVICE:
            return np.array(picked, np.int32)[:, None]
        logits = np.zeros((len(picked), self.vocabulary), np.float32)
        logits[np.arange(len(picked)), picked] = 1.0
        return logits

    def _pick(self, token: int, row: SamplingRow) -> int:
        """A row that is not greedy picks another token, so that a row in the wrong slot shows."""
        return token if row == GREEDY or self.plan.sampling is Sampling.HOST else 1 + token % (self.vocabulary - 1)
