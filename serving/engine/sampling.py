"""Logits to tokens, for every live slot.

A row is worked on by itself, while it is in a core's cache: that is as fast as passes over all rows, and it makes a
row's result independent of the rows around it. The runner's logits are never written to.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from serving.engine.draw import Drawer, check_finite, uniforms
from serving.engine.request import GenerationRequest, SamplingParams, Token
from serving.engine.runner import RunnerError, RunnerSpec

GREEDY_BELOW = 1e-5  # a lower temperature cannot be divided by in float32


class Sampler:
    """The sampling of every slot, bound when a generation gets the slot."""

    def __init__(self, spec: RunnerSpec, *, draw_seed: Callable[[], int] | None = None) -> None:
        self._slots: list[_SlotSampling | None] = [None] * spec.slots
        self._drawer = Drawer(spec.vocabulary)
        self._adjusted = np.empty(spec.vocabulary, np.float32)
        self._draw_seed = draw_seed or (lambda: random.SystemRandom().getrandbits(64))

    def bind(self, slot: int, request: GenerationRequest, stop_token_ids: frozenset[int]) -> None:
        """From here on `slot` samples for `request`, whose answer begins."""
        seed = self._draw_seed() if request.sampling.seed is None else request.sampling.seed
        self._slots[slot] = _SlotSampling(request, stop_token_ids, seed=seed)

    def sample(self, logits: NDArray[np.float32], slots: Sequence[int]) -> list[Token]:
        """One token for each row of `logits` [len(slots), vocabulary], which is left as it is.

        Raises RunnerError for a wrong shape and for logits that are no numbers.
        """
        if logits.shape[0] != len(slots):
            raise RunnerError(f"{logits.shape[0]} rows of logits for {len(slots)} slots")
        samplings = [self._bound(slot) for slot in slots]
        return [self._sample_row(sampling, row) for sampling, row in zip(samplings, logits, strict=True)]

    def _bound(self, slot: int) -> _SlotSampling:
        sampling = self._slots[slot]
        if sampling is None:
            raise RunnerError(f"slot {slot} has no sampling bound to it")
        return sampling

    def _sample_row(self, sampling: _SlotSampling, logits: NDArray[np.float32]) -> Token:
        params, row = sampling.params, logits
        if sampling.adjusts:
            row = self._adjusted
            row[:] = logits
            sampling.adjust(row)
        if params.temperature >= GREEDY_BELOW:
            token_id = self._drawer.draw(row, params, uniforms(sampling.seed, sampling.drawn))
        else:
            token_id = int(row.argmax())  # which stops at a NaN
            check_finite(row[token_id])
        sampling.count(token_id)
        if params.logprobs is None:
            return Token(token_id)
        return Token(token_id, *self._drawer.logprobs(logits, token_id, params.logprobs))


class _SlotSampling:
    """One generation's wishes, and what they depend on: how many tokens it has, and which."""

    def __init__(self, request: GenerationRequest, stop_token_ids: frozenset[int], *, seed: int) -> None:
        params = request.sampling
        self.params: SamplingParams = params
        self.seed = seed
        self.drawn = 0
        self._min_tokens = request.min_tokens
        self._stop_ids = np.fromiter(stop_token_ids, np.intp)
        self._bias_ids = np.fromiter(params.logit_bias.keys(), np.intp)
        self._bias = np.fromiter(params.logit_bias.values(), np.float32)
        self._penalised = params.presence_penalty != 0 or params.frequency_penalty != 0
        self._places: dict[int, int] = {}  # token id -> its place in the two arrays
        self._seen_ids = np.empty(request.max_tokens if self._penalised else 0, np.intp)
        self._seen_counts = np.zeros(self._seen_ids.size, np.float32)
        self.adjusts = self._penalised or bool(params.logit_bias) or request.min_tokens > 0

    def adjust(self, row: NDArray[np.float32]) -> None:
        """Apply bias, penalties (over the answer so far, as OpenAI defines them) and min_tokens to `row`."""
        row[self._bias_ids] += self._bias
        seen = len(self._places)
        if seen:
            counts = self._seen_counts[:seen]
            row[self._seen_ids[:seen]] -= self.params.frequency_penalty * counts + self.params.presence_penalty
        if self.drawn < self._min_tokens:
            row[self._stop_ids] = -np.inf

    def count(self, token_id: int) -> None:
        """Take `token_id` into account for the tokens to come."""
        self.drawn += 1
        if self._penalised:
            place = self._places.setdefault(token_id, len(self._places))
            self._seen_ids[place] = token_id
            self._seen_counts[place] += 1
