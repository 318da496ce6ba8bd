"""The Runner contract over transformers-neuronx' continuous batching, whose rules this file keeps by construction.

One call is a prefill (one prompt, more than one column) or a decode (one column for every live slot). The library checks
almost nothing: what it would take in silence and answer with another slot's text is refused here first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serving.engine.request import SamplingParams
from serving.engine.runner import Decode, PromptChunk, RunnerError, RunnerSpec, StepOutput
from serving.engine.runners.neuron.plan import ModelShape, NeuronPlan, Sampling

Ids = NDArray[np.int64]
Stage = Callable[[str], AbstractContextManager[object]]  # times a part of the start, by its name


@dataclass(frozen=True, slots=True)
class SamplingRow:
    """What the device's graph knows of one slot's sampling."""

    top_k: int
    top_p: float
    temperature: float


GREEDY = SamplingRow(top_k=1, top_p=1.0, temperature=1.0)  # a temperature of 0 divides by zero in the graph


class NeuronModel(Protocol):
    """The compiled model: `library.LibraryModel` on a chip or the emulation, a contract fake in tests."""

    def forward(self, input_ids: Ids, cache_ids: Ids, start_ids: Ids) -> NDArray[np.generic]:
        """Tokens [k, columns] at positions [k, columns] of slots [k]: logits [k, vocabulary], or token ids [k, 1]."""

    def set_sampling_rows(self, rows: Sequence[SamplingRow]) -> None:
        """One row for each slot, by slot number."""


class NeuronLibrary(Protocol):
    """What the setting `neuron.library` names: a module that brings a model onto a device."""

    def versions(self) -> Mapping[str, str]:
        """Of what a compiled graph depends on, by distribution."""

    def load_model(
        self, checkpoint: Path, plan: NeuronPlan, shape: ModelShape, *, graphs: Path | None, stage: Stage
    ) -> NeuronModel:
        """A model that computes, from the graphs in a folder, or by compiling them now. Raises PlanError."""

    def compile_graphs(
        self, checkpoint: Path, plan: NeuronPlan, shape: ModelShape, *, into: Path, stage: Stage
    ) -> None:
        """One file for each graph. Raises PlanError."""


class NeuronRunner:
    """Slots over one compiled model. Called by one thread: the library's staging buffers are shared (§2.5)."""

    def __init__(self, model: NeuronModel, plan: NeuronPlan, spec: RunnerSpec) -> None:
        self._model: NeuronModel | None = model
        self._plan = plan
        self._spec = spec
        self._rows = [GREEDY] * plan.slots
        self._rows_changed = False
        self._lost: BaseException | None = None  # the failure after which the cores belong to nobody

    @property
    def spec(self) -> RunnerSpec:
        """Fixed for the runner's life."""
        return self._spec

    def set_sampling(self, slot: int, params: SamplingParams) -> None:
        """Note the slot's row; the device hears of it before the slot's prefill, whose graph samples already."""
        if self._plan.sampling is not Sampling.DEVICE:
            return
        row = sampling_row(params, global_top_k=self._plan.global_top_k)
        if self._rows[slot] != row:
            self._rows[slot] = row
            self._rows_changed = True

    def run(self, decodes: Sequence[Decode], prompts: Sequence[PromptChunk]) -> StepOutput:
        """Decode every live slot, then fill the new ones.

        In this order: a slot that was filled first would be live, and left out of the decode, which overwrites its
        position 0 (P1).
        """
        if self._model is None or self._lost is not None:
            raise RunnerError("the model is not loaded any more")
        self._check_decodes(decodes)
        for chunk in prompts:
            self._check_prompt(chunk)
        rows = []
        try:
            if self._rows_changed:
                self._model.set_sampling_rows(self._rows)
                self._rows_changed = False
            if decodes:
                rows.append(self._decode(self._model, decodes))
            rows.extend(self._prefill(self._model, chunk) for chunk in prompts)
        except Exception as error:
            self._lost = error
            raise RunnerError(f"transformers-neuronx failed: {error!r}") from error
        output = np.concatenate(rows)
        if self._plan.sampling is Sampling.DEVICE:
            return StepOutput(token_ids=output[:, 0].astype(np.int64))
        return StepOutput(logits=output.astype(np.float32, copy=False))

    def reset(self) -> None:
        """Raises RunnerError after any failure of the library: its cores are free only when the process ends.

        The caches would need no cleaning: the next prefill of a slot rewrites what a later decode may read.
        """
        if self._lost is not None:
            raise RunnerError(
                "the NeuronCores are lost until this process ends; the replica has to be replaced"
            ) from self._lost

    def close(self) -> None:
        """Drop the model; its cores come free when the process ends."""
        self._model = None

    def _check_decodes(self, decodes: Sequence[Decode]) -> None:
        if len({decode.slot for decode in decodes}) != len(decodes):
            raise RunnerError("a slot stands twice in one decode")  # the library would take either row (P11)
        for decode in decodes:
            if decode.position >= self._plan.positions:  # the library raises a bare StopIteration (P4)
                raise RunnerError(f"position {decode.position} is past the slot's last, {self._plan.positions - 1}")
            self._check_slot(decode.slot)

    def _check_prompt(self, chunk: PromptChunk) -> None:
        self._check_slot(chunk.slot)
        if chunk.start != 0 or not chunk.last:
            raise RunnerError("the library fills a prompt whole: it cannot go on from a position (P6)")
        if not 1 <= len(chunk.token_ids) <= self._plan.longest_prompt:
            raise RunnerError(
                f"a prompt of {len(chunk.token_ids)} tokens does not fit the largest bucket, {self._plan.longest_prompt}"
            )

    def _check_slot(self, slot: int) -> None:
        if not 0 <= slot < self._plan.slots:  # a prefill would write rows of slot 0 without an error (P5)
            raise RunnerError(f"there is no slot {slot}: {self._plan.slots} were compiled")

    def _decode(self, model: NeuronModel, decodes: Sequence[Decode]) -> NDArray[np.generic]:
        # All three int64: the library's scatter takes no mix.
        tokens = np.array([[decode.token_id] for decode in decodes], np.int64)
        positions = np.array([[decode.position] for decode in decodes], np.int64)
        return model.forward(tokens, positions, np.array([decode.slot for decode in decodes], np.int64))

    def _prefill(self, model: NeuronModel, chunk: PromptChunk) -> NDArray[np.generic]:
        tokens = list(chunk.token_ids)
        positions = list(range(len(tokens)))
        if len(tokens) == 1:  # one column is taken for a decode, which overwrites every other slot (P2)
            tokens, positions = [tokens[0], tokens[0]], [0, 0]
        return model.forward(
            np.array([tokens], np.int64), np.array([positions], np.int64), np.array([chunk.slot], np.int64)
        )


def sampling_row(params: SamplingParams, *, global_top_k: int) -> SamplingRow:
    """What the device can do of `params`; the API has refused the rest by name."""
    if params.temperature == 0:
        return GREEDY
    top_k = global_top_k if params.top_k <= 0 else min(params.top_k, global_top_k)
    return SamplingRow(top_k, params.top_p, params.temperature)
