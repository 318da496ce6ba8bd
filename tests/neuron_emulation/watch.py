"""Between the runner and the model: what the contract forbids, counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.engine.runners.neuron.runner import Ids, NeuronModel, SamplingRow


class Watch:
    """A model that counts its calls, those that overlap, and decodes that left a live slot out.

    A slot that was left out and is decoded later, without a new prompt in between, was live. That is told from the calls
    alone, whatever the scheduler believes.
    """

    def __init__(self, model: NeuronModel) -> None:
        self._model = model
        self._running = 0
        self._left_out: dict[int, int] = {}  # slot -> decodes without it since its prompt
        self.prefills = self.decodes = self.overlapping = self.live_left_out = 0

    def forward(self, input_ids: Ids, cache_ids: Ids, start_ids: Ids) -> NDArray[np.generic]:
        self._running += 1
        self.overlapping += self._running > 1
        try:
            self._note(input_ids, start_ids.tolist())
            return self._model.forward(input_ids, cache_ids, start_ids)
        finally:
            self._running -= 1

    def set_sampling_rows(self, rows: Sequence[SamplingRow]) -> None:
        self._model.set_sampling_rows(rows)

    def _note(self, input_ids: Ids, slots: list[int]) -> None:
        if input_ids.shape[1] > 1:
            self.prefills += 1
            self._left_out.update(dict.fromkeys(slots, 0))
            return
        self.decodes += 1
        self.live_left_out += sum(self._left_out[slot] for slot in slots)
        for slot in self._left_out:
            self._left_out[slot] = 0 if slot in slots else self._left_out[slot] + 1

    def figures(self) -> dict[str, Any]:
        return {
            "prefills": self.prefills,
            "decodes": self.decodes,
            "overlapping calls": self.overlapping,
            "live slots left out": self.live_left_out,
        }
